//! What becomes of an execution once its file is identified: judged, counted, remembered, and reported when it matters to people.
//!
//! This is where protect joins: its reader answers the kernel with `policy::respond` of the same judgement, before anything here
//! is recorded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use doorward_policy::{Evidence, Fit, PackageEvidence, Sha256, Status, Use, Verdict};
use doorward_proto::report::{Observation, Process, ReportBody};

use super::Counters;
use super::deferred::Deferred;
use super::history::{History, Note};
use super::location::Location;
use super::queue::Queue;
use crate::identify::Identified;
use crate::judge::{Judge, Judged};

/// An execution, as it was captured when its event was read.
#[derive(Debug, Clone)]
pub(super) struct Execution {
    pub(super) location: Location,
    pub(super) process: Process,
    /// Microseconds since 1970, UTC.
    pub(super) observed_at: i64,
    pub(super) user_writable_folder: bool,
}

/// Told of every execution of a file that its package settled.
pub type SettledByPackage = Arc<dyn Fn(&PackageEvidence, Sha256) + Send + Sync>;

/// Draws the conclusions. Shared by all threads that identify.
pub(super) struct Outcomes {
    pub(super) judge: Arc<Judge>,
    pub(super) history: Arc<History>,
    pub(super) counters: Arc<Counters>,
    pub(super) reports: Arc<Queue<ReportBody>>,
    pub(super) settled_by_package: SettledByPackage,
    pub(super) deferred: Deferred,
}

impl Outcomes {
    /// Judges an execution of an identified file, unless a package transaction is about to settle it. Waits only for room in the
    /// queue of reports.
    pub(super) fn conclude(&self, execution: Execution, file: &Identified) {
        let (_, judged) = self.judge(&execution, file);
        let is_deferred = judged.judgement.verdict == Verdict::Undecided && self.deferred.offer(&self.judge, &execution, file);
        if !is_deferred {
            self.settle(execution, file);
        }
    }

    fn judge(&self, execution: &Execution, file: &Identified) -> (Evidence, Judged) {
        let evidence = self.judge.evidence(execution.location.proven(), file.digests.md5.as_ref());
        let judged = self.judge.judge(&file.digests.sha256, &file.identity, &evidence);
        (evidence, judged)
    }

    /// As [`Outcomes::conclude`], whatever transaction is open.
    pub(super) fn settle(&self, execution: Execution, file: &Identified) {
        let (evidence, judged) = self.judge(&execution, file);
        self.counters.judged.fetch_add(1, Ordering::Relaxed);
        let path = execution.location.reported();
        self.history.note(Note {
            file: file.digests.sha256,
            identity: file.identity,
            path: &path,
            evidence: &evidence,
            executed_at: execution.observed_at,
            is_bad: judged.is_bad(),
        });
        if let Some(package) = evidence.package.as_ref().filter(|package| package.fit == Fit::Match) {
            (self.settled_by_package)(package, file.digests.sha256);
        }
        if !matters(&judged) {
            return;
        }
        if judged.judgement.verdict == Verdict::Undecided {
            self.counters.unresolved.fetch_add(1, Ordering::Relaxed);
        }
        let observation = Observation {
            file: file.into(),
            path,
            usage: Use::Execute,
            scan: None,
            first_observed_at: execution.observed_at,
            last_observed_at: execution.observed_at,
            count: 1,
            evidence,
            process: Some(execution.process),
            user_writable_folder: execution.user_writable_folder,
        };
        // Handed back only when the watch ends; then nobody keeps reports any more.
        drop(self.reports.put(ReportBody::Observation(observation)));
    }

    /// Executions of content the kernel itself would not run; counted, nothing to judge.
    pub(super) fn not_a_candidate(&self, executions: u64) {
        self.counters.judged.fetch_add(executions, Ordering::Relaxed);
    }
}

/// People should hear of what nothing settles, of what may not run, and of threats even when somebody allowed them.
fn matters(judged: &Judged) -> bool {
    judged.judgement.verdict != Verdict::Allow || judged.standing.status == Status::Threat
}

#[cfg(test)]
pub(super) mod tests {
    use doorward_policy::PathBytes;

    use super::*;

    /// An execution by the process with this number.
    pub(in crate::exec) fn execution(pid: u32) -> Execution {
        let process = Process { pid, start_ticks: 1, uid: 0, parent_pid: 1, parent_path: None, parent_sha256: None, container: None };
        Execution { location: Location::Proven(PathBytes::new(*b"/opt/tool")), process, observed_at: 1, user_writable_folder: false }
    }
}
