//! Nothing hostile is decoded, and the table of shapes says what the `.proto` files say.

use std::path::Path;

use bytes::Bytes;
use prost::Message;
use prost_types::field_descriptor_proto::Label;
use prost_types::{DescriptorProto, FileDescriptorSet};
use tonic::Code;

use super::decode;
use crate::limit::{INVENTORY_SOURCES_MAX, MESSAGE_BYTES_MAX, MESSAGE_ELEMENTS_MAX};
use crate::v1;

fn agent_message(body: v1::agent_message::Body) -> Vec<u8> {
    v1::AgentMessage { body: Some(body) }.encode_to_vec()
}

#[test]
fn a_message_of_many_tiny_elements_is_refused_before_it_is_decoded() {
    let reports = v1::ReportBatch { reports: vec![v1::Report::default(); MESSAGE_ELEMENTS_MAX + 1] };
    let bytes = agent_message(v1::agent_message::Body::Reports(reports));
    assert!(bytes.len() < MESSAGE_BYTES_MAX);
    let status = decode::<v1::AgentMessage>(&mut Bytes::from(bytes)).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
}

#[test]
fn elements_are_counted_at_every_depth() {
    let inventory = v1::Inventory { sources: vec![v1::InventorySource::default(); INVENTORY_SOURCES_MAX], complete: false };
    let report = v1::Report { sequence: 1, body: Some(v1::report::Body::Inventory(inventory)) };
    let bytes = |reports| agent_message(v1::agent_message::Body::Reports(v1::ReportBatch { reports: vec![report.clone(); reports] }));
    decode::<v1::AgentMessage>(&mut Bytes::from(bytes(3))).unwrap();
    let status = decode::<v1::AgentMessage>(&mut Bytes::from(bytes(4))).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
}

#[test]
fn cut_bytes_are_an_invalid_argument() {
    let hello = v1::Hello { capabilities: vec!["scan".into()], ..Default::default() };
    let bytes = agent_message(v1::agent_message::Body::Hello(hello));
    for end in 1..bytes.len() {
        let cut = Bytes::copy_from_slice(&bytes[..end]);
        // A cut between fields is a shorter message; everything else is refused.
        if let Err(status) = decode::<v1::AgentMessage>(&mut cut.clone()) {
            assert_eq!(status.code(), Code::InvalidArgument, "{end}: {status}");
        }
    }
}

fn descriptors() -> FileDescriptorSet {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let set = protox::compile(["doorward/v1/uplink.proto"], [folder]).unwrap();
    FileDescriptorSet::decode(set.encode_to_vec().as_slice()).unwrap()
}

fn message<'a>(set: &'a FileDescriptorSet, name: &str) -> Option<&'a DescriptorProto> {
    let name = name.strip_prefix(".doorward.v1.")?;
    set.file.iter().flat_map(|file| &file.message_type).find(|message| message.name() == name)
}

/// As `Debug` of a shape, but from the descriptors.
fn described(set: &FileDescriptorSet, name: &str) -> Vec<(u32, bool, String)> {
    let message = message(set, name).unwrap();
    let fields = message.field.iter().filter_map(|field| {
        let repeats = field.label() == Label::Repeated;
        let inner = self::message(set, field.type_name()).map(|_| described(set, field.type_name())).unwrap_or_default();
        (repeats || !inner.is_empty()).then(|| (field.number().unsigned_abs(), repeats, format!("{inner:?}")))
    });
    fields.collect()
}

fn written(shape: &super::shape::Shape) -> Vec<(u32, bool, String)> {
    shape.fields().map(|(tag, repeats, inner)| (tag, repeats, format!("{:?}", inner.map(written).unwrap_or_default()))).collect()
}

#[test]
fn the_shapes_are_those_of_the_proto_files() {
    use super::Shaped;
    let set = descriptors();
    let shapes = [
        ("AgentMessage", v1::AgentMessage::SHAPE),
        ("CmsMessage", v1::CmsMessage::SHAPE),
        ("EnrollRequest", v1::EnrollRequest::SHAPE),
        ("EnrollResponse", v1::EnrollResponse::SHAPE),
        ("RenewRequest", v1::RenewRequest::SHAPE),
        ("RenewResponse", v1::RenewResponse::SHAPE),
    ];
    for (name, shape) in shapes {
        assert_eq!(written(shape), described(&set, &format!(".doorward.v1.{name}")), "{name}");
    }
}
