//! What becomes of an execution once its file is identified: answered, judged, counted, remembered, and reported when it matters to
//! people. Whoever waits is answered first; everything else comes after.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use doorward_policy::{Evidence, Fit, Judgement, PackageEvidence, Response, Row, Sha256, Status, Use, Verdict};
use doorward_proto::report::{Denial, Fate, Observation, Process, ReportBody, Unjudged};
use doorward_service::Clock;
use nix::errno::Errno;
use nix::sys::eventfd::EventFd;

use super::Counters;
use super::aftermath::{After, Aftermath, Allowed, is_same_but_for_names, is_still};
use super::cold::Waiter;
use super::deferred::Deferred;
use super::held::{Held, Target};
use super::history::{Executed, History, Note};
use super::location::Location;
use super::parked::{Parked, Waiting};
use super::queue::Queue;
use super::reader::Manner;
use super::warm::{Known, Warm};
use crate::health::{FailureReason, Health};
use crate::identify::{Identified, Identity};
use crate::judge::{Basis, Judge, Judged};
use crate::system::group::{Answer, Class};
use crate::system::process;
use crate::trust::transaction_is_open;

/// An execution, as it was captured when its event was read.
#[derive(Debug, Clone)]
pub(super) struct Execution {
    pub(super) location: Location,
    pub(super) process: Process,
    /// Descriptor of the process, when it was still there.
    pub(super) pidfd: Option<Arc<OwnedFd>>,
    /// Microseconds since 1970, UTC.
    pub(super) observed_at: i64,
    pub(super) user_writable_folder: bool,
    /// What the kernel was told; `None` when it was not asked, or still waits.
    pub(super) given: Option<Answer>,
    /// How it was noticed.
    pub(super) manner: Manner,
    /// What became of it when it had begun and should not have.
    pub(super) ended: Option<Fate>,
}

impl Execution {
    /// What became of it when it was not let be.
    fn fate(&self) -> Option<Fate> {
        self.ended.or_else(|| (self.given == Some(Answer::Deny)).then_some(Fate::Refused))
    }
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
    pub(super) warm: Arc<Warm>,
    pub(super) parked: Arc<Parked>,
    pub(super) aftermath: Arc<Aftermath>,
    /// Asks the second sensor to look through all that run.
    pub(super) sweep: Arc<EventFd>,
    pub(super) class: Class,
    pub(super) health: Health,
    pub(super) clock: Clock,
}

/// How firmly a file is known when it is concluded upon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Footing {
    /// Nobody but root may write it.
    pub(super) only_root_writes: bool,
    /// Its identity may be remembered: nothing could have changed it unseen.
    pub(super) is_lasting: bool,
}

/// On what an execution was let through, see [`Allowed`].
struct Allowance {
    identity: Identity,
    basis: Option<Basis>,
    only_root_writes: bool,
}

/// An answer and what it rests on.
#[derive(Debug, Clone, Copy)]
struct Decision {
    response: Response,
    /// Read before judging.
    basis: Basis,
    matters: bool,
    /// By evidence or a list, and not by how undecided files are treated.
    is_settled: bool,
}

impl Outcomes {
    /// Answers, judges and records an execution of an identified file; what is to wait for the CMS is parked instead. Waits only for
    /// room in the queue of reports. `is_of_package_manager` is asked only about what nothing else settles.
    pub(super) fn conclude(
        &self,
        mut execution: Execution,
        target: &Target,
        file: &Identified,
        footing: Footing,
        is_of_package_manager: impl FnOnce(&Execution) -> bool,
    ) {
        let mut decision = self.decide(&execution, file);
        let is_late = execution.manner == Manner::Late;
        let is_undecided = !decision.is_settled && decision.response != Response::Allow;
        if is_undecided && (is_late || target.held().is_some()) && is_of_package_manager(&execution) {
            decision.response = Response::Allow;
        }
        if is_late && decision.response != Response::Allow {
            execution.ended = Some(self.end(&execution));
        }
        if let Some(held) = target.held() {
            if decision.response == Response::Hold && held.given().is_none() {
                self.report_waiting(&execution, file);
                let waiting = Waiting { held: Arc::clone(held), execution, file: file.clone(), footing, basis: decision.basis };
                let Err((reason, waiting)) = self.parked.add(waiting) else { return };
                self.health.note(reason);
                execution = waiting.execution;
            }
            execution.given = Some(self.answer(held, &execution, file, decision, footing));
        }
        let is_undecided = !decision.is_settled && execution.fate().is_none();
        if !(is_undecided && self.deferred.offer(&self.judge, &execution, file)) {
            self.settle(execution, file);
        }
    }

    /// Judges a parked execution again; `None` for as long as it is to wait.
    pub(super) fn answer_parked(&self, parked: &mut Waiting) -> Option<Answer> {
        let decision = self.decide(&parked.execution, &parked.file);
        parked.basis = decision.basis;
        let is_to_wait = decision.response == Response::Hold;
        (!is_to_wait).then(|| self.answer(&parked.held, &parked.execution, &parked.file, decision, parked.footing))
    }

    fn decide(&self, execution: &Execution, file: &Identified) -> Decision {
        let basis = self.judge.basis(&file.digests.sha256);
        let (_, judged) = self.judge(execution, file);
        let is_settled = judged.judgement.verdict != Verdict::Undecided;
        let response = self.judge.respond(judged.judgement, self.clock.now_micros());
        Decision { response, basis, matters: matters(&judged), is_settled }
    }

    /// Tells the kernel, unless somebody did; allows only content that is still what was judged. Gives the answer that stands.
    fn answer(&self, held: &Arc<Held>, execution: &Execution, file: &Identified, decision: Decision, footing: Footing) -> Answer {
        let wanted = if decision.response == Response::Allow { Answer::Allow } else { Answer::Deny };
        let has_changed = wanted == Answer::Allow && !self.is_still(held.file(), file);
        if has_changed {
            self.health.note(FailureReason::DigestChanged);
        }
        let given = held.answer(if has_changed { Answer::Deny } else { wanted });
        let Decision { basis, matters, .. } = decision;
        let Footing { only_root_writes, is_lasting } = footing;
        let is_settled = is_lasting && decision.is_settled;
        if is_settled && !has_changed {
            self.warm.remember(file.identity, Known { basis, answer: wanted, matters, only_root_writes });
        }
        if given == Answer::Allow {
            // What people should hear of each time must be told of each time.
            let basis = (is_settled && !matters).then_some(basis);
            let allowance = Allowance { identity: file.identity, basis, only_root_writes };
            self.follow(Arc::clone(held), execution, allowance);
        }
        given
    }

    /// Whether the content is what was judged. A package manager at work gives and takes names of what it replaces, which moves the change
    /// time and nothing else.
    fn is_still(&self, held: &File, file: &Identified) -> bool {
        is_still(held, &file.identity) || is_same_but_for_names(held, file) && transaction_is_open(self.judge.trust().root())
    }

    /// Ends what should not have begun, and has all that run looked through: it may have left children.
    fn end(&self, execution: &Execution) -> Fate {
        let fate = match execution.pidfd.as_deref().filter(|process| execution.process.pid > 1 && process::is_alive(process)) {
            None => Fate::Ran,
            Some(process) => match process::kill(process) {
                Ok(()) => Fate::Killed,
                Err(error) => {
                    if error.raw_os_error() != Some(Errno::ESRCH as i32) {
                        self.health.note(FailureReason::KillFailed);
                    }
                    Fate::Ran
                }
            },
        };
        if self.sweep.write(1).is_err() {
            self.health.note(FailureReason::SensorLost);
        }
        fate
    }

    /// Ends what ran unseen and cannot be judged, where nothing that is undecided may run.
    fn end_undecided(&self, execution: &Execution) -> Option<Fate> {
        let undecided = Judgement { verdict: Verdict::Undecided, row: Row::Nothing };
        let may_run = self.judge.respond(undecided, self.clock.now_micros()) == Response::Allow;
        (!may_run).then(|| self.end(execution))
    }

    /// Evidence by the proven path. What root runs from memory has none: container runtimes start themselves from a copy there, and a
    /// copy is what it is a copy of. Nor has what lost its name since it was opened, as happens to whatever a package replaces: it is what
    /// it was when this very inode was met at its place with this content.
    fn evidence(&self, execution: &Execution, file: &Identified) -> Evidence {
        let evidence = self.judge.evidence(execution.location.proven(), &file.digests);
        let is_roots_copy = execution.manner == Manner::Late && execution.process.uid == Some(0) && evidence.package.is_none();
        let is_nameless = execution.location.is_nameless() && evidence.package.is_none();
        let is_same_inode = |known: &Identity| (known.filesystem, known.inode) == (file.identity.filesystem, file.identity.inode);
        let was_here = |executed: &Executed| is_roots_copy || executed.identities.iter().any(is_same_inode);
        let executed = (is_roots_copy || is_nameless).then(|| self.history.of(&file.digests.sha256)).flatten();
        let original = executed.filter(was_here).and_then(|executed| executed.evidence.package).filter(|package| package.fit == Fit::Match);
        Evidence { package: evidence.package.or(original), ..evidence }
    }

    fn judge(&self, execution: &Execution, file: &Identified) -> (Evidence, Judged) {
        let evidence = self.evidence(execution, file);
        let judged = self.judge.judge(&file.digests.sha256, &file.identity, &evidence);
        (evidence, judged)
    }

    /// Judges and records, whatever transaction is open and whatever was answered.
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
            trouble: judged.trouble(),
        });
        let fate = execution.fate();
        let is_denied = fate.is_some();
        if let Some(package) = evidence.package.as_ref().filter(|package| package.fit == Fit::Match && !is_denied) {
            (self.settled_by_package)(package, file.digests.sha256);
        }
        if !is_denied && !matters(&judged) {
            return;
        }
        if judged.judgement.verdict == Verdict::Undecided {
            self.counters.unresolved.fetch_add(1, Ordering::Relaxed);
        }
        let observation = observation(&execution, file, evidence);
        let report = if let Some(fate) = fate {
            self.counters.denied.fetch_add(1, Ordering::Relaxed);
            let undecided = judged.judgement.verdict != Verdict::Deny;
            ReportBody::Denial(Denial { observation, row: judged.judgement.row.number(), undecided, fate })
        } else {
            ReportBody::Observation(observation)
        };
        self.report(report);
    }

    /// Tells the CMS of a file whose execution waits for its answer.
    fn report_waiting(&self, execution: &Execution, file: &Identified) {
        let evidence = self.judge.evidence(execution.location.proven(), &file.digests);
        // It waits for an answer, which must not wait for the recorder.
        if self.reports.offer(ReportBody::Observation(observation(execution, file, evidence))).is_err() {
            self.health.note(FailureReason::ReportDropped);
        }
    }

    /// An execution of which nobody can tell what it is: denied when it waits, ended when it had begun unseen and nothing undecided may
    /// run, and reported in any case.
    pub(super) fn unjudged(&self, mut execution: Execution, held: Option<&Arc<Held>>, reason: FailureReason) {
        self.health.note(reason);
        execution.given = held.map(|held| held.answer(Answer::Deny)).or(execution.given);
        if matches!(execution.manner, Manner::Late | Manner::Unreadable) {
            execution.ended = self.end_undecided(&execution);
        }
        let fate = execution.fate();
        if fate.is_some() {
            self.counters.denied.fetch_add(1, Ordering::Relaxed);
            self.health.note(FailureReason::DeniedUnjudged);
        }
        let unjudged = Unjudged {
            path: execution.location.reported(),
            process: execution.process,
            reason: reason.code().to_owned(),
            fate: fate.unwrap_or(Fate::Ran),
            first_observed_at: execution.observed_at,
            last_observed_at: execution.observed_at,
            count: 1,
        };
        self.report(ReportBody::Unjudged(unjudged));
    }

    /// Executions of content the kernel itself would not run: let go, counted, nothing to judge.
    ///
    /// SECURITY: as for any other, only for content that is still what was looked at, and kept so until the kernel has looked too.
    pub(super) fn not_a_candidate(&self, waiting: Vec<Waiter>, identity: Identity, only_root_writes: bool) {
        for Waiter { execution, held } in waiting {
            self.counters.judged.fetch_add(1, Ordering::Relaxed);
            let Some(held) = held else { continue };
            if !is_still(held.file(), &identity) {
                self.unjudged(execution, Some(&held), FailureReason::DigestChanged);
            } else if held.answer(Answer::Allow) == Answer::Allow {
                self.follow(held, &execution, Allowance { identity, basis: None, only_root_writes });
            }
        }
    }

    fn follow(&self, held: Arc<Held>, execution: &Execution, allowance: Allowance) {
        let Allowance { identity, basis, only_root_writes } = allowance;
        let pid = i32::try_from(execution.process.pid).unwrap_or(0);
        let (target, process) = (Target::Held(held), execution.pidfd.clone());
        self.aftermath.add(After::Allowed(Allowed { target, identity, basis, only_root_writes, pid, process }));
    }

    /// Hands a report to the recorder. Where executions are held nobody waits for it: with a full disk under the store, whoever
    /// waited here would no longer answer.
    fn report(&self, report: ReportBody) {
        if self.class == Class::Notification {
            // Handed back only when the watch ends; then nobody keeps reports any more.
            drop(self.reports.put(report));
        } else if self.reports.offer(report).is_err() {
            self.health.note(FailureReason::ReportDropped);
        }
    }
}

fn observation(execution: &Execution, file: &Identified, evidence: Evidence) -> Observation {
    Observation {
        file: file.into(),
        path: execution.location.reported(),
        usage: Use::Execute,
        scan: None,
        first_observed_at: execution.observed_at,
        last_observed_at: execution.observed_at,
        count: 1,
        evidence,
        process: Some(execution.process.clone()),
        user_writable_folder: execution.user_writable_folder,
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
        let process = Process { pid, start_ticks: 1, uid: Some(0), parent_pid: 1, parent_path: None, parent_sha256: None, container: None };
        Execution {
            location: Location::Proven(PathBytes::new(*b"/opt/tool")),
            process,
            pidfd: None,
            observed_at: 1,
            user_writable_folder: false,
            given: None,
            manner: Manner::Told,
            ended: None,
        }
    }
}
