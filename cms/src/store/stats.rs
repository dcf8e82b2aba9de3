//! Counts for people who look at the whole.

use serde::Serialize;

use super::column::Columns;
use super::{Result, Store};

/// How much of everything there is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Stats {
    /// Enrolled and not removed.
    pub hosts: u64,
    /// With an open stream.
    pub connected: u64,
    /// Distinct contents.
    pub files: u64,
    /// (host, file, path).
    pub observations: u64,
    /// Files that are a threat in some profile.
    pub threat: u64,
    /// Files that are safe wherever they were met.
    pub safe: u64,
    /// All others that were met.
    pub unverified: u64,
    /// Questions to TI that are due or in flight.
    pub lookups_queued: u64,
    /// Files TI answered about.
    pub lookups_done: u64,
    /// Files without an answer of a kind that TI can never know, which their profiles do not ask about.
    pub not_asked_kind: u64,
    /// Incidents nobody closed.
    pub incidents_open: u64,
    /// Bytes of the database, its log not counted.
    pub db_bytes: u64,
}

impl Store {
    /// Counts everything, in one view of the database.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn stats(&self, now: i64) -> Result<Stats> {
        const COUNTS: &str = "SELECT (SELECT count(*) FROM host WHERE removed_at IS NULL) AS hosts, \
             (SELECT count(*) FROM host WHERE removed_at IS NULL AND connected <> 0) AS connected, \
             (SELECT count(*) FROM file) AS files, (SELECT count(*) FROM observation) AS observations, \
             (SELECT count(*) FROM lookup l JOIN file f ON f.sha256 = l.sha256 \
                 WHERE l.state <> 'given_up' AND (f.class IS NULL OR l.due_at <= $1)) AS queued, \
             (SELECT count(*) FROM file WHERE class IS NOT NULL) AS done, \
             (SELECT count(*) FROM file WHERE class IS NULL AND no_answer = 'not_asked_kind') AS unknowable, \
             (SELECT count(*) FROM incident WHERE closed_at IS NULL) AS incidents";
        const STANDINGS: &str = "SELECT standing, count(*) AS files FROM (SELECT min(standing) AS standing FROM entry \
             WHERE scope = 'profile' AND sources <> 0 GROUP BY sha256) AS worst GROUP BY standing";
        const BYTES: &str = "SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()";
        let mut view = self.reader.begin().await?;
        let row = sqlx::query(COUNTS).bind(now).fetch_one(&mut *view).await?;
        let row = Columns(&row);
        let mut stats = Stats {
            hosts: row.number("hosts")?,
            connected: row.number("connected")?,
            files: row.number("files")?,
            observations: row.number("observations")?,
            lookups_queued: row.number("queued")?,
            lookups_done: row.number("done")?,
            not_asked_kind: row.number("unknowable")?,
            incidents_open: row.number("incidents")?,
            ..Stats::default()
        };
        for row in sqlx::query(STANDINGS).fetch_all(&mut *view).await? {
            let files = Columns(&row).number("files")?;
            match Columns(&row).integer("standing")? {
                0 => stats.threat = files,
                1 => stats.unverified = files,
                _ => stats.safe = files,
            }
        }
        stats.db_bytes = Columns(&sqlx::query(BYTES).fetch_one(&mut *view).await?).number("bytes")?;
        Ok(stats)
    }
}
