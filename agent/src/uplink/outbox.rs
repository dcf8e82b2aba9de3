//! What others give the uplink to say besides reports: where scans stand, and what became of commands. Bounded, and kept while there
//! is no connection. The newest progress replaces the older; an end of a scan waits until its findings were acknowledged.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use doorward_policy::ScanId;
use doorward_proto::uplink::{AgentMessage, CommandResult, ScanProgress, ScanState};
use tokio::sync::Notify;

/// Scans whose progress is kept; more than one at a time is rare.
const SCANS_MAX: usize = 8;

/// Results of commands that wait to be sent; older ones give way, and the CMS asks again.
const RESULTS_MAX: usize = 64;

/// Shared by the session and by whoever has something to say.
#[derive(Debug, Clone, Default)]
pub(super) struct Outbox {
    content: Arc<Mutex<Content>>,
    filled: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Content {
    running: VecDeque<ScanProgress>,
    /// Ends of scans, each with the sequence up to which its findings go.
    ended: VecDeque<(u64, ScanProgress)>,
    results: VecDeque<CommandResult>,
}

impl Outbox {
    /// Keeps where a scan stands. `last_sequence` is the newest report on disk now.
    pub(super) fn progress(&self, progress: ScanProgress, last_sequence: u64) {
        self.with(|content| {
            content.running.retain(|older| older.scan != progress.scan);
            if progress.state == ScanState::Running {
                push_bounded(&mut content.running, progress, SCANS_MAX);
            } else {
                content.ended.retain(|(_, older)| older.scan != progress.scan);
                push_bounded(&mut content.ended, (last_sequence, progress), SCANS_MAX);
            }
        });
        self.filled.notify_one();
    }

    pub(super) fn result(&self, result: CommandResult) {
        self.with(|content| push_bounded(&mut content.results, result, RESULTS_MAX));
        self.filled.notify_one();
    }

    /// Takes back what was on its way when a stream broke, if it is nothing that a newer word replaces.
    pub(super) fn give_back(&self, message: AgentMessage) {
        match message {
            AgentMessage::CommandResult(result) => self.result(result),
            AgentMessage::ScanProgress(progress) if progress.state != ScanState::Running => self.progress(progress, 0),
            _ => {}
        }
    }

    /// Waits until something was put in.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    pub(super) fn take_result(&self) -> Option<CommandResult> {
        self.with(|content| content.results.pop_front())
    }

    pub(super) fn take_running(&self) -> Option<ScanProgress> {
        self.with(|content| content.running.pop_front())
    }

    pub(super) fn is_running(&self) -> bool {
        self.with(|content| !content.running.is_empty())
    }

    /// The end of a scan whose findings are all settled.
    pub(super) fn take_ended(&self, is_settled: impl Fn(u64) -> bool) -> Option<ScanProgress> {
        self.with(|content| {
            let ready = content.ended.iter().position(|(last_sequence, _)| is_settled(*last_sequence))?;
            content.ended.remove(ready).map(|(_, progress)| progress)
        })
    }

    /// Whether the end of a scan still waits to be sent.
    pub(super) fn holds_end_of(&self, scan: &ScanId) -> bool {
        self.with(|content| content.ended.iter().any(|(_, progress)| progress.scan == *scan))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Content) -> T) -> T {
        act(&mut self.content.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, max: usize) {
    if queue.len() >= max {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(scan: u8, files: u64, state: ScanState) -> ScanProgress {
        ScanProgress {
            scan: ScanId::from_slice(&[scan; 16]).unwrap(),
            files,
            files_total: 0,
            candidates: 0,
            bytes: 0,
            package_trusted: 0,
            otherwise_trusted: 0,
            unresolved: 0,
            skipped: 0,
            elapsed_ms: 0,
            state,
        }
    }

    #[test]
    fn the_newest_progress_of_a_scan_is_the_only_one_and_its_end_waits_for_its_findings() {
        let outbox = Outbox::default();
        outbox.progress(progress(1, 10, ScanState::Running), 5);
        outbox.progress(progress(1, 20, ScanState::Running), 7);
        outbox.progress(progress(2, 1, ScanState::Running), 7);
        assert_eq!(outbox.take_running().unwrap().files, 20);
        outbox.progress(progress(2, 9, ScanState::Done), 8);
        assert!(!outbox.is_running(), "the end replaces what was under way");
        assert_eq!(outbox.take_ended(|sequence| sequence <= 7), None);
        assert_eq!(outbox.take_ended(|sequence| sequence <= 8).unwrap().files, 9);
        assert_eq!(outbox.take_ended(|_| true), None);
    }

    #[test]
    fn everything_is_bounded() {
        let outbox = Outbox::default();
        for scan in 0..50 {
            outbox.progress(progress(scan, 1, ScanState::Running), 0);
            outbox.progress(progress(scan + 50, 1, ScanState::Failed), 0);
        }
        let count = |take: &dyn Fn() -> Option<ScanProgress>| std::iter::from_fn(take).count();
        assert_eq!(count(&|| outbox.take_running()), SCANS_MAX);
        assert_eq!(count(&|| outbox.take_ended(|_| true)), SCANS_MAX);
    }
}
