//! What the package manager runs while it works: its packages' scripts, for which dpkg lists no digest, and programs it unpacked a
//! moment ago, before the database was read again. Both lie where only root can put them; who could put one there and have dpkg run
//! it is root already and needs no such detour.
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
use crate::identify::Identifier;
use crate::judge::Judge;
use crate::trust::transaction_holder;

/// Where dpkg keeps the scripts it runs, below the root.
const FOLDERS: [&[u8]; 2] = [b"var/lib/dpkg/info/", b"var/lib/dpkg/tmp.ci/"];
/// The package whose programs are believed to be the package manager.
const PACKAGE: &str = "dpkg";
/// Processes between dpkg and the script at most: frontends of debconf and shells.
const ANCESTORS_MAX: usize = 16;

/// Whether this execution is one of the package manager's. A script must be root's alone; a program's content is compared.
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
    !execution.user_writable_folder
        && (only_root_writes && is_its_script(execution, &path, judge, identifier, mounts)
            || is_its_program(&path, file, judge, identifier))
}

/// Whether a package that was unpacked since the database was last read brought it.
fn is_its_program(path: &PathBytes, file: &File, judge: &Judge, identifier: &Identifier) -> bool {
    let md5 = || identifier.file(file, path.file_name(), true, &|| false).ok()??.digests.md5;
    judge.trust().is_behind() && md5().is_some_and(|md5| judge.trust().was_unpacked(path, &md5))
}

/// Whether dpkg, proven to be what its package brought, holds its lock and runs this script of its own.
fn is_its_script(execution: &Execution, path: &PathBytes, judge: &Judge, identifier: &Identifier, mounts: &Mounts) -> bool {
    let below = path.as_bytes().strip_prefix(b"/").unwrap_or(path.as_bytes());
    if !FOLDERS.iter().any(|folder| below.starts_with(folder)) || execution.process.uid != Some(0) {
        return false;
    }
    let Some(holder) = transaction_holder(judge.trust().root()) else { return false };
    is_descendant(execution, holder) && is_package_manager(holder, judge, identifier, mounts)
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

fn is_package_manager(pid: i32, judge: &Judge, identifier: &Identifier, mounts: &Mounts) -> bool {
    let proven = || {
        let program = executable::find(pid, mounts)?;
        let known = identifier.file(&executable::open_for_reading(&program)?, PACKAGE.as_bytes(), true, &|| false).ok()??;
        judge.evidence(locate(&program, mounts).proven(), &known.digests).package
    };
    proven().is_some_and(|package| package.manager == PackageManager::Dpkg && package.name == PACKAGE && package.fit == Fit::Match)
}
