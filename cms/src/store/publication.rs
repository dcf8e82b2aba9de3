//! Publishing: a profile's settings, lists and drafted allows come into force together. Everything they bear on is marked first, in steps
//! that let reports in between ([`super::remark`]); the records that follow are staged. The last transaction puts records, rules and
//! settings in force as one revision, so hosts get all of it or nothing. The program may end at any moment: [`Store::take_up`] goes on.

use doorward_policy::{Decision, ProfileId, Sha256};
use doorward_proto::snapshot::{Record, RecordKind, RecordScope};
use serde::Serialize;

use super::audit::{self, Act};
use super::batch::{ROWS_MAX, any_of, digests};
use super::column::{Columns, json, signed};
use super::publish::remarks_all;
use super::record::{self, RecordChanges};
use super::source_entry::{self, SourceChange};
use super::{Connection, Profile, Result, Store, inventory, mark, profile, remark, staged};
use crate::profile::{GLOBAL, Settings};
use crate::signals::Effect;

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

/// What became of an attempt to begin.
enum Begun {
    /// There is no profile of that name.
    Nowhere,
    /// Nothing is drafted.
    Nothing(Published),
    /// Another publication is under way and comes first.
    Behind(ProfileId),
    /// This one is under way.
    Here(ProfileId),
}

/// What became of a step.
enum Step {
    More,
    Done(Published),
    /// Somebody else took the last one.
    Gone,
}

impl Store {
    /// Publishes a profile's drafts, or the global scope's; `None` when there is none of that name. With nothing drafted nothing happens.
    ///
    /// # Errors
    /// [`super::StoreError`]; what was begun is finished by the next call or the next start.
    pub async fn publish(&self, name: &str, actor: &str, now: i64) -> Result<Option<(Published, Effect)>> {
        let mut effect = Effect::default();
        loop {
            match self.begin_publication(name, actor, now).await? {
                Begun::Nowhere => return Ok(None),
                Begun::Nothing(published) => return Ok(Some((published, effect))),
                Begun::Behind(other) => drop(self.finish_publication(other, now, &mut effect).await?),
                Begun::Here(id) => {
                    if let Some(published) = self.finish_publication(id, now, &mut effect).await? {
                        return Ok(Some((published, effect)));
                    }
                }
            }
        }
    }

    /// Takes the steps that are left; `None` when somebody else took the last one.
    pub(super) async fn finish_publication(&self, id: ProfileId, now: i64, effect: &mut Effect) -> Result<Option<Published>> {
        loop {
            match self.publication_step(id, now, effect).await? {
                Step::More => {}
                Step::Done(published) => return Ok(Some(published)),
                Step::Gone => return Ok(None),
            }
        }
    }

    async fn begin_publication(&self, name: &str, actor: &str, now: i64) -> Result<Begun> {
        const BEGIN: &str = "INSERT INTO publication (profile_id, actor, sources, allowed, withdrawn) VALUES ($1, $2, $3, 0, 0)";
        const SETTINGS: &str = "UPDATE profile SET publishing = draft WHERE id = $1";
        let mut work = self.begin().await?;
        if let Some(other) = under_way(&mut work).await? {
            return Ok(Begun::Behind(other));
        }
        let Some(before) = profile::find(&mut work, name).await? else {
            return Ok(Begun::Nowhere);
        };
        let sources = source_entry::take_drafts(&mut work, before.id, now).await?;
        list_files(&mut work, &before, &sources).await?;
        if before.draft == before.published && sources.is_empty() && is_listed_empty(&mut work, before.id).await? {
            return Ok(Begun::Nothing(nothing(before)));
        }
        let id = before.id.as_bytes().as_slice();
        sqlx::query(SETTINGS).bind(id).execute(&mut *work).await?;
        sqlx::query(BEGIN).bind(id).bind(actor).bind(json(&sources)).execute(&mut *work).await?;
        let mut records = RecordChanges::default();
        for change in sources.iter().filter(|change| change.versions.is_none()) {
            source_records(before.id, change, &mut records);
        }
        staged::stage(&mut work, &records).await?;
        work.commit().await?;
        Ok(Begun::Here(before.id))
    }

    async fn publication_step(&self, id: ProfileId, now: i64, effect: &mut Effect) -> Result<Step> {
        const COUNT: &str = "UPDATE publication SET allowed = allowed + $2, withdrawn = withdrawn + $3 WHERE profile_id = $1";
        let mut work = self.begin().await?;
        let Some(publication) = Publication::find(&mut work, id).await? else {
            return Ok(Step::Gone);
        };
        let files = remark::take(&mut work, id.as_bytes()).await?;
        if files.is_empty() {
            let published = publication.put_in_force(&mut work, now, effect).await?;
            work.commit().await?;
            return Ok(Step::Done(published));
        }
        let marked = mark::mark(&mut work, &files, now, effect).await?;
        let withdrawn = marked.allows_removed.values().sum();
        let mut records = marked.records;
        let allowed = take_entry_drafts(&mut work, id, &files, &mut records).await?;
        staged::stage(&mut work, &records).await?;
        let query = sqlx::query(COUNT).bind(id.as_bytes().as_slice()).bind(signed(allowed)).bind(signed(withdrawn));
        query.execute(&mut *work).await?;
        work.commit().await?;
        Ok(Step::More)
    }
}

/// A publication under way.
struct Publication {
    profile: ProfileId,
    actor: String,
    sources: Vec<SourceChange>,
    allowed: u64,
    withdrawn: u64,
    /// Settings in force, and those that come.
    before: Settings,
    after: Settings,
}

impl Publication {
    async fn find(work: &mut Connection, id: ProfileId) -> Result<Option<Self>> {
        const SELECT: &str = "SELECT u.*, p.published, coalesce(p.publishing, p.published) AS publishing \
             FROM publication u JOIN profile p ON p.id = u.profile_id WHERE u.profile_id = $1";
        let Some(row) = sqlx::query(SELECT).bind(id.as_bytes().as_slice()).fetch_optional(work).await? else {
            return Ok(None);
        };
        let row = Columns(&row);
        Ok(Some(Self {
            profile: id,
            actor: row.text("actor")?,
            sources: row.json("sources")?,
            allowed: row.number("allowed")?,
            withdrawn: row.number("withdrawn")?,
            before: row.json("published")?,
            after: row.json("publishing")?,
        }))
    }

    /// Everything is marked: the last transaction.
    async fn put_in_force(&self, work: &mut Connection, now: i64, effect: &mut Effect) -> Result<Published> {
        const END: &str = "DELETE FROM publication WHERE profile_id = $1";
        self.put_settings_in_force(work, now, effect).await?;
        let keys = self.sources.iter().map(|change| change.source.key()).collect();
        inventory::ask_for_denied(work, self.profile, &keys, now, effect).await?;
        let mut touched = staged::release(work, &self.actor, now).await?;
        let has_version_rules = source_entry::put_version_rules(work, self.profile, &self.sources).await?;
        if has_version_rules || self.after.rules() != self.before.rules() {
            touched.insert(self.profile);
        }
        record::seal(work, &touched, &self.actor, now, effect).await?;
        sqlx::query(END).bind(self.profile.as_bytes().as_slice()).execute(&mut *work).await?;
        let after = profile::by_id(work, self.profile).await?;
        let (was, is) = (json(&self.before), json(&self.after));
        let act = Act {
            at: now,
            actor: &self.actor,
            action: "profile.publish",
            target: &after.name,
            before: Some(&was),
            after: Some(&is),
            ..Act::default()
        };
        audit::append(work, act).await?;
        Ok(Published {
            settings: self.after.changes(&self.before).len() as u64,
            sources: self.sources.len() as u64,
            allowed: self.allowed,
            withdrawn: self.withdrawn,
            ..nothing(after)
        })
    }

    async fn put_settings_in_force(&self, work: &mut Connection, now: i64, effect: &mut Effect) -> Result<()> {
        const PROFILE: &str = "UPDATE profile SET published = $2, publishing = NULL, published_at = $3, published_by = $4 WHERE id = $1";
        const HOSTS: &str = "UPDATE host SET settings_revision = settings_revision + 1 WHERE profile_id = $1 AND removed_at IS NULL";
        let id = self.profile.as_bytes().as_slice();
        sqlx::query(PROFILE).bind(id).bind(json(&self.after)).bind(now).bind(&self.actor).execute(&mut *work).await?;
        if self.after.changes_hosts(&self.before) {
            sqlx::query(HOSTS).bind(id).execute(work).await?;
            effect.profile_settings.insert(self.profile);
        }
        Ok(())
    }
}

fn nothing(profile: Profile) -> Published {
    Published { profile: profile.name, revision: profile.revision, settings: 0, sources: 0, allowed: 0, withdrawn: 0 }
}

/// The profile whose publication is under way.
pub(super) async fn under_way(work: &mut Connection) -> Result<Option<ProfileId>> {
    let row = sqlx::query("SELECT profile_id FROM publication LIMIT 1").fetch_optional(work).await?;
    row.map(|row| Columns(&row).profile("profile_id")).transpose()
}

/// Lists the files whose marks the new settings and lists may change, and those with a drafted allow.
async fn list_files(work: &mut Connection, profile: &Profile, sources: &[SourceChange]) -> Result<()> {
    const DRAFTED: &str = "INSERT INTO remark (job, sha256) SELECT owner, sha256 FROM entry WHERE owner = $1 AND draft <> 0";
    const ALL: &str = "INSERT INTO remark (job, sha256) SELECT DISTINCT profile_id, sha256 FROM sighting WHERE profile_id = $1 \
         ON CONFLICT (job, sha256) DO NOTHING";
    const PACKAGE: &str = "INSERT INTO remark (job, sha256) SELECT DISTINCT $1, s.sha256 FROM evidence e \
         JOIN sighting s ON s.evidence_key = e.key WHERE e.package_key = $2 ON CONFLICT (job, sha256) DO NOTHING";
    const PUBLISHER: &str = "INSERT INTO remark (job, sha256) SELECT DISTINCT $1, s.sha256 FROM evidence e \
         JOIN sighting s ON s.evidence_key = e.key WHERE e.publisher_key = $2 ON CONFLICT (job, sha256) DO NOTHING";
    let id = profile.id.as_bytes().as_slice();
    sqlx::query(DRAFTED).bind(id).execute(&mut *work).await?;
    if remarks_all(profile) {
        sqlx::query(ALL).bind(id).execute(&mut *work).await?;
    }
    for change in sources {
        for insert in [PACKAGE, PUBLISHER] {
            sqlx::query(insert).bind(id).bind(change.source.key().to_vec()).execute(&mut *work).await?;
        }
    }
    Ok(())
}

async fn is_listed_empty(work: &mut Connection, job: ProfileId) -> Result<bool> {
    let query = sqlx::query("SELECT 1 AS one FROM remark WHERE job = $1 LIMIT 1").bind(job.as_bytes().as_slice());
    Ok(query.fetch_optional(work).await?.is_none())
}

/// Puts the profile's drafted automatic allows of these files in force; says how many.
async fn take_entry_drafts(work: &mut Connection, owner: ProfileId, files: &[Sha256], records: &mut RecordChanges) -> Result<u64> {
    let mut taken = 0;
    for chunk in files.chunks(ROWS_MAX) {
        let keys: Vec<_> = digests(chunk).collect();
        let mut update = any_of("UPDATE entry SET draft = 0 WHERE draft <> 0 AND sha256 IN", &keys, "AND owner = ");
        let rows = update.push_bind(owner.as_bytes().to_vec()).push(" RETURNING sha256").build().fetch_all(&mut *work).await?;
        for row in &rows {
            let record = Record::file(&Columns(row).sha256("sha256")?, RecordKind::FileAllowedByRule, RecordScope::Profile);
            records.set(owner, &record, true);
        }
        taken += rows.len() as u64;
    }
    Ok(taken)
}

fn source_records(owner: ProfileId, change: &SourceChange, records: &mut RecordChanges) {
    let (allowed, denied) = match change.source {
        super::NamedSource::Package { .. } => (RecordKind::PackageAllowed, RecordKind::PackageDenied),
        super::NamedSource::Publisher { .. } => (RecordKind::PublisherAllowed, RecordKind::PublisherDenied),
    };
    let scope = if owner == GLOBAL { RecordScope::Global } else { RecordScope::Profile };
    for (kind, wanted) in [(allowed, Decision::Allowed), (denied, Decision::Denied)] {
        records.set(owner, &Record::source(&change.source.source_key(), kind, scope), change.after == wanted);
    }
}
