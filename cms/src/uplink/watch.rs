//! Hosts that were not heard of for too long: an incident each, once for every silence. It is closed when the host comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_policy::HostId;
use doorward_service::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::incident::{Detail, Kind};
use crate::store::{NewIncident, Store, StoreError};

/// How often the store is asked.
const LOOK: Duration = Duration::from_secs(30);

/// The watch.
pub(super) struct Watch {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) silent_after: Duration,
    pub(super) cancel: CancellationToken,
}

impl Watch {
    /// Watches until `cancel`. Begins when every host has had the time to connect: after a start all of them were silent.
    pub(super) async fn run(self) {
        let mut told = BTreeSet::new();
        let mut wait = self.silent_after;
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = LOOK.min(self.silent_after);
            if let Err(error) = self.look(&mut told).await {
                tracing::warn!(%error, "silent hosts cannot be looked for");
            }
        }
    }

    async fn look(&self, told: &mut BTreeSet<HostId>) -> Result<(), StoreError> {
        let now = self.clock.now_micros();
        let silent_after = i64::try_from(self.silent_after.as_micros()).unwrap_or(i64::MAX);
        let silent: BTreeSet<HostId> = self.store.silent_hosts(now.saturating_sub(silent_after)).await?.into_iter().collect();
        for host in silent.difference(told) {
            let last_seen_at = self.store.host(*host).await?.and_then(|host| host.last_seen_at);
            let detail = Detail::Silence { last_seen_at };
            let incident = NewIncident { kind: Kind::AgentSilent, file: None, host: Some(*host), detail };
            self.store.raise_incident(&incident, now).await?;
            tracing::warn!(%host, "a host has fallen silent");
        }
        *told = silent;
        Ok(())
    }
}
