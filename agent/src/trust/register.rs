//! What one package manager's database claimed at one moment. Immutable, compact, and the same whichever manager it is of.

use std::borrow::Cow;

use doorward_formats::dpkg::UsrMerge;
use doorward_policy::evidence::SOURCE_NAME_BYTES_MAX;
use doorward_policy::{ListedDigest, PackageManager};

use super::Problems;
use super::claims::{Claimed, Claims};

/// One manager's claims and the packages they are of.
#[derive(Debug)]
pub(super) struct Register {
    pub(super) manager: PackageManager,
    pub(super) packages: Vec<PackageName>,
    pub(super) problems: Problems,
    /// What the database lacks, in words, when it is not whole.
    pub(super) incompleteness: Option<&'static str>,
    claims: Claims,
    usr_merge: UsrMerge,
}

/// What evidence says of a package.
#[derive(Debug)]
pub(super) struct PackageName {
    pub(super) name: Box<str>,
    pub(super) version: Box<str>,
    pub(super) origin: Box<str>,
    /// Files of two versions may lie side by side, so that a digest that does not fit proves nothing.
    pub(super) in_flux: bool,
}

impl PackageName {
    /// Texts are cut to what evidence may hold.
    pub(super) fn new(name: &str, version: &str, origin: &str, in_flux: bool) -> Self {
        Self { name: bounded(name), version: bounded(version), origin: bounded(origin), in_flux }
    }
}

impl Register {
    pub(super) fn paths(&self) -> usize {
        self.claims.len()
    }

    /// Where a path relative to the root really lies.
    pub(super) fn place<'a>(&self, path: &'a [u8]) -> Cow<'a, [u8]> {
        self.usr_merge.canonical(path)
    }

    /// Claims to an absolute path below the root.
    pub(super) fn claims_to(&self, path: &[u8]) -> &[Claimed] {
        self.claims.to(&self.place(path.strip_prefix(b"/").unwrap_or(path)))
    }
}

/// A register in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) problems: Problems,
    claims: Vec<Claimed>,
    packages: Vec<PackageName>,
}

impl Draft {
    /// A claim of the package that is added next, to a path relative to the root, where the file really lies.
    pub(super) fn claim(&mut self, path: &[u8], digest: Option<ListedDigest>) {
        self.claims.push(Claimed::new(path, self.packages.len(), digest));
    }

    /// Ends a package whose claims have been made.
    pub(super) fn add(&mut self, package: PackageName) {
        self.packages.push(package);
    }

    pub(super) fn finish(self, manager: PackageManager, usr_merge: UsrMerge, incompleteness: Option<&'static str>) -> Register {
        let Self { problems, claims, packages } = self;
        Register { manager, packages, problems, incompleteness, claims: Claims::new(claims), usr_merge }
    }
}

/// Cut at a character's edge.
fn bounded(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(SOURCE_NAME_BYTES_MAX)].into()
}
