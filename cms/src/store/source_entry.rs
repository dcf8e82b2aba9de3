//! Entries of lists on packages and publishers. Each is a draft until its scope is published; a published deny makes threats of a
//! source's files without asking threat intelligence, and every host that holds some is asked for them.

use doorward_policy::{Decision, HostId, ProfileId, VersionRange};
use doorward_proto::limit::VERSION_RULES_MAX;
use doorward_proto::snapshot::{RecordScope, VersionRule};
use serde::{Deserialize, Serialize};

use super::audit::{self, Act};
use super::column::{Columns, word};
use super::source::{NamedSource, named, register, versions};
use super::{Connection, Result, Store, StoreError, record};
use crate::profile::GLOBAL;

/// Entries on some versions of packages in one scope. A host gets those of two scopes, its profile and the global one.
pub const VERSION_ENTRIES_MAX: usize = VERSION_RULES_MAX / 2;

/// A person's decision on a source, to be drafted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDecision {
    /// On what.
    pub source: NamedSource,
    /// Only these versions, of a package; `None` for all of them.
    pub versions: Option<VersionRange>,
    /// In which profile, or in [`GLOBAL`].
    pub owner: ProfileId,
    /// What.
    pub decision: Decision,
    /// Why.
    pub comment: Option<String>,
}

/// A list entry that waits to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceChange {
    /// On what.
    #[serde(flatten)]
    pub source: NamedSource,
    /// Only these versions; `None` for all of them.
    pub versions: Option<VersionRange>,
    /// Published.
    pub before: Decision,
    /// Draft.
    pub after: Decision,
}

impl Store {
    /// Drafts a decision on a source; deciding what is published already takes the draft back.
    ///
    /// # Errors
    /// [`StoreError::TooMany`] for more than [`VERSION_ENTRIES_MAX`] entries on versions in one scope.
    pub async fn draft_source(&self, decision: &SourceDecision, actor: &str, now: i64) -> Result<()> {
        const SELECT: &str = "SELECT decision FROM source_entry WHERE owner = $1 AND key = $2 AND versions = $3";
        const UPSERT: &str = "INSERT INTO source_entry (owner, key, versions, decision, draft_decision, draft_actor, draft_comment, \
             draft_at) VALUES ($1, $2, $3, 'undecided', $4, $5, $6, $7) ON CONFLICT (owner, key, versions) DO UPDATE SET \
             draft_decision = excluded.draft_decision, draft_actor = excluded.draft_actor, draft_comment = excluded.draft_comment, \
             draft_at = excluded.draft_at";
        let (owner, key, range) = (decision.owner.as_bytes().as_slice(), decision.source.key(), text(decision.versions.as_ref()));
        let mut work = self.begin().await?;
        register(&mut work, [decision.source.clone()], now).await?;
        let row = sqlx::query(SELECT).bind(owner).bind(key.as_slice()).bind(&range).fetch_optional(&mut *work).await?;
        let published: Decision = row.map_or(Ok(Decision::Undecided), |row| Columns(&row).word("decision"))?;
        let draft = (published != decision.decision).then(|| word(&decision.decision));
        sqlx::query(UPSERT)
            .bind(owner)
            .bind(key.as_slice())
            .bind(&range)
            .bind(draft)
            .bind(actor)
            .bind(&decision.comment)
            .bind(now)
            .execute(&mut *work)
            .await?;
        check_number(&mut work, decision.owner).await?;
        let of_versions = decision.versions.as_ref().map(|versions| format!(" {versions}")).unwrap_or_default();
        let target = format!("{}{of_versions} in {}", decision.source.name(), decision.owner);
        let (before, after) = (word(&published), word(&decision.decision));
        let (before, after, comment) = (Some(before.as_str()), Some(after.as_str()), decision.comment.as_deref());
        let act = Act { at: now, actor, action: "source.draft", target: &target, before, after, comment };
        audit::append(&mut work, act).await?;
        work.commit().await?;
        Ok(())
    }

    /// Drafts an allow of every source that a host's inventory names and that no list that applies to the profile does: from then on
    /// they are not new. Says how many.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn adopt_sources(&self, owner: ProfileId, host: HostId, actor: &str, now: i64) -> Result<u64> {
        const INSERT: &str = "INSERT INTO source_entry (owner, key, versions, decision, draft_decision, draft_actor, draft_comment, \
             draft_at) SELECT $1, i.key, '', 'undecided', 'allowed', $4, $5, $6 FROM inventory i WHERE i.host_id = $2 AND i.gone = 0 AND NOT EXISTS ( \
             SELECT 1 FROM source_entry e WHERE e.key = i.key AND e.owner IN ($1, $3) \
             AND (e.decision <> 'undecided' OR e.draft_decision IS NOT NULL)) ON CONFLICT (owner, key, versions) DO UPDATE SET \
             draft_decision = excluded.draft_decision, draft_actor = excluded.draft_actor, draft_comment = excluded.draft_comment, \
             draft_at = excluded.draft_at";
        let comment = format!("in use on host {host}");
        let mut work = self.begin().await?;
        let adopted = sqlx::query(INSERT)
            .bind(owner.as_bytes().as_slice())
            .bind(host.as_bytes().as_slice())
            .bind(GLOBAL.as_bytes().as_slice())
            .bind(actor)
            .bind(&comment)
            .bind(now)
            .execute(&mut *work)
            .await?
            .rows_affected();
        let (target, after) = (format!("{adopted} sources in {owner}"), word(&Decision::Allowed));
        let act =
            Act { at: now, actor, action: "source.adopt", target: &target, before: None, after: Some(&after), comment: Some(&comment) };
        audit::append(&mut work, act).await?;
        work.commit().await?;
        Ok(adopted)
    }
}

async fn check_number(work: &mut Connection, owner: ProfileId) -> Result<()> {
    const COUNT: &str = "SELECT count(*) AS entries FROM source_entry WHERE owner = $1 AND versions <> '' \
         AND coalesce(draft_decision, decision) <> 'undecided'";
    let row = sqlx::query(COUNT).bind(owner.as_bytes().as_slice()).fetch_one(work).await?;
    let entries: usize = Columns(&row).number("entries")?;
    match entries > VERSION_ENTRIES_MAX {
        true => Err(StoreError::TooMany { what: "entries on versions of packages in one scope", max: VERSION_ENTRIES_MAX }),
        false => Ok(()),
    }
}

/// List entries that wait to be published.
pub(super) async fn drafts(view: &mut Connection, owner: ProfileId) -> Result<Vec<SourceChange>> {
    const SELECT: &str = "SELECT s.*, e.versions, e.decision, e.draft_decision FROM source_entry e JOIN source s ON s.key = e.key \
         WHERE e.owner = $1 AND e.draft_decision IS NOT NULL ORDER BY s.kind, s.name, e.versions";
    let rows = sqlx::query(SELECT).bind(owner.as_bytes().as_slice()).fetch_all(view).await?;
    let change = |row| {
        let row = Columns(row);
        let (before, after) = (row.word("decision")?, row.word("draft_decision")?);
        Ok(SourceChange { source: named(&row)?, versions: versions(&row)?, before, after })
    };
    rows.iter().map(change).collect()
}

/// Puts drafted entries in force, as far as marking goes, and gives what they change.
pub(super) async fn take_drafts(work: &mut Connection, owner: ProfileId, now: i64) -> Result<Vec<SourceChange>> {
    const UPDATE: &str = "UPDATE source_entry SET decision = draft_decision, actor = draft_actor, comment = draft_comment, decided_at = $2, \
         draft_decision = NULL, draft_actor = NULL, draft_comment = NULL, draft_at = NULL WHERE owner = $1 AND draft_decision IS NOT NULL";
    let changes = drafts(work, owner).await?;
    sqlx::query(UPDATE).bind(owner.as_bytes().as_slice()).bind(now).execute(work).await?;
    Ok(changes)
}

/// Puts published entries on versions into the policy, where those on all versions are records. Says whether there were any.
pub(super) async fn put_version_rules(work: &mut Connection, owner: ProfileId, changes: &[SourceChange]) -> Result<bool> {
    const DELETE: &str = "DELETE FROM version_rule WHERE owner = $1 AND key = $2 AND versions = $3";
    const INSERT: &str = "INSERT INTO version_rule (owner, key, versions, denies) VALUES ($1, $2, $3, $4)";
    const CHANGED: &str = "INSERT INTO version_rule_change (owner, change_id) VALUES ($1, $2) \
         ON CONFLICT (owner) DO UPDATE SET change_id = excluded.change_id";
    let owner = owner.as_bytes().as_slice();
    let mut any = false;
    for change in changes {
        let Some(versions) = change.versions.as_ref().map(ToString::to_string) else { continue };
        let key = change.source.key();
        sqlx::query(DELETE).bind(owner).bind(key.as_slice()).bind(&versions).execute(&mut *work).await?;
        if change.after != Decision::Undecided {
            let denies = change.after == Decision::Denied;
            sqlx::query(INSERT).bind(owner).bind(key.as_slice()).bind(&versions).bind(denies).execute(&mut *work).await?;
        }
        any = true;
    }
    if any {
        let change = record::next_changes(work, 1).await?;
        sqlx::query(CHANGED).bind(owner).bind(change).execute(work).await?;
    }
    Ok(any)
}

/// The rules on versions in a profile's policy, and the newest change of them.
pub(super) async fn version_rules(view: &mut Connection, profile: ProfileId) -> Result<(Vec<VersionRule>, i64)> {
    const RULES: &str = "SELECT owner, key, versions, denies FROM version_rule WHERE owner IN ($1, $2)";
    const CHANGED: &str = "SELECT coalesce(max(change_id), 0) AS change_id FROM version_rule_change WHERE owner IN ($1, $2)";
    let (own, global) = (profile.as_bytes().as_slice(), GLOBAL.as_bytes().as_slice());
    let mut rules = Vec::new();
    for row in sqlx::query(RULES).bind(own).bind(global).fetch_all(&mut *view).await? {
        let row = Columns(&row);
        let scope = if row.profile("owner")? == GLOBAL { RecordScope::Global } else { RecordScope::Profile };
        rules.push(VersionRule::new(row.array("key")?, row.flag("denies")?, scope, row.word("versions")?));
    }
    let row = sqlx::query(CHANGED).bind(own).bind(global).fetch_one(view).await?;
    Ok((rules, Columns(&row).integer("change_id")?))
}

/// As the column holds it: nothing for all versions.
fn text(versions: Option<&VersionRange>) -> String {
    versions.map(ToString::to_string).unwrap_or_default()
}
