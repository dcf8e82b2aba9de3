//! Judging a file on this host: its evidence, what the lists say, and the policy crate's verdict. The same for executions, scans
//! and `why`, so that they can never disagree.
//!
//! Reads memory only; whoever calls has identified the file already.

use std::ffi::CString;
use std::sync::Arc;

use doorward_policy::{
    DigestAlgorithm, Evidence, Fit, Judgement, Level, PackageEvidence, PathBytes, Response, Row, Sha256, Standing, Status, Subject,
    Verdict, judge, respond, status,
};
use doorward_proto::report::Source;
use doorward_proto::uplink;

use crate::exec::mount::{Mounts, below};
use crate::exec::walk::walk;
use crate::identify::{Digests, Identified, Identity};
use crate::list::{ClosureClaim, Lists, Stamp};
use crate::trust::{Publishers, Trust};

mod closure;
#[cfg(test)]
pub(crate) mod tests;

pub use closure::{Closure, Member};

/// How bad a file is on this host, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Nothing is wrong with it, as far as anybody knows.
    None,
    /// It is a threat that may run all the same: somebody allowed it, or the host cannot do without it.
    Threat,
    /// It may not run.
    Denied,
}

/// A file as it stands on this host now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What it was judged by.
    pub subject: Subject,
    /// What was decided.
    pub judgement: Judgement,
    /// What people see.
    pub standing: Standing,
}

impl Judged {
    /// It may not run, or people should know that it does.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.trouble() != Trouble::None
    }

    /// The source whose word settled it, so that the file itself need not be told of.
    #[must_use]
    pub fn settled_by(&self) -> Option<Source> {
        let facts = &self.subject.facts;
        match self.judgement.row {
            _ if self.is_bad() => None,
            Row::Package => facts.package.as_ref().map(|package| package.evidence.clone().into()),
            Row::Publisher => facts.publisher.as_ref().map(|publisher| publisher.evidence.clone().into()),
            _ => None,
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match (self.judgement.verdict, self.standing.status) {
            (Verdict::Deny, _) => Trouble::Denied,
            (_, Status::Threat) => Trouble::Threat,
            _ => Trouble::None,
        }
    }
}

/// What a judgement of one file rests on, as far as it can change while file and path stay. To be compared, never ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Basis {
    general: u64,
    stamp: Stamp,
}

impl Basis {
    /// See [`Judge::generation`].
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.general
    }

    /// What the lists said of the file.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }
}

/// Everything judging needs, always at its newest.
#[derive(Clone)]
pub struct Judge {
    lists: Arc<Lists>,
    trust: Arc<Trust>,
    closure: Arc<Closure>,
    root: PathBytes,
    publishers: Arc<Publishers>,
}

impl Judge {
    /// `root` is where the file system that packages know begins; `/` but for tests and images.
    #[must_use]
    pub fn new(lists: Arc<Lists>, trust: Arc<Trust>, closure: Arc<Closure>, root: PathBytes) -> Self {
        let publishers = Arc::new(Publishers::without_anchors(doorward_service::Clock::system()));
        Self { lists, trust, closure, root, publishers }
    }

    /// Judges by these publishers too.
    #[must_use]
    pub fn with_publishers(self, publishers: Arc<Publishers>) -> Self {
        Self { publishers, ..self }
    }

    /// The algorithm in which a package lists this path's digest, when it is to be taken along with those taken in any case.
    #[must_use]
    pub fn wanted_digest(&self, path: &PathBytes) -> Option<DigestAlgorithm> {
        let below = self.below_root(path)?;
        self.trust.current()?.wanted_digest(&below)
    }

    /// Whether a package lists a digest for this path, so that its content may be vouched for.
    #[must_use]
    pub fn lists_digest(&self, path: &PathBytes) -> bool {
        let below = self.below_root(path);
        self.trust.current().zip(below).is_some_and(|(trust, path)| trust.owner(&path).is_some_and(|owner| owner.lists_digest()))
    }

    /// What packages say of content with these digests at this path. Nothing without a path that was proven.
    #[must_use]
    pub fn evidence(&self, path: Option<&PathBytes>, digests: &Digests) -> Evidence {
        let path = path.and_then(|path| self.below_root(path));
        let settings = self.lists.settings();
        let package = path.and_then(|path| self.trust.evidence(&path, digests, &settings.archive_keys));
        Evidence { package, publisher: None }
    }

    /// Everything that is known of an identified file at this path: what packages say, and publishers as far as they were looked for.
    #[must_use]
    pub fn evidence_of(&self, path: Option<&PathBytes>, file: &Identified) -> Evidence {
        Evidence { publisher: self.publishers.evidence(file), ..self.evidence(path, &file.digests) }
    }

    /// As [`Self::evidence`] for a caller that has asked the databases already, for a path below the root.
    #[must_use]
    pub fn strengthen(&self, path: &PathBytes, file: &Sha256, database: Option<PackageEvidence>) -> Option<PackageEvidence> {
        let settings = self.lists.settings();
        self.trust.ledger().evidence(&self.trust.place(path.as_bytes()), file, database, &settings.archive_keys)
    }

    /// Whether the package manager's scripts and what it unpacks need a signed archive here like everything else.
    ///
    /// SECURITY: by the profile alone. Whatever else this asked for, whoever is root could take away.
    #[must_use]
    pub fn wants_signed_transactions(&self) -> bool {
        self.lists.rules().package_level == Level::Signed
    }

    /// What the package of its source says of bytecode at this path that no package owns; nobody but root can write its folder or those
    /// above. Reads the source.
    #[must_use]
    pub fn package_of_source(&self, path: &PathBytes, file: &Identity, mounts: &Mounts) -> Option<PackageEvidence> {
        let (trust, below) = self.trust.current().zip(self.below_root(path))?;
        let folder = path.as_bytes().strip_suffix(path.file_name())?.strip_suffix(b"/")?;
        let folder = walk(folder, mounts).ok()?.file;
        let package = trust.compiled(&below, file, folder, &CString::new(path.file_name()).ok()?)?;
        Some(trust.describe(package, Fit::Compiled))
    }

    /// Rises after every change that may bear on any file, packages and anchors included; not after those that are about single files.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.lists.generation().wrapping_add(self.trust.generation()).wrapping_add(self.publishers.generation())
    }

    /// What a judgement of this file rests on. To be read before judging what is to be remembered.
    #[must_use]
    pub fn basis(&self, file: &Sha256) -> Basis {
        Basis { general: self.generation(), stamp: self.lists.stamp(file) }
    }

    /// Whether judging again would give the same. Waits for nobody.
    #[must_use]
    pub fn holds(&self, basis: &Basis) -> bool {
        self.generation() == basis.general && self.lists.holds(basis.stamp)
    }

    /// What the kernel is to be told of a judgement at `now_micros`, by the settings of this moment.
    #[must_use]
    pub fn respond(&self, judgement: Judgement, now_micros: i64) -> Response {
        let settings = self.lists.settings();
        let maintenance = settings.maintenance_until.is_some_and(|until| now_micros < until);
        respond(settings.mode, maintenance, settings.unverified_action, judgement)
    }

    /// Judges a file in an inode by its evidence.
    #[must_use]
    pub fn judge(&self, file: &Sha256, identity: &Identity, evidence: &Evidence) -> Judged {
        let subject = self.lists.subject(file, evidence, self.claim(identity));
        let rules = self.lists.rules();
        Judged { judgement: judge(&rules, &subject), standing: status(&rules, &subject.facts), subject }
    }

    /// Everything known of a file, with the whole of what the CMS last said of it, for explaining.
    #[must_use]
    pub fn subject_with(&self, file: &Identified, evidence: &Evidence, verdict: Option<&uplink::Verdict>) -> Subject {
        self.lists.subject_with(&file.digests.sha256, evidence, self.claim(&file.identity), verdict)
    }

    fn claim(&self, identity: &Identity) -> ClosureClaim {
        self.closure.claim(identity)
    }

    /// The published lists and settings.
    #[must_use]
    pub const fn lists(&self) -> &Arc<Lists> {
        &self.lists
    }

    /// What packages vouch for.
    #[must_use]
    pub const fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// Whose signatures are known.
    #[must_use]
    pub const fn publishers(&self) -> &Arc<Publishers> {
        &self.publishers
    }

    /// The files the host cannot run without.
    #[must_use]
    pub const fn closure(&self) -> &Arc<Closure> {
        &self.closure
    }

    /// A path as packages know it; `None` outside the root.
    #[must_use]
    pub fn below_root(&self, path: &PathBytes) -> Option<PathBytes> {
        match self.root.as_bytes() {
            b"/" => Some(path.clone()),
            root => below(path.as_bytes(), root).map(|rest| PathBytes::new([b"/", rest].concat())),
        }
    }
}
