//! Packages and publishers anybody named, and how lists stand towards them. Lists are drafts until published; a published deny makes
//! threats of a source's files without asking threat intelligence, and every host that holds some is asked for them.

use std::collections::{BTreeMap, BTreeSet};

use doorward_policy::{Decision, Listing, PackageManager, ProfileId, Sha256, SourceKey};
use doorward_proto::report::Source;
use doorward_proto::snapshot::source_record_key;
use serde::{Deserialize, Serialize};
use sqlx::QueryBuilder;

use super::audit::{self, Act};
use super::batch::{ROWS_MAX, any_of};
use super::column::{Columns, word};
use super::{Connection, Cursor, Page, PageRequest, Result, Store};
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

/// A person's decision on a source, to be drafted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDecision {
    /// On what.
    pub source: NamedSource,
    /// In which profile, or in [`GLOBAL`].
    pub owner: ProfileId,
    /// What.
    pub decision: Decision,
    /// Why.
    pub comment: Option<String>,
}

/// Which sources are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceFilter {
    /// As this profile sees them; `None` for the global scope.
    pub profile: Option<ProfileId>,
    /// Only these.
    pub kind: Option<SourceKind>,
}

/// A source as a profile sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceRow {
    /// SHA-256 that names it in lists.
    pub key: Sha256,
    /// What it is.
    #[serde(flatten)]
    pub source: NamedSource,
    /// Published, in this scope.
    pub decision: Decision,
    /// To be published; `None` when nothing waits.
    pub draft: Option<Decision>,
    /// Who decided last, drafts included.
    pub by: Option<String>,
    /// When, microseconds since 1970, UTC.
    pub at: Option<i64>,
    /// Why.
    pub comment: Option<String>,
    /// Hosts that hold files of it.
    pub hosts: u64,
    /// Files it settled on them.
    pub files: u64,
    /// Files at its paths that are not its own.
    pub modified: u64,
}

impl Store {
    /// Drafts a decision on a source; deciding what is published already takes the draft back.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn draft_source(&self, decision: &SourceDecision, actor: &str, now: i64) -> Result<()> {
        const SELECT: &str = "SELECT decision FROM source_entry WHERE owner = $1 AND key = $2";
        const UPSERT: &str = "INSERT INTO source_entry (owner, key, decision, draft_decision, draft_actor, draft_comment, draft_at) \
             VALUES ($1, $2, 'undecided', $3, $4, $5, $6) ON CONFLICT (owner, key) DO UPDATE SET draft_decision = excluded.draft_decision, \
             draft_actor = excluded.draft_actor, draft_comment = excluded.draft_comment, draft_at = excluded.draft_at";
        let (owner, key) = (decision.owner.as_bytes().as_slice(), decision.source.key());
        let mut work = self.begin().await?;
        register(&mut work, [decision.source.clone()], now).await?;
        let row = sqlx::query(SELECT).bind(owner).bind(key.as_slice()).fetch_optional(&mut *work).await?;
        let published: Decision = row.map_or(Ok(Decision::Undecided), |row| Columns(&row).word("decision"))?;
        let draft = (published != decision.decision).then(|| word(&decision.decision));
        sqlx::query(UPSERT)
            .bind(owner)
            .bind(key.as_slice())
            .bind(draft)
            .bind(actor)
            .bind(&decision.comment)
            .bind(now)
            .execute(&mut *work)
            .await?;
        let target = format!("{} in {}", decision.source.name(), decision.owner);
        let (before, after) = (word(&published), word(&decision.decision));
        let (before, after, comment) = (Some(before.as_str()), Some(after.as_str()), decision.comment.as_deref());
        let act = Act { at: now, actor, action: "source.draft", target: &target, before, after, comment };
        audit::append(&mut work, act).await?;
        work.commit().await?;
        Ok(())
    }

    /// Sources anybody named, in order of their keys, as a profile or the global scope decided on them.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn sources(&self, filter: &SourceFilter, page: &PageRequest) -> Result<Page<SourceRow>> {
        const SELECT: &str = "SELECT s.*, e.decision, e.draft_decision, coalesce(e.draft_actor, e.actor) AS actor, \
             coalesce(e.draft_at, e.decided_at) AS at, coalesce(e.draft_comment, e.comment) AS comment, \
             count(h.id) AS hosts, coalesce(sum(CASE WHEN h.id IS NULL THEN 0 ELSE i.files END), 0) AS files, \
             coalesce(sum(CASE WHEN h.id IS NULL THEN 0 ELSE i.modified END), 0) AS modified \
             FROM source s LEFT JOIN source_entry e ON e.key = s.key AND e.owner = $1 LEFT JOIN inventory i ON i.key = s.key \
             LEFT JOIN host h ON h.id = i.host_id AND h.removed_at IS NULL AND ($2 <> 0 OR h.profile_id = $1) \
             WHERE s.key > $3 AND ($4 IS NULL OR s.kind = $4) GROUP BY s.key ORDER BY s.key LIMIT $5";
        let after = page.after.as_ref().map_or(Ok([0; 32]), Cursor::key)?;
        let owner = filter.profile.unwrap_or(GLOBAL);
        let rows = sqlx::query(SELECT)
            .bind(owner.as_bytes().as_slice())
            .bind(owner == GLOBAL)
            .bind(after.as_slice())
            .bind(filter.kind.as_ref().map(word))
            .bind(i64::from(page.limit) + 1)
            .fetch_all(&self.reader)
            .await?;
        let rows = rows.iter().map(|row| source_row(&Columns(row))).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(rows, page.limit, |row| Cursor::new(row.key.as_bytes().as_slice())))
    }

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

/// Published decisions on some sources, by scope.
#[derive(Debug, Default)]
pub(super) struct Listings(BTreeMap<(ProfileId, [u8; 32]), Decision>);

impl Listings {
    /// Reads the published decisions on these sources.
    pub(super) async fn load(work: &mut Connection, keys: &BTreeSet<[u8; 32]>) -> Result<Self> {
        let mut listings = BTreeMap::new();
        let keys: Vec<_> = keys.iter().collect();
        for chunk in keys.chunks(ROWS_MAX) {
            let chunk = chunk.iter().copied();
            let mut select = any_of("SELECT owner, key, decision FROM source_entry WHERE key IN", chunk, "AND decision <> 'undecided'");
            for row in select.build().fetch_all(&mut *work).await? {
                let row = Columns(&row);
                listings.insert((row.profile("owner")?, row.array("key")?), row.word("decision")?);
            }
        }
        Ok(Self(listings))
    }

    /// How a profile stands towards a source: a deny in any scope that applies beats an allow in any other.
    pub(super) fn of(&self, profile: ProfileId, key: Option<[u8; 32]>) -> Listing {
        let Some(key) = key else {
            return Listing::Unlisted;
        };
        let said: Vec<_> = [profile, GLOBAL].into_iter().filter_map(|owner| self.0.get(&(owner, key))).collect();
        if said.contains(&&Decision::Denied) {
            Listing::Denied
        } else if said.contains(&&Decision::Allowed) {
            Listing::Allowed
        } else {
            Listing::Unlisted
        }
    }
}

pub(super) fn named(row: &Columns<'_>) -> Result<NamedSource> {
    Ok(match row.word("kind")? {
        SourceKind::Package => NamedSource::Package { manager: row.word("manager")?, name: row.text("name")? },
        SourceKind::Publisher => NamedSource::Publisher { fingerprint: row.sha256("fingerprint")?, name: row.text("name")? },
    })
}

fn source_row(row: &Columns<'_>) -> Result<SourceRow> {
    Ok(SourceRow {
        key: row.sha256("key")?,
        source: named(row)?,
        decision: row.maybe_word("decision")?.unwrap_or(Decision::Undecided),
        draft: row.maybe_word("draft_decision")?,
        by: row.maybe_text("actor")?,
        at: row.maybe_time("at")?,
        comment: row.maybe_text("comment")?,
        hosts: row.number("hosts")?,
        files: row.number("files")?,
        modified: row.number("modified")?,
    })
}
