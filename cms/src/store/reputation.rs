//! Answers of threat intelligence: append-only, with the newest repeated in `file`. Keeping answers, asking again when they grow stale,
//! marking the files anew and telling of turns for the worse is one transaction. An error never comes this way.

use std::collections::BTreeMap;

use doorward_policy::{Answer, Md5, Reputation, Sha1, Sha256};
use serde::Serialize;
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite};

use super::batch::{ROWS_MAX, any_of, with_rows};
use super::column::{Columns, word};
use super::file::{self, KnownFile};
use super::{Connection, Result, Store, mark, record, turn};
use crate::signals::Effect;

/// Longest raw answer kept, in bytes.
const RAW_BYTES_MAX: usize = 64 << 10;

/// Kept in the place of one that is longer.
const RAW_TOO_LONG: &str = r#"{"note":"the answer was too long to be kept"}"#;

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
        let known: Vec<_> = answers.values().copied().filter(|answer| before.contains_key(&answer.file)).collect();
        for chunk in known.chunks(ROWS_MAX) {
            keep(&mut work, provider, chunk, &before, now).await?;
        }
        let marked = mark::mark(&mut work, &files, now, &mut effect).await?;
        record::apply(&mut work, &marked.records, provider, now, &mut effect).await?;
        turn::tell(&mut work, &before, &answers, &marked, now).await?;
        work.commit().await?;
        Ok(effect)
    }
}

async fn keep(work: &mut Connection, provider: &str, answers: &[&Answered], before: &BTreeMap<Sha256, KnownFile>, now: i64) -> Result<()> {
    const FILES: &str = "UPDATE file SET sha1 = coalesce(new.sha1, file.sha1), md5 = coalesce(new.md5, file.md5), provider = new.provider, \
         class = new.class, trust_factor = new.trust_factor, threat_level = new.threat_level, threat_name = new.threat_name, \
         class_since = new.class_since, fetched_at = new.fetched_at, fresh_until = new.fresh_until, \
         reputation_id = coalesce(new.reputation_id, file.reputation_id) FROM new WHERE file.sha256 = new.sha256";
    const COLUMNS: &str = "sha256, sha1, md5, provider, class, trust_factor, threat_level, threat_name, class_since, fetched_at, \
         fresh_until, reputation_id";
    let rows = append(work, provider, answers, now).await?;
    let bind = |mut row: Separated<'_, Sqlite, &'static str>, answer: &&Answered| {
        let reputation = &answer.reputation;
        let known = before.get(&answer.file);
        let same_class = known.and_then(|known| known.answer.reputation()).is_some_and(|old| old.class == reputation.class);
        let class_since = known.and_then(|known| known.class_since).filter(|_| same_class).unwrap_or(now);
        row.push_bind(answer.file.as_bytes().to_vec()).push_bind(answer.sha1.map(|digest| digest.as_bytes().to_vec()));
        row.push_bind(answer.md5.map(|digest| digest.as_bytes().to_vec())).push_bind(provider.to_owned());
        row.push_bind(word(&reputation.class)).push_bind(reputation.trust_factor).push_bind(reputation.threat_level);
        row.push_bind(reputation.threat_name.clone()).push_bind(class_since).push_bind(now).push_bind(answer.fresh_until);
        row.push_bind(rows.get(&answer.file).copied());
    };
    with_rows(COLUMNS, answers, bind, FILES).build().execute(&mut *work).await?;
    reschedule(work, answers, now).await
}

/// Asked again when it grows stale, or at once when somebody asked for that meanwhile; an answered question has failed no more.
async fn reschedule(work: &mut Connection, answers: &[&Answered], now: i64) -> Result<()> {
    const LOOKUPS: &str = "UPDATE lookup SET state = 'queued', priority = CASE WHEN lookup.again <> 0 THEN lookup.priority ELSE 2 END, \
         due_at = CASE WHEN lookup.again <> 0 THEN new.now ELSE new.due_at END, attempts = 0, last_error = NULL, again = 0 \
         FROM new WHERE lookup.sha256 = new.sha256";
    let bind = |mut row: Separated<'_, Sqlite, &'static str>, answer: &&Answered| {
        row.push_bind(answer.file.as_bytes().to_vec()).push_bind(answer.fresh_until).push_bind(now);
    };
    with_rows("sha256, due_at, now", answers, bind, LOOKUPS).build().execute(work).await?;
    Ok(())
}

/// Adds rows of history, except for answers that repeat the newest word for word; gives the new rows' ids.
async fn append(work: &mut Connection, provider: &str, answers: &[&Answered], now: i64) -> Result<BTreeMap<Sha256, i64>> {
    let newest = newest(work, answers).await?;
    let repeats = |answer: &&&Answered| {
        newest
            .get(&answer.file)
            .is_some_and(|(by, raw, reputation)| by == provider && raw == kept_raw(answer) && *reputation == answer.reputation)
    };
    let new: Vec<_> = answers.iter().filter(|answer| !repeats(answer)).collect();
    if new.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut insert = QueryBuilder::new(
        "INSERT INTO reputation (sha256, provider, class, trust_factor, threat_level, threat_name, raw, answered_at, fetched_at) ",
    );
    insert.push_values(new, |mut row, answer| {
        let reputation = &answer.reputation;
        row.push_bind(answer.file.as_bytes().to_vec()).push_bind(provider.to_owned()).push_bind(word(&reputation.class));
        row.push_bind(reputation.trust_factor).push_bind(reputation.threat_level).push_bind(reputation.threat_name.clone());
        row.push_bind(kept_raw(answer).to_owned()).push_bind(answer.answered_at).push_bind(now);
    });
    let rows = insert.push(" RETURNING id, sha256").build().fetch_all(work).await?;
    rows.iter().map(|row| Ok((Columns(row).sha256("sha256")?, Columns(row).integer("id")?))).collect()
}

fn kept_raw(answer: &Answered) -> &str {
    if answer.raw.len() > RAW_BYTES_MAX { RAW_TOO_LONG } else { &answer.raw }
}

/// The newest rows of history: provider, raw answer and what it says.
async fn newest(work: &mut Connection, answers: &[&Answered]) -> Result<BTreeMap<Sha256, (String, String, Reputation)>> {
    let keys: Vec<_> = answers.iter().map(|answer| *answer.file.as_bytes()).collect();
    let mut select = any_of("SELECT r.* FROM file f JOIN reputation r ON r.id = f.reputation_id WHERE f.sha256 IN", &keys, "");
    let rows = select.build().fetch_all(work).await?;
    let one = |row| {
        let row = Columns(row);
        Ok((row.sha256("sha256")?, (row.text("provider")?, row.text("raw")?, reputation(&row)?)))
    };
    rows.iter().map(one).collect()
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
