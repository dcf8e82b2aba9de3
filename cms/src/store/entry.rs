//! Entries: (scope, file) with a decision of a person or a rule, or none yet. People's are made here; rules' by [`super::mark`].

use std::collections::BTreeSet;

use doorward_policy::{Author, AutoAllow, Decision, HostId, ProfileId, Scope, Sha256, StatusReason};
use doorward_proto::snapshot::{Record, RecordKind, RecordScope};
use serde::Serialize;
use sqlx::QueryBuilder;

use super::audit::{self, Act};
use super::batch::{ROWS_MAX, any_of, digests};
use super::column::{Columns, word};
use super::record::apply;
use super::{Connection, Result, Store, file, incident, mark};
use crate::allowlist::{People, RuleAllow, Sources};
use crate::profile::GLOBAL;
use crate::signals::Effect;

/// A person's decision on a file; in force as soon as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDecision {
    /// On what. It need not have been met anywhere yet.
    pub file: Sha256,
    /// In which profile, or in [`GLOBAL`].
    pub owner: ProfileId,
    /// What; `Undecided` takes an earlier decision back.
    pub decision: Decision,
    /// Why.
    pub comment: Option<String>,
}

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

    fn is_by_person(&self, decision: Decision) -> bool {
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
    /// Keeps a person's decision, publishes it and marks the file anew, in one transaction.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn decide_file(&self, decision: &FileDecision, actor: &str, now: i64) -> Result<Effect> {
        let mut effect = Effect::default();
        let mut work = self.begin().await?;
        let before = of(&mut work, &[decision.file]).await?.into_iter().find(|entry| entry.owner == decision.owner);
        write_decision(&mut work, decision, actor, now).await?;
        let marked = mark::mark(&mut work, &[decision.file], now, &mut effect).await?;
        let mut records = marked.records;
        if decision.owner != GLOBAL && decision.decision != Decision::Undecided {
            // The row is the person's now, so marking no longer sees the rule it held before.
            let rule = Record::file(&decision.file, RecordKind::FileAllowedByRule, RecordScope::Profile);
            records.set(decision.owner, &rule, false);
        }
        for (kind, wanted) in [(RecordKind::FileDeniedByPerson, Decision::Denied), (RecordKind::FileAllowedByPerson, Decision::Allowed)] {
            let scope = if decision.owner == GLOBAL { RecordScope::Global } else { RecordScope::Profile };
            records.set(decision.owner, &Record::file(&decision.file, kind, scope), decision.decision == wanted);
        }
        apply(&mut work, &records, actor, now, &mut effect).await?;
        file::touch(&mut work, &[decision.file]).await?;
        effect.verdicts.append(&mut super::observation::hosts_of(&mut work, &[decision.file]).await?);
        if decision.decision == Decision::Allowed {
            incident::settle(&mut work, decision.owner, &[decision.file], actor, now).await?;
        }
        let target = format!("{} in {}", decision.file, decision.owner);
        let before = before.map(|entry| word(&entry.decision));
        let after = word(&decision.decision);
        let (before, comment) = (before.as_deref(), decision.comment.as_deref());
        let act = Act { at: now, actor, action: "file.decide", target: &target, before, after: Some(&after), comment };
        audit::append(&mut work, act).await?;
        work.commit().await?;
        Ok(effect)
    }

    /// Every decision on a file, in all scopes.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn decisions(&self, file: &Sha256) -> Result<Vec<DecisionView>> {
        let entries = of(&mut *self.reader.acquire().await?, &[*file]).await?;
        Ok(entries.iter().filter_map(EntryRow::view).collect())
    }
}

async fn write_decision(work: &mut Connection, decision: &FileDecision, actor: &str, now: i64) -> Result<()> {
    // What the row says of the file's standing is for marking to fill in, a moment later in the same transaction.
    const UPSERT: &str = "INSERT INTO entry (owner, sha256, scope, decision, author, draft, actor, comment, decided_at, standing, reason, \
         told, sources, first_observed_at, last_observed_at) VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8, 1, 'not_asked', '', 0, $8, $8) \
         ON CONFLICT (owner, sha256) DO UPDATE SET decision = excluded.decision, author = excluded.author, rule = NULL, draft = 0, \
         actor = excluded.actor, comment = excluded.comment, decided_at = excluded.decided_at";
    let decided = decision.decision != Decision::Undecided;
    let scope = if decision.owner == GLOBAL { Scope::Global } else { Scope::Profile };
    sqlx::query(UPSERT)
        .bind(decision.owner.as_bytes().as_slice())
        .bind(decision.file.as_bytes().as_slice())
        .bind(word(&scope))
        .bind(word(&decision.decision))
        .bind(decided.then(|| word(&Author::Person)))
        .bind(decided.then_some(actor))
        .bind(&decision.comment)
        .bind(now)
        .execute(work)
        .await?;
    Ok(())
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
