//! The walls around a helper. Each is put up by itself and holds where another is missing; what a kernel or the unit does not give is
//! named, and shown by `status`.

use std::fmt;
use std::io;

use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, rlim_t, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, chdir, pivot_root, setgroups, setresgid, setresuid, setsid};
use serde::{Deserialize, Serialize};

use super::filter;
use crate::system::limit;

/// Address space of a helper, its program included: what one question may take.
const MEMORY_BYTES_MAX: rlim_t = 512 << 20;
/// Processor time of a helper's whole life, in seconds; the keeper replaces it before.
const PROCESSOR_SECONDS_MAX: rlim_t = 600;
/// Descriptors: the socket, the file in question, and some the kernel may pass before they are refused.
const DESCRIPTORS_MAX: rlim_t = 8;
/// How much rather the out-of-memory killer takes a helper than anything else.
const OOM_PREFERRED: &str = "1000";
/// First of the user numbers that helpers take, one each. Nobody hands out numbers between containers' (below 1,879,048,192) and those of
/// foreign images (from 2,147,352,576).
const USER_BASE: u32 = 1_900_000_000;

/// One wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Bounds of memory, time and descriptors, no core dumps, no children.
    Limits,
    /// An empty file system and a network without interfaces.
    Namespaces,
    /// A user nobody else is.
    User,
    /// No capabilities, and no way to gain any.
    Capabilities,
    /// Landlock: no path may be opened, no port reached, nobody signalled.
    Landlock,
    /// Seccomp: the process ends at the first system call that answering does not take.
    Seccomp,
}

/// A wall that could not be put up, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Which one.
    pub layer: Layer,
    /// Why.
    pub reason: String,
}

impl Layer {
    /// The wall's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Namespaces => "namespaces",
            Self::User => "user",
            Self::Capabilities => "capabilities",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.layer.word(), self.reason)
    }
}

/// Puts up every wall but those left out, from the one that needs most rights to the one that leaves fewest, and says what is missing.
///
/// # Errors
/// When this process cannot even be made to die with its parent.
pub(super) fn confine(left_out: &[Layer]) -> io::Result<Vec<Missing>> {
    // Whatever is sent to the whole service; SIGKILL and the end of the socket end a helper.
    limit::block_signals();
    let _ = setsid();
    // The agent's own exemption would be inherited.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_PREFERRED);
    type Wall = (Layer, fn() -> io::Result<()>);
    let walls: [Wall; 6] = [
        (Layer::Limits, bound),
        (Layer::Namespaces, leave_everything),
        (Layer::User, become_nobody),
        (Layer::Capabilities, drop_capabilities),
        (Layer::Landlock, lock_the_land),
        (Layer::Seccomp, filter::apply),
    ];
    let mut missing = Vec::new();
    for (layer, build) in walls {
        if layer == Layer::Landlock {
            // A change of user forgets both, so they come after it; and before what forbids to ask for them.
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            let _ = prctl::set_dumpable(false);
        }
        if left_out.contains(&layer) {
            continue;
        }
        if let Err(error) = build() {
            missing.push(Missing { layer, reason: error.to_string() });
        }
    }
    Ok(missing)
}

fn bound() -> io::Result<()> {
    for (what, max) in [
        (Resource::RLIMIT_AS, MEMORY_BYTES_MAX),
        (Resource::RLIMIT_CPU, PROCESSOR_SECONDS_MAX),
        (Resource::RLIMIT_NOFILE, DESCRIPTORS_MAX),
        (Resource::RLIMIT_NPROC, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_MSGQUEUE, 0),
    ] {
        setrlimit(what, max, max)?;
    }
    Ok(())
}

/// Leaves the host's network, mounts, names and shared memory for empty ones.
fn leave_everything() -> io::Result<()> {
    const NONE: Option<&str> = None;
    let spaces = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    unshare(spaces)?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    // Any folder serves as the place of the new root; this one is always there. Nothing can be made in it.
    let options = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    mount(Some("doorward-sandbox"), "/proc", Some("tmpfs"), options, Some("size=4k,nr_inodes=1,mode=000"))?;
    chdir("/proc")?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    Ok(chdir("/")?)
}

fn become_nobody() -> io::Result<()> {
    let number = USER_BASE.saturating_add(std::process::id());
    setgroups(&[])?;
    let group = Gid::from_raw(number);
    setresgid(group, group, group)?;
    let user = Uid::from_raw(number);
    Ok(setresuid(user, user, user)?)
}

fn drop_capabilities() -> io::Result<()> {
    prctl::set_no_new_privs()?;
    for set in [caps::CapSet::Ambient, caps::CapSet::Inheritable, caps::CapSet::Effective, caps::CapSet::Permitted] {
        caps::clear(None, set).map_err(io::Error::other)?;
    }
    Ok(())
}

fn lock_the_land() -> io::Result<()> {
    let abi = ABI::V6;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(abi)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    // No rule follows: what is not allowed by one is denied, and nothing is allowed.
    match ruleset.restrict_self().map_err(io::Error::other)?.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        RulesetStatus::PartiallyEnforced => Err(io::Error::other("this kernel knows only a part of it")),
        RulesetStatus::NotEnforced => Err(io::Error::other("this kernel does not have it")),
    }
}
