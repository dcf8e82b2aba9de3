//! dpkg's database as a register.

use std::path::Path;

use doorward_policy::{ListedDigest, PackageManager, PathBytes};

use super::database::{self, Database, Lists};
use super::read::Stamp;
use super::register::{Draft, PackageName, Register};
use super::{Problems, TrustError};

/// Readings of a database that changes meanwhile before giving up until its next change.
const READ_ATTEMPTS_MAX: u32 = 3;

/// Reads the database below `root`; `Ok(None)` when there is none.
pub(super) fn load(root: &Path) -> Result<Option<Register>, TrustError> {
    let folder = root.join(database::FOLDER);
    for _ in 0..READ_ATTEMPTS_MAX {
        let before = Stamp::of(&folder);
        let register = Database::open(root)?.map(|database| read(&database));
        if Stamp::of(&folder) == before {
            return Ok(register);
        }
    }
    Err(TrustError::Unsettled)
}

fn read(database: &Database) -> Register {
    let mut draft = Draft::default();
    let diverted = database.diversions(&mut draft.problems);
    let mut lists = Lists::default();
    for package in database.packages(&mut draft.problems) {
        database.lists(&package, &mut lists, &mut draft.problems);
        let mut problems = std::mem::take(&mut draft.problems);
        lists.claims(&package, &diverted, &mut problems, |claim| draft.claim(claim.path, claim.md5.map(ListedDigest::from)));
        draft.problems = problems;
        let origin = String::from_utf8_lossy(package.origin.unwrap_or_default());
        draft.add(PackageName::new(&package.info_stem(), package.version, &origin, database::is_in_flux(&package)));
    }
    let incompleteness = database
        .incompleteness()
        .or_else(|| draft.problems.counts().contains_key("list").then_some("lists of packages are missing or damaged"));
    draft.finish(PackageManager::Dpkg, database.usr_merge(), incompleteness)
}

/// Absolute paths that one package claims; `None` when they cannot be told.
pub(super) fn paths_of(root: &Path, name: &str) -> Option<Vec<PathBytes>> {
    let database = Database::open(root).ok()??;
    let mut problems = Problems::default();
    let (diverted, mut lists, mut paths) = (database.diversions(&mut problems), Lists::default(), Vec::new());
    for package in database.packages(&mut problems).iter().filter(|package| package.info_stem() == name) {
        database.lists(package, &mut lists, &mut problems);
        lists.claims(package, &diverted, &mut problems, |claim| paths.push(PathBytes::new([b"/", claim.path].concat())));
    }
    problems.counts().is_empty().then_some(paths)
}
