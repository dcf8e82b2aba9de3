//! Packages and publishers anybody named, and how the published lists stand towards them. Entries on them are [`super::source_entry`]'s;
//! where they were seen is [`super::source_list`]'s to tell.

use std::collections::{BTreeMap, BTreeSet};

use doorward_policy::{Decision, Evidence, Listing, PackageManager, ProfileId, Sha256, SourceKey, SourceRule, VersionRange, listing};
use doorward_proto::report::Source;
use doorward_proto::snapshot::source_record_key;
use serde::{Deserialize, Serialize};
use sqlx::QueryBuilder;

use super::batch::{ROWS_MAX, any_of};
use super::column::{Columns, word};
use super::{Connection, Result, Store};
use crate::profile::GLOBAL;

/// What a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A package of the operating system.
    Package,
    /// Somebody who signs files.
    Publisher,
}

/// A source by what names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NamedSource {
    /// By manager and name, whatever the version.
    Package {
        /// Whose package.
        manager: PackageManager,
        /// As the manager writes it.
        name: String,
    },
    /// By the fingerprint of the signing certificate or key.
    Publisher {
        /// What lists compare.
        fingerprint: Sha256,
        /// For people; never compared.
        name: String,
    },
}

impl From<&Source> for NamedSource {
    fn from(source: &Source) -> Self {
        match source {
            Source::Package(package) => Self::Package { manager: package.manager, name: package.name.clone() },
            Source::Publisher(publisher) => Self::Publisher { fingerprint: publisher.fingerprint, name: publisher.name.clone() },
        }
    }
}

impl NamedSource {
    /// What `policy` makes keys of.
    #[must_use]
    pub fn source_key(&self) -> SourceKey {
        match self {
            Self::Package { manager, name } => SourceKey::package(*manager, name),
            Self::Publisher { fingerprint, .. } => SourceKey::publisher(fingerprint),
        }
    }

    /// Its key in records and lists.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        source_record_key(&self.source_key())
    }

    /// Package or publisher.
    #[must_use]
    pub const fn kind(&self) -> SourceKind {
        match self {
            Self::Package { .. } => SourceKind::Package,
            Self::Publisher { .. } => SourceKind::Publisher,
        }
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Package { name, .. } | Self::Publisher { name, .. } => name,
        }
    }
}

impl Store {
    /// Publishers anybody named that way, with their fingerprints; at most `limit`.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn publishers_named(&self, name: &str, limit: u32) -> Result<Vec<NamedSource>> {
        const SELECT: &str = "SELECT * FROM source WHERE kind = 'publisher' AND name = $1 ORDER BY key LIMIT $2";
        let rows = sqlx::query(SELECT).bind(name).bind(limit).fetch_all(&self.reader).await?;
        rows.iter().map(|row| named(&Columns(row))).collect()
    }
}

/// Makes sources known that are not yet.
pub(super) async fn register(work: &mut Connection, sources: impl IntoIterator<Item = NamedSource>, now: i64) -> Result<()> {
    let sources: Vec<_> = sources.into_iter().collect();
    for chunk in sources.chunks(ROWS_MAX) {
        let mut insert = QueryBuilder::new("INSERT INTO source (key, kind, manager, name, fingerprint, first_seen_at) ");
        insert.push_values(chunk, |mut row, source| {
            let (manager, fingerprint) = match source {
                NamedSource::Package { manager, .. } => (Some(manager.word()), None),
                NamedSource::Publisher { fingerprint, .. } => (None, Some(fingerprint.as_bytes().to_vec())),
            };
            row.push_bind(source.key().to_vec()).push_bind(word(&source.kind())).push_bind(manager);
            row.push_bind(source.name().to_owned()).push_bind(fingerprint).push_bind(now);
        });
        insert.push(" ON CONFLICT (key) DO NOTHING").build().execute(&mut *work).await?;
    }
    Ok(())
}

/// Published entries on some sources.
#[derive(Debug, Default)]
pub(super) struct Listings(BTreeMap<[u8; 32], Vec<Listed>>);

#[derive(Debug)]
struct Listed {
    owner: ProfileId,
    denies: bool,
    versions: Option<VersionRange>,
    decided_at: i64,
}

impl Listings {
    /// Reads the published entries on these sources.
    pub(super) async fn load(work: &mut Connection, keys: &BTreeSet<[u8; 32]>) -> Result<Self> {
        const SELECT: &str = "SELECT owner, key, decision, versions, decided_at FROM source_entry WHERE key IN";
        let mut listings: BTreeMap<_, Vec<Listed>> = BTreeMap::new();
        let keys: Vec<_> = keys.iter().collect();
        for chunk in keys.chunks(ROWS_MAX) {
            let mut select = any_of(SELECT, chunk.iter().copied(), "AND decision <> 'undecided'");
            for row in select.build().fetch_all(&mut *work).await? {
                let row = Columns(&row);
                listings.entry(row.array("key")?).or_default().push(Listed {
                    owner: row.profile("owner")?,
                    denies: row.word::<Decision>("decision")? == Decision::Denied,
                    versions: versions(&row)?,
                    decided_at: row.maybe_time("decided_at")?.unwrap_or(0),
                });
            }
        }
        Ok(Self(listings))
    }

    /// How a profile stands towards the package of a proof, by its key.
    pub(super) fn package(&self, profile: ProfileId, key: Option<[u8; 32]>, evidence: &Evidence) -> Listing {
        let version = evidence.package.as_ref().map(|package| (package.manager, &*package.version));
        key.map_or(Listing::Unlisted, |key| self.of(profile, &key, version))
    }

    /// How a profile stands towards the publisher of a proof, by its key.
    pub(super) fn publisher(&self, profile: ProfileId, key: Option<[u8; 32]>) -> Listing {
        key.map_or(Listing::Unlisted, |key| self.of(profile, &key, None))
    }

    /// How a profile stands towards what a host names.
    pub(super) fn source(&self, profile: ProfileId, source: &Source) -> Listing {
        let version = match source {
            Source::Package(package) => Some((package.manager, &*package.version)),
            Source::Publisher(_) => None,
        };
        self.of(profile, &super::evidence::key_of(source), version)
    }

    /// When the newest entry against a source that applies to the profile came into force.
    pub(super) fn denied_at(&self, profile: ProfileId, key: &[u8; 32]) -> Option<i64> {
        self.applying(profile, key).filter(|listed| listed.denies).map(|listed| listed.decided_at).max()
    }

    fn of<'a>(&'a self, profile: ProfileId, key: &[u8; 32], version: Option<(PackageManager, &str)>) -> Listing {
        let rule = |listed: &'a Listed| SourceRule {
            is_global: listed.owner == GLOBAL,
            denies: listed.denies,
            versions: listed.versions.as_ref(),
        };
        listing(version, self.applying(profile, key).map(rule))
    }

    fn applying(&self, profile: ProfileId, key: &[u8; 32]) -> impl Iterator<Item = &Listed> {
        self.0.get(key).into_iter().flatten().filter(move |listed| listed.owner == profile || listed.owner == GLOBAL)
    }
}

/// The versions an entry is about; `None` for all of them.
pub(super) fn versions(row: &Columns<'_>) -> Result<Option<VersionRange>> {
    match row.text("versions")?.as_str() {
        "" => Ok(None),
        _ => row.word("versions").map(Some),
    }
}

pub(super) fn named(row: &Columns<'_>) -> Result<NamedSource> {
    Ok(match row.word("kind")? {
        SourceKind::Package => NamedSource::Package { manager: row.word("manager")?, name: row.text("name")? },
        SourceKind::Publisher => NamedSource::Publisher { fingerprint: row.sha256("fingerprint")?, name: row.text("name")? },
    })
}
