//! Answers of threat intelligence: append-only, with the newest repeated in `file`. Keeping answers, asking again when they grow stale,
//! marking the files anew and telling of turns for the worse is one transaction. An error never comes this way.

use std::collections::BTreeMap;

use doorward_policy::{Answer, Md5, Reputation, Sha1, Sha256};
use serde::Serialize;

use super::column::{Columns, word};
use super::file::{self, KnownFile};
use super::{Connection, Result, Store, lookup, mark, record, turn};
use crate::signals::Effect;

/// Longest raw answer kept, in bytes.
const RAW_BYTES_MAX: usize = 64 << 10;

/// A provider's answer about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// About what.
    pub file: Sha256,
    /// What it says.
    pub reputation: Reputation,
    /// The provider's own words, JSON text; longer than 64 KiB it is replaced by a note.
    pub raw: String,
    /// As the provider knows the file.
    pub sha1: Option<Sha1>,
    /// As the provider knows the file.
    pub md5: Option<Md5>,
    /// When it was true, microseconds since 1970, UTC.
    pub answered_at: i64,
    /// When to ask again, microseconds since 1970, UTC.
    pub fresh_until: i64,
}

/// One answer of a file's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReputationView {
    /// Who said so.
    pub provider: String,
    /// What.
    #[serde(flatten)]
    pub reputation: Reputation,
    /// When it was true, microseconds since 1970, UTC.
    pub at: i64,
    /// When it was known here, microseconds since 1970, UTC.
    pub fetched_at: i64,
    /// The provider's own words.
    pub raw: serde_json::Value,
}

impl Store {
    /// Keeps answers and everything that follows from them. Answers about files that are not known here are dropped.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn answered(&self, provider: &str, answers: &[Answered], now: i64) -> Result<Effect> {
        let mut effect = Effect::default();
        // Of two answers about one file the last counts.
        let answers: BTreeMap<Sha256, &Answered> = answers.iter().map(|answer| (answer.file, answer)).collect();
        let files: Vec<_> = answers.keys().copied().collect();
        let mut work = self.begin().await?;
        let before = file::known(&mut work, &files).await?;
        for (file, answer) in &answers {
            if let Some(known) = before.get(file) {
                keep(&mut work, provider, answer, known, now).await?;
            }
        }
        let marked = mark::mark(&mut work, &files, now, &mut effect).await?;
        record::apply(&mut work, &marked.records, provider, now, &mut effect).await?;
        turn::tell(&mut work, &before, &answers, &marked, now).await?;
        work.commit().await?;
        Ok(effect)
    }
}

async fn keep(work: &mut Connection, provider: &str, answer: &Answered, before: &KnownFile, now: i64) -> Result<()> {
    const UPDATE: &str = "UPDATE file SET sha1 = coalesce($2, sha1), md5 = coalesce($3, md5), provider = $4, class = $5, trust_factor = $6, \
         threat_level = $7, threat_name = $8, class_since = $9, fetched_at = $10, fresh_until = $11, \
         reputation_id = coalesce($12, reputation_id) WHERE sha256 = $1";
    // Asked again when it grows stale; an answered question has failed no more.
    const RESCHEDULE: &str = "UPDATE lookup SET state = 'queued', priority = $2, due_at = $3, attempts = 0, last_error = NULL WHERE sha256 = $1";
    let reputation = &answer.reputation;
    let same_class = before.answer.reputation().is_some_and(|before| before.class == reputation.class);
    let class_since = before.class_since.filter(|_| same_class).unwrap_or(now);
    let row = append(work, provider, answer, now).await?;
    sqlx::query(UPDATE)
        .bind(answer.file.as_bytes().as_slice())
        .bind(answer.sha1.map(|digest| digest.as_bytes().to_vec()))
        .bind(answer.md5.map(|digest| digest.as_bytes().to_vec()))
        .bind(provider)
        .bind(word(&reputation.class))
        .bind(reputation.trust_factor)
        .bind(reputation.threat_level)
        .bind(&reputation.threat_name)
        .bind(class_since)
        .bind(now)
        .bind(answer.fresh_until)
        .bind(row)
        .execute(&mut *work)
        .await?;
    let refresh = lookup::number(lookup::Priority::Refresh);
    let query = sqlx::query(RESCHEDULE).bind(answer.file.as_bytes().as_slice()).bind(refresh).bind(answer.fresh_until);
    query.execute(work).await?;
    Ok(())
}

/// Adds a row of history, unless the answer repeats the newest word for word; gives the new row's id.
async fn append(work: &mut Connection, provider: &str, answer: &Answered, now: i64) -> Result<Option<i64>> {
    const NEWEST: &str = "SELECT provider, class, trust_factor, threat_level, threat_name, raw FROM reputation WHERE sha256 = $1 \
         ORDER BY id DESC LIMIT 1";
    const INSERT: &str = "INSERT INTO reputation (sha256, provider, class, trust_factor, threat_level, threat_name, raw, answered_at, \
         fetched_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id";
    let raw = if answer.raw.len() > RAW_BYTES_MAX { r#"{"note":"the answer was too long to be kept"}"# } else { &answer.raw };
    if let Some(row) = sqlx::query(NEWEST).bind(answer.file.as_bytes().as_slice()).fetch_optional(&mut *work).await? {
        let row = Columns(&row);
        if row.text("provider")? == provider && row.text("raw")? == raw && reputation(&row)? == answer.reputation {
            return Ok(None);
        }
    }
    let row = sqlx::query(INSERT)
        .bind(answer.file.as_bytes().as_slice())
        .bind(provider)
        .bind(word(&answer.reputation.class))
        .bind(answer.reputation.trust_factor)
        .bind(answer.reputation.threat_level)
        .bind(&answer.reputation.threat_name)
        .bind(raw)
        .bind(answer.answered_at)
        .bind(now)
        .fetch_one(work)
        .await?;
    Ok(Some(Columns(&row).integer("id")?))
}

/// A file's answers, newest first.
pub(super) async fn history(view: &mut Connection, file: &Sha256, limit: u32) -> Result<Vec<ReputationView>> {
    const SELECT: &str = "SELECT * FROM reputation WHERE sha256 = $1 ORDER BY id DESC LIMIT $2";
    let rows = sqlx::query(SELECT).bind(file.as_bytes().as_slice()).bind(limit).fetch_all(view).await?;
    rows.iter().map(|row| view_of(&Columns(row))).collect()
}

fn view_of(row: &Columns<'_>) -> Result<ReputationView> {
    let raw = row.text("raw")?;
    Ok(ReputationView {
        provider: row.text("provider")?,
        reputation: reputation(row)?,
        at: row.time("answered_at")?,
        fetched_at: row.time("fetched_at")?,
        // What is not JSON after all is shown as the text it is.
        raw: serde_json::from_str(&raw).unwrap_or(serde_json::Value::String(raw)),
    })
}

fn reputation(row: &Columns<'_>) -> Result<Reputation> {
    Ok(Reputation {
        class: row.word("class")?,
        trust_factor: row.maybe_number("trust_factor")?,
        threat_level: row.maybe_number("threat_level")?,
        threat_name: row.maybe_text("threat_name")?,
    })
}

/// The answer a file had, if any.
pub(super) fn answer_before<'a>(before: &'a BTreeMap<Sha256, KnownFile>, file: &Sha256) -> Option<&'a Reputation> {
    before.get(file).map(|known| &known.answer).and_then(Answer::reputation)
}
