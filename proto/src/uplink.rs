//! The long-lived stream between a host and the CMS, in domain words. The host is who its certificate says, so no message names it.

use doorward_policy::{Interpreter, KeyFingerprint, Mode, PathBytes, ScanId, Sha256, Status, UnverifiedAction};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::enrollment::HostFacts;
use crate::limit::VERDICTS_MAX;
use crate::report::{Batch, Health, Source};
use crate::snapshot::{Delta, Part};

/// From the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentMessage {
    /// Always the first.
    Hello(Hello),
    /// Reports to be kept and acknowledged.
    Reports(Batch),
    /// Where a scan stands.
    ScanProgress(ScanProgress),
    /// Whether a policy was taken.
    PolicyState(PolicyState),
    /// Whether settings were taken.
    SettingsState(SettingsState),
    /// The host needs a whole policy, for the reason given.
    SnapshotRequest(String),
    /// What became of a command.
    CommandResult(CommandResult),
    /// The host lives.
    Heartbeat(Health),
}

/// From the CMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CmsMessage {
    /// Always the first.
    Welcome(Welcome),
    /// Everything up to and including this sequence is on the CMS's disk.
    Acknowledge(u64),
    /// Answers to a host that waits; at most [`VERDICTS_MAX`], see [`CmsMessage::verdicts`].
    Verdicts(Vec<Verdict>),
    /// A part of a whole policy.
    PolicySnapshot(Part),
    /// The step to a later policy.
    PolicyDelta(Delta),
    /// How the host is to work.
    Settings(HostSettings),
    /// Something the CMS asks.
    Command(Command),
}

impl CmsMessage {
    /// Verdicts in as few messages as they fit into, in their order.
    #[must_use]
    pub fn verdicts(verdicts: Vec<Verdict>) -> Vec<Self> {
        verdicts.chunks(VERDICTS_MAX).map(|chunk| Self::Verdicts(chunk.to_vec())).collect()
    }
}

/// The capability of an agent that can keep programs from running. Without it mode `protect` only detects.
pub const CAPABILITY_PROTECT: &str = "protect";

/// Opens the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Version of the contract the agent speaks; [`crate::limit::PROTOCOL`].
    pub protocol: u32,
    /// The agent's version.
    pub agent_version: String,
    /// What this agent can do; unknown words are ignored.
    pub capabilities: Vec<String>,
    /// Random, minted with the pending store.
    pub store_epoch: [u8; 16],
    /// Policy in force; 0 for none.
    pub policy_epoch: u64,
    /// Policy in force; 0 for none.
    pub policy_revision: u64,
    /// Host settings in force; 0 for none.
    pub settings_revision: u64,
    /// Claims about itself.
    pub facts: HostFacts,
    /// Random, minted when the agent's process started: two streams of one host with different ones are a clone.
    pub run_id: [u8; 16],
}

/// Answers [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Version of the contract spoken on this stream.
    pub protocol: u32,
    /// The CMS's version.
    pub cms_version: String,
    /// Highest sequence of this store epoch on the CMS's disk; 0 for none.
    pub acknowledged: u64,
    /// Largest number of reports sent and not yet acknowledged.
    pub window: u32,
    /// Microseconds since 1970, UTC, for clock drift.
    pub now: i64,
}

/// A decision that goes with a verdict. What the wire does not say clearly is [`VerdictDecision::Undecided`], never an allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictDecision {
    /// Nobody decided.
    #[default]
    Undecided,
    /// May run on this host; what goes to all hosts of a profile is in its policy.
    Allow,
    /// May not run.
    Deny,
}

/// What the CMS knows about one file now. A later verdict for the same file replaces an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The file.
    pub file: Sha256,
    /// What people see.
    pub status: Status,
    /// Code of the status reason (`doorward_policy::StatusReason`'s words); one this program does not know is shown as it is.
    pub reason: String,
    /// What was decided.
    pub decision: VerdictDecision,
    /// 0..=10, for threats only.
    pub threat_score: Option<u8>,
    /// The provider's name for the threat.
    pub threat_name: Option<String>,
    /// No better answer is on its way for now: whoever waits need wait no longer.
    pub is_final: bool,
    /// Rises with every change the CMS makes; an older one never replaces a newer one.
    pub change_id: u64,
}

/// Which opens count as uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoverageKind {
    /// Executions alone.
    #[default]
    Exec,
    /// Executions, and opens by loaders and interpreters.
    ExecAndOpen,
}

/// How a host is to work. The revision is the host's own and only rises; the default is revision 0: detect, nothing excluded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostSettings {
    /// 0 before the CMS sent any.
    pub revision: u64,
    /// How far the agent acts.
    pub mode: Mode,
    /// Which opens count.
    pub coverage: CoverageKind,
    /// What protect does with a file nothing settles.
    pub unverified_action: UnverifiedAction,
    /// Microseconds since 1970, UTC; `None` outside maintenance.
    pub maintenance_until: Option<i64>,
    /// Path prefixes no scan and no exec+open coverage looks at. Never applied to executions.
    pub exclusions: Vec<PathBytes>,
    /// In protect: processes of a file that turns bad are ended.
    pub kill_on_bad_verdict: bool,
    /// Mount points whose filesystems nobody on the host can vouch for and whose executions are let be all the same, though reported.
    /// Normal paths ([`PathBytes::is_normal`]), each meant alone.
    ///
    /// SECURITY: what is mounted below one of them is not meant: in a home folder anybody may mount a filesystem of his own.
    pub trusted_mounts: Vec<PathBytes>,
    /// Keys of repositories whose signed archives count; none: those the host's own package manager uses.
    #[serde(default)]
    pub archive_keys: Vec<KeyFingerprint>,
    /// With exec+open, programs that run what they read.
    #[serde(default)]
    pub interpreters: Vec<Interpreter>,
    /// Path prefixes no exec+open coverage looks at, though scans do. Never applied to executions.
    #[serde(default)]
    pub open_exclusions: Vec<PathBytes>,
}

/// Whether a policy was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyState {
    /// Epoch it is about.
    pub epoch: u64,
    /// Revision it is about.
    pub revision: u64,
    /// `None` when it is in force; else why it was refused.
    pub refused: Option<String>,
}

/// Whether settings were taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsState {
    /// Revision it is about.
    pub revision: u64,
    /// `None` when they are in force; else why they were refused.
    pub refused: Option<String>,
}

/// Something the CMS asks of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// UUIDv7; stands in the answer.
    pub id: Uuid,
    /// What is asked.
    pub body: CommandBody,
}

/// What a command asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandBody {
    /// A scan.
    StartScan(StartScan),
    /// The end of a scan; what it found stays.
    StopScan(ScanId),
    /// A source was denied: report the files it settled here.
    SourceFiles(Source),
}

/// Asks for a scan of every candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartScan {
    /// Stands in every observation the scan makes.
    pub scan: ScanId,
    /// It is the profile's reference scan.
    pub reference: bool,
    /// Path prefixes to scan; empty for the whole file system.
    pub roots: Vec<PathBytes>,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandResult {
    /// The command's.
    pub id: Uuid,
    /// `None` for success, else one sentence.
    pub error: Option<String>,
}

/// Where a scan stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanProgress {
    /// The scan.
    pub scan: ScanId,
    /// Files looked at.
    pub files: u64,
    /// Files to look at, as far as known; 0 while unknown.
    pub files_total: u64,
    /// Candidates among them.
    pub candidates: u64,
    /// Bytes of candidates.
    pub bytes: u64,
    /// Candidates a package settled.
    pub package_trusted: u64,
    /// Candidates settled otherwise.
    pub otherwise_trusted: u64,
    /// Candidates reported to the CMS.
    pub unresolved: u64,
    /// Files that could not be looked at.
    pub skipped: u64,
    /// Milliseconds since the scan started.
    pub elapsed_ms: u64,
    /// How it goes.
    pub state: ScanState,
}

/// How a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanState {
    /// Under way.
    Running,
    /// Everything was looked at, and every observation acknowledged.
    Done,
    /// Ended early on request.
    Stopped,
    /// Ended early by itself.
    Failed,
}
