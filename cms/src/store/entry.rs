//! Entries: (scope, file) with a decision of a person or a rule, or none yet. People's are made by [`super::decision`]; rules' by
//! [`super::mark`].

use std::collections::BTreeSet;

use doorward_policy::{Author, AutoAllow, Decision, HostId, ProfileId, Scope, Sha256, StatusReason};
use serde::Serialize;
use sqlx::QueryBuilder;

use super::batch::{ROWS_MAX, any_of, digests};
use super::column::{Columns, word};
use super::{Connection, Result, Store};
use crate::allowlist::{People, RuleAllow, Sources};
use crate::profile::GLOBAL;

/// A decision as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionView {
    /// What was decided.
    pub decision: Decision,
    /// Whose it is; `None` while undecided.
    pub author: Option<Author>,
    /// How far it reaches.
    pub scope: Scope,
    /// The profile's or host's id; `None` for the global scope.
    pub owner: Option<uuid::Uuid>,
    /// The person, or the rule.
    pub by: Option<String>,
    /// Microseconds since 1970, UTC.
    pub at: Option<i64>,
    /// Why.
    pub comment: Option<String>,
    /// Not in force until the profile is published.
    pub draft: bool,
}

/// A row as marking reads and writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryRow {
    pub(super) owner: ProfileId,
    pub(super) file: Sha256,
    pub(super) scope: Scope,
    pub(super) decision: Decision,
    pub(super) author: Option<Author>,
    pub(super) rule: Option<AutoAllow>,
    pub(super) draft: bool,
    pub(super) actor: Option<String>,
    pub(super) comment: Option<String>,
    pub(super) decided_at: Option<i64>,
    pub(super) reason: StatusReason,
    pub(super) threat_score: Option<u8>,
    pub(super) told: String,
    pub(super) sources: Sources,
    pub(super) first_at: i64,
    pub(super) last_at: i64,
    pub(super) executed_at: Option<i64>,
}

impl EntryRow {
    /// The automatic allow of the row's scope, if that is what it is.
    pub(super) fn rule_allow(&self) -> Option<RuleAllow> {
        let rule = self.rule.filter(|_| self.author == Some(Author::Rule) && self.decision == Decision::Allowed)?;
        Some(RuleAllow { rule, draft: self.draft })
    }

    pub(super) fn is_by_person(&self, decision: Decision) -> bool {
        self.author == Some(Author::Person) && self.decision == decision
    }

    /// The row as people see it; `None` while nobody decided.
    pub(super) fn view(&self) -> Option<DecisionView> {
        (self.decision != Decision::Undecided).then(|| DecisionView {
            decision: self.decision,
            author: self.author,
            scope: self.scope,
            owner: (self.owner != GLOBAL).then(|| uuid::Uuid::from_bytes(*self.owner.as_bytes())),
            by: self.actor.clone().or_else(|| self.rule.map(|rule| word(&rule))),
            at: self.decided_at,
            comment: self.comment.clone(),
            draft: self.draft,
        })
    }
}

/// What people decided for a profile, in the widest scope that applies.
pub(super) fn people(entries: &[EntryRow], profile: ProfileId) -> People {
    let widest = |decision| {
        let applies = |entry: &&EntryRow| entry.scope != Scope::Host && (entry.owner == profile || entry.owner == GLOBAL);
        entries.iter().filter(applies).filter(|entry| entry.is_by_person(decision)).map(|entry| entry.scope).max()
    };
    People { denied: widest(Decision::Denied), allowed: widest(Decision::Allowed) }
}

impl Store {
    /// Every decision on a file, in all scopes.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn decisions(&self, file: &Sha256) -> Result<Vec<DecisionView>> {
        let entries = of(&mut *self.reader.acquire().await?, &[*file]).await?;
        Ok(entries.iter().filter_map(EntryRow::view).collect())
    }
}

/// Every entry on these files, in all scopes.
pub(super) async fn of(work: &mut Connection, files: &[Sha256]) -> Result<Vec<EntryRow>> {
    let mut entries = Vec::new();
    for chunk in files.chunks(ROWS_MAX) {
        let keys: Vec<_> = digests(chunk).collect();
        let mut select = any_of("SELECT * FROM entry WHERE sha256 IN", &keys, "ORDER BY sha256, owner");
        for row in select.build().fetch_all(&mut *work).await? {
            entries.push(entry(&Columns(&row))?);
        }
    }
    Ok(entries)
}

/// Writes rows as they are now to be.
pub(super) async fn write(work: &mut Connection, entries: &[EntryRow]) -> Result<()> {
    const MERGE: &str = " ON CONFLICT (owner, sha256) DO UPDATE SET decision = excluded.decision, author = excluded.author, \
         rule = excluded.rule, draft = excluded.draft, actor = excluded.actor, comment = excluded.comment, \
         decided_at = excluded.decided_at, standing = excluded.standing, reason = excluded.reason, threat_score = excluded.threat_score, \
         told = excluded.told, sources = excluded.sources, first_observed_at = excluded.first_observed_at, last_observed_at = excluded.last_observed_at, \
         last_executed_at = excluded.last_executed_at";
    for chunk in entries.chunks(ROWS_MAX) {
        let mut insert = QueryBuilder::new(
            "INSERT INTO entry (owner, sha256, scope, decision, author, rule, draft, actor, comment, decided_at, standing, reason, \
             threat_score, told, sources, first_observed_at, last_observed_at, last_executed_at) ",
        );
        insert.push_values(chunk, |mut row, entry| {
            row.push_bind(entry.owner.as_bytes().to_vec()).push_bind(entry.file.as_bytes().to_vec()).push_bind(word(&entry.scope));
            row.push_bind(word(&entry.decision)).push_bind(entry.author.as_ref().map(word)).push_bind(entry.rule.as_ref().map(word));
            row.push_bind(entry.draft).push_bind(entry.actor.clone()).push_bind(entry.comment.clone()).push_bind(entry.decided_at);
            row.push_bind(i64::from(crate::allowlist::rank(entry.reason.status()))).push_bind(word(&entry.reason));
            row.push_bind(entry.threat_score.map(i64::from)).push_bind(entry.told.clone()).push_bind(i64::from(entry.sources.bits()));
            row.push_bind(entry.first_at).push_bind(entry.last_at).push_bind(entry.executed_at);
        });
        insert.push(MERGE).build().execute(&mut *work).await?;
    }
    Ok(())
}

/// Gives hosts of their own an automatic allow of a file; says which did not have it.
pub(super) async fn grant_hosts(work: &mut Connection, file: &Sha256, hosts: &BTreeSet<HostId>, now: i64) -> Result<Vec<HostId>> {
    const INSERT: &str = "INSERT INTO entry (owner, sha256, scope, decision, author, rule, draft, decided_at, standing, reason, told, \
         sources, first_observed_at, last_observed_at) VALUES ($1, $2, 'host', 'allowed', 'rule', $3, 0, $4, 1, 'unknown', '', 4, $4, $4) \
         ON CONFLICT (owner, sha256) DO NOTHING";
    let mut granted = Vec::new();
    for host in hosts {
        let query = sqlx::query(INSERT).bind(host.as_bytes().as_slice()).bind(file.as_bytes().as_slice());
        if query.bind(word(&AutoAllow::UnknownInExec)).bind(now).execute(&mut *work).await?.rows_affected() > 0 {
            granted.push(*host);
        }
    }
    Ok(granted)
}

/// Takes the automatic allows of a profile's single hosts back; says how many there were.
pub(super) async fn withdraw_hosts(work: &mut Connection, file: &Sha256, profile: ProfileId) -> Result<u64> {
    const DELETE: &str = "DELETE FROM entry WHERE sha256 = $1 AND scope = 'host' AND author = 'rule' \
         AND owner IN (SELECT id FROM host WHERE profile_id = $2)";
    let query = sqlx::query(DELETE).bind(file.as_bytes().as_slice()).bind(profile.as_bytes().as_slice());
    Ok(query.execute(work).await?.rows_affected())
}

pub(super) fn entry(row: &Columns<'_>) -> Result<EntryRow> {
    Ok(EntryRow {
        owner: row.profile("owner")?,
        file: row.sha256("sha256")?,
        scope: row.word("scope")?,
        decision: row.word("decision")?,
        author: row.maybe_word("author")?,
        rule: row.maybe_word("rule")?,
        draft: row.flag("draft")?,
        actor: row.maybe_text("actor")?,
        comment: row.maybe_text("comment")?,
        decided_at: row.maybe_time("decided_at")?,
        reason: row.word("reason")?,
        threat_score: row.maybe_number("threat_score")?,
        told: row.text("told")?,
        sources: Sources::from_bits(row.number("sources")?),
        first_at: row.time("first_observed_at")?,
        last_at: row.time("last_observed_at")?,
        executed_at: row.maybe_time("last_executed_at")?,
    })
}
