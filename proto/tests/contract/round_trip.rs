//! Properties: a domain value comes out of the wire as it went in; any bytes at all are a message or a refusal; whatever is sent is taken.

use doorward_proto::enrollment::{EnrollRequest, EnrollResponse, HostFacts, RenewRequest, RenewResponse};
use doorward_proto::report::{Observation, ReportBody};
use doorward_proto::uplink::{AgentMessage, CmsMessage};
use doorward_proto::v1;
use proptest::prelude::*;
use prost::Message;

use crate::strategy;

/// Through the bytes and back.
fn through<W: Message + Default>(message: &W) -> W {
    W::decode(message.encode_to_vec().as_slice()).expect("what prost writes it reads")
}

proptest! {
    #[test]
    fn agent_messages_come_out_as_they_went_in(message in strategy::agent_message()) {
        let wire = through(&v1::AgentMessage::from(message.clone()));
        let back = AgentMessage::try_from(wire).unwrap();
        // How many bytes a batch had is not part of what it says.
        match (back, message) {
            (AgentMessage::Reports(back), AgentMessage::Reports(sent)) => prop_assert_eq!(back.reports(), sent.reports()),
            (back, sent) => prop_assert_eq!(back, sent),
        }
    }

    #[test]
    fn cms_messages_come_out_as_they_went_in(message in strategy::cms_message()) {
        let wire = through(&v1::CmsMessage::from(message.clone()));
        prop_assert_eq!(CmsMessage::try_from(wire).unwrap(), message);
    }

    #[test]
    fn enrollments_come_out_as_they_went_in(
        request in strategy::enroll_request(),
        response in strategy::enroll_response(),
        (renew, renewed) in strategy::renewal(),
    ) {
        prop_assert_eq!(EnrollRequest::try_from(through(&v1::EnrollRequest::from(request.clone()))).unwrap(), request);
        prop_assert_eq!(EnrollResponse::try_from(through(&v1::EnrollResponse::from(response.clone()))).unwrap(), response);
        prop_assert_eq!(RenewRequest::try_from(through(&v1::RenewRequest::from(renew.clone()))).unwrap(), renew);
        prop_assert_eq!(RenewResponse::try_from(through(&v1::RenewResponse::from(renewed.clone()))).unwrap(), renewed);
    }

    #[test]
    fn reports_survive_json_and_postcard(body in strategy::report_body()) {
        let json = serde_json::to_string(&body).unwrap();
        prop_assert_eq!(&serde_json::from_str::<ReportBody>(&json).unwrap(), &body);
        let positional = postcard::to_stdvec(&body).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<ReportBody>(&positional).unwrap(), &body);
    }

    #[test]
    fn any_bytes_are_a_message_or_a_refusal(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = v1::AgentMessage::decode(bytes.as_slice()).map(AgentMessage::try_from);
        let _ = v1::CmsMessage::decode(bytes.as_slice()).map(CmsMessage::try_from);
        let _ = v1::EnrollRequest::decode(bytes.as_slice()).map(EnrollRequest::try_from);
        let _ = v1::EnrollResponse::decode(bytes.as_slice()).map(EnrollResponse::try_from);
        let _ = v1::RenewRequest::decode(bytes.as_slice()).map(RenewRequest::try_from);
        let _ = v1::RenewResponse::decode(bytes.as_slice()).map(RenewResponse::try_from);
    }

    /// Random bytes seldom get far; a valid message with a few bytes changed does.
    #[test]
    fn any_damaged_message_is_a_message_or_a_refusal(
        agent in strategy::agent_message(),
        cms in strategy::cms_message(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let spoil = |mut bytes: Vec<u8>| {
            for (at, byte) in &damage {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
            }
            bytes
        };
        let _ = v1::AgentMessage::decode(spoil(v1::AgentMessage::from(agent).encode_to_vec()).as_slice()).map(AgentMessage::try_from);
        let _ = v1::CmsMessage::decode(spoil(v1::CmsMessage::from(cms).encode_to_vec()).as_slice()).map(CmsMessage::try_from);
    }

    /// Values far beyond every limit: a host with absurd names must not send what the CMS would refuse for ever.
    #[test]
    fn whatever_is_sent_is_taken(observation in strategy::observation(), facts in strategy::host_facts(), padding in strategy::text(4000)) {
        let mut observation = observation;
        if let Some(package) = &mut observation.evidence.package {
            package.name.push_str(&padding);
            package.version.push_str(&padding);
        }
        if let Some(publisher) = &mut observation.evidence.publisher {
            publisher.name.push_str(&padding);
        }
        if let Some(process) = &mut observation.process {
            process.container = Some(padding.clone());
        }
        prop_assert!(Observation::try_from(through(&v1::Observation::from(observation))).is_ok());
        let facts = HostFacts { host_name: padding.clone(), kernel: padding.clone(), architecture: padding, ..facts };
        prop_assert!(HostFacts::try_from(through(&v1::HostFacts::from(facts))).is_ok());
    }
}
