//! What `trust` asks: the chain behind a file, how much of the host is vouched for by signed archives, and archives brought to be read.

use std::fmt;
use std::fs::File;
use std::os::fd::AsRawFd;

use doorward_policy::{Fit, KeyFingerprint, Level, PackageEvidence, PackageManager, PathBytes, Sha256};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde::{Deserialize, Serialize};

use super::why::{Asked, WhyError};
use crate::trust::ledger::{Archive, LedgerGauges, Occasion};
use crate::trust::repository::SignedIndexes;

/// The chain from a repository's key to a file, as `trust show --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// A path that was proven to lead to the file, else the one that was asked about.
    pub path: PathBytes,
    /// Of the file; `None` for content that is never judged.
    pub sha256: Option<Sha256>,
    /// What the host has as evidence.
    pub evidence: Option<PackageEvidence>,
    /// The archive that brought the file, with the chain above it.
    pub archive: Option<Archive>,
    /// What the archive of the installed version brings instead.
    pub expected: Option<Sha256>,
    /// The link that is missing, in words; `None` when the chain is whole.
    pub missing: Option<String>,
}

/// How much of the host signed archives vouch for, as `trust status --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustStatus {
    /// Packages by what stands behind them.
    pub packages: PackageCounts,
    /// What the ledger holds.
    pub ledger: LedgerGauges,
    /// Keys the profile pins; none: those apt itself takes.
    pub pinned: Vec<KeyFingerprint>,
    /// Indexes whose signature counts now.
    pub indexes: Vec<IndexStatus>,
    /// Archives they list.
    pub archives: u64,
    /// Sources and keys that do not count, and why.
    pub problems: Vec<String>,
}

/// Packages with files in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PackageCounts {
    /// All of them.
    pub installed: u64,
    /// Of those, the ones whose archive was read and is signed by a key that counts.
    pub signed: u64,
}

/// An index that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexStatus {
    /// As apt names its Release file, and its path below the suite.
    pub index: String,
    /// The key that signed it.
    pub key: KeyFingerprint,
    /// The key's owner by its own word.
    pub key_name: String,
}

/// A package whose archive was not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsigned {
    /// As dpkg writes it.
    pub package: String,
    /// The installed version.
    pub version: String,
}

/// How apt's archives come: see [`super::protocol::Request::Witness`].
pub type Brought = Occasion;

impl TrustStatus {
    /// With what repositories say now.
    #[must_use]
    pub fn new(packages: PackageCounts, ledger: LedgerGauges, pinned: Vec<KeyFingerprint>, found: &SignedIndexes) -> Self {
        let index = |index: &crate::trust::repository::SignedIndex| IndexStatus {
            index: format!("{} {}", index.release, index.path),
            key: index.signed.key,
            key_name: index.signed.name.clone(),
        };
        Self {
            packages,
            ledger,
            pinned,
            indexes: found.indexes().iter().map(index).collect(),
            archives: found.archives() as u64,
            problems: found.problems.clone(),
        }
    }
}

impl Asked<'_> {
    /// The chain behind an open file, see [`Asked::why`].
    ///
    /// # Errors
    /// As [`Asked::why`].
    pub fn chain(&self, passed: &File, path: &PathBytes) -> Result<Chain, WhyError> {
        let why = self.why(passed, path)?;
        let evidence = why.evidence.and_then(|evidence| evidence.package);
        let trust = self.judge.trust();
        let settings = self.judge.lists().settings();
        let below = self.judge.below_root(&why.path).unwrap_or_else(|| why.path.clone());
        let place = trust.place(below.as_bytes());
        let mut chain = Chain { path: why.path, sha256: why.sha256, evidence, archive: None, expected: None, missing: None };
        let Some(sha256) = chain.sha256 else {
            chain.missing = Some("it holds nothing that can be executed or loaded, so no chain is kept for it".to_owned());
            return Ok(chain);
        };
        chain.archive = trust.ledger().archive_of(&place, &sha256, chain.evidence.as_ref());
        if let Some(archive) = &chain.archive {
            if !settings.archive_keys.is_empty() && !settings.archive_keys.contains(&archive.key) {
                chain.missing = Some(format!("the key {} is none that the profile lets count", archive.key));
            }
            return Ok(chain);
        }
        let Some(package) = &chain.evidence else {
            chain.missing = Some("no package owns this path, and no signed archive brought this file".to_owned());
            return Ok(chain);
        };
        let PackageEvidence { name, version, .. } = package;
        chain.expected = trust.ledger().expected(&place, name, version);
        chain.missing = Some(match (chain.expected, package.fit) {
            (Some(expected), _) => format!("the signed archive of {name} {version} brings another file to this path: {expected}"),
            (None, Fit::Match) if package.manager == PackageManager::Rpm => {
                format!("only the local database says that {name} {version} brought it; archives of rpm are not read")
            }
            (None, Fit::Match) => format!(
                "only the local database says that {name} {version} brought it; no signed archive of that version was read here \
                 (`doorward-agent trust witness {name}` fetches it, where a repository still has it)"
            ),
            (None, Fit::Modified) => format!("{name} {version} owns this path, and this is not its file"),
            (None, Fit::Compiled) => format!("it was compiled on this host from a source of {name} {version}; no archive brought it"),
            (None, Fit::NoDigest) => {
                format!("{name} {version} owns this path and lists no digest, and no signed archive of it was read here")
            }
        });
        Ok(chain)
    }
}

/// Whether a descriptor that came along can be read.
#[must_use]
pub fn is_readable(file: &File) -> bool {
    let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL).unwrap_or(libc::O_WRONLY));
    file.as_raw_fd() >= 0 && !flags.contains(OFlag::O_PATH) && flags & OFlag::O_ACCMODE != OFlag::O_WRONLY
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_whole = self.missing.is_none();
        let level = match (&self.evidence, is_whole) {
            (_, true) => "vouched for by a signed archive",
            (Some(evidence), _) if evidence.level == Level::Database && evidence.fit == Fit::Match => {
                "vouched for by the local database alone"
            }
            _ => "not vouched for",
        };
        writeln!(f, "{} is {level}\n", self.path)?;
        if let Some(archive) = &self.archive {
            let when = |seconds: i64| jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default();
            let occasion = match archive.occasion {
                Occasion::Transaction => "before apt unpacked it",
                Occasion::Fetched => "fetched again",
            };
            writeln!(f, "  key      {} ({})", archive.key, PathBytes::new(archive.key_name.as_bytes()))?;
            writeln!(f, "  release  {}, suite {} of {}", archive.release, archive.suite, when(archive.released_at))?;
            writeln!(f, "  index    {}", archive.index)?;
            writeln!(f, "  archive  {} {} {}, sha256 {}", archive.package, archive.version, archive.architecture, archive.sha256)?;
            writeln!(f, "           read {} {occasion}", when(archive.witnessed_at / 1_000_000))?;
        }
        if let Some(sha256) = self.sha256 {
            writeln!(f, "  file     sha256 {sha256}")?;
        }
        match &self.missing {
            Some(missing) => writeln!(f, "\n  missing: {missing}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for TrustStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PackageCounts { installed, signed } = self.packages;
        writeln!(
            f,
            "packages  {signed} of {installed} by signed archives, {} by the local database alone",
            installed - signed.min(installed)
        )?;
        writeln!(f, "ledger    {} archives, {} files", self.ledger.archives, self.ledger.files)?;
        let told = if self.ledger.transactions { "yes" } else { "no, so what apt unpacks is of level database; see the operations guide" };
        writeln!(f, "apt tells {told}")?;
        match &*self.pinned {
            [] => writeln!(f, "keys      those apt itself takes")?,
            pinned => pinned.iter().try_for_each(|key| writeln!(f, "key       {key}, by the profile"))?,
        }
        for IndexStatus { index, key, key_name } in &self.indexes {
            writeln!(f, "index     {index}, signed by {key} ({})", PathBytes::new(key_name.as_bytes()))?;
        }
        writeln!(f, "archives  {} listed", self.archives)?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "no        {}", PathBytes::new(problem.as_bytes())))
    }
}
