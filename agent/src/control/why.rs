//! Why a file may run here or not: judged as an execution would be, with the whole chain of reasons. The same code answers in the
//! daemon, for a file a client passed open, and offline.

use std::fmt;
use std::fs::File;
use std::os::fd::AsRawFd;

use doorward_policy::{
    Evidence, Explanation, FileKind, Judgement, Mode, PathBytes, Response, Sha256, Standing, Step, Verdict as Judged, explain, respond,
    status, threat_score,
};
use doorward_proto::report::Layer;
use doorward_proto::uplink::{HostSettings, Verdict};
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::{Mode as Permissions, SFlag, fstat};
use serde::{Deserialize, Serialize};

use crate::exec::layer;
use crate::exec::location::{Found, Location, find};
use crate::exec::mount::{self, Mounts, Watching};
use crate::identify::{Identified, Identifier, SkipReason};
use crate::judge::Judge;
use crate::trust::Haste;

/// The answer, as `why --json` prints it. What follows `kind` is absent for content that is never judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// A path that was proven to lead to the file, else the one that was asked about.
    pub path: PathBytes,
    /// The conclusion in one sentence.
    pub sentence: String,
    /// The file's name everywhere.
    pub sha256: Option<Sha256>,
    /// Bytes.
    pub size: u64,
    /// `None`: nothing that can be executed or loaded.
    pub kind: Option<FileKind>,
    /// What was decided, by which row.
    pub judgement: Option<Judgement>,
    /// What people see.
    pub status: Option<Standing>,
    /// 0..=10, for threats only.
    pub threat_score: Option<u8>,
    /// The provider's name for the threat.
    pub threat_name: Option<String>,
    /// Rows in the order they were tried.
    pub steps: Vec<Step>,
    /// What would change the outcome.
    pub would_change: Vec<String>,
    /// What the host proved.
    pub evidence: Option<Evidence>,
    /// Which layer of an overlay it lies in, as far as can be told.
    #[serde(default)]
    pub layer: Option<Layer>,
    /// Who signed it, or why nobody counts as having done so; `None` when nobody did.
    pub publisher: Option<String>,
    /// Revision of the policy it was judged by; 0 for none.
    pub policy_revision: u64,
    /// How far the CMS asks this host to act.
    pub mode: Mode,
    /// What the kernel would be told.
    pub response: Option<Response>,
    /// No daemon was asked: verdicts of the CMS on single files are not known.
    pub offline: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    /// Not a regular file.
    #[error("{0} is {1}: only regular files are executed")]
    NotRegular(PathBytes, &'static str),
    /// The caller could not read it either, or passed it unreadable.
    #[error("{0} is not open for reading: open it for reading first")]
    NotReadable(PathBytes),
    /// Judging it could hold the daemon for as long as somebody else likes.
    #[error("{0} lies where {1}: the daemon does not read there")]
    Remote(PathBytes, &'static str),
    /// It could not be identified.
    #[error("{0} cannot be judged: {1}")]
    Skipped(PathBytes, SkipReason),
}

/// What answering needs.
pub struct Asked<'a> {
    /// Judges.
    pub judge: &'a Judge,
    /// Identifies.
    pub identifier: &'a Identifier,
    /// To find out where the file lies.
    pub mounts: &'a Mounts,
    /// Process that passed the file; its mounts are looked at when ours do not name the file's.
    pub caller: Option<i32>,
    /// The last verdict of the CMS on a file, however light.
    pub verdict: &'a dyn Fn(&Sha256) -> Option<Verdict>,
    /// Microseconds since 1970, UTC; decides whether maintenance is on.
    pub now: i64,
    /// See [`Why::offline`].
    pub offline: bool,
    /// Asked while reading.
    pub stop: &'a dyn Fn() -> bool,
}

impl Asked<'_> {
    /// Explains the open file that a caller knows as `path`. The file is opened anew, so nothing done to it shows in the caller's
    /// descriptor.
    ///
    /// # Errors
    /// [`WhyError`], each naming the path.
    pub fn why(&self, passed: &File, path: &PathBytes) -> Result<Why, WhyError> {
        let file = self.reopen(passed, path)?;
        let found = find(&file, self.mounts);
        let location = &found.location;
        let shown = location.proven().unwrap_or(path).clone();
        let skipped = |reason| WhyError::Skipped(shown.clone(), reason);
        let wanted = location.proven().and_then(|path| self.judge.wanted_digest(path));
        let identified = self.identifier.file(&file, shown.file_name(), wanted, self.stop).map_err(skipped)?;
        let settings = self.judge.lists().settings();
        let Some(identified) = identified else {
            let size = file.metadata().map_or(0, |file| file.len());
            return Ok(self.never_judged(shown, size, &settings));
        };
        self.judge.publishers().examine(&file, &identified, Haste::None, self.stop);
        let evidence = self.evidence(&found, &identified);
        let publisher = self.judge.publishers().finding(&identified).and_then(|finding| finding.sentence());
        let verdict = (self.verdict)(&identified.digests.sha256);
        let subject = self.judge.subject_with(&identified, &evidence, verdict.as_ref());
        let rules = self.judge.lists().rules();
        let Explanation { judgement, steps, would_change } = explain(&rules, &subject);
        let maintenance = settings.maintenance_until.is_some_and(|until| self.now < until);
        let answer = &subject.facts.answer;
        let threat_name =
            answer.reputation().filter(|reputation| reputation.is_threat()).and_then(|reputation| reputation.threat_name.clone());
        Ok(Why {
            sentence: sentence(judgement, steps.last(), location),
            path: shown,
            sha256: Some(identified.digests.sha256),
            size: identified.attributes.size,
            kind: Some(identified.kind),
            judgement: Some(judgement),
            status: Some(status(&rules, &subject.facts)),
            threat_score: threat_score(answer),
            threat_name,
            steps,
            would_change,
            evidence: Some(evidence),
            layer: layer::find(&file, location, self.caller, self.mounts),
            publisher,
            policy_revision: self.judge.lists().policy().head().revision,
            mode: settings.mode,
            response: Some(respond(settings.mode, maintenance, settings.unverified_action, judgement)),
            offline: self.offline,
        })
    }

    fn evidence(&self, found: &Found, file: &Identified) -> Evidence {
        let path = found.location.proven();
        let evidence = self.judge.evidence_of(path, file);
        let may_be = evidence.package.is_none() && file.kind == FileKind::PythonBytecode && !found.user_writable_folder;
        let of_source = || self.judge.package_of_source(path.filter(|_| may_be)?, &file.identity, self.mounts);
        Evidence { package: evidence.package.clone().or_else(of_source), ..evidence }
    }

    /// What kind of filesystem an open file lies on, by its mount's number alone, which the file itself keeps from being reused.
    fn watching(&self, passed: &File) -> Option<Watching> {
        let id = mount::id_of(passed)?;
        if let Some(mount) = self.mounts.by_id(id) {
            return Some(mount.watching());
        }
        Some(Mounts::of_process(self.caller?).ok()?.by_id(id)?.watching())
    }

    fn never_judged(&self, path: PathBytes, size: u64, settings: &HostSettings) -> Why {
        Why {
            path,
            sentence: "holds nothing that the kernel or a loader would run, so it is never judged".into(),
            sha256: None,
            size,
            kind: None,
            judgement: None,
            status: None,
            threat_score: None,
            threat_name: None,
            steps: Vec::new(),
            would_change: Vec::new(),
            evidence: None,
            layer: None,
            publisher: None,
            policy_revision: self.judge.lists().policy().head().revision,
            mode: settings.mode,
            response: None,
            offline: self.offline,
        }
    }

    /// SECURITY: the descriptor is a stranger's. It may be a FIFO or a device, it may lie on a FUSE filesystem of theirs that never
    /// answers, and it may be one they are not allowed to read, which the daemon must not read in their stead.
    fn reopen(&self, passed: &File, path: &PathBytes) -> Result<File, WhyError> {
        let flags = OFlag::from_bits_retain(fcntl(passed, FcntlArg::F_GETFL).unwrap_or(libc::O_WRONLY));
        if flags.contains(OFlag::O_PATH) || flags & OFlag::O_ACCMODE == OFlag::O_WRONLY {
            return Err(WhyError::NotReadable(path.clone()));
        }
        match self.watching(passed) {
            Some(Watching::Watched) => {}
            Some(Watching::Impossible(reason)) => return Err(WhyError::Remote(path.clone(), reason)),
            Some(Watching::Needless) => return Err(WhyError::Remote(path.clone(), "the kernel itself answers")),
            None => return Err(WhyError::Remote(path.clone(), "no mount this host knows leads to it")),
        }
        let stat = fstat(passed).map_err(|error| WhyError::Skipped(path.clone(), error.into()))?;
        if let Some(what) = irregular(stat.st_mode) {
            return Err(WhyError::NotRegular(path.clone(), what));
        }
        let link = format!("/proc/self/fd/{}", passed.as_raw_fd());
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        open(link.as_str(), flags | OFlag::O_NOATIME, Permissions::empty())
            .or_else(|_| open(link.as_str(), flags, Permissions::empty()))
            .map(File::from)
            .map_err(|error| WhyError::Skipped(path.clone(), error.into()))
    }
}

/// What a file is that is not regular, by its `st_mode`.
#[must_use]
pub fn irregular(mode: u32) -> Option<&'static str> {
    match SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => None,
        SFlag::S_IFDIR => Some("a folder"),
        SFlag::S_IFIFO => Some("a FIFO"),
        SFlag::S_IFSOCK => Some("a socket"),
        SFlag::S_IFCHR | SFlag::S_IFBLK => Some("a device"),
        _ => Some("not a regular file"),
    }
}

fn sentence(judgement: Judgement, last: Option<&Step>, location: &Location) -> String {
    let verdict = match judgement.verdict {
        Judged::Allow => "may run",
        Judged::Deny => "may not run",
        Judged::Undecided => "is undecided",
    };
    let finding = last.map_or("", |step| step.finding.as_str());
    let place = if location.proven().is_none() { " (no path leads to it from here, so no package can vouch for it)" } else { "" };
    format!("{verdict}: {finding}{place}")
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.path, self.sentence)?;
        let Some((sha256, kind)) = self.sha256.zip(self.kind) else { return Ok(()) };
        writeln!(f, "\n  sha256   {sha256}\n  size     {} bytes, {}", self.size, kind.word().replace('_', " "))?;
        if let Some(standing) = &self.status {
            writeln!(f, "  status   {}", standing_line(standing, self.threat_score, self.threat_name.as_deref()))?;
        }
        if let Some(layer) = &self.layer {
            writeln!(f, "  lies in  {}", layer::text(layer))?;
        }
        if let Some(publisher) = &self.publisher {
            writeln!(f, "  signed   {publisher}")?;
        }
        if let Some(response) = self.response {
            let offline = if self.offline { "; no daemon was asked, so the CMS's verdicts on single files are not known" } else { "" };
            writeln!(f, "  answer   {} in mode {}, policy revision {}{offline}", word(&response), word(&self.mode), self.policy_revision)?;
        }
        writeln!(f, "\nHow it was decided:")?;
        for step in &self.steps {
            writeln!(f, " {} {}  {}", if step.decided { '>' } else { ' ' }, step.number, step.finding)?;
        }
        writeln!(f, "\nWhat would change it:")?;
        self.would_change.iter().try_for_each(|way| writeln!(f, "   - {way}"))
    }
}

fn standing_line(standing: &Standing, score: Option<u8>, name: Option<&str>) -> String {
    let score = score.map(|score| format!(", threat score {score} of 10")).unwrap_or_default();
    let name = name.map(|name| format!(", {}", PathBytes::new(name))).unwrap_or_default();
    format!("{} ({}){score}{name}", word(&standing.status), word(&standing.reason).replace('_', " "))
}

/// A value's word, as its JSON has it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
