//! People's decisions on files, one or many at a time: kept, published and marked in one transaction, which is in force when it ends.

use std::collections::BTreeSet;

use doorward_policy::{Author, Decision, ProfileId, Scope, Sha256};
use doorward_proto::snapshot::{Record, RecordKind, RecordScope};
use sqlx::QueryBuilder;

use super::audit::{self, Act};
use super::batch::{ROWS_MAX, any_of, digests};
use super::column::{Columns, word};
use super::record::apply;
use super::{Connection, Result, Store, entry, file, incident, mark, observation};
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

/// The same decision on many files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDecisions {
    /// On what.
    pub files: BTreeSet<Sha256>,
    /// As in [`FileDecision`].
    pub owner: ProfileId,
    /// As in [`FileDecision`].
    pub decision: Decision,
    /// As in [`FileDecision`].
    pub comment: Option<String>,
}

/// What became of a decision on many files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Decided {
    /// Files that stand otherwise now.
    pub decided: u64,
    /// Files of which a person had decided the same before; nothing was written of them.
    pub unchanged: u64,
}

/// What is written of each file.
#[derive(Debug, Clone, Copy)]
struct Terms<'a> {
    owner: ProfileId,
    decision: Decision,
    comment: Option<&'a str>,
    actor: &'a str,
    at: i64,
}

impl Store {
    /// Keeps a person's decision, publishes it and marks the file anew, in one transaction.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn decide_file(&self, decision: &FileDecision, actor: &str, now: i64) -> Result<Effect> {
        let mut effect = Effect::default();
        let mut work = self.begin().await?;
        let before = entry::of(&mut work, &[decision.file]).await?.into_iter().find(|entry| entry.owner == decision.owner);
        let comment = decision.comment.as_deref();
        let terms = Terms { owner: decision.owner, decision: decision.decision, comment, actor, at: now };
        decide(&mut work, &[decision.file], terms, &mut effect).await?;
        let target = format!("{} in {}", decision.file, decision.owner);
        let before = before.map(|entry| word(&entry.decision));
        let after = word(&decision.decision);
        let act = Act { at: now, actor, action: "file.decide", target: &target, before: before.as_deref(), after: Some(&after), comment };
        audit::append(&mut work, act).await?;
        work.commit().await?;
        Ok(effect)
    }

    /// As [`Store::decide_file`] for many files, in one transaction with one revision and one row in the audit log. Which files they were
    /// stands in the table of changes.
    ///
    /// # Errors
    /// [`super::StoreError`]; then nothing was decided.
    pub async fn decide_files(&self, decisions: &FileDecisions, actor: &str, now: i64) -> Result<(Decided, Effect)> {
        let mut effect = Effect::default();
        let mut work = self.begin().await?;
        let files = undecided(&mut work, decisions).await?;
        let decided = Decided { decided: files.len() as u64, unchanged: (decisions.files.len() - files.len()) as u64 };
        if files.is_empty() {
            return Ok((decided, effect));
        }
        let comment = decisions.comment.as_deref();
        let terms = Terms { owner: decisions.owner, decision: decisions.decision, comment, actor, at: now };
        decide(&mut work, &files, terms, &mut effect).await?;
        let target = format!("{} files in {}", files.len(), decisions.owner);
        let after = word(&decisions.decision);
        let act = Act { at: now, actor, action: "files.decide", target: &target, before: None, after: Some(&after), comment };
        audit::append(&mut work, act).await?;
        work.commit().await?;
        Ok((decided, effect))
    }

    /// Those of the files of which a host said that a package put them there: only they can be part of what hosts cannot do without.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn claimed(&self, files: &BTreeSet<Sha256>) -> Result<BTreeSet<Sha256>> {
        let files: Vec<_> = files.iter().copied().collect();
        let mut view = self.reader.begin().await?;
        let mut claimed = BTreeSet::new();
        for chunk in files.chunks(ROWS_MAX) {
            let keys: Vec<_> = digests(chunk).collect();
            let mut select = any_of(
                "SELECT DISTINCT o.sha256 FROM observation o JOIN evidence e ON e.key = o.evidence_key \
                 WHERE e.package_key IS NOT NULL AND o.sha256 IN",
                &keys,
                "",
            );
            for row in select.build().fetch_all(&mut *view).await? {
                claimed.insert(Columns(&row).sha256("sha256")?);
            }
        }
        Ok(claimed)
    }

    /// Those of the files that threat intelligence calls malicious or suspicious.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn threats(&self, files: &BTreeSet<Sha256>) -> Result<BTreeSet<Sha256>> {
        let files: Vec<_> = files.iter().copied().collect();
        let known = file::known(&mut *self.reader.acquire().await?, &files).await?;
        let is_threat = |file: &file::KnownFile| file.answer.reputation().is_some_and(doorward_policy::Reputation::is_threat);
        Ok(known.into_iter().filter(|(_, file)| is_threat(file)).map(|(file, _)| file).collect())
    }
}

/// The files that do not stand as decided already.
async fn undecided(work: &mut Connection, decisions: &FileDecisions) -> Result<Vec<Sha256>> {
    let mut files: Vec<_> = decisions.files.iter().copied().collect();
    let entries = entry::of(work, &files).await?;
    let own = entries.iter().filter(|entry| entry.owner == decisions.owner);
    let stands = |entry: &&entry::EntryRow| match decisions.decision {
        Decision::Undecided => entry.author == Some(Author::Person),
        decision => entry.is_by_person(decision),
    };
    let stand: BTreeSet<_> = own.filter(stands).map(|entry| entry.file).collect();
    // What a person decided is taken back where there is such a decision, and made where there is none.
    files.retain(|file| stand.contains(file) == (decisions.decision == Decision::Undecided));
    Ok(files)
}

/// Writes the decision down, has the files marked anew and publishes what follows. The caller writes the audit log.
async fn decide(work: &mut Connection, files: &[Sha256], terms: Terms<'_>, effect: &mut Effect) -> Result<()> {
    let Terms { owner, decision, actor, at, .. } = terms;
    write(work, files, terms).await?;
    let mut records = mark::mark(work, files, at, effect).await?.records;
    let scope = if owner == GLOBAL { RecordScope::Global } else { RecordScope::Profile };
    for file in files {
        if owner != GLOBAL && decision != Decision::Undecided {
            // The row is the person's now, so marking no longer sees the rule it held before.
            records.set(owner, &Record::file(file, RecordKind::FileAllowedByRule, RecordScope::Profile), false);
        }
        for (kind, wanted) in [(RecordKind::FileDeniedByPerson, Decision::Denied), (RecordKind::FileAllowedByPerson, Decision::Allowed)] {
            records.set(owner, &Record::file(file, kind, scope), decision == wanted);
        }
    }
    apply(work, &records, actor, at, effect).await?;
    file::touch(work, files).await?;
    effect.verdicts.append(&mut observation::hosts_of(work, files).await?);
    if decision == Decision::Allowed {
        incident::settle(work, owner, files, actor, at).await?;
    }
    Ok(())
}

/// What the rows say of the files' standing is for marking to fill in, a moment later in the same transaction.
async fn write(work: &mut Connection, files: &[Sha256], terms: Terms<'_>) -> Result<()> {
    const MERGE: &str = " ON CONFLICT (owner, sha256) DO UPDATE SET decision = excluded.decision, author = excluded.author, rule = NULL, \
         draft = 0, actor = excluded.actor, comment = excluded.comment, decided_at = excluded.decided_at";
    let Terms { owner, decision, comment, actor, at } = terms;
    let is_decided = decision != Decision::Undecided;
    let scope = if owner == GLOBAL { Scope::Global } else { Scope::Profile };
    for chunk in files.chunks(ROWS_MAX) {
        let mut insert = QueryBuilder::new(
            "INSERT INTO entry (owner, sha256, scope, decision, author, draft, actor, comment, decided_at, standing, reason, told, sources, \
             first_observed_at, last_observed_at) ",
        );
        insert.push_values(chunk, |mut row, file| {
            row.push_bind(owner.as_bytes().to_vec()).push_bind(file.as_bytes().to_vec()).push_bind(word(&scope));
            row.push_bind(word(&decision)).push_bind(is_decided.then(|| word(&Author::Person))).push_bind(0_i64);
            row.push_bind(is_decided.then(|| actor.to_owned())).push_bind(comment.map(str::to_owned)).push_bind(at);
            row.push_bind(1_i64).push_bind("not_asked").push_bind("").push_bind(0_i64).push_bind(at).push_bind(at);
        });
        insert.push(MERGE).build().execute(&mut *work).await?;
    }
    Ok(())
}
