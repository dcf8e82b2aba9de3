//! What a person should see: kinds of incidents and what each one tells. They are made where the fact is stored, by the same
//! transaction, and kept by the store; one stays open per kind, file and host, and counts.

use doorward_policy::{FileKind, HostId, PathBytes, Sha256, StatusReason, Use};
use doorward_proto::report::{ClosureNews, Fate, LiveProcess, Process, Uncovered, Unjudged};
use serde::{Deserialize, Serialize};

/// Hosts an incident names at most; the rest are counted.
pub const HOSTS_NAMED_MAX: usize = 100;

/// Paths named for each host.
pub const PATHS_NAMED_MAX: usize = 10;

/// Live processes named for each host.
pub const PROCESSES_NAMED_MAX: usize = 16;

/// Filesystems an incident about coverage names.
pub const FILESYSTEMS_NAMED_MAX: usize = 64;

/// Executions an incident about unidentified files names.
pub const UNJUDGED_NAMED_MAX: usize = 32;

/// Entries an incident about overridden denies names.
pub const ENTRIES_NAMED_MAX: usize = 64;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file nothing settles was executed.
    NewProcess,
    /// As above, and it is not what its package or its path held before.
    ProcessModified,
    /// A threat was executed.
    ThreatExecuted,
    /// A process was ended whose file is allowed by now: the host knew no better, or something changed meanwhile.
    ProcessKilled,
    /// TI changed its mind about a file for the worse, or one that ran was denied.
    VerdictTurned,
    /// Something that was watched no longer is.
    CoverageLost,
    /// A file a host cannot run without changed and did not prove what it is.
    ClosureChanged,
    /// A list denies what a host cannot be booted or managed without; the host overrides those entries and nothing else.
    DenyOverridden,
    /// A host was not heard of for too long.
    AgentSilent,
    /// Two copies of one machine speak with the same certificate.
    HostCloned,
    /// A file that a host could not identify was executed, so that nothing judged it.
    ExecutionUnjudged,
    /// A host has a newer policy than the server: the database was restored from an older copy, or the host says what is not so.
    PolicyAhead,
}

/// What an incident tells, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Detail {
    /// Of the kinds about an execution.
    Execution(Box<Execution>),
    /// Of [`Kind::VerdictTurned`].
    Turn(Box<Turn>),
    /// Of [`Kind::CoverageLost`].
    Coverage {
        /// Filesystems that were watched and no longer are, at most [`FILESYSTEMS_NAMED_MAX`].
        uncovered: Vec<Uncovered>,
    },
    /// Of [`Kind::HostCloned`].
    Clone {
        /// Network address the other copy speaks from.
        address: String,
    },
    /// Of [`Kind::ExecutionUnjudged`].
    Unjudged {
        /// What the host told since the incident was opened, by path, reason and user; at most [`UNJUDGED_NAMED_MAX`].
        unjudged: Vec<Unjudged>,
    },
    /// Of [`Kind::ClosureChanged`].
    Closure {
        /// Where the file is.
        path: PathBytes,
    },
    /// Of [`Kind::DenyOverridden`].
    Overridden {
        /// The entries, each with a file it would have denied; at most [`ENTRIES_NAMED_MAX`].
        entries: Vec<ClosureNews>,
    },
    /// Of [`Kind::PolicyAhead`].
    Ahead {
        /// What the host has, by its own word.
        has_epoch: u64,
        /// What the host has, by its own word.
        has_revision: u64,
        /// What the server had.
        epoch: u64,
        /// What the server had.
        revision: u64,
        /// A new epoch was begun above it, so that the profile's hosts follow the server again.
        begun: bool,
    },
    /// Of [`Kind::AgentSilent`].
    // Last: all its members are optional, so it would take the others' forms too.
    Silence {
        /// Microseconds since 1970, UTC; `None` when the host was never heard of after its enrollment.
        last_seen_at: Option<i64>,
    },
}

/// An execution a person should see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// What ran, by path.
    pub path: PathBytes,
    /// What it is by its content.
    pub kind: FileKind,
    /// Why it has its status.
    pub reason: StatusReason,
    /// For threats.
    pub threat_score: Option<u8>,
    /// For threats, when TI names them.
    pub threat_name: Option<String>,
    /// Who ran it.
    pub process: Option<Process>,
    /// What became of it.
    pub fate: Fate,
    /// Whether it was executed or loaded, and by what; `None` where nobody kept that.
    #[serde(flatten)]
    pub usage: Option<Use>,
    /// What the same path held before, when that was something else.
    pub previous: Option<Sha256>,
}

/// A turn for the worse, and where it matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// What TI said before; `None` when it had not answered.
    pub from: Option<Opinion>,
    /// What TI says now. The same as before when somebody else turned: a person, or a list.
    pub to: Option<Opinion>,
    /// Hosts that hold the file, those that ran it last first; at most [`HOSTS_NAMED_MAX`].
    pub hosts: Vec<Holder>,
    /// All hosts that hold the file.
    pub host_count: u64,
    /// Automatic allows that went.
    pub allows_removed: u64,
}

impl Turn {
    /// Takes what a host says of itself. What it ended before stays: nobody must look for it in vain. False when no more hosts are named.
    pub fn tell(&mut self, mut holder: Holder) -> bool {
        if let Some(known) = self.hosts.iter_mut().find(|known| known.host_id == holder.host_id) {
            holder.live.extend(known.live.drain(..).filter(|live| live.fate == Fate::Killed));
            holder.live.truncate(PROCESSES_NAMED_MAX);
            holder.live_count = holder.live_count.saturating_add(known.killed_count);
            holder.killed_count = holder.killed_count.saturating_add(known.killed_count);
            *known = holder;
            return true;
        }
        let has_room = self.hosts.len() < HOSTS_NAMED_MAX;
        if has_room {
            self.hosts.push(holder);
        }
        has_room
    }
}

/// TI's answer in the words people see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// The provider's classification.
    pub class: doorward_policy::Class,
    /// For known files.
    pub trust_factor: Option<u8>,
    /// For threats.
    pub threat_score: Option<u8>,
    /// For threats, when TI names them.
    pub threat_name: Option<String>,
}

/// A host that holds a file TI turned against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The host.
    pub host_id: HostId,
    /// Its name, for people.
    pub host: String,
    /// Where, at most [`PATHS_NAMED_MAX`].
    pub paths: Vec<PathBytes>,
    /// Last observed execution, microseconds since 1970, UTC.
    pub last_executed_at: Option<i64>,
    /// Processes that ran it when the host learned of the turn, at most [`PROCESSES_NAMED_MAX`].
    pub live: Vec<LiveProcess>,
    /// How many processes ran it then.
    pub live_count: u64,
    /// How many of them were ended for it.
    pub killed_count: u64,
}
