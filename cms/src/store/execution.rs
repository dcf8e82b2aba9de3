//! The newest executions of each file on each host, for people who ask when and by whom. A bounded history: observations carry the
//! counts.

use std::collections::BTreeSet;

use doorward_policy::{HostId, PathBytes, Sha256, Use};
use doorward_proto::report::{Fate, Observation, Process};
use serde::Serialize;
use sqlx::QueryBuilder;

use super::batch::ROWS_MAX;
use super::column::{Columns, claimed, json, word};
use super::{Connection, Result};

/// Executions kept for one file on one host.
const EXECUTIONS_KEPT_MAX: i64 = 16;

/// One execution, or several of one minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExecutionView {
    /// Where.
    pub host_id: HostId,
    /// That host's name.
    pub host: String,
    /// What was executed, by path.
    pub path: PathBytes,
    /// Executed or loaded.
    #[serde(flatten)]
    pub usage: Use,
    /// By whom.
    pub process: Option<Process>,
    /// Microseconds since 1970, UTC.
    pub at: i64,
    /// How often in this report.
    pub count: u64,
    /// What became of it.
    pub fate: Fate,
}

/// An execution as a report tells it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Executed<'a> {
    pub(super) observation: &'a Observation,
    pub(super) fate: Fate,
}

/// Adds executions and drops the oldest beyond what is kept.
pub(super) async fn append(work: &mut Connection, host: HostId, executed: &[Executed<'_>]) -> Result<()> {
    const PRUNE: &str = "DELETE FROM execution WHERE sha256 = $1 AND host_id = $2 AND id <= \
         (SELECT id FROM execution WHERE sha256 = $1 AND host_id = $2 ORDER BY id DESC LIMIT 1 OFFSET $3)";
    for chunk in executed.chunks(ROWS_MAX) {
        let mut insert = QueryBuilder::new("INSERT INTO execution (sha256, host_id, path, usage, process, at, count, fate) ");
        insert.push_values(chunk, |mut row, executed| {
            let observation = executed.observation;
            row.push_bind(observation.file.sha256.as_bytes().to_vec()).push_bind(host.as_bytes().to_vec());
            row.push_bind(observation.path.as_bytes().to_vec()).push_bind(json(&observation.usage));
            row.push_bind(observation.process.as_ref().map(json)).push_bind(observation.last_observed_at);
            row.push_bind(claimed(observation.count)).push_bind(word(&executed.fate));
        });
        insert.build().execute(&mut *work).await?;
    }
    let files: BTreeSet<Sha256> = executed.iter().map(|executed| executed.observation.file.sha256).collect();
    for file in files {
        sqlx::query(PRUNE)
            .bind(file.as_bytes().as_slice())
            .bind(host.as_bytes().as_slice())
            .bind(EXECUTIONS_KEPT_MAX)
            .execute(&mut *work)
            .await?;
    }
    Ok(())
}

/// The newest executions of a file on any host.
pub(super) async fn of_file(view: &mut Connection, file: &Sha256, limit: u32) -> Result<Vec<ExecutionView>> {
    const SELECT: &str = "SELECT e.*, h.name AS host FROM execution e JOIN host h ON h.id = e.host_id \
         WHERE e.sha256 = $1 ORDER BY e.at DESC, e.id DESC LIMIT $2";
    let rows = sqlx::query(SELECT).bind(file.as_bytes().as_slice()).bind(limit).fetch_all(view).await?;
    rows.iter().map(|row| execution(&Columns(row))).collect()
}

fn execution(row: &Columns<'_>) -> Result<ExecutionView> {
    Ok(ExecutionView {
        host_id: row.host("host_id")?,
        host: row.text("host")?,
        path: row.path("path")?,
        usage: row.json("usage")?,
        process: row.maybe_json("process")?,
        at: row.time("at")?,
        count: row.number("count")?,
        fate: row.word("fate")?,
    })
}
