//! The two messages of the stream, and the batches in them.

use prost::Message;

use super::{ConvertError, Fault, cut, field};
use crate::limit::{BATCH_BYTES_MAX, BATCH_REPORTS_MAX, SENTENCE_BYTES_MAX, VERDICTS_MAX};
use crate::report::{Batch, Report};
use crate::uplink::{AgentMessage, CmsMessage};
use crate::v1;

impl TryFrom<v1::ReportBatch> for Batch {
    type Error = ConvertError;

    fn try_from(message: v1::ReportBatch) -> Result<Self, ConvertError> {
        let bytes = message.encoded_len();
        if bytes > BATCH_BYTES_MAX {
            return Err(Fault::TooLong { max: BATCH_BYTES_MAX, got: bytes }.of("ReportBatch.reports"));
        }
        let reports: Vec<Report> = field::list("ReportBatch.reports", message.reports, BATCH_REPORTS_MAX, TryInto::try_into)?;
        if !reports.is_sorted_by(|earlier, later| earlier.sequence < later.sequence) {
            return Err(Fault::Unordered.of("ReportBatch.reports"));
        }
        Ok(Self::received(reports, bytes))
    }
}

impl From<Batch> for v1::ReportBatch {
    fn from(batch: Batch) -> Self {
        Self { reports: batch.into_reports().into_iter().map(Into::into).collect() }
    }
}

impl TryFrom<v1::AgentMessage> for AgentMessage {
    type Error = ConvertError;

    fn try_from(message: v1::AgentMessage) -> Result<Self, ConvertError> {
        use v1::agent_message::Body;
        Ok(match field::required("AgentMessage.body", message.body)? {
            Body::Hello(body) => Self::Hello(body.try_into()?),
            Body::Reports(body) => Self::Reports(body.try_into()?),
            Body::ScanProgress(body) => Self::ScanProgress(body.try_into()?),
            Body::PolicyState(body) => Self::PolicyState(body.try_into()?),
            Body::SettingsState(body) => Self::SettingsState(body.try_into()?),
            Body::SnapshotRequest(body) => Self::SnapshotRequest(field::text("SnapshotRequest.reason", body.reason, SENTENCE_BYTES_MAX)?),
            Body::CommandResult(body) => Self::CommandResult(body.try_into()?),
            Body::Heartbeat(body) => Self::Heartbeat(field::required("Heartbeat.health", body.health)?.try_into()?),
        })
    }
}

impl From<AgentMessage> for v1::AgentMessage {
    fn from(message: AgentMessage) -> Self {
        use v1::agent_message::Body;
        let body = match message {
            AgentMessage::Hello(hello) => Body::Hello(hello.into()),
            AgentMessage::Reports(batch) => Body::Reports(batch.into()),
            AgentMessage::ScanProgress(progress) => Body::ScanProgress(progress.into()),
            AgentMessage::PolicyState(state) => Body::PolicyState(state.into()),
            AgentMessage::SettingsState(state) => Body::SettingsState(state.into()),
            AgentMessage::SnapshotRequest(reason) => {
                Body::SnapshotRequest(v1::SnapshotRequest { reason: cut::text(reason, SENTENCE_BYTES_MAX) })
            }
            AgentMessage::CommandResult(result) => Body::CommandResult(result.into()),
            AgentMessage::Heartbeat(health) => Body::Heartbeat(v1::Heartbeat { health: Some(health.into()) }),
        };
        Self { body: Some(body) }
    }
}

impl TryFrom<v1::CmsMessage> for CmsMessage {
    type Error = ConvertError;

    fn try_from(message: v1::CmsMessage) -> Result<Self, ConvertError> {
        use v1::cms_message::Body;
        Ok(match field::required("CmsMessage.body", message.body)? {
            Body::Welcome(body) => Self::Welcome(body.try_into()?),
            Body::Acknowledge(body) => Self::Acknowledge(body.sequence),
            Body::Verdicts(body) => Self::Verdicts(field::list("VerdictBatch.verdicts", body.verdicts, VERDICTS_MAX, TryInto::try_into)?),
            Body::PolicySnapshot(body) => Self::PolicySnapshot(body.try_into()?),
            Body::PolicyDelta(body) => Self::PolicyDelta(body.try_into()?),
            Body::Settings(body) => Self::Settings(body.try_into()?),
            Body::Command(body) => Self::Command(body.try_into()?),
        })
    }
}

impl From<CmsMessage> for v1::CmsMessage {
    fn from(message: CmsMessage) -> Self {
        use v1::cms_message::Body;
        let body = match message {
            CmsMessage::Welcome(welcome) => Body::Welcome(welcome.into()),
            CmsMessage::Acknowledge(sequence) => Body::Acknowledge(v1::Acknowledge { sequence }),
            CmsMessage::Verdicts(verdicts) => {
                Body::Verdicts(v1::VerdictBatch { verdicts: verdicts.into_iter().take(VERDICTS_MAX).map(Into::into).collect() })
            }
            CmsMessage::PolicySnapshot(part) => Body::PolicySnapshot(part.into()),
            CmsMessage::PolicyDelta(delta) => Body::PolicyDelta(delta.into()),
            CmsMessage::Settings(settings) => Body::Settings(settings.into()),
            CmsMessage::Command(command) => Body::Command(command.into()),
        };
        Self { body: Some(body) }
    }
}
