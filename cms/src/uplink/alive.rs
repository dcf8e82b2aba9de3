//! Signs of life, gathered: ten thousand hosts that each say "alive" twice a minute are one transaction every few seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_policy::HostId;
use doorward_proto::report::Health;
use doorward_service::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};

/// How long signs of life gather.
const GATHER: Duration = Duration::from_secs(5);

/// Hosts heard of since the last write. Bounded by the number of sessions.
#[derive(Debug, Default)]
pub(super) struct Alive(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    /// The newest of each host.
    beats: BTreeMap<HostId, Health>,
    /// Without counters, as by a report.
    others: BTreeSet<HostId>,
}

impl Alive {
    /// The host sent a heartbeat.
    pub(super) fn beat(&self, host: HostId, health: Health) {
        self.heard().beats.insert(host, health);
    }

    /// The host sent anything else.
    pub(super) fn heard_of(&self, host: HostId) {
        self.heard().others.insert(host);
    }

    /// Writes until `cancel`.
    pub(super) async fn run(&self, store: &Store, clock: &Clock, cancel: &CancellationToken) {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(GATHER) => {}
            }
            let heard = std::mem::take(&mut *self.heard());
            // What is lost is made good by the next heartbeat.
            if let Err(error) = write(heard, store, clock.now_micros()).await {
                tracing::warn!(%error, "heartbeats were not written");
            }
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(heard: Heard, store: &Store, now: i64) -> Result<(), StoreError> {
    let Heard { beats, others } = heard;
    let others: Vec<HostId> = others.into_iter().filter(|host| !beats.contains_key(host)).collect();
    if !beats.is_empty() {
        store.heartbeats(&beats.into_iter().collect::<Vec<_>>(), now).await?;
    }
    if !others.is_empty() {
        store.hosts_alive(&others, now).await?;
    }
    Ok(())
}
