//! How many files each package settled, without naming any of them.

use doorward_policy::{Fit, PackageEvidence};

use crate::trust::PackageTrust;

/// One package's share of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageCount {
    /// The package; its fit is [`Fit::Match`] when it settled any file.
    pub package: PackageEvidence,
    /// Files it settled.
    pub files: u64,
    /// Files at its paths that hold something else.
    pub modified: u64,
}

/// Counts by package, in one thread or in all.
#[derive(Debug, Default)]
pub(super) struct Inventory(Vec<(u64, u64)>);

impl Inventory {
    pub(super) fn count(&mut self, package: usize, settled: bool, fit: Fit) {
        let counts = self.of(package);
        counts.0 += u64::from(settled);
        counts.1 += u64::from(fit == Fit::Modified);
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (package, (files, modified)) in other.0.iter().enumerate() {
            let counts = self.of(package);
            counts.0 += files;
            counts.1 += modified;
        }
    }

    /// Packages that were met, in the order of the generation.
    pub(super) fn packages(&self, trust: &PackageTrust) -> Vec<PackageCount> {
        let met = self.0.iter().enumerate().filter(|(_, counts)| **counts != (0, 0));
        met.map(|(package, (files, modified))| {
            let fit = if *files > 0 { Fit::Match } else { Fit::Modified };
            PackageCount { package: trust.describe(package, fit), files: *files, modified: *modified }
        })
        .collect()
    }

    fn of(&mut self, package: usize) -> &mut (u64, u64) {
        if self.0.len() <= package {
            self.0.resize(package + 1, (0, 0));
        }
        &mut self.0[package]
    }
}
