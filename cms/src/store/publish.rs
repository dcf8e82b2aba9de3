//! Draft and publish: settings, lists and what the reference scan would allow wait until a person publishes them. Publishing is one
//! transaction, and marks what the new settings and lists bear on.

use std::collections::BTreeSet;

use doorward_policy::{Decision, ProfileId, Sha256};
use doorward_proto::snapshot::{Record, RecordKind, RecordScope};
use serde::Serialize;

use super::audit::{self, Act};
use super::column::{Columns, json};
use super::entry::EntryRow;
use super::record::{self, RecordChanges};
use super::source::{NamedSource, named};
use super::{Connection, Profile, Result, Store, inventory, mark, profile, sighting};
use crate::profile::{GLOBAL, SettingChange};
use crate::signals::Effect;

/// Files read at a time while a whole profile is gone through.
const FILES_PER_STEP: u32 = 512;

/// Files a difference names; the rest are counted.
pub const FILES_NAMED_MAX: usize = 200;

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The profile's name.
    pub profile: String,
    /// The revision in force now.
    pub revision: u64,
    /// Settings that changed.
    pub settings: u64,
    /// List entries that changed.
    pub sources: u64,
    /// Automatic allows that came into force.
    pub allowed: u64,
    /// Automatic allows that went.
    pub withdrawn: u64,
}

/// What publishing would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The profile's name.
    pub profile: String,
    /// The revision in force now.
    pub revision: u64,
    /// Settings.
    pub settings: Vec<SettingChange>,
    /// List entries.
    pub sources: Vec<SourceChange>,
    /// Automatic allows that would come into force.
    pub allowed: u64,
    /// Automatic allows that would go.
    pub withdrawn: u64,
    /// The first of both, at most [`FILES_NAMED_MAX`].
    pub files: Vec<FileChange>,
}

/// A list entry that waits to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceChange {
    /// On what.
    #[serde(flatten)]
    pub source: NamedSource,
    /// Published.
    pub before: Decision,
    /// Draft.
    pub after: Decision,
}

/// An automatic allow that would come or go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// The file.
    pub sha256: Sha256,
    /// Now in force.
    pub allowed_before: bool,
    /// In force once published.
    pub allowed_after: bool,
}

impl Store {
    /// Publishes a profile's drafts, or the global scope's. With nothing drafted nothing happens.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn publish(&self, name: &str, actor: &str, now: i64) -> Result<Option<(Published, Effect)>> {
        let mut effect = Effect::default();
        let mut work = self.begin().await?;
        let Some(before) = profile::find(&mut work, name).await? else {
            return Ok(None);
        };
        let settings = before.draft.changes(&before.published);
        put_settings_in_force(&mut work, &before, actor, now, &mut effect).await?;
        let sources = take_source_drafts(&mut work, before.id, now).await?;
        let files = affected(&mut work, &before, &sources).await?;
        let marked = mark::mark(&mut work, &files, now, &mut effect).await?;
        let withdrawn = marked.allows_removed.values().sum();
        let mut records = marked.records;
        let allowed = take_entry_drafts(&mut work, before.id, &mut records).await?;
        for change in &sources {
            publish_source(&mut work, before.id, change, &mut records, now, &mut effect).await?;
        }
        record::apply(&mut work, &records, actor, now, &mut effect).await?;
        if before.draft.rules() != before.published.rules() && !effect.policies.contains(&before.id) {
            record::seal(&mut work, &[before.id].into(), actor, now, &mut effect).await?;
        }
        let (was, is) = (json(&before.published), json(&before.draft));
        let act = Act { at: now, actor, action: "profile.publish", target: name, before: Some(&was), after: Some(&is) };
        audit::append(&mut work, act).await?;
        let after = profile::find(&mut work, name).await?.expect("profiles are never removed");
        work.commit().await?;
        let published = Published {
            profile: after.name,
            revision: after.revision,
            settings: settings.len() as u64,
            sources: sources.len() as u64,
            allowed,
            withdrawn,
        };
        Ok(Some((published, effect)))
    }

    /// What publishing a profile would change; `None` when there is no such profile.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn difference(&self, name: &str) -> Result<Option<Difference>> {
        let mut view = self.reader.begin().await?;
        let Some(profile) = profile::find(&mut view, name).await? else {
            return Ok(None);
        };
        let mut difference = Difference {
            profile: profile.name.clone(),
            revision: profile.revision,
            settings: profile.draft.changes(&profile.published),
            sources: source_drafts(&mut view, profile.id).await?,
            allowed: 0,
            withdrawn: 0,
            files: Vec::new(),
        };
        if remarks_all(&profile) {
            difference.foresee(&mut view, &profile).await?;
        } else {
            difference.count_drafts(&mut view, profile.id).await?;
        }
        Ok(Some(difference))
    }
}

/// Whether the draft settings bear on the marks of every file of the profile.
fn remarks_all(profile: &Profile) -> bool {
    profile.draft.rules() != profile.published.rules() || profile.draft.auto_allow() != profile.published.auto_allow()
}

impl Difference {
    /// Marks every file by the draft settings, without keeping anything.
    async fn foresee(&mut self, view: &mut Connection, profile: &Profile) -> Result<()> {
        let mut after = Sha256::new([0; 32]);
        loop {
            let files = sighting::files_of_profile(view, profile.id, &after, FILES_PER_STEP).await?;
            let Some(last) = files.last() else { return Ok(()) };
            after = *last;
            for (entry, before) in mark::foresee(view, &files, profile.id, &profile.draft).await? {
                self.add(&entry, before.as_ref());
            }
        }
    }

    /// With the same settings, what is drafted already is all there is.
    async fn count_drafts(&mut self, view: &mut Connection, owner: ProfileId) -> Result<()> {
        const COUNT: &str = "SELECT count(*) AS files FROM entry WHERE owner = $1 AND draft <> 0";
        const FIRST: &str = "SELECT sha256 FROM entry WHERE owner = $1 AND draft <> 0 ORDER BY sha256 LIMIT $2";
        let owner = owner.as_bytes().as_slice();
        self.allowed = Columns(&sqlx::query(COUNT).bind(owner).fetch_one(&mut *view).await?).number("files")?;
        let limit = i64::try_from(FILES_NAMED_MAX).expect("a small bound");
        for row in sqlx::query(FIRST).bind(owner).bind(limit).fetch_all(view).await? {
            let sha256 = Columns(&row).sha256("sha256")?;
            self.files.push(FileChange { sha256, allowed_before: false, allowed_after: true });
        }
        Ok(())
    }

    fn add(&mut self, after: &EntryRow, before: Option<&EntryRow>) {
        let in_force = |entry: &EntryRow| entry.rule_allow().is_some_and(|allow| !allow.draft);
        // Once published, a draft is in force.
        let (was, is) = (before.is_some_and(in_force), after.rule_allow().is_some());
        if was == is {
            return;
        }
        if is {
            self.allowed += 1;
        } else {
            self.withdrawn += 1;
        }
        if self.files.len() < FILES_NAMED_MAX {
            self.files.push(FileChange { sha256: after.file, allowed_before: was, allowed_after: is });
        }
    }
}

async fn put_settings_in_force(work: &mut Connection, profile: &Profile, actor: &str, now: i64, effect: &mut Effect) -> Result<()> {
    const PROFILE: &str = "UPDATE profile SET published = draft, published_at = $2, published_by = $3 WHERE id = $1";
    const HOSTS: &str = "UPDATE host SET settings_revision = settings_revision + 1 WHERE profile_id = $1 AND removed_at IS NULL";
    let id = profile.id.as_bytes().as_slice();
    sqlx::query(PROFILE).bind(id).bind(now).bind(actor).execute(&mut *work).await?;
    if profile.draft.changes_hosts(&profile.published) {
        sqlx::query(HOSTS).bind(id).execute(work).await?;
        effect.profile_settings.insert(profile.id);
    }
    Ok(())
}

async fn source_drafts(view: &mut Connection, owner: ProfileId) -> Result<Vec<SourceChange>> {
    const SELECT: &str = "SELECT s.*, e.decision, e.draft_decision FROM source_entry e JOIN source s ON s.key = e.key \
         WHERE e.owner = $1 AND e.draft_decision IS NOT NULL ORDER BY s.kind, s.name";
    let rows = sqlx::query(SELECT).bind(owner.as_bytes().as_slice()).fetch_all(view).await?;
    let change = |row| {
        let row = Columns(row);
        Ok(SourceChange { source: named(&row)?, before: row.word("decision")?, after: row.word("draft_decision")? })
    };
    rows.iter().map(change).collect()
}

/// Puts drafted list entries in force and gives what they change.
async fn take_source_drafts(work: &mut Connection, owner: ProfileId, now: i64) -> Result<Vec<SourceChange>> {
    const UPDATE: &str = "UPDATE source_entry SET decision = draft_decision, actor = draft_actor, comment = draft_comment, decided_at = $2, \
         draft_decision = NULL, draft_actor = NULL, draft_comment = NULL, draft_at = NULL WHERE owner = $1 AND draft_decision IS NOT NULL";
    let changes = source_drafts(work, owner).await?;
    sqlx::query(UPDATE).bind(owner.as_bytes().as_slice()).bind(now).execute(work).await?;
    Ok(changes)
}

/// Files whose marks the new settings and lists may change.
async fn affected(work: &mut Connection, profile: &Profile, sources: &[SourceChange]) -> Result<Vec<Sha256>> {
    let keys: BTreeSet<_> = sources.iter().map(|change| change.source.key()).collect();
    let mut files = sighting::files_of_sources(work, &keys).await?;
    if remarks_all(profile) {
        let all = sighting::files_of_profile(work, profile.id, &Sha256::new([0; 32]), u32::MAX).await?;
        files.extend(all);
    }
    Ok(files.into_iter().collect())
}

/// Puts the profile's drafted automatic allows in force; says how many.
async fn take_entry_drafts(work: &mut Connection, owner: ProfileId, records: &mut RecordChanges) -> Result<u64> {
    const UPDATE: &str = "UPDATE entry SET draft = 0 WHERE owner = $1 AND draft <> 0 RETURNING sha256";
    let rows = sqlx::query(UPDATE).bind(owner.as_bytes().as_slice()).fetch_all(work).await?;
    for row in &rows {
        let record = Record::file(&Columns(row).sha256("sha256")?, RecordKind::FileAllowedByRule, RecordScope::Profile);
        records.set(owner, &record, true);
    }
    Ok(rows.len() as u64)
}

async fn publish_source(
    work: &mut Connection,
    owner: ProfileId,
    change: &SourceChange,
    records: &mut RecordChanges,
    now: i64,
    effect: &mut Effect,
) -> Result<()> {
    let (allowed, denied) = match change.source {
        NamedSource::Package { .. } => (RecordKind::PackageAllowed, RecordKind::PackageDenied),
        NamedSource::Publisher { .. } => (RecordKind::PublisherAllowed, RecordKind::PublisherDenied),
    };
    let scope = if owner == GLOBAL { RecordScope::Global } else { RecordScope::Profile };
    for (kind, wanted) in [(allowed, Decision::Allowed), (denied, Decision::Denied)] {
        records.set(owner, &Record::source(&change.source.source_key(), kind, scope), change.after == wanted);
    }
    if change.after == Decision::Denied {
        inventory::ask_for_files(work, owner, &change.source.key(), now, effect).await?;
    }
    Ok(())
}
