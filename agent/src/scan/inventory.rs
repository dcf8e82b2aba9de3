//! How many files each package and publisher settled, without naming any of them.

use std::collections::BTreeMap;

use doorward_policy::{Fit, PublisherEvidence, Sha256};
use doorward_proto::limit::INVENTORY_SOURCES_MAX;
use doorward_proto::report::Source;

use crate::trust::PackageTrust;

/// One source's share of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceCount {
    /// The source; a package's fit is [`Fit::Match`] when it settled any file.
    pub source: Source,
    /// Files it settled.
    pub files: u64,
    /// Files at its paths that hold something else.
    pub modified: u64,
}

/// Counts by source, in one thread or in all.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// By the package's index in the generation.
    packages: Vec<(u64, u64)>,
    publishers: BTreeMap<Sha256, (PublisherEvidence, u64)>,
}

impl Inventory {
    pub(super) fn count(&mut self, package: usize, settled: bool, fit: Fit) {
        let counts = self.of(package);
        counts.0 += u64::from(settled);
        counts.1 += u64::from(fit == Fit::Modified);
    }

    /// A file that its publisher settled; beyond the inventory's bound further publishers are not counted.
    pub(super) fn count_publisher(&mut self, publisher: &PublisherEvidence, files: u64) {
        if let Some((_, count)) = self.publishers.get_mut(&publisher.fingerprint) {
            *count += files;
        } else if self.publishers.len() < INVENTORY_SOURCES_MAX {
            self.publishers.insert(publisher.fingerprint, (publisher.clone(), files));
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        other.publishers.values().for_each(|(publisher, files)| self.count_publisher(publisher, *files));
        for (package, (files, modified)) in other.packages.iter().enumerate() {
            let counts = self.of(package);
            counts.0 += files;
            counts.1 += modified;
        }
    }

    /// Sources that were met: packages in the order of the generation, then publishers.
    pub(super) fn sources(&self, trust: Option<&PackageTrust>) -> Vec<SourceCount> {
        let met = self.packages.iter().enumerate().filter(|(_, counts)| **counts != (0, 0));
        let packages = trust.into_iter().flat_map(|trust| {
            met.clone().map(|(package, (files, modified))| {
                let fit = if *files > 0 { Fit::Match } else { Fit::Modified };
                SourceCount { source: trust.describe(package, fit).into(), files: *files, modified: *modified }
            })
        });
        let publishers = self.publishers.values();
        packages
            .chain(publishers.map(|(publisher, files)| SourceCount { source: publisher.clone().into(), files: *files, modified: 0 }))
            .collect()
    }

    fn of(&mut self, package: usize) -> &mut (u64, u64) {
        if self.packages.len() <= package {
            self.packages.resize(package + 1, (0, 0));
        }
        &mut self.packages[package]
    }
}
