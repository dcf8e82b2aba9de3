//! The queue of questions to threat intelligence: one row per distinct file, durable, taken best first. A row stays for ever: answered,
//! it waits for the answer to grow stale.

use std::collections::{BTreeMap, BTreeSet};

use doorward_policy::{Class, HostId, Md5, NoAnswer, ProfileId, Sha1, Sha256};
use serde::Serialize;
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite};

use super::audit::{self, Act};
use super::batch::{ROWS_MAX, any_of, digests, with_rows};
use super::column::{Columns, word};
use super::{Connection, Result, Store, file, mark, record};
use crate::signals::Effect;

/// An execution of a file TI does not know asks again, at most this often.
const UNKNOWN_ASKED_AGAIN_US: i64 = 3_600_000_000;

/// Code of a failure that asking again does not mend: the provider does not take the checksum. Only a person has it asked again.
const ERROR_FOR_GOOD: &str = "invalid_hash";

/// Longest error code kept, in bytes.
const ERROR_BYTES_MAX: usize = 64;

/// How urgent a question is; the smaller, the sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody runs it.
    Executed,
    /// It was never asked about.
    New,
    /// Its answer grew stale.
    Refresh,
}

/// A question taken from the queue; in flight until answered, failed or released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// About what.
    pub file: Sha256,
    /// For correlation, when a host or a provider told.
    pub sha1: Option<Sha1>,
    /// For correlation, when a host or a provider told.
    pub md5: Option<Md5>,
    /// How urgent.
    pub priority: Priority,
    /// Failures in a row before this attempt.
    pub attempts: u32,
    /// The host that brought the file.
    pub host: Option<HostId>,
    /// The newest answer's class.
    pub class: Option<Class>,
    /// Since when that has been the answer, microseconds since 1970, UTC.
    pub class_since: Option<i64>,
}

/// When the next question is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Microseconds since 1970, UTC; may be past.
    pub at: i64,
    /// How urgent it is.
    pub priority: Priority,
}

/// A question that was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// About what.
    pub file: Sha256,
    /// Code of the failure; cut to 64 bytes.
    pub error: String,
    /// What is said to people while nothing better is known.
    pub no_answer: NoAnswer,
    /// When to ask again; `None` gives up until somebody asks for it.
    pub not_before: Option<i64>,
}

/// What is to be asked again at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recheck {
    /// One file.
    File(Sha256),
    /// Every file met in a profile.
    Profile(ProfileId),
    /// Every file there is a question about.
    All,
}

impl Store {
    /// Questions that were in flight when the program ended are asked again.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn release_in_flight(&self) -> Result<u64> {
        const UPDATE: &str = "UPDATE lookup SET state = 'queued', again = 0 WHERE state = 'in_flight'";
        Ok(sqlx::query(UPDATE).execute(&self.writer).await?.rows_affected())
    }

    /// Takes due questions of at least this urgency, best first, at most `max`.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn take_lookups(&self, now: i64, least: Priority, max: u32) -> Result<Vec<Taken>> {
        const SELECT: &str = "SELECT l.sha256, l.priority, l.attempts, l.host_id, f.sha1, f.md5, f.class, f.class_since \
             FROM lookup l JOIN file f ON f.sha256 = l.sha256 WHERE l.state = 'queued' AND l.priority <= $1 AND l.due_at <= $2 \
             ORDER BY l.priority, l.due_at LIMIT $3";
        self.take(SELECT, now, least, max).await
    }

    /// As [`Self::take_lookups`], for those about files that have no answer yet: nobody waits for a mere refresh.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn take_unanswered(&self, now: i64, max: u32) -> Result<Vec<Taken>> {
        const SELECT: &str = "SELECT l.sha256, l.priority, l.attempts, l.host_id, f.sha1, f.md5, f.class, f.class_since \
             FROM lookup l JOIN file f ON f.sha256 = l.sha256 WHERE l.state = 'queued' AND l.priority <= $1 AND l.due_at <= $2 \
             AND f.class IS NULL ORDER BY l.priority, l.due_at LIMIT $3";
        // A question is a refresh once it was answered, so what was not stands before all of them.
        self.take(SELECT, now, Priority::New, max).await
    }

    async fn take(&self, select: &'static str, now: i64, least: Priority, max: u32) -> Result<Vec<Taken>> {
        let mut work = self.begin().await?;
        let query = sqlx::query(select).bind(number(least)).bind(now).bind(max);
        let taken = query.fetch_all(&mut *work).await?.iter().map(|row| taken(&Columns(row))).collect::<Result<Vec<_>>>()?;
        let files: Vec<_> = taken.iter().map(|taken| taken.file).collect();
        for chunk in files.chunks(ROWS_MAX) {
            let keys: Vec<_> = digests(chunk).collect();
            any_of("UPDATE lookup SET state = 'in_flight' WHERE sha256 IN", &keys, "").build().execute(&mut *work).await?;
        }
        work.commit().await?;
        Ok(taken)
    }

    /// The most urgent question that is queued and the soonest due of its urgency; `None` when nothing is queued.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn next_lookup_due(&self, now: i64) -> Result<Option<Due>> {
        const DUE: &str = "SELECT priority, due_at FROM lookup WHERE state = 'queued' AND priority = $1 ORDER BY due_at LIMIT 1";
        let mut soonest: Option<Due> = None;
        for priority in [Priority::Executed, Priority::New, Priority::Refresh] {
            let Some(row) = sqlx::query(DUE).bind(number(priority)).fetch_optional(&self.reader).await? else {
                continue;
            };
            let due = Due { at: Columns(&row).time("due_at")?, priority };
            if due.at <= now {
                return Ok(Some(due));
            }
            if soonest.is_none_or(|soonest| due.at < soonest.at) {
                soonest = Some(due);
            }
        }
        Ok(soonest)
    }

    /// Keeps that questions were not answered. What TI said before stays; where it never said anything, people see why.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn lookups_failed(&self, failures: &[Failed], now: i64) -> Result<Effect> {
        let mut effect = Effect::default();
        let mut work = self.begin().await?;
        // Of two failures of one file the last counts.
        let failures: BTreeMap<Sha256, &Failed> = failures.iter().map(|failure| (failure.file, failure)).collect();
        let failures: Vec<_> = failures.into_values().collect();
        for chunk in failures.chunks(ROWS_MAX) {
            fail(&mut work, chunk, now).await?;
        }
        let files: Vec<_> = failures.iter().map(|failure| failure.file).collect();
        let marked = mark::mark(&mut work, &files, now, &mut effect).await?;
        record::apply(&mut work, &marked.records, "rule", now, &mut effect).await?;
        work.commit().await?;
        Ok(effect)
    }

    /// Makes questions due now, answered and given-up ones too; says how many. One that is in flight is asked once more when it is back:
    /// its answer may be older than the wish.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn recheck(&self, what: &Recheck, now: i64) -> Result<(u64, Effect)> {
        self.recheck_for(what, "cms", now).await
    }

    /// As [`Self::recheck`], for a person, whose wish the audit log keeps.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn recheck_for(&self, what: &Recheck, actor: &str, now: i64) -> Result<(u64, Effect)> {
        const FILE: &str = "UPDATE lookup SET again = CASE WHEN state = 'in_flight' THEN 1 ELSE 0 END, \
             state = CASE WHEN state = 'in_flight' THEN state ELSE 'queued' END, \
             priority = CASE WHEN priority < 1 THEN priority ELSE 1 END, due_at = $1 WHERE sha256 = $2";
        const PROFILE: &str = "UPDATE lookup SET again = CASE WHEN state = 'in_flight' THEN 1 ELSE 0 END, \
             state = CASE WHEN state = 'in_flight' THEN state ELSE 'queued' END, due_at = $1 \
             WHERE sha256 IN (SELECT sha256 FROM sighting WHERE profile_id = $2)";
        const ALL: &str = "UPDATE lookup SET again = CASE WHEN state = 'in_flight' THEN 1 ELSE 0 END, \
             state = CASE WHEN state = 'in_flight' THEN state ELSE 'queued' END, due_at = $1";
        let query = match what {
            Recheck::File(file) => sqlx::query(FILE).bind(now).bind(file.as_bytes().to_vec()),
            Recheck::Profile(profile) => sqlx::query(PROFILE).bind(now).bind(profile.as_bytes().to_vec()),
            Recheck::All => sqlx::query(ALL).bind(now),
        };
        let mut work = self.begin().await?;
        let count = query.execute(&mut *work).await?.rows_affected();
        let target = match what {
            Recheck::File(file) => file.to_string(),
            Recheck::Profile(profile) => format!("files of profile {profile}"),
            Recheck::All => "all files".to_owned(),
        };
        let after = format!("{count} questions");
        audit::append(&mut work, Act { at: now, actor, action: "intel.recheck", target: &target, after: Some(&after), ..Act::default() })
            .await?;
        work.commit().await?;
        Ok((count, Effect { lookups: count > 0, ..Effect::default() }))
    }

    /// Makes every question due now that was given up, or that failed and has no answer at all; for a provider that may be configured
    /// by now. Checksums the provider does not take stay given up.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn retry_given_up(&self, now: i64) -> Result<u64> {
        const UPDATE: &str = "UPDATE lookup SET state = 'queued', due_at = $1 WHERE state <> 'in_flight' AND last_error IS NOT NULL \
             AND last_error <> $2 AND (state = 'given_up' OR sha256 IN (SELECT sha256 FROM file WHERE class IS NULL))";
        Ok(sqlx::query(UPDATE).bind(now).bind(ERROR_FOR_GOOD).execute(&self.writer).await?.rows_affected())
    }
}

async fn fail(work: &mut Connection, failures: &[&Failed], now: i64) -> Result<()> {
    // One that somebody asked for meanwhile is not given up, and waits as long as any other.
    const LOOKUPS: &str = "UPDATE lookup SET state = CASE WHEN lookup.again <> 0 THEN 'queued' ELSE new.state END, \
         due_at = new.due_at, attempts = attempts + 1, last_error = new.error, again = 0 FROM new WHERE lookup.sha256 = new.sha256";
    const FILES: &str = "UPDATE file SET no_answer = new.reason FROM new WHERE file.sha256 = new.sha256";
    let bind = |mut row: Separated<'_, Sqlite, &'static str>, failure: &&Failed| {
        let error = &failure.error[..failure.error.floor_char_boundary(ERROR_BYTES_MAX)];
        let state = if failure.not_before.is_some() { "queued" } else { "given_up" };
        row.push_bind(failure.file.as_bytes().to_vec()).push_bind(state).push_bind(failure.not_before.unwrap_or(now));
        row.push_bind(error.to_owned());
    };
    with_rows("sha256, state, due_at, error", failures, bind, LOOKUPS).build().execute(&mut *work).await?;
    let bind = |mut row: Separated<'_, Sqlite, &'static str>, failure: &&Failed| {
        row.push_bind(failure.file.as_bytes().to_vec()).push_bind(word(&failure.no_answer));
    };
    with_rows("sha256, reason", failures, bind, FILES).build().execute(work).await?;
    Ok(())
}

/// Queues questions about files nobody asked about before.
pub(super) async fn queue(work: &mut Connection, files: &[Sha256], host: Option<HostId>, now: i64) -> Result<()> {
    for chunk in files.chunks(ROWS_MAX) {
        let mut insert = QueryBuilder::new("INSERT INTO lookup (sha256, state, priority, due_at, attempts, host_id, queued_at, again) ");
        insert.push_values(chunk, |mut row, file| {
            row.push_bind(file.as_bytes().to_vec()).push_bind("queued").push_bind(number(Priority::New)).push_bind(now);
            row.push_bind(0_i64).push_bind(host.map(|host| host.as_bytes().to_vec())).push_bind(now).push_bind(0_i64);
        });
        insert.push(" ON CONFLICT (sha256) DO NOTHING").build().execute(&mut *work).await?;
    }
    file::set_no_answer(work, files, NoAnswer::Pending).await
}

/// Withdraws questions about files that may no longer be asked about.
pub(super) async fn withdraw(work: &mut Connection, files: &[Sha256]) -> Result<()> {
    for chunk in files.chunks(ROWS_MAX) {
        let keys: Vec<_> = digests(chunk).collect();
        any_of("DELETE FROM lookup WHERE sha256 IN", &keys, "").build().execute(&mut *work).await?;
    }
    file::set_no_answer(work, files, NoAnswer::NotAsked).await
}

/// Those of the files that have a row.
pub(super) async fn queued(work: &mut Connection, files: &[Sha256]) -> Result<BTreeSet<Sha256>> {
    let mut queued = BTreeSet::new();
    for chunk in files.chunks(ROWS_MAX) {
        let keys: Vec<_> = digests(chunk).collect();
        for row in any_of("SELECT sha256 FROM lookup WHERE sha256 IN", &keys, "").build().fetch_all(&mut *work).await? {
            queued.insert(Columns(&row).sha256("sha256")?);
        }
    }
    Ok(queued)
}

/// Somebody runs these files: asks at once where there is no answer, or where TI did not know the file some time ago.
pub(super) async fn urge(work: &mut Connection, files: &BTreeSet<Sha256>, now: i64) -> Result<bool> {
    // A question that failed keeps its time: executions must not defeat the provider's back-off.
    const UPDATE: &str = "UPDATE lookup SET priority = 0, due_at = CASE WHEN attempts > 0 OR due_at < $2 THEN due_at ELSE $2 END \
         WHERE sha256 = $1 AND state = 'queued' AND (priority > 0 OR due_at > $2) AND EXISTS (SELECT 1 FROM file f \
         WHERE f.sha256 = $1 AND (f.class IS NULL OR (f.class = 'unknown' AND f.fetched_at <= $3)))";
    let mut urged = false;
    for file in files {
        let query = sqlx::query(UPDATE).bind(file.as_bytes().as_slice()).bind(now).bind(now - UNKNOWN_ASKED_AGAIN_US);
        urged |= query.execute(&mut *work).await?.rows_affected() > 0;
    }
    Ok(urged)
}

const fn number(priority: Priority) -> i64 {
    match priority {
        Priority::Executed => 0,
        Priority::New => 1,
        Priority::Refresh => 2,
    }
}

pub(super) const fn priority(number: u8) -> Priority {
    match number {
        0 => Priority::Executed,
        1 => Priority::New,
        _ => Priority::Refresh,
    }
}

fn taken(row: &Columns<'_>) -> Result<Taken> {
    Ok(Taken {
        file: row.sha256("sha256")?,
        sha1: row.maybe_sha1("sha1")?,
        md5: row.maybe_md5("md5")?,
        priority: priority(row.number("priority")?),
        attempts: row.number("attempts")?,
        host: row.maybe_host("host_id")?,
        class: row.maybe_word("class")?,
        class_since: row.maybe_time("class_since")?,
    })
}
