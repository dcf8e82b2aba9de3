//! What was sent on this stream and not yet acknowledged. Pure: the window, the order, and what an acknowledgement may say.

use std::collections::VecDeque;

/// An acknowledgement of something that was not sent on this stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("acknowledged up to {acknowledged}, but only {sent} was sent")]
pub(super) struct Overreach {
    pub(super) acknowledged: u64,
    pub(super) sent: u64,
}

/// One stream's reports in flight.
#[derive(Debug)]
pub(super) struct Flow {
    window: usize,
    /// Every report up to here was sent, or is gone.
    passed: u64,
    acknowledged: u64,
    in_flight: VecDeque<u64>,
}

impl Flow {
    /// A stream that begins after `acknowledged`.
    pub(super) const fn new(window: usize, acknowledged: u64) -> Self {
        Self { window, passed: acknowledged, acknowledged, in_flight: VecDeque::new() }
    }

    /// Reports that may be sent now.
    pub(super) fn room(&self) -> usize {
        self.window.saturating_sub(self.in_flight.len())
    }

    /// Reports are taken from after here.
    pub(super) const fn passed(&self) -> u64 {
        self.passed
    }

    /// A report was sent.
    pub(super) fn sent(&mut self, sequence: u64) {
        self.passed = self.passed.max(sequence);
        self.in_flight.push_back(sequence);
    }

    /// There is nothing between the last sent report and this sequence, and never will be.
    pub(super) fn pass(&mut self, sequence: u64) {
        self.passed = self.passed.max(sequence);
    }

    /// Takes an acknowledgement; true when it says something new. Late and repeated ones say nothing.
    pub(super) fn acknowledge(&mut self, sequence: u64) -> Result<bool, Overreach> {
        let sent = self.in_flight.back().copied().unwrap_or(self.acknowledged);
        if sequence > sent {
            return Err(Overreach { acknowledged: sequence, sent });
        }
        if sequence <= self.acknowledged {
            return Ok(false);
        }
        self.acknowledged = sequence;
        while self.in_flight.front().is_some_and(|oldest| *oldest <= sequence) {
            self.in_flight.pop_front();
        }
        Ok(true)
    }

    /// Whether everything up to a sequence was sent and acknowledged.
    pub(super) fn is_settled(&self, sequence: u64) -> bool {
        self.passed >= sequence && self.in_flight.front().is_none_or(|oldest| *oldest > sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_bounds_what_is_in_flight() {
        let mut flow = Flow::new(3, 10);
        (11..14).for_each(|sequence| flow.sent(sequence));
        assert_eq!((flow.room(), flow.passed()), (0, 13));
        assert_eq!(flow.acknowledge(12), Ok(true));
        assert_eq!(flow.room(), 2);
    }

    #[test]
    fn late_and_repeated_acknowledgements_say_nothing_and_made_up_ones_are_refused() {
        let mut flow = Flow::new(8, 10);
        [20, 30, 40].into_iter().for_each(|sequence| flow.sent(sequence));
        assert_eq!(flow.acknowledge(41), Err(Overreach { acknowledged: 41, sent: 40 }));
        assert_eq!(flow.acknowledge(30), Ok(true));
        assert_eq!((flow.acknowledge(20), flow.acknowledge(30)), (Ok(false), Ok(false)));
        assert_eq!(flow.acknowledge(40), Ok(true));
        assert_eq!(flow.acknowledge(41), Err(Overreach { acknowledged: 41, sent: 40 }));
        assert_eq!(Flow::new(8, 10).acknowledge(10), Ok(false));
    }

    #[test]
    fn a_sequence_is_settled_when_nothing_up_to_it_is_on_its_way() {
        let mut flow = Flow::new(8, 0);
        assert!(flow.is_settled(0) && !flow.is_settled(5));
        flow.sent(3);
        flow.sent(7);
        assert!(!flow.is_settled(5));
        flow.acknowledge(3).unwrap();
        assert!(flow.is_settled(5) && !flow.is_settled(8));
        flow.acknowledge(7).unwrap();
        flow.pass(8);
        assert!(flow.is_settled(8));
    }
}
