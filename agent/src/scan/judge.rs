//! Who says whether a candidate is settled on the host. The lists live elsewhere; a scan only asks.

use doorward_policy::{Evidence, Listing, PackageEvidence, PathBytes, TrustRules};

use crate::identify::Identified;

/// What settles a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settled {
    /// Its package: counted in the inventory, never reported.
    Package,
    /// Its publisher: as for a package.
    Publisher,
    /// A list or other evidence, for or against it.
    Otherwise,
    /// Nothing: handed to the [`Sink`](super::Sink).
    Unresolved,
}

/// Asked for every candidate, from all threads of a scan at once.
pub trait Judge: Sync {
    /// Settles the file at `path`, an absolute one below the root.
    fn settle(&self, path: &PathBytes, file: &Identified, evidence: &Evidence) -> Settled;

    /// Package evidence with what the host knows beyond its package database.
    fn strengthen(&self, path: &PathBytes, file: &Identified, database: Option<PackageEvidence>) -> Option<PackageEvidence> {
        let _ = (path, file);
        database
    }
}

/// Package evidence alone, for hosts without lists: scans before enrollment, figures.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByPackage(pub TrustRules);

impl Judge for ByPackage {
    fn settle(&self, _: &PathBytes, _: &Identified, evidence: &Evidence) -> Settled {
        match &evidence.package {
            Some(package) if self.0.accepts_package(package, Listing::Unlisted) => Settled::Package,
            _ => Settled::Unresolved,
        }
    }
}
