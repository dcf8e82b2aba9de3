//! What a package manager runs while it works: its packages' scripts, for which no digest is listed, and programs it unpacked a
//! moment ago, before the database was read again. Both lie where only root can put them; who could put one there and have the
//! manager run it is root already and needs no such detour.
//!
//! Such an execution is let through and reported like any other of an unknown file, unless the database settles it in the end; the
//! file itself earns no trust here.

use std::fs::File;

use doorward_policy::{Fit, PackageManager, PathBytes};

use super::executable;
use super::location::locate;
use super::mount::Mounts;
use super::outcome::Execution;
use super::process;
use crate::identify::{Identifier, NameClaim};
use crate::judge::Judge;
use crate::trust::transaction_holders;

/// Where dpkg keeps the scripts it runs, below the root.
const DPKG_FOLDERS: [&[u8]; 2] = [b"var/lib/dpkg/info/", b"var/lib/dpkg/tmp.ci/"];
/// What the scripts that rpm writes down before it runs them begin with. They lie in a folder for everybody, in which nobody can
/// replace another's file; that the file itself is root's alone is asked for besides.
const RPM_SCRIPTS: &[u8] = b"var/tmp/rpm-tmp.";
/// Packages whose programs are believed to be dpkg.
const DPKG_PACKAGES: [&str; 1] = ["dpkg"];
/// Packages whose programs take rpm's lock: rpm itself, and those that have its library in them. yum and the first dnf are Python's.
const RPM_PACKAGES: [&str; 10] =
    ["rpm", "dnf5", "dnf5daemon-server", "microdnf", "zypper", "PackageKit", "packagekit", "rpm-ostree", "python3", "platform-python"];
/// Processes between the manager and the script at most: frontends of debconf and shells.
const ANCESTORS_MAX: usize = 16;

/// Whether this execution is one of a package manager's. A script must be root's alone; a program's content is compared.
pub(super) fn is_of_package_manager(
    execution: &Execution,
    file: &File,
    only_root_writes: bool,
    judge: &Judge,
    identifier: &Identifier,
    mounts: &Mounts,
) -> bool {
    // SECURITY: what a signed archive brought is settled before anybody asks here; the rest has no business in a transaction.
    if judge.wants_signed_transactions() {
        return false;
    }
    let Some(path) = execution.location.proven().and_then(|path| judge.below_root(path)) else { return false };
    only_root_writes && is_its_script(execution, &path, judge, identifier, mounts)
        || !execution.user_writable_folder && is_its_program(execution.claim(), &path, file, judge, identifier)
}

/// Whether a manager, proven to be what its package brought, holds its lock.
pub(super) fn is_at_work(judge: &Judge, identifier: &Identifier, mounts: &Mounts) -> bool {
    transaction_holders(judge.trust().root()).any(|(manager, pid)| is_program_of(manager, pid, judge, identifier, mounts))
}

/// Whether a package that was unpacked since the databases were last read brought it.
fn is_its_program(claim: NameClaim, path: &PathBytes, file: &File, judge: &Judge, identifier: &Identifier) -> bool {
    let trust = judge.trust();
    let digests = || Some(identifier.file_as(file, claim, trust.wanted_of_unpacked(path), &|| false).ok()??.digests);
    trust.is_behind() && digests().is_some_and(|digests| trust.was_unpacked(path, &digests))
}

/// Whether a manager, proven to be what its package brought, holds its lock and runs this script of its own.
fn is_its_script(execution: &Execution, path: &PathBytes, judge: &Judge, identifier: &Identifier, mounts: &Mounts) -> bool {
    let below = path.as_bytes().strip_prefix(b"/").unwrap_or(path.as_bytes());
    let manager = if DPKG_FOLDERS.iter().any(|folder| below.starts_with(folder)) && !execution.user_writable_folder {
        PackageManager::Dpkg
    } else if below.strip_prefix(RPM_SCRIPTS).is_some_and(|rest| !rest.contains(&b'/')) {
        PackageManager::Rpm
    } else {
        return false;
    };
    let is_holder = |pid| is_descendant(execution, pid) && is_program_of(manager, pid, judge, identifier, mounts);
    execution.process.uid == Some(0) && transaction_holders(judge.trust().root()).any(|(holding, pid)| holding == manager && is_holder(pid))
}

fn is_descendant(execution: &Execution, ancestor: i32) -> bool {
    let mut pid = i32::try_from(execution.process.pid).unwrap_or(0);
    for _ in 0..ANCESTORS_MAX {
        if pid == ancestor {
            return true;
        }
        match process::parent(pid) {
            Some(parent) if parent > 1 => pid = parent,
            _ => return false,
        }
    }
    false
}

/// Whether the process runs a program of one of the manager's packages. rpm may itself have been installed by dpkg.
fn is_program_of(manager: PackageManager, pid: i32, judge: &Judge, identifier: &Identifier, mounts: &Mounts) -> bool {
    let proven = || {
        let program = executable::find(pid, mounts)?;
        let location = locate(&program, mounts);
        let path = location.proven()?;
        let known = identifier.file(&executable::open_for_reading(&program)?, path.file_name(), judge.wanted_digest(path), &|| false);
        judge.evidence(Some(path), &known.ok()??.digests).package
    };
    proven().is_some_and(|package| package.fit == Fit::Match && is_package_of(manager, package.manager, &package.name))
}

fn is_package_of(manager: PackageManager, installed_by: PackageManager, name: &str) -> bool {
    match manager {
        PackageManager::Dpkg => installed_by == manager && DPKG_PACKAGES.contains(&name),
        // `python3.11-minimal` and its like are the interpreter on hosts of both families.
        PackageManager::Rpm => RPM_PACKAGES.contains(&name) || name.starts_with("python3"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_is_believed_by_its_own_packages_alone() {
        let is = is_package_of;
        assert!(is(PackageManager::Dpkg, PackageManager::Dpkg, "dpkg") && !is(PackageManager::Dpkg, PackageManager::Rpm, "dpkg"));
        assert!(is(PackageManager::Rpm, PackageManager::Rpm, "rpm") && is(PackageManager::Rpm, PackageManager::Dpkg, "rpm"));
        assert!(
            is(PackageManager::Rpm, PackageManager::Rpm, "dnf5") && is(PackageManager::Rpm, PackageManager::Dpkg, "python3.11-minimal")
        );
        assert!(!is(PackageManager::Rpm, PackageManager::Rpm, "bash") && !is(PackageManager::Dpkg, PackageManager::Dpkg, "rpm"));
    }
}
