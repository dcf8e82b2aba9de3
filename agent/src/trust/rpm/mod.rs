//! rpm's database as a register, read without ever taking or breaking one of rpm's locks.
//!
//! [`folder`] finds the database and tells which of rpm's formats it is in, [`snapshot`] gives its headers out as they stood
//! at one moment, [`keyring`] checks their signatures, and this file turns headers into claims. MD5 and SHA-1 count only in
//! headers that a key of rpm's keyring has signed: anybody can make two files with one such digest, and one of them may have
//! been packaged. Ghosts, files without a digest and files whose digest the package does not want verified prove nothing;
//! a file that another package replaced, or that was never installed, is not claimed at all.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;

use doorward_formats::dpkg::UsrMerge;
use doorward_formats::rpm::{FileState, Header, Package, PackagedFile};
use doorward_policy::{ListedDigest, PackageManager};

use super::register::{Draft, PackageName, Register};
use super::{TrustError, database};

#[cfg(test)]
pub(crate) mod fixture;
mod folder;
mod keyring;
mod newer;
mod snapshot;
mod sqlite;
#[cfg(test)]
mod tests;

pub(super) use folder::{FOLDERS, is_noise};
pub(super) use newer::Newer;
pub(super) use snapshot::Stamp;

use folder::Place;
use keyring::Keyring;

/// Readings of a database that changes meanwhile before giving up until its next change.
const READ_ATTEMPTS_MAX: u32 = 3;

/// What was read, and of which state.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) register: Register,
    pub(super) stamp: Stamp,
    /// The number of the newest package.
    pub(super) newest: u32,
}

/// Reads the database below `root`; `Ok(None)` when there is none.
pub(super) fn load(root: &Path) -> Result<Option<Register>, TrustError> {
    load_newer(root, 0).map(|loaded| loaded.map(|loaded| loaded.register))
}

/// Reads what was installed after the package of this number; all of it after 0.
pub(super) fn load_newer(root: &Path, newer_than: u32) -> Result<Option<Loaded>, TrustError> {
    let Some(place) = Place::find(root) else { return Ok(None) };
    let usr_merge = database::usr_merge(root);
    let mut last = TrustError::Unsettled;
    for _ in 0..READ_ATTEMPTS_MAX {
        let stamp = place.stamp();
        let read = Reading::default().read(&place, newer_than);
        if place.stamp() != stamp {
            last = TrustError::Unsettled;
            continue;
        }
        match read {
            Ok(reading) => {
                let newest = reading.newest;
                return Ok(Some(Loaded { register: reading.finish(usr_merge), stamp, newest }));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Gives out every file with a digest, whoever signed its package: for checking what changed, not for trusting what did not.
pub(super) fn each_digest(root: &Path, mut give: impl FnMut(&[u8], &PackagedFile<'_>, ListedDigest)) -> Result<bool, TrustError> {
    let Some(place) = Place::find(root) else { return Ok(false) };
    let usr_merge = database::usr_merge(root);
    let mut path = Vec::new();
    place.each(0, |_, blob| {
        let Ok(package) = Header::new(blob).and_then(Package::of) else { return ControlFlow::Continue(()) };
        for file in package.files().into_iter().flatten().flatten() {
            let is_whole = file.is_regular && !file.is_ghost && !file.is_config && file.is_verified && file.state == FileState::Normal;
            if let Some(digest) = file.digest.filter(|_| is_whole && file.path_into(&mut path)) {
                give(&usr_merge.canonical(&path), &file, digest);
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(true)
}

/// Headers being turned into claims.
#[derive(Default)]
struct Reading {
    draft: Draft,
    keyring: Keyring,
    /// Packages whose digests count only if their headers are properly signed. The keys may come after them.
    in_doubt: HashSet<u32>,
    newest: u32,
}

impl Reading {
    fn read(mut self, place: &Place, newer_than: u32) -> Result<Self, TrustError> {
        place.each(newer_than, |number, blob| {
            self.newest = self.newest.max(number);
            self.take(number, blob);
            ControlFlow::Continue(())
        })?;
        if self.in_doubt.is_empty() {
            return Ok(self);
        }
        if newer_than > 0 {
            place.each(0, |_, blob| {
                self.keyring.take(blob);
                ControlFlow::Continue(())
            })?;
        }
        place.each(newer_than, |number, blob| {
            if self.in_doubt.contains(&number) {
                self.take_doubted(blob);
            }
            ControlFlow::Continue(())
        })?;
        Ok(self)
    }

    fn take(&mut self, number: u32, blob: &[u8]) {
        let package = match Header::new(blob).and_then(Package::of) {
            Ok(package) => package,
            Err(fault) => return self.draft.problems.note("header", &format!("header {number}"), fault),
        };
        if package.is_key() {
            self.keyring.take_key(&package);
        } else if lists_broken_digests(&package) {
            self.in_doubt.insert(number);
        } else {
            self.claim(&package, true);
        }
    }

    fn take_doubted(&mut self, blob: &[u8]) {
        if let Ok(package) = Header::new(blob).and_then(Package::of) {
            let is_signed = self.keyring.signer(&package).is_some();
            self.claim(&package, is_signed);
        }
    }

    /// Adds a package with its claims; with its digests only when they count.
    fn claim(&mut self, package: &Package<'_>, digests_count: bool) {
        let name = String::from_utf8_lossy(package.name);
        let files = match package.files() {
            Ok(files) => files,
            Err(fault) => return self.draft.problems.note("files", &format!("files of {}", printable(&name)), fault),
        };
        let mut links: HashMap<(u64, u64), ListedDigest> = HashMap::new();
        let mut path = Vec::new();
        for file in files {
            let file = match file {
                Ok(file) => file,
                Err(fault) => {
                    self.draft.problems.note("files", &format!("files of {}", printable(&name)), fault);
                    break;
                }
            };
            if !file.is_regular || file.state != FileState::Normal || !file.path_into(&mut path) {
                continue;
            }
            // Names of one file have one content; packages of old list its digest with one of them only.
            let own = file.digest.filter(|_| !file.is_ghost);
            let digest = match (own, file.link.filter(|_| !file.is_ghost)) {
                (Some(digest), Some(link)) => Some(*links.entry(link).or_insert(digest)),
                (Some(digest), None) => Some(digest),
                (None, link) => link.and_then(|link| links.get(&link).copied()),
            };
            self.draft.claim(&path, digest.filter(|_| digests_count && file.is_verified));
        }
        self.draft.add(PackageName::new(&name, &version(package), &String::from_utf8_lossy(package.vendor), false));
    }

    fn finish(self, usr_merge: UsrMerge) -> Register {
        let counts = self.draft.problems.counts();
        let is_damaged = counts.contains_key("header") || counts.contains_key("files");
        self.draft.finish(PackageManager::Rpm, usr_merge, is_damaged.then_some("headers of packages are damaged"))
    }
}

/// The first digest tells for all: a header names one algorithm.
fn lists_broken_digests(package: &Package<'_>) -> bool {
    let mut digests = package.files().into_iter().flatten().flatten().filter_map(|file| file.digest);
    digests.next().is_some_and(|digest| digest.algorithm().is_broken())
}

/// `EPOCH:VERSION-RELEASE`, as rpm compares it; an epoch of 0 is left out.
fn version(package: &Package<'_>) -> String {
    let (version, release) = (String::from_utf8_lossy(package.version), String::from_utf8_lossy(package.release));
    if package.epoch > 0 { format!("{}:{version}-{release}", package.epoch) } else { format!("{version}-{release}") }
}

fn printable(name: &str) -> String {
    name.chars().take(64).map(|letter| if letter.is_ascii_graphic() { letter } else { '?' }).collect()
}
