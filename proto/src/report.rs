//! What a host tells the CMS, in the words of `policy`. All of it is the host's claim. How it is kept on disk is the agent's and the
//! CMS's own business; the serde forms here hold in self-describing formats (JSON) and in positional ones (postcard) alike.

use doorward_policy::{Blake3, Evidence, FileKind, Md5, PackageEvidence, PathBytes, PublisherEvidence, ScanId, Sha1, Sha256, Use};
use serde::{Deserialize, Serialize};

mod batch;
mod inventory;

pub use batch::{Batch, Full};
pub(crate) use inventory::encoded_width;
pub use inventory::{Inventory, InventorySource, Source};

/// What became of an execution that was not simply let be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It ran on: nobody kept it from it, or nobody could.
    Ran,
    /// It never started.
    Refused,
    /// It had started and was ended.
    Killed,
}

/// A file's content and how its inode looked when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// The file's name everywhere.
    pub sha256: Sha256,
    /// Only where somebody computed it anyway.
    pub sha1: Option<Sha1>,
    /// Only where a package lists the path with an MD5.
    pub md5: Option<Md5>,
    /// Only where the host keeps it.
    pub blake3: Option<Blake3>,
    /// Bytes read.
    pub size: u64,
    /// What it is by its content.
    pub kind: FileKind,
    /// `st_mode`, type bits included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// `st_mtime` in microseconds since 1970, UTC; may be negative.
    pub modified_at: i64,
    /// `st_ctime` in microseconds since 1970, UTC.
    pub changed_at: i64,
}

/// The process that executed or loaded a file, as it was when the event was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id on the host.
    pub pid: u32,
    /// Clock ticks since boot, field 22 of `/proc/PID/stat`: with `pid` it names one process of one boot. 0 when the process was gone
    /// before anybody could look.
    pub start_ticks: u64,
    /// Effective user; `None` when the process was gone before anybody could look.
    pub uid: Option<u32>,
    /// Parent's process id.
    pub parent_pid: u32,
    /// The parent's executable; `None` when it could not be read.
    pub parent_path: Option<PathBytes>,
    /// The parent's executable by content, when the host knows it.
    pub parent_sha256: Option<Sha256>,
    /// Container id as found in the control group; `None` outside containers.
    pub container: Option<String>,
}

/// A file met at a path; with a use other than [`Use::Scan`] it is an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// What was met.
    pub file: FileFacts,
    /// Where.
    pub path: PathBytes,
    /// How.
    #[serde(rename = "use", with = "UseForm")]
    pub usage: Use,
    /// The scan that found it, when the CMS asked for that scan.
    pub scan: Option<ScanId>,
    /// Microseconds since 1970, UTC.
    pub first_observed_at: i64,
    /// Microseconds since 1970, UTC.
    pub last_observed_at: i64,
    /// How often, since this report was opened.
    pub count: u64,
    /// What the host proved about where the file comes from.
    pub evidence: Evidence,
    /// Who used it; `None` for scans.
    pub process: Option<Process>,
    /// The folder, or one above it, can be written by somebody other than root.
    pub user_writable_folder: bool,
    /// Which layer of an overlay it lies in; `None` where there are none, or nobody can tell.
    #[serde(default)]
    pub layer: Option<Layer>,
}

/// A layer of an overlay, as containers are made of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Layer {
    /// The one that is written to; a read-only one otherwise.
    pub upper: bool,
    /// The layer's folder on the host.
    pub folder: PathBytes,
}

/// [`Use`] as it is kept and printed here: `"execute"`, `{"load": {"opener": …}}`, `"scan"`. Its own form needs a self-describing
/// format.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Use", rename_all = "snake_case")]
enum UseForm {
    Execute,
    Load { opener: Option<Sha256> },
    Scan,
}

/// An execution the agent did not let through, or ended, or would have ended had it been able to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// What was to be executed, by whom.
    pub observation: Observation,
    /// Row of the judgement, 1..=9 (see `doorward_policy::Row::number`).
    pub row: u8,
    /// Nothing settled it and the profile's unverified action denied it, or the deadline ran out.
    pub undecided: bool,
    /// [`Fate::Ran`] when it had started and could not be ended.
    pub fate: Fate,
}

/// An execution whose file could not be identified, so that nothing judged it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unjudged {
    /// Where the file was met.
    pub path: PathBytes,
    /// Who executed it, as far as it could be told.
    pub process: Process,
    /// Code of the failure table: why the file could not be identified.
    pub reason: String,
    /// What became of it.
    pub fate: Fate,
    /// Microseconds since 1970, UTC.
    pub first_observed_at: i64,
    /// Microseconds since 1970, UTC.
    pub last_observed_at: i64,
    /// How often, since this report was opened.
    pub count: u64,
}

/// Stands among what is not covered for holding executions, where that was asked for and the kernel refuses; no mount point begins so.
pub const PROTECTION: &[u8] = b"(protection)";

/// What is watched and what is not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// Mount points of the filesystems that are watched.
    pub covered: Vec<PathBytes>,
    /// Filesystems that are not, with the reason.
    pub uncovered: Vec<Uncovered>,
    /// Unprivileged user namespaces can be made, so files can be run from mounts nobody sees.
    pub user_namespaces: bool,
}

/// A filesystem that is not watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncovered {
    /// Where it is mounted.
    pub mount_point: PathBytes,
    /// Type as in mountinfo.
    pub filesystem: String,
    /// One sentence for people.
    pub reason: String,
}

/// A process that ran a file when that turned bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveProcess {
    /// Which one.
    pub process: Process,
    /// [`Fate::Ran`] when it still does, [`Fate::Killed`] when it was ended for it.
    pub fate: Fate,
}

/// A file that the CMS or TI turned against is in use here, or was until its processes were ended for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turned {
    /// The file.
    pub file: Sha256,
    /// Where it was last met.
    pub paths: Vec<PathBytes>,
    /// Processes that ran it.
    pub live: Vec<LiveProcess>,
    /// Microseconds since 1970, UTC; `None` when it was never executed here.
    pub last_executed_at: Option<i64>,
}

/// What became of something the host cannot be booted or managed without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosureEvent {
    /// The file changed and proves nothing; it is judged like any other.
    Changed,
    /// A list denies the file, and the host overrides that.
    FileDenyOverridden,
    /// Likewise its package.
    PackageDenyOverridden,
    /// Likewise its publisher.
    PublisherDenyOverridden,
}

/// News of a file the host cannot be booted or managed without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosureNews {
    /// Where it is; of several files that one entry denies, the first.
    pub path: PathBytes,
    /// What it is.
    pub file: Sha256,
    /// What became of it.
    pub event: ClosureEvent,
    /// Name of the denied package or publisher.
    pub source: Option<String>,
    /// Microseconds since 1970, UTC.
    pub observed_at: i64,
}

/// Counters a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// Reports that wait for acknowledgement.
    pub pending: u64,
    /// Reports dropped since the store was made, because it was full or broken.
    pub dropped: u64,
    /// Failures since start.
    pub failures: Vec<FailureCount>,
}

/// How often one failure happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureCount {
    /// Code of the failure table.
    pub reason: String,
    /// Times since start.
    pub count: u64,
}

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportBody {
    /// A file was met.
    Observation(Observation),
    /// An execution was denied, before it started or after.
    Denial(Denial),
    /// What is watched changed.
    Coverage(Coverage),
    /// Sources behind files settled on the host.
    Inventory(Inventory),
    /// A file turned bad is still in use.
    Turned(Turned),
    /// Counters.
    Health(Health),
    /// An execution of a file that could not be identified.
    Unjudged(Unjudged),
    /// Something is the matter with what the host cannot do without.
    Closure(ClosureNews),
}

/// One report. (host, store epoch, sequence) is its name for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Rises from report to report, by any step.
    pub sequence: u64,
    /// What it says.
    pub body: ReportBody,
}

impl From<PackageEvidence> for Source {
    fn from(evidence: PackageEvidence) -> Self {
        Self::Package(evidence)
    }
}

impl From<PublisherEvidence> for Source {
    fn from(evidence: PublisherEvidence) -> Self {
        Self::Publisher(evidence)
    }
}
