//! What becomes of an execution once its file is identified: answered, judged, counted, remembered, and reported when it matters to
//! people. Whoever waits is answered first; everything else comes after.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use doorward_policy::{Evidence, Fit, Judgement, PackageEvidence, PathBytes, Response, Row, Sha256, Status, Use, Verdict};
use doorward_proto::report::{Denial, Fate, Layer, Observation, Process, ReportBody, Source, Unjudged};
use doorward_service::Clock;
use nix::errno::Errno;
use nix::sys::eventfd::EventFd;

use super::Counters;
use super::aftermath::{After, Aftermath, Allowed, Content, content_but_for_names, content_still};
use super::cold::Waiter;
use super::deferred::Deferred;
use super::guarded;
use super::held::{Held, Target};
use super::history::{Executed, History, Note};
use super::layer;
use super::location::Location;
use super::maintainer::is_at_work;
use super::mount::Mounts;
use super::parked::{Parked, Waiting};
use super::queue::Queue;
use super::reader::Manner;
use super::warm::{Known, Warm};
use crate::health::{FailureReason, Health};
use crate::identify::{Identified, Identifier, Identity, NameClaim};
use crate::judge::{Basis, Judge, Judged};
use crate::system::group::{Answer, Class, Quiet};
use crate::system::process;

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
    /// How the file was met: executed, or loaded by something.
    pub(super) usage: Use,
    /// What a package says of the source this was compiled from, or said of it before it was replaced.
    pub(super) source: Option<PackageEvidence>,
    /// Which layer of an overlay the file lies in; looked for when it is told of.
    pub(super) layer: Option<Layer>,
}

impl Execution {
    pub(super) const fn is_load(&self) -> bool {
        matches!(self.usage, Use::Load { .. })
    }

    /// What its name, or whoever loads it, claims about the file.
    pub(super) fn claim(&self) -> NameClaim {
        if self.is_load() { NameClaim::Source } else { NameClaim::of(self.location.proven().map_or(&[], PathBytes::file_name)) }
    }

    /// What became of it when it was not let be.
    fn fate(&self) -> Option<Fate> {
        self.ended.or_else(|| (self.given == Some(Answer::Deny)).then_some(Fate::Refused))
    }
}

/// Told of every execution of a file that its package or publisher settled.
pub type SettledBySource = Arc<dyn Fn(Source, Sha256) + Send + Sync>;

/// Draws the conclusions. Shared by all threads that identify.
pub(super) struct Outcomes {
    pub(super) judge: Arc<Judge>,
    pub(super) identifier: Arc<Identifier>,
    pub(super) history: Arc<History>,
    pub(super) counters: Arc<Counters>,
    pub(super) reports: Arc<Queue<ReportBody>>,
    pub(super) settled_by_source: SettledBySource,
    pub(super) deferred: Deferred,
    pub(super) warm: Arc<Warm>,
    pub(super) parked: Arc<Parked>,
    pub(super) aftermath: Arc<Aftermath>,
    pub(super) mounts: Arc<ArcSwap<Mounts>>,
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
    content: Content,
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
        execution.source = execution.source.take().or_else(|| self.package_of_replaced(&execution, target, file, footing));
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
                execution.layer = self.layer(&execution, target);
                self.report_waiting(&execution, file);
                let waiting = Waiting { held: Arc::clone(held), execution, file: file.clone(), footing, basis: decision.basis };
                let Err((reason, waiting)) = self.parked.add(waiting) else { return };
                self.health.note(reason);
                execution = waiting.execution;
            }
            execution.given = Some(self.answer(held, &execution, file, decision, footing));
        }
        if execution.layer.is_none() && (decision.matters || execution.fate().is_some()) {
            execution.layer = self.layer(&execution, target);
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

    /// For people: looked for when there is something to tell them, and after whoever waits was answered.
    fn layer(&self, execution: &Execution, target: &Target) -> Option<Layer> {
        let pid = i32::try_from(execution.process.pid).ok().filter(|pid| *pid > 0);
        layer::find(target.file(), &execution.location, pid, &self.mounts.load())
    }

    /// Tells the kernel, unless somebody did; allows only content that is still what was judged. Gives the answer that stands.
    fn answer(&self, held: &Arc<Held>, execution: &Execution, file: &Identified, decision: Decision, footing: Footing) -> Answer {
        let is_wanted = decision.response == Response::Allow;
        let wanted = if is_wanted { Answer::Allow } else { Answer::Deny };
        let content = is_wanted.then(|| content_still(held.file(), &file.identity)).flatten();
        let is_unmoved = content.is_some() || !is_wanted;
        let in_transaction = || is_wanted.then(|| self.content_in_transaction(held.file(), execution, file, footing)).flatten();
        let content = content.or_else(in_transaction);
        let has_changed = is_wanted && content.is_none();
        if has_changed {
            self.health.note(FailureReason::DigestChanged);
        }
        let given = held.answer(if has_changed { Answer::Deny } else { wanted });
        let Decision { basis, matters, .. } = decision;
        let only_root_writes = footing.only_root_writes;
        let is_settled = footing.is_lasting && is_unmoved && decision.is_settled;
        if is_settled && !has_changed {
            self.warm.remember(file.identity, Known { basis, answer: wanted, matters, only_root_writes });
        }
        if let Some(content) = content.filter(|_| given == Answer::Allow) {
            // What people should hear of each time must be told of each time.
            let basis = (is_settled && !matters).then_some(basis);
            let allowance = Allowance { identity: file.identity, content, basis, only_root_writes };
            self.follow(Arc::clone(held), execution, allowance);
        }
        given
    }

    /// The marks of its content, when only its names can have changed since it was judged: a package manager at work gives and takes
    /// names of what it replaces, which moves the change time and nothing else.
    fn content_in_transaction(&self, held: &File, execution: &Execution, file: &Identified, footing: Footing) -> Option<Content> {
        let is_guarded = footing.only_root_writes && !execution.user_writable_folder;
        let content = is_guarded.then(|| content_but_for_names(held, file)).flatten()?;
        self.is_replaced_by_root(held).then_some(content)
    }

    /// Whether a file that was root's alone before is so still, and a package manager is at work.
    ///
    /// SECURITY: times can be set back by whoever may write the file, so that they prove nothing about anybody's but root's.
    pub(super) fn is_replaced_by_root(&self, file: &File) -> bool {
        guarded::only_root_writes(file) && is_at_work(&self.judge, &self.identifier, &self.mounts.load())
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
        (self.undecided() != Response::Allow).then(|| self.end(execution))
    }

    /// What the profile does with a file nothing settles.
    fn undecided(&self) -> Response {
        self.judge.respond(Judgement { verdict: Verdict::Undecided, row: Row::Nothing }, self.clock.now_micros())
    }

    /// Evidence by the proven path. What root runs from memory has none: container runtimes start themselves from a copy there, and a
    /// copy is what it is a copy of.
    fn evidence(&self, execution: &Execution, file: &Identified) -> Evidence {
        let evidence = self.judge.evidence_of(execution.location.proven(), file);
        let is_roots_copy = execution.manner == Manner::Late && execution.process.uid == Some(0) && evidence.package.is_none();
        let executed = is_roots_copy.then(|| self.history.of(&file.digests.sha256)).flatten();
        let original = executed.and_then(|executed| executed.evidence.package).filter(|package| package.fit == Fit::Match);
        Evidence { package: evidence.package.or(original).or_else(|| execution.source.clone()), ..evidence }
    }

    /// What the package said of a file that has no name any more, as happens to whatever a package manager replaces: it is what it was
    /// when this very inode was met at its place with this content.
    fn package_of_replaced(&self, execution: &Execution, target: &Target, file: &Identified, footing: Footing) -> Option<PackageEvidence> {
        if !execution.location.is_nameless() || !footing.only_root_writes {
            return None;
        }
        let is_same_inode = |known: &Identity| (known.filesystem, known.inode) == (file.identity.filesystem, file.identity.inode);
        let was_here = |executed: &Executed| executed.identities.iter().any(is_same_inode);
        let package = self.history.of(&file.digests.sha256).filter(was_here)?.evidence.package?;
        (package.fit == Fit::Match && self.is_replaced_by_root(target.file())).then_some(package)
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
        let is_counted = !is_denied && !execution.is_load();
        if let Some(source) = judged.settled_by().filter(|_| is_counted) {
            (self.settled_by_source)(source, file.digests.sha256);
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
        let evidence = self.evidence(execution, file);
        // It waits for an answer, which must not wait for the recorder.
        if self.reports.offer(ReportBody::Observation(observation(execution, file, evidence))).is_err() {
            self.health.note(FailureReason::ReportDropped);
        }
    }

    /// An execution of which nobody can tell what it is: denied when it waits, ended when it had begun unseen and nothing undecided may
    /// run, and reported in any case.
    pub(super) fn unjudged(&self, mut execution: Execution, held: Option<&Arc<Held>>, reason: FailureReason) {
        self.health.note(reason);
        // What is only loaded is no program of which the kernel would have to be sure: it follows the profile like any undecided file.
        let is_let_be = execution.is_load() && self.undecided() == Response::Allow;
        let wanted = if is_let_be { Answer::Allow } else { Answer::Deny };
        execution.given = held.map(|held| held.answer(wanted)).or(execution.given);
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
            let Some(content) = content_still(held.file(), &identity) else {
                self.unjudged(execution, Some(&held), FailureReason::DigestChanged);
                continue;
            };
            if held.answer(Answer::Allow) == Answer::Allow {
                self.follow(held, &execution, Allowance { identity, content, basis: None, only_root_writes });
            }
        }
    }

    fn follow(&self, held: Arc<Held>, execution: &Execution, allowance: Allowance) {
        let Allowance { identity, content, basis, only_root_writes } = allowance;
        let pid = i32::try_from(execution.process.pid).unwrap_or(0);
        let (target, process) = (Target::Held(held), execution.pidfd.clone());
        let (quiet, is_load) = (Quiet::Everything, execution.is_load());
        self.aftermath.add(After::Allowed(Allowed { target, identity, content, basis, quiet, only_root_writes, is_load, pid, process }));
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
        usage: execution.usage,
        scan: None,
        first_observed_at: execution.observed_at,
        last_observed_at: execution.observed_at,
        count: 1,
        evidence,
        process: Some(execution.process.clone()),
        user_writable_folder: execution.user_writable_folder,
        layer: execution.layer.clone(),
    }
}

/// People should hear of what nothing settles, of what may not run, and of threats even when somebody allowed them.
pub(super) fn matters(judged: &Judged) -> bool {
    judged.judgement.verdict != Verdict::Allow || judged.standing.status == Status::Threat
}

#[cfg(test)]
pub(super) mod tests {
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
            usage: Use::Execute,
            source: None,
            layer: None,
        }
    }
}
