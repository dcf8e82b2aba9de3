//! How many connections each host has. One host, or whoever took its key, must not take the places of all others: neither by opening
//! connections nor by keeping them after it was removed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use doorward_policy::HostId;

/// Connections of one host at once. One is enough; after cuts some that are dead already linger until their pings go unanswered.
pub(super) const HOST_CONNECTIONS_MAX: usize = 8;

/// Connections by host. Bounded by the number of connections.
#[derive(Debug, Default)]
pub(super) struct Crowd(Mutex<HashMap<HostId, usize>>);

/// One connection of a host, given back when dropped.
#[derive(Debug)]
pub(super) struct HostPlace {
    crowd: Arc<Crowd>,
    host: HostId,
}

impl Crowd {
    /// A place for one more connection; `None` when the host has as many as it gets.
    pub(super) fn enter(self: &Arc<Self>, host: HostId) -> Option<HostPlace> {
        let mut counts = self.counts();
        let count = counts.entry(host).or_insert(0);
        if *count >= HOST_CONNECTIONS_MAX {
            return None;
        }
        *count += 1;
        Some(HostPlace { crowd: Arc::clone(self), host })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<HostId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HostPlace {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts();
        if let Some(count) = counts.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u8) -> HostId {
        HostId::from_slice(&[number; 16]).unwrap()
    }

    #[test]
    fn one_hosts_crowd_leaves_others_their_places_and_is_forgotten() {
        let crowd = Arc::new(Crowd::default());
        let mut places: Vec<_> = (0..HOST_CONNECTIONS_MAX).map(|_| crowd.enter(host(1)).unwrap()).collect();
        assert!(crowd.enter(host(1)).is_none());
        assert!(crowd.enter(host(2)).is_some());
        places.pop();
        assert!(crowd.enter(host(1)).is_some());
        drop(places);
        assert!(crowd.counts().is_empty(), "hosts that left cost no memory");
    }
}
