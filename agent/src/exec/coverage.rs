//! Which filesystems are watched: marks for every local one, and plain words about all others.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use doorward_policy::PathBytes;
use doorward_proto::limit::COVERAGE_FILESYSTEMS_MAX;
use doorward_proto::report::{Coverage, Uncovered};
use nix::sys::stat::fstat;

use super::fresh::Fresh;
use super::monotonic_ns;
use super::mount::{Mount, Mounts, Watching};
use super::walk::{Obstacle, walk};
use crate::health::{FailureReason, Health};
use crate::system::group::{Group, GroupError};

/// Stands for everything no path of this host leads to; no mount point begins like this.
const ELSEWHERE: &[u8; 11] = b"(elsewhere)";

/// Puts marks on filesystems and keeps account of it.
pub(super) struct Marks {
    /// The reader's alone: were it kept here too, executions would wait for a reader that is gone.
    pub(super) group: Weak<Group>,
    pub(super) fresh: Arc<Fresh>,
    /// Whether the kernel tells of executions no mark sees.
    pub(super) is_told: Arc<AtomicBool>,
    pub(super) health: Health,
}

impl Marks {
    /// Marks every local filesystem of the table, those already marked too (which changes nothing), and says what is covered.
    pub(super) fn renew(&self, mounts: &Mounts) -> Coverage {
        let mut coverage = Coverage { user_namespaces: user_namespaces(Path::new("/proc/sys")), ..Coverage::default() };
        for group in by_filesystem(mounts) {
            match group[0].watching() {
                Watching::Needless => {}
                Watching::Watched => self.mark(&group, mounts, &mut coverage),
                Watching::Impossible(reason) => {
                    coverage.uncovered.push(uncovered(group[0], format!("{reason}, and it could stop all watching")))
                }
            }
        }
        if !self.is_told.load(Ordering::Relaxed) {
            let reason = "the kernel tells no process events here; what runs in memory or in other namespaces is found late".to_owned();
            coverage.uncovered.push(Uncovered { mount_point: PathBytes::new(*ELSEWHERE), filesystem: String::new(), reason });
        }
        coverage.covered.truncate(COVERAGE_FILESYSTEMS_MAX);
        coverage.uncovered.truncate(COVERAGE_FILESYSTEMS_MAX);
        coverage
    }

    /// Marks one filesystem through the first of its mounts that can be reached.
    fn mark(&self, group: &[&Mount], mounts: &Mounts, coverage: &mut Coverage) {
        let mut reason = Unmarked::Hidden;
        for mount in group {
            match self.mark_through(mount, mounts) {
                Ok(()) => {
                    coverage.covered.push(mount.point.clone());
                    return;
                }
                Err(error) => reason = error,
            }
        }
        if matches!(reason, Unmarked::Refused(_)) {
            self.health.note(FailureReason::MarkFailed);
        }
        coverage.uncovered.push(uncovered(group[0], reason.to_string()));
    }

    /// SECURITY: what was mounted over the point, or over a folder above it (FUSE, by the folder's owner), must neither get the mark
    /// nor hold whoever looks, so the way there is walked and not looked up.
    fn mark_through(&self, mount: &Mount, mounts: &Mounts) -> Result<(), Unmarked> {
        if mounts.of_path(mount.point.as_bytes()).is_none_or(|reached| reached.id != mount.id) {
            return Err(Unmarked::Hidden);
        }
        let place = walk(mount.point.as_bytes(), mounts)?;
        let group = self.group.upgrade().ok_or(Unmarked::Over)?;
        if group.watches_filesystem_of(place.file.as_fd()) == Ok(true) {
            return Ok(());
        }
        group.watch_filesystem_of(place.file.as_fd()).map_err(Unmarked::Refused)?;
        if let Ok(folder) = fstat(&place.file) {
            self.fresh.note(folder.st_dev, monotonic_ns());
        }
        Ok(())
    }
}

/// Why a filesystem got no mark through one of its mounts.
#[derive(Debug, thiserror::Error)]
enum Unmarked {
    #[error("another mount hides it, so no path leads to it from here")]
    Hidden,
    #[error("{0}")]
    Unreachable(#[from] Obstacle),
    #[error("watching has ended")]
    Over,
    #[error("{0}")]
    Refused(#[source] GroupError),
}

/// What can be said of a host that is not watched at all, for one reason.
#[must_use]
pub fn nothing_covered(mounts: &Mounts, reason: &str) -> Coverage {
    let filesystems = by_filesystem(mounts).into_iter().filter(|mounts| mounts[0].watching() != Watching::Needless);
    let uncovered = filesystems.map(|mounts| uncovered(mounts[0], reason.to_owned())).take(COVERAGE_FILESYSTEMS_MAX).collect();
    Coverage { covered: Vec::new(), uncovered, user_namespaces: user_namespaces(Path::new("/proc/sys")) }
}

fn uncovered(mount: &Mount, reason: String) -> Uncovered {
    Uncovered { mount_point: mount.point.clone(), filesystem: mount.filesystem.clone(), reason }
}

/// Mounts grouped by their filesystem in the order of the table; within a group whole-filesystem mounts and short points first.
fn by_filesystem(mounts: &Mounts) -> Vec<Vec<&Mount>> {
    let mut order: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    let mut groups: Vec<Vec<&Mount>> = Vec::new();
    for mount in mounts.iter() {
        let index = *order.entry(mount.device).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[index].push(mount);
    }
    let whole = PathBytes::new(*b"/");
    for group in &mut groups {
        group.sort_by_key(|mount| (mount.root != whole, mount.point.as_bytes().len()));
    }
    groups
}

/// Whether anybody can make a user namespace and mount in it what nobody else sees. `sysctl` is `/proc/sys`.
fn user_namespaces(sysctl: &Path) -> bool {
    let number = |name: &str| fs::read_to_string(sysctl.join(name)).ok().and_then(|text| text.trim().parse::<u64>().ok());
    number("user/max_user_namespaces").is_some_and(|count| count > 0)
        && number("kernel/unprivileged_userns_clone") != Some(0)
        && number("kernel/apparmor_restrict_unprivileged_userns").is_none_or(|restricted| restricted == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::mount;

    #[test]
    fn an_unwatched_host_names_every_filesystem_once_with_the_reason() {
        let mounts = Mounts::read(Path::new(mount::MOUNTINFO)).unwrap();
        let coverage = nothing_covered(&mounts, "not running as root");
        assert!(coverage.covered.is_empty());
        assert!(coverage.uncovered.iter().any(|entry| entry.mount_point.as_bytes() == b"/"));
        assert!(coverage.uncovered.iter().all(|entry| entry.reason == "not running as root" && entry.filesystem != "proc"));
    }

    #[test]
    fn user_namespaces_are_on_unless_a_switch_says_otherwise() {
        let sysctl = tempfile::tempdir().unwrap();
        fs::create_dir_all(sysctl.path().join("user")).unwrap();
        fs::create_dir_all(sysctl.path().join("kernel")).unwrap();
        assert!(!user_namespaces(sysctl.path()), "a kernel without them");
        fs::write(sysctl.path().join("user/max_user_namespaces"), "1000\n").unwrap();
        assert!(user_namespaces(sysctl.path()));
        fs::write(sysctl.path().join("kernel/apparmor_restrict_unprivileged_userns"), "1\n").unwrap();
        assert!(!user_namespaces(sysctl.path()));
        fs::write(sysctl.path().join("kernel/apparmor_restrict_unprivileged_userns"), "0\n").unwrap();
        fs::write(sysctl.path().join("kernel/unprivileged_userns_clone"), "0\n").unwrap();
        assert!(!user_namespaces(sysctl.path()));
        fs::write(sysctl.path().join("kernel/unprivileged_userns_clone"), "1\n").unwrap();
        fs::write(sysctl.path().join("user/max_user_namespaces"), "0\n").unwrap();
        assert!(!user_namespaces(sysctl.path()));
    }
}
