//! One host's stream from its hello to its end. Two halves run side by side in one task: [`reader`] takes what the host says, [`pusher`]
//! sends what it is to know. The first to end, ends both.

mod end;
mod outbox;
mod pusher;
mod reader;

use std::sync::Arc;

use doorward_policy::{HostId, ProfileId};
use doorward_proto::limit::{BATCH_REPORTS_MAX, PROTOCOL};
use doorward_proto::uplink::{CmsMessage, Hello, Welcome};
use doorward_proto::v1;
use tonic::Streaming;

pub(super) use self::end::End;
pub(super) use self::outbox::Outbox;
use self::pusher::Pusher;
use self::reader::Reader;
use super::place::Place;
use super::service::Shared;
use super::tally::Tally;
use crate::incident::Kind;
use crate::lease::Hold;
use crate::store::InForce;

/// Reports a host may have sent and not seen acknowledged: enough that it never waits for an acknowledgement on a fast link.
const WINDOW: u32 = 4 * BATCH_REPORTS_MAX as u32;

/// A host that said hello and got its place.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) host: HostId,
    pub(super) profile: ProfileId,
    pub(super) place: Place,
    pub(super) hello: Hello,
    /// Keeps the connection.
    pub(super) _hold: Option<Hold>,
}

impl Session {
    /// Writes down what the hello says and answers it.
    async fn welcome(&self, outbox: &Outbox) -> Result<(), End> {
        let Hello { store_epoch, policy_epoch, policy_revision, settings_revision, .. } = self.hello;
        let now = self.shared.clock.now_micros();
        let store = &self.shared.store;
        {
            let _presence = self.shared.presence.lock().await;
            // A newer stream may have come and gone already; that the host is here would then be the last word for ever.
            if self.place.is_displaced() {
                return Err(End::Displaced);
            }
            store.host_seen(self.host, &self.hello.facts, &self.hello.agent_version, now).await?;
        }
        store.host_capabilities(self.host, &self.hello.capabilities).await?;
        if store.lift_settings(self.host, settings_revision).await? {
            tracing::warn!(host = %self.host, has = settings_revision, "a host has newer settings than this server: was the database restored?");
        }
        store.close_incident(Kind::AgentSilent, None, Some(self.host), now).await?;
        let policy = InForce { epoch: policy_epoch, revision: policy_revision, refused: None };
        store.policy_in_force(self.host, &policy).await?;
        let settings = InForce { epoch: 0, revision: settings_revision, refused: None };
        store.settings_in_force(self.host, &settings).await?;
        let welcome = Welcome {
            protocol: PROTOCOL,
            cms_version: env!("CARGO_PKG_VERSION").to_owned(),
            acknowledged: store.watermark(self.host, &store_epoch).await?,
            window: WINDOW,
            now,
        };
        outbox.send(CmsMessage::Welcome(welcome)).await
    }

    /// Runs from the welcome to the end of the stream. Must be a task of its own: it writes down that the host came, and whatever
    /// becomes of the stream, that it went.
    pub(super) async fn run(self, inbound: Streaming<v1::AgentMessage>, outbox: Outbox) {
        let end = tokio::select! {
            end = self.serve(inbound, &outbox) => end,
            () = outbox.closed() => End::Left,
            () = self.place.displaced() => End::Displaced,
            () = self.shared.cancel.cancelled() => End::Stopping,
        };
        self.count(&end);
        outbox.close(&end).await;
        self.leave().await;
    }

    async fn serve(&self, inbound: Streaming<v1::AgentMessage>, outbox: &Outbox) -> End {
        if let Err(end) = self.welcome(outbox).await {
            return end;
        }
        Tally::add(&self.shared.tally.sessions, 1);
        let reader = Reader { session: self, outbox };
        let pusher = Pusher::new(self, outbox);
        tokio::select! {
            end = reader.run(inbound) => end,
            end = pusher.run() => end,
        }
    }

    /// Writes down that the host is gone, unless a newer stream took its place. Held together with what the newer one writes, so that
    /// the last word is the newer one's.
    async fn leave(&self) {
        let _presence = self.shared.presence.lock().await;
        if self.place.is_displaced() {
            return;
        }
        if let Err(error) = self.shared.store.host_disconnected(self.host, self.shared.clock.now_micros()).await {
            tracing::warn!(%error, host = %self.host, "that a host left was not written");
        }
    }

    fn count(&self, end: &End) {
        let host = self.host;
        match end {
            End::Malformed(_) | End::OutOfTurn(_) | End::Greedy => {
                Tally::add(&self.shared.tally.malformed, 1);
                tracing::warn!(%host, what = %end.to_string().escape_debug(), "a host broke the protocol");
            }
            End::Slow => {
                Tally::add(&self.shared.tally.slow, 1);
                tracing::warn!(%host, "a host does not take what it is sent");
            }
            End::Store(error) => tracing::error!(%host, %error, "a stream ended because the database failed"),
            End::Policy(error) => tracing::error!(%host, %error, "a stream ended because the policy cannot be published"),
            End::Left | End::Displaced | End::Removed | End::Stopping => tracing::debug!(%host, %end, "a stream ended"),
        }
    }
}
