//! Wake-ups between the rooms: "look again", never "this is so". The truth is in the store, so a lost or doubled wake-up costs a
//! query and nothing else. Sending never waits.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_policy::{HostId, ProfileId};
use tokio::sync::{Notify, broadcast};

/// Wake-ups a sleeping session can fall behind by before it is told to look at everything.
const WAKES_KEPT_MAX: usize = 1024;

/// Whom a wake-up is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// One host's session.
    Host(HostId),
    /// The sessions of every host of a profile.
    Profile(ProfileId),
    /// Every session.
    All,
}

/// What to look at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Verdicts newer than the last one sent.
    Verdicts,
    /// The profile's policy revision.
    Policy,
    /// The host's settings revision.
    Settings,
    /// Commands that wait.
    Commands,
    /// Whether the host still exists.
    Removed,
    /// All of it: wake-ups were lost.
    Everything,
}

/// One wake-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wake {
    /// For whom.
    pub who: Who,
    /// About what.
    pub what: What,
}

impl Wake {
    /// Whether the session of this host, which is in this profile, must look.
    #[must_use]
    pub fn concerns(&self, host: &HostId, profile: &ProfileId) -> bool {
        match &self.who {
            Who::Host(woken) => woken == host,
            Who::Profile(woken) => woken == profile,
            Who::All => true,
        }
    }
}

/// Whom a committed transaction concerns. Collected inside it, sent after it by [`crate::allowlist::Allowlist::change`].
#[must_use = "who is concerned must be told; make the change through `Allowlist::change`"]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// Look-ups were queued or moved forward.
    pub lookups: bool,
    /// Hosts with new verdicts.
    pub verdicts: BTreeSet<HostId>,
    /// Profiles with a new policy revision.
    pub policies: BTreeSet<ProfileId>,
    /// Profiles whose published settings changed.
    pub profile_settings: BTreeSet<ProfileId>,
    /// Hosts whose own settings changed.
    pub host_settings: BTreeSet<HostId>,
    /// Hosts with new commands.
    pub commands: BTreeSet<HostId>,
    /// Hosts that were removed.
    pub removed: BTreeSet<HostId>,
}

impl Effect {
    /// Adds what another transaction did.
    pub fn merge(&mut self, mut other: Self) {
        self.lookups |= other.lookups;
        self.verdicts.append(&mut other.verdicts);
        self.policies.append(&mut other.policies);
        self.profile_settings.append(&mut other.profile_settings);
        self.host_settings.append(&mut other.host_settings);
        self.commands.append(&mut other.commands);
        self.removed.append(&mut other.removed);
    }

    fn wakes(&self) -> impl Iterator<Item = Wake> {
        let hosts = |set: &BTreeSet<HostId>, what| set.iter().map(move |host| Wake { who: Who::Host(*host), what }).collect::<Vec<_>>();
        let profiles =
            |set: &BTreeSet<ProfileId>, what| set.iter().map(move |profile| Wake { who: Who::Profile(*profile), what }).collect::<Vec<_>>();
        hosts(&self.removed, What::Removed)
            .into_iter()
            .chain(profiles(&self.policies, What::Policy))
            .chain(hosts(&self.verdicts, What::Verdicts))
            .chain(profiles(&self.profile_settings, What::Settings))
            .chain(hosts(&self.host_settings, What::Settings))
            .chain(hosts(&self.commands, What::Commands))
    }
}

/// The sending side; clones share everything.
#[derive(Debug, Clone)]
pub struct Signals {
    wakes: broadcast::Sender<Wake>,
    lookups: Arc<Notify>,
}

impl Default for Signals {
    fn default() -> Self {
        Self::new()
    }
}

impl Signals {
    /// Nobody is listening yet.
    #[must_use]
    pub fn new() -> Self {
        let (wakes, _) = broadcast::channel(WAKES_KEPT_MAX);
        Self { wakes, lookups: Arc::new(Notify::new()) }
    }

    /// Wake-ups sent from now on, for one session.
    #[must_use]
    pub fn subscribe(&self) -> Wakes {
        Wakes { wakes: self.wakes.subscribe() }
    }

    /// Waits until look-ups were queued since the last call; for the one engine that takes them.
    pub async fn lookups(&self) {
        self.lookups.notified().await;
    }

    /// Tells everybody a committed transaction concerns.
    pub fn tell(&self, effect: &Effect) {
        if effect.lookups {
            self.lookups.notify_one();
        }
        for wake in effect.wakes() {
            // An error only says that no session is listening; whoever connects later looks at everything.
            let _ = self.wakes.send(wake);
        }
    }
}

/// The receiving side of one session.
#[derive(Debug)]
pub struct Wakes {
    wakes: broadcast::Receiver<Wake>,
}

impl Wakes {
    /// The next wake-up, for whomever it is. Having fallen behind gives one for [`Who::All`] about [`What::Everything`]; pending for
    /// ever once all senders are gone.
    pub async fn next(&mut self) -> Wake {
        match self.wakes.recv().await {
            Ok(wake) => wake,
            Err(broadcast::error::RecvError::Lagged(_)) => Wake { who: Who::All, what: What::Everything },
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(last: u8) -> HostId {
        HostId::from_slice(&[[0; 15].as_slice(), &[last]].concat()).unwrap()
    }

    #[tokio::test]
    async fn a_session_that_fell_behind_is_told_to_look_at_everything() {
        let signals = Signals::new();
        let mut wakes = signals.subscribe();
        for _ in 0..=WAKES_KEPT_MAX {
            signals.tell(&Effect { commands: BTreeSet::from([host(1)]), ..Effect::default() });
        }
        assert_eq!(wakes.next().await, Wake { who: Who::All, what: What::Everything });
        assert_eq!(wakes.next().await, Wake { who: Who::Host(host(1)), what: What::Commands });
    }

    #[tokio::test]
    async fn look_ups_queued_while_the_engine_is_busy_are_not_forgotten() {
        let signals = Signals::new();
        signals.tell(&Effect { lookups: true, ..Effect::default() });
        tokio::time::timeout(std::time::Duration::from_secs(5), signals.lookups()).await.unwrap();
    }
}
