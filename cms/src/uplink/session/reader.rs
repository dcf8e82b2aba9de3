//! What a host says: parsed whole or refused, written down, and only then acknowledged. One message at a time: while the database is
//! busy nothing is read, and the transport's own window slows the host.

use doorward_policy::{Sha256, Status};
use doorward_proto::report::Batch;
use doorward_proto::uplink::{AgentMessage, CmsMessage, CommandResult, PolicyState, SettingsState, Verdict, VerdictDecision};
use doorward_proto::{limit, v1};
use tokio::sync::SemaphorePermit;
use tonic::Streaming;

use super::{End, Outbox, Session};
use crate::store::InForce;
use crate::uplink::nudge::Due;
use crate::uplink::tally::Tally;

pub(super) struct Reader<'a> {
    pub(super) session: &'a Session,
    pub(super) outbox: &'a Outbox,
}

impl Reader<'_> {
    pub(super) async fn run(self, mut inbound: Streaming<v1::AgentMessage>) -> End {
        loop {
            let message = match inbound.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return End::Left,
                Err(status) => return End::of_inbound(&status),
            };
            if let Err(end) = self.take(message).await {
                return end;
            }
        }
    }

    async fn take(&self, message: v1::AgentMessage) -> Result<(), End> {
        // SECURITY: whatever a message says, the host it is about is the one of the certificate.
        let Session { shared, host, .. } = self.session;
        match AgentMessage::try_from(message)? {
            AgentMessage::Hello(_) => Err(End::OutOfTurn("a second hello")),
            AgentMessage::Reports(batch) => self.reports(&batch).await,
            AgentMessage::PolicyState(state) => self.policy_state(state).await,
            AgentMessage::SettingsState(state) => self.settings_state(state).await,
            AgentMessage::ScanProgress(progress) => {
                let _turn = self.turn().await?;
                Ok(shared.store.scan_progress(*host, &progress, shared.clock.now_micros()).await?)
            }
            AgentMessage::CommandResult(CommandResult { id, error }) => {
                let _turn = self.turn().await?;
                shared.store.command_done(*host, id, error.as_deref(), shared.clock.now_micros()).await?;
                // Only so many are sent at a time.
                self.session.place.nudge().nudge(Due::COMMANDS);
                Ok(())
            }
            AgentMessage::SnapshotRequest(reason) => {
                tracing::info!(%host, reason = %reason.escape_debug(), "a host asks for its whole policy");
                self.session.place.nudge().nudge(Due::SNAPSHOT);
                Ok(())
            }
            AgentMessage::Heartbeat(health) => {
                shared.alive.beat(*host, health);
                Ok(())
            }
        }
    }

    /// A turn at writing. Given back before anything is sent: a host that takes nothing must not keep it.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, End> {
        self.session.shared.writes.acquire().await.map_err(|_| End::Stopping)
    }

    async fn reports(&self, batch: &Batch) -> Result<(), End> {
        let Session { shared, host, hello, .. } = self.session;
        let reports = batch.reports();
        if reports.first().is_some_and(|report| report.sequence == 0) {
            return Err(End::Malformed("Report.sequence: 0 names no report".to_owned()));
        }
        Tally::add(&shared.tally.reports, reports.len() as u64);
        let ingested = {
            let _turn = self.turn().await?;
            shared.allowlist.ingest(*host, hello.store_epoch, reports).await?
        };
        shared.alive.heard_of(*host);
        self.outbox.send(CmsMessage::Acknowledge(ingested.watermark)).await?;
        self.answer(&ingested.files).await
    }

    /// What is already known of the files just reported goes out at once; the rest follows when it is known.
    async fn answer(&self, files: &[Sha256]) -> Result<(), End> {
        for files in files.chunks(limit::VERDICTS_MAX) {
            let mut verdicts = self.session.shared.store.verdicts(self.session.host, files).await?;
            verdicts.retain(is_news);
            if !verdicts.is_empty() {
                self.outbox.send(CmsMessage::Verdicts(verdicts)).await?;
            }
        }
        Ok(())
    }

    async fn policy_state(&self, state: PolicyState) -> Result<(), End> {
        let Session { shared, host, .. } = self.session;
        let _turn = self.turn().await?;
        let in_force = InForce { epoch: state.epoch, revision: state.revision, refused: state.refused };
        shared.store.policy_in_force(*host, &in_force).await?;
        if let InForce { epoch, revision, refused: Some(reason) } = &in_force {
            tracing::warn!(%host, epoch, revision, reason = %reason.escape_debug(), "a host refused a policy");
            self.session.place.nudge().nudge(Due::SNAPSHOT);
        }
        Ok(())
    }

    async fn settings_state(&self, state: SettingsState) -> Result<(), End> {
        let Session { shared, host, .. } = self.session;
        let SettingsState { revision, refused } = state;
        if let Some(reason) = &refused {
            tracing::warn!(%host, revision, reason = %reason.escape_debug(), "a host refused its settings");
        }
        let _turn = self.turn().await?;
        Ok(shared.store.settings_in_force(*host, &InForce { epoch: 0, revision, refused }).await?)
    }
}

/// Whether a verdict tells a waiting host more than "not yet".
pub(super) fn is_news(verdict: &Verdict) -> bool {
    verdict.is_final || verdict.status == Status::Threat || verdict.decision != VerdictDecision::Undecided
}
