//! One stream a host. A newer stream takes the older one's place: after a cut the old one may seem alive for a while.
//!
//! A machine that was copied has one certificate and one pending store and lives twice, so each copy would take the other's reports
//! for its own. It shows when a run (one process of an agent, by its random run id) that lost its place comes back while the run that
//! took it is still connected: a process that was restarted never comes back, so both live. The one that holds the place keeps it; the
//! other is refused for as long.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use doorward_policy::{HostId, ProfileId};
use tokio_util::sync::CancellationToken;

use super::nudge::{Due, Nudge};
use crate::signals::{Wake, Who};

/// Runs remembered that lost their place to the one that holds it.
const DISPLACED_MAX: usize = 8;

/// Random id of one run of an agent.
type RunId = [u8; 16];

/// Which hosts are connected.
#[derive(Debug, Default)]
pub struct Sessions {
    held: Mutex<HashMap<HostId, Held>>,
}

#[derive(Debug)]
struct Held {
    run: RunId,
    profile: ProfileId,
    nudge: Arc<Nudge>,
    displaced: CancellationToken,
    earlier: VecDeque<RunId>,
}

/// What became of a claim.
#[derive(Debug)]
pub(super) enum Claim {
    /// The stream may go on.
    Granted(Place),
    /// Another copy of the machine holds the place.
    Cloned,
}

/// A host's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    sessions: Arc<Sessions>,
    host: HostId,
    nudge: Arc<Nudge>,
    displaced: CancellationToken,
}

impl Sessions {
    /// Hosts with an open stream.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.held().len()
    }

    /// Whether the host has an open stream.
    #[must_use]
    pub fn is_connected(&self, host: &HostId) -> bool {
        self.held().contains_key(host)
    }

    pub(super) fn claim(self: &Arc<Self>, host: HostId, profile: ProfileId, run: RunId) -> Claim {
        let mut held = self.held();
        let mut earlier = VecDeque::new();
        if let Some(holder) = held.get_mut(&host) {
            if holder.run != run && holder.earlier.contains(&run) {
                return Claim::Cloned;
            }
            holder.displaced.cancel();
            earlier = std::mem::take(&mut holder.earlier);
            if holder.run != run {
                earlier.push_back(holder.run);
                earlier.drain(..earlier.len().saturating_sub(DISPLACED_MAX));
            }
        }
        let nudge = Arc::new(Nudge::new(Due::EVERYTHING));
        let displaced = CancellationToken::new();
        held.insert(host, Held { run, profile, nudge: Arc::clone(&nudge), displaced: displaced.clone(), earlier });
        Claim::Granted(Place { sessions: Arc::clone(self), host, nudge, displaced })
    }

    /// Tells the sessions a wake-up is for.
    pub(super) fn wake(&self, wake: &Wake) {
        let held = self.held();
        let due = Due::from(wake.what);
        match &wake.who {
            Who::Host(host) => held.get(host).into_iter().for_each(|held| held.nudge.nudge(due)),
            Who::Profile(profile) => held.values().filter(|held| held.profile == *profile).for_each(|held| held.nudge.nudge(due)),
            Who::All => held.values().for_each(|held| held.nudge.nudge(due)),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<HostId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(super) const fn nudge(&self) -> &Arc<Nudge> {
        &self.nudge
    }

    /// Resolves when a newer stream of the host took the place.
    pub(super) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }

    pub(super) fn is_displaced(&self) -> bool {
        self.displaced.is_cancelled()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.sessions.held();
        if held.get(&self.host).is_some_and(|held| Arc::ptr_eq(&held.nudge, &self.nudge)) {
            held.remove(&self.host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::What;

    fn host(number: u8) -> HostId {
        HostId::from_slice(&[number; 16]).unwrap()
    }

    fn profile(number: u8) -> ProfileId {
        ProfileId::from_slice(&[number; 16]).unwrap()
    }

    fn granted(sessions: &Arc<Sessions>, run: u8) -> Place {
        match sessions.claim(host(1), profile(1), [run; 16]) {
            Claim::Granted(place) => place,
            Claim::Cloned => panic!("run {run} is no clone"),
        }
    }

    #[test]
    fn a_newer_stream_takes_the_place_and_the_older_one_cannot_give_it_back() {
        let sessions = Arc::new(Sessions::default());
        let cut = granted(&sessions, 1);
        let reconnected = granted(&sessions, 1);
        assert!(cut.is_displaced() && !reconnected.is_displaced());
        drop(cut);
        assert!(sessions.is_connected(&host(1)));
        drop(reconnected);
        assert_eq!(sessions.connected(), 0);
    }

    #[test]
    fn a_restarted_agent_is_no_clone() {
        let sessions = Arc::new(Sessions::default());
        let mut places = vec![granted(&sessions, 1)];
        for run in 2..30 {
            places.push(granted(&sessions, run));
        }
        assert_eq!(places.iter().filter(|place| !place.is_displaced()).count(), 1);
    }

    #[test]
    fn a_run_that_comes_back_beside_its_successor_is_a_clone_until_that_one_leaves() {
        let sessions = Arc::new(Sessions::default());
        let _first = granted(&sessions, 1);
        let second = granted(&sessions, 2);
        assert!(matches!(sessions.claim(host(1), profile(1), [1; 16]), Claim::Cloned));
        assert!(!second.is_displaced(), "who holds the place keeps it");
        let again = granted(&sessions, 2);
        assert!(matches!(sessions.claim(host(1), profile(1), [1; 16]), Claim::Cloned), "a reconnect forgets nothing");
        drop((second, again));
        granted(&sessions, 1);
    }

    #[test]
    fn memory_of_displaced_runs_is_bounded() {
        let sessions = Arc::new(Sessions::default());
        let _places: Vec<Place> = (0..100).map(|run| granted(&sessions, run)).collect();
        assert_eq!(sessions.held()[&host(1)].earlier.len(), DISPLACED_MAX);
    }

    #[tokio::test]
    async fn wake_ups_reach_whom_they_are_for() {
        let sessions = Arc::new(Sessions::default());
        let Claim::Granted(one) = sessions.claim(host(1), profile(1), [1; 16]) else { panic!() };
        let Claim::Granted(two) = sessions.claim(host(2), profile(2), [2; 16]) else { panic!() };
        one.nudge().take().await;
        two.nudge().take().await;
        for (who, what, for_one, for_two) in [
            (Who::Host(host(1)), What::Commands, true, false),
            (Who::Profile(profile(2)), What::Policy, false, true),
            (Who::All, What::Everything, true, true),
            (Who::Host(host(9)), What::Removed, false, false),
        ] {
            sessions.wake(&Wake { who, what });
            assert_eq!((one.nudge().has(what.into()), two.nudge().has(what.into())), (for_one, for_two), "{who:?}");
            for (place, woken) in [(&one, for_one), (&two, for_two)] {
                if woken {
                    assert_eq!(place.nudge().take().await, what.into());
                }
            }
        }
    }
}
