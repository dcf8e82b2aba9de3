//! One generation of package trust: what every installed package claimed at one moment.

use std::borrow::Cow;
use std::path::Path;

use doorward_formats::dpkg::UsrMerge;
use doorward_policy::evidence::SOURCE_NAME_BYTES_MAX;
use doorward_policy::{Fit, Level, Md5, PackageEvidence, PackageManager, PathBytes};

use super::claims::{Claimed, Claims};
use super::database::{self, Database, Lists};
use super::read::Stamp;
use super::{Problems, TrustError};

/// Readings of a database that changes meanwhile before giving up until its next change.
const READ_ATTEMPTS_MAX: u32 = 3;

/// Immutable; share it by `Arc`.
#[derive(Debug)]
pub struct PackageTrust {
    claims: Claims,
    packages: Vec<PackageName>,
    usr_merge: UsrMerge,
    problems: Problems,
    incompleteness: Option<&'static str>,
}

/// What evidence says of a package.
#[derive(Debug)]
struct PackageName {
    name: Box<str>,
    version: Box<str>,
    origin: Box<str>,
    in_flux: bool,
}

/// The packages that own a path; usually one.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    trust: &'a PackageTrust,
    claims: &'a [Claimed],
}

impl PackageTrust {
    /// Reads the database below `root`; `Ok(None)` when there is none. Faulty lines are counted in [`Self::problems`]; a
    /// database that is not whole is read as far as it goes ([`Self::incompleteness`]).
    ///
    /// # Errors
    /// When its main files cannot be read, or will not stand still.
    pub fn load(root: &Path) -> Result<Option<Self>, TrustError> {
        let folder = root.join(database::FOLDER);
        for _ in 0..READ_ATTEMPTS_MAX {
            let before = Stamp::of(&folder);
            let trust = Database::open(root)?.map(|database| Self::read(&database));
            if Stamp::of(&folder) == before {
                return Ok(trust);
            }
        }
        Err(TrustError::Unsettled)
    }

    fn read(database: &Database) -> Self {
        let mut problems = Problems::default();
        let diverted = database.diversions(&mut problems);
        let (mut claims, mut packages, mut lists) = (Vec::new(), Vec::new(), Lists::default());
        for package in database.packages(&mut problems) {
            database.lists(&package, &mut lists, &mut problems);
            lists.claims(&package, &diverted, &mut problems, |claim| claims.push(Claimed::new(claim.path, packages.len(), claim.md5)));
            packages.push(PackageName {
                name: bounded(&package.info_stem()),
                version: bounded(package.version),
                origin: bounded(&String::from_utf8_lossy(package.origin.unwrap_or_default())),
                in_flux: database::is_in_flux(&package),
            });
        }
        let incompleteness = database
            .incompleteness()
            .or_else(|| problems.counts().contains_key("list").then_some("lists of packages are missing or damaged"));
        Self { claims: Claims::new(claims), packages, usr_merge: database.usr_merge(), problems, incompleteness }
    }

    /// Who owns an absolute path below the root; `None` when no package does.
    #[must_use]
    pub fn owner(&self, path: &PathBytes) -> Option<Owner<'_>> {
        let path = path.as_bytes();
        let path = self.usr_merge.canonical(path.strip_prefix(b"/").unwrap_or(path));
        let claims = self.claims.to(&path);
        (!claims.is_empty()).then_some(Owner { trust: self, claims })
    }

    /// Where a path relative to the root really lies.
    #[must_use]
    pub(super) fn place<'a>(&self, path: &'a [u8]) -> Cow<'a, [u8]> {
        self.usr_merge.canonical(path)
    }

    /// Packages with files in place, as dpkg writes them, and their versions.
    pub fn installed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.packages.iter().map(|package| (&*package.name, &*package.version))
    }

    /// Whether a package lists a digest for this path, so that MD5 is worth taking.
    #[must_use]
    pub fn lists_digest(&self, path: &PathBytes) -> bool {
        self.owner(path).is_some_and(|owner| owner.lists_digest())
    }

    /// What packages say of the file at `path` with this MD5.
    #[must_use]
    pub fn evidence(&self, path: &PathBytes, md5: Option<&Md5>) -> Option<PackageEvidence> {
        let (package, fit) = self.owner(path)?.fit(md5);
        Some(self.describe(package, fit))
    }

    /// The evidence that a package of [`Owner::fit`] gives.
    ///
    /// # Panics
    /// When `package` is not of this generation.
    #[must_use]
    pub fn describe(&self, package: usize, fit: Fit) -> PackageEvidence {
        let PackageName { name, version, origin, .. } = &self.packages[package];
        PackageEvidence {
            manager: PackageManager::Dpkg,
            name: name.to_string(),
            version: version.to_string(),
            origin: origin.to_string(),
            level: Level::Database,
            fit,
        }
    }

    /// Faults met while reading.
    #[must_use]
    pub const fn problems(&self) -> &Problems {
        &self.problems
    }

    /// What the database lacks, in words, when it is not whole: left so by a crash, or caught in the middle.
    #[must_use]
    pub const fn incompleteness(&self) -> Option<&'static str> {
        self.incompleteness
    }

    /// Packages with files in place.
    #[must_use]
    pub const fn packages(&self) -> usize {
        self.packages.len()
    }

    /// Claims to paths.
    #[must_use]
    pub const fn paths(&self) -> usize {
        self.claims.len()
    }
}

impl Owner<'_> {
    /// Whether one of the packages lists a digest for the path.
    #[must_use]
    pub fn lists_digest(&self) -> bool {
        self.claims.iter().any(|claim| claim.md5().is_some())
    }

    /// The package that speaks for the path, by its index in the generation, and whether a file with this MD5 is what it put
    /// there. A package that dpkg is in the middle of changing calls nothing modified.
    #[must_use]
    pub fn fit(&self, md5: Option<&Md5>) -> (usize, Fit) {
        if let Some(claim) = self.claims.iter().find(|claim| md5.is_some() && claim.md5().as_ref() == md5) {
            return (claim.package(), Fit::Match);
        }
        let is_firm = |claim: &&Claimed| md5.is_some() && claim.md5().is_some() && !self.trust.packages[claim.package()].in_flux;
        match self.claims.iter().find(is_firm) {
            Some(claim) => (claim.package(), Fit::Modified),
            None => (self.claims.first().map_or(0, Claimed::package), Fit::NoDigest),
        }
    }
}

/// Cut to what evidence may hold, at a character's edge.
fn bounded(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(SOURCE_NAME_BYTES_MAX)].into()
}
