//! One generation of package trust: what every installed package claimed at one moment, whichever manager installed it.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use doorward_policy::{DigestAlgorithm, Fit, Level, PackageEvidence, PackageManager, PathBytes};

use super::claims::Claimed;
use super::register::Register;
use super::{Problems, TrustError, dpkg, rpm};
use crate::identify::Digests;

/// Immutable; share it by `Arc`. Packages are numbered through all registers.
#[derive(Debug, Clone, Default)]
pub struct PackageTrust {
    registers: Vec<Arc<Register>>,
}

/// The packages that own a path; usually one.
#[derive(Debug, Clone)]
pub struct Owner<'a> {
    /// Claims to the path, each with its register and the number of that register's first package.
    claims: Vec<(&'a Register, usize, &'a Claimed)>,
}

impl PackageTrust {
    /// Reads every database below `root`; `Ok(None)` when there is none. Faulty parts are counted in [`Self::problems`]; a
    /// database that is not whole is read as far as it goes ([`Self::incompleteness`]).
    ///
    /// # Errors
    /// When a database cannot be read, or will not stand still.
    pub fn load(root: &Path) -> Result<Option<Self>, TrustError> {
        let registers = [dpkg::load(root)?, rpm::load(root)?];
        let registers: Vec<_> = registers.into_iter().flatten().map(Arc::new).collect();
        Ok((!registers.is_empty()).then_some(Self { registers }))
    }

    /// One register by itself.
    pub(super) fn of(register: Arc<Register>) -> Self {
        Self { registers: vec![register] }
    }

    /// With this register in the place of the one of the same manager; `None` takes it out.
    pub(super) fn with(&self, manager: PackageManager, register: Option<Arc<Register>>) -> Option<Self> {
        let others = self.registers.iter().filter(|register| register.manager != manager).cloned();
        let mut registers: Vec<_> = others.chain(register).collect();
        registers.sort_by_key(|register| register.manager);
        (!registers.is_empty()).then_some(Self { registers })
    }

    pub(super) fn register(&self, manager: PackageManager) -> Option<&Arc<Register>> {
        self.registers.iter().find(|register| register.manager == manager)
    }

    /// Who owns an absolute path below the root; `None` when no package does.
    #[must_use]
    pub fn owner(&self, path: &PathBytes) -> Option<Owner<'_>> {
        let mut claims = Vec::new();
        let mut first = 0;
        for register in &self.registers {
            claims.extend(register.claims_to(path.as_bytes()).iter().map(|claim| (&**register, first, claim)));
            first += register.packages.len();
        }
        (!claims.is_empty()).then_some(Owner { claims })
    }

    /// Where a path relative to the root really lies, by dpkg's word when it has one.
    #[must_use]
    pub(super) fn place<'a>(&self, path: &'a [u8]) -> Cow<'a, [u8]> {
        self.of_dpkg().map_or(Cow::Borrowed(path), |register| register.place(path))
    }

    /// Packages of dpkg with files in place, as it writes them, and their versions.
    pub fn installed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of_dpkg().into_iter().flat_map(|register| &register.packages).map(|package| (&*package.name, &*package.version))
    }

    fn of_dpkg(&self) -> Option<&Register> {
        self.registers.iter().map(|register| &**register).find(|register| register.manager == PackageManager::Dpkg)
    }

    /// The algorithm in which a package lists this path's digest, where that has to be taken for it: SHA-256 always is.
    /// Of several the first; hardly any path has two.
    #[must_use]
    pub fn wanted_digest(&self, path: &PathBytes) -> Option<DigestAlgorithm> {
        self.owner(path).and_then(|owner| owner.wanted_digest())
    }

    /// What packages say of the file at `path` with these digests.
    #[must_use]
    pub fn evidence(&self, path: &PathBytes, digests: &Digests) -> Option<PackageEvidence> {
        let (package, fit) = self.owner(path)?.fit(digests);
        Some(self.describe(package, fit))
    }

    /// The evidence that a package of [`Owner::fit`] gives.
    ///
    /// # Panics
    /// When `package` is not of this generation.
    #[must_use]
    pub fn describe(&self, package: usize, fit: Fit) -> PackageEvidence {
        let mut number = package;
        let mut registers = self.registers.iter();
        let register = registers.find(|register| {
            let is_of_it = number < register.packages.len();
            number -= if is_of_it { 0 } else { register.packages.len() };
            is_of_it
        });
        let register = register.expect("packages are numbered through all registers");
        let package = &register.packages[number];
        PackageEvidence {
            manager: register.manager,
            name: package.name.to_string(),
            version: package.version.to_string(),
            origin: package.origin.to_string(),
            level: Level::Database,
            fit,
        }
    }

    /// Faults met while reading this manager's database; `None` where there is none.
    #[must_use]
    pub fn problems(&self, manager: PackageManager) -> Option<&Problems> {
        self.register(manager).map(|register| &register.problems)
    }

    /// What a database lacks, in words, when it is not whole: left so by a crash, or caught in the middle.
    #[must_use]
    pub fn incompleteness(&self) -> Option<&'static str> {
        self.registers.iter().find_map(|register| register.incompleteness)
    }

    /// Packages with files in place.
    #[must_use]
    pub fn packages(&self) -> usize {
        self.registers.iter().map(|register| register.packages.len()).sum()
    }

    /// Claims to paths.
    #[must_use]
    pub fn paths(&self) -> usize {
        self.registers.iter().map(|register| register.paths()).sum()
    }
}

impl Owner<'_> {
    /// See [`PackageTrust::wanted_digest`].
    #[must_use]
    pub fn wanted_digest(&self) -> Option<DigestAlgorithm> {
        let mut algorithms = self.claims.iter().filter_map(|(.., claim)| Some(claim.listed()?.algorithm()));
        algorithms.find(|algorithm| *algorithm != DigestAlgorithm::Sha256)
    }

    /// Whether one of the packages lists a digest for the path, of whatever algorithm.
    #[must_use]
    pub fn lists_digest(&self) -> bool {
        self.claims.iter().any(|(.., claim)| claim.listed().is_some())
    }

    /// Whether some package put a file with these digests there.
    #[must_use]
    pub fn is_match(&self, digests: &Digests) -> bool {
        self.fit(digests).1 == Fit::Match
    }

    /// The package that speaks for the path, by its number in the generation, and whether a file with these digests is what it
    /// put there. A package that its manager is in the middle of changing calls nothing modified.
    #[must_use]
    pub fn fit(&self, digests: &Digests) -> (usize, Fit) {
        let same = |claim: &Claimed| claim.listed().and_then(|listed| Some(digests.of(listed.algorithm())? == listed));
        if let Some((_, first, claim)) = self.claims.iter().find(|(.., claim)| same(claim) == Some(true)) {
            return (first + claim.package(), Fit::Match);
        }
        let differs = |(register, _, claim): &&(&Register, usize, &Claimed)| {
            same(claim) == Some(false) && !register.packages[claim.package()].in_flux
        };
        match self.claims.iter().find(differs) {
            Some((_, first, claim)) => (first + claim.package(), Fit::Modified),
            None => (self.claims.first().map_or(0, |(_, first, claim)| first + claim.package()), Fit::NoDigest),
        }
    }
}
