//! dpkg's database as a stream of claims: this package says that this path is its own and holds this digest.
//!
//! A path is a package's when its `.list` says so: after another package took a file over, the old owner's `.md5sums` still
//! names it. What packages call `/bin/x` on a merged `/usr` and what was diverted come out under the name at which the file
//! really lies. Changes that dpkg noted under `updates/` and has not merged into `status` yet are taken in.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use doorward_formats::dpkg::{Conffile, Diversion, Diversions, Flag, List, Md5sums, Package, State, Status, UsrMerge};
use doorward_policy::Md5;

use super::read::{self, INFO_BYTES_MAX, STATUS_BYTES_MAX};
use super::{Problems, TrustError};

/// Where dpkg keeps it, below the root.
pub(super) const FOLDER: &str = "var/lib/dpkg";

/// Files under `updates/` taken in; dpkg merges them into `status` long before.
const UPDATES_MAX: usize = 1000;

/// The files that describe all packages, read into memory.
pub(super) struct Database {
    folder: PathBuf,
    status: Vec<u8>,
    updates: Vec<Vec<u8>>,
    diversions: Vec<u8>,
    usr_merge: UsrMerge,
}

/// One path a package claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim<'a> {
    /// Relative to the root, where the file really lies.
    pub(super) path: &'a [u8],
    /// `None` where the package lists none.
    pub(super) md5: Option<Md5>,
    /// Its administrator may change it.
    pub(super) is_conffile: bool,
}

impl Database {
    /// Reads what describes all packages; `Ok(None)` when the root has no dpkg database.
    pub(super) fn open(root: &Path) -> Result<Option<Self>, TrustError> {
        let folder = root.join(FOLDER);
        let mut status = Vec::new();
        if !read::whole(&folder.join("status"), STATUS_BYTES_MAX, &mut status)? {
            return Ok(None);
        }
        let mut diversions = Vec::new();
        read::whole(&folder.join("diversions"), INFO_BYTES_MAX, &mut diversions)?;
        let updates = updates(&folder.join("updates"))?;
        Ok(Some(Self { status, updates, diversions, usr_merge: usr_merge(root), folder }))
    }

    /// Whether the status file was cut short, or says nothing at all: dpkg ends every stanza with an empty line.
    pub(super) fn incompleteness(&self) -> Option<&'static str> {
        match &*self.status {
            [] => Some("the status file is empty"),
            [.., b'\n', b'\n'] => None,
            _ => Some("the status file ends in the middle of a package"),
        }
    }

    pub(super) const fn usr_merge(&self) -> UsrMerge {
        self.usr_merge
    }

    /// Packages with files in place, by name and architecture.
    pub(super) fn packages(&self, problems: &mut Problems) -> Vec<Package<'_>> {
        let mut packages = BTreeMap::new();
        let texts = std::iter::once(("status", &self.status)).chain(self.updates.iter().map(|text| ("updates", text)));
        for (file, text) in texts {
            for item in Status::new(text) {
                match item {
                    Ok(package) => drop(packages.insert((package.name, package.architecture), package)),
                    Err(problem) => problems.note(file, file, problem),
                }
            }
        }
        packages.into_values().filter(has_files).collect()
    }

    /// Reads every diversion.
    pub(super) fn diversions(&self, problems: &mut Problems) -> Diverted<'_> {
        let mut by_path = HashMap::new();
        for item in Diversions::new(&self.diversions) {
            match item {
                Ok(diversion) => drop(by_path.insert(self.usr_merge.canonical(diversion.from).into_owned(), diversion)),
                Err(problem) => problems.note("diversions", "diversions", problem),
            }
        }
        Diverted { by_path, usr_merge: self.usr_merge }
    }

    /// Reads one package's lists.
    pub(super) fn lists(&self, package: &Package<'_>, lists: &mut Lists, problems: &mut Problems) {
        let stem = package.info_stem();
        let info = self.folder.join("info");
        for (kind, text) in [("list", &mut lists.list), ("md5sums", &mut lists.md5sums)] {
            let file = format!("{stem}.{kind}");
            // Packages without digests of their own are lawful, packages without a list are not.
            match read::whole(&info.join(&file), INFO_BYTES_MAX, text) {
                Ok(found) => {
                    if !found && kind == "list" {
                        problems.note(kind, &file, "missing");
                    }
                }
                Err(error) => problems.note(kind, &file, error),
            }
        }
    }
}

/// Whether dpkg has put files of this package in place. What a removed package left behind belongs to nobody.
fn has_files(package: &Package<'_>) -> bool {
    !matches!(package.state, State::NotInstalled | State::ConfigFiles)
}

/// Whether files of two versions may lie side by side, so that a digest that does not fit proves nothing.
pub(super) fn is_in_flux(package: &Package<'_>) -> bool {
    package.state == State::HalfInstalled || package.flag == Flag::ReinstallRequired
}

/// One package's lists, to be read into again and again.
#[derive(Default)]
pub(super) struct Lists {
    list: Vec<u8>,
    md5sums: Vec<u8>,
}

impl Lists {
    /// Gives out every claim of the package they were read for. Directories are left out as far as the list itself shows
    /// them, by something listed below them.
    pub(super) fn claims(&self, package: &Package<'_>, diverted: &Diverted<'_>, problems: &mut Problems, mut give: impl FnMut(Claim<'_>)) {
        let stem = package.info_stem();
        let mut digests: HashMap<&[u8], Md5> = HashMap::new();
        for item in Md5sums::new(&self.md5sums) {
            match item {
                Ok(sum) => drop(digests.insert(sum.path, sum.md5)),
                Err(problem) => problems.note("md5sums", &format!("{stem}.md5sums"), problem),
            }
        }
        let mut conffiles: HashMap<&[u8], Conffile<'_>> = HashMap::new();
        for item in package.conffiles() {
            match item {
                Ok(conffile) => drop((!conffile.obsolete).then(|| conffiles.insert(conffile.path, conffile))),
                Err(problem) => problems.note("conffiles", &format!("Conffiles of {stem}"), problem),
            }
        }
        let mut list = List::new(&self.list)
            .filter_map(|item| item.inspect_err(|problem| problems.note("list", &format!("{stem}.list"), problem)).ok())
            .peekable();
        while let Some(path) = list.next() {
            if list.peek().is_some_and(|next| is_below(next, path)) {
                continue;
            }
            let conffile = conffiles.get(path);
            let md5 = conffile.and_then(|conffile| conffile.md5).or_else(|| digests.get(path).copied());
            diverted.place(package.name, path, |path| give(Claim { path, md5, is_conffile: conffile.is_some() }));
        }
    }
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// Where packages' files really lie.
pub(super) struct Diverted<'a> {
    by_path: HashMap<Vec<u8>, Diversion<'a>>,
    usr_merge: UsrMerge,
}

impl Diverted<'_> {
    fn place(&self, package: &str, path: &[u8], give: impl FnOnce(&[u8])) {
        let path = self.usr_merge.canonical(path);
        match self.by_path.get(&*path).filter(|diversion| diversion.diverts(package)) {
            Some(diversion) => give(&self.usr_merge.canonical(diversion.to)),
            None => give(&path),
        }
    }
}

/// The journal's files in the order in which dpkg wrote them: their names are numbers.
fn updates(folder: &Path) -> Result<Vec<Vec<u8>>, TrustError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let is_number = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).filter(is_number).take(UPDATES_MAX).collect();
    names.sort_unstable();
    names
        .iter()
        .map(|name| {
            let mut text = Vec::new();
            read::whole(&folder.join(name), STATUS_BYTES_MAX, &mut text).map(|_| text)
        })
        .collect()
}

/// Which top folders of the root are links to the one of the same name under `usr`.
pub(super) fn usr_merge(root: &Path) -> UsrMerge {
    let is_merged = |top: &&&[u8]| {
        let Ok(top) = str::from_utf8(top) else { return false };
        let Ok(target) = fs::read_link(root.join(top)) else { return false };
        let target = target.strip_prefix("/").unwrap_or(&target);
        target == Path::new("usr").join(top)
    };
    UsrMerge::of(UsrMerge::tops().iter().filter(is_merged).copied())
}
