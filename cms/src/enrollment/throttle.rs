//! How often an address may fail to enroll. A token's secret cannot be guessed; this keeps somebody who tries from filling the log
//! and the database's time. Pure: time comes in.

use std::collections::HashMap;
use std::net::IpAddr;

/// Failures an address has until it is turned away.
const FAILURES_MAX: u32 = 10;

/// Time after which failures are forgotten, in microseconds.
const WINDOW_US: i64 = 60_000_000;

/// Addresses remembered. When more fail within a window, everybody new is turned away until it is over.
const ADDRESSES_MAX: usize = 4096;

/// Failures by address.
#[derive(Debug, Default)]
pub struct Throttle {
    failures: HashMap<IpAddr, Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    since: i64,
    count: u32,
}

impl Window {
    const fn is_over(&self, now: i64) -> bool {
        // A clock that was set back must not shut an address out for longer than a window.
        now - self.since >= WINDOW_US || now < self.since
    }
}

impl Throttle {
    /// Whether the address may try at `now`.
    #[must_use]
    pub fn admits(&self, address: IpAddr, now: i64) -> bool {
        match self.failures.get(&address) {
            Some(window) => window.is_over(now) || window.count < FAILURES_MAX,
            None => self.failures.len() < ADDRESSES_MAX || self.failures.values().any(|window| window.is_over(now)),
        }
    }

    /// The address failed at `now`.
    pub fn failed(&mut self, address: IpAddr, now: i64) {
        if self.failures.len() >= ADDRESSES_MAX {
            self.failures.retain(|_, window| !window.is_over(now));
        }
        if let Some(window) = self.failures.get_mut(&address).filter(|window| !window.is_over(now)) {
            window.count += 1;
        } else if self.failures.len() < ADDRESSES_MAX || self.failures.contains_key(&address) {
            self.failures.insert(address, Window { since: now, count: 1 });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn an_address_that_fails_too_often_waits_for_a_minute_and_others_do_not() {
        let mut throttle = Throttle::default();
        for attempt in 0..FAILURES_MAX {
            assert!(throttle.admits(address(1), 5), "attempt {attempt}");
            throttle.failed(address(1), 5);
        }
        assert!(!throttle.admits(address(1), 5 + WINDOW_US - 1));
        assert!(throttle.admits(address(2), 5));
        assert!(throttle.admits(address(1), 5 + WINDOW_US));
        throttle.failed(address(1), 5 + WINDOW_US);
        assert!(throttle.admits(address(1), 6 + WINDOW_US), "the count begins anew");
    }

    #[test]
    fn memory_is_bounded_whoever_comes() {
        let mut throttle = Throttle::default();
        for number in 0..2 * ADDRESSES_MAX as u32 {
            throttle.failed(address(number), 0);
        }
        assert_eq!(throttle.failures.len(), ADDRESSES_MAX);
        assert!(!throttle.admits(address(u32::MAX), 1), "no room to count a newcomer's failures");
        assert!(throttle.admits(address(u32::MAX), WINDOW_US));
        throttle.failed(address(u32::MAX), WINDOW_US);
        assert_eq!(throttle.failures.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn a_clock_set_back_shuts_nobody_out() {
        let mut throttle = Throttle::default();
        (0..FAILURES_MAX).for_each(|_| throttle.failed(address(1), 1000 * WINDOW_US));
        assert!(throttle.admits(address(1), 0));
    }
}
