//! What hosts were asked to do. A command is sent again at every reconnect until the host answers it.

use doorward_policy::{HostId, PathBytes, ScanId};
use doorward_proto::report::Source;
use doorward_proto::uplink::{Command, CommandBody, StartScan};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::column::{Columns, json};
use super::{Connection, Result, Store, mint};
use crate::signals::Effect;

/// [`CommandBody`] as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    StartScan { scan: ScanId, reference: bool, roots: Vec<PathBytes> },
    StopScan { scan: ScanId },
    SourceFiles { source: Source },
}

impl From<CommandBody> for Body {
    fn from(body: CommandBody) -> Self {
        match body {
            CommandBody::StartScan(StartScan { scan, reference, roots }) => Self::StartScan { scan, reference, roots },
            CommandBody::StopScan(scan) => Self::StopScan { scan },
            CommandBody::SourceFiles(source) => Self::SourceFiles { source },
        }
    }
}

impl From<Body> for CommandBody {
    fn from(body: Body) -> Self {
        match body {
            Body::StartScan { scan, reference, roots } => Self::StartScan(StartScan { scan, reference, roots }),
            Body::StopScan { scan } => Self::StopScan(scan),
            Body::SourceFiles { source } => Self::SourceFiles(source),
        }
    }
}

/// Queues a command for a host, in the caller's transaction.
pub(super) async fn queue(work: &mut Connection, host: HostId, body: CommandBody, now: i64, effect: &mut Effect) -> Result<()> {
    insert(work, host, body, None, now, effect).await
}

/// Asks a host for the files of a source.
pub(super) async fn ask_for_source(
    work: &mut Connection,
    host: HostId,
    source: &Source,
    key: &[u8; 32],
    now: i64,
    effect: &mut Effect,
) -> Result<()> {
    insert(work, host, CommandBody::SourceFiles(source.clone()), Some(key), now, effect).await
}

/// Whether a host was asked for the files of a source since then, or still is.
pub(super) async fn was_asked_for(work: &mut Connection, host: HostId, key: &[u8; 32], since: i64) -> Result<bool> {
    const SELECT: &str =
        "SELECT 1 AS one FROM command WHERE source_key = $1 AND host_id = $2 AND (done_at IS NULL OR created_at >= $3) LIMIT 1";
    let query = sqlx::query(SELECT).bind(key.as_slice()).bind(host.as_bytes().as_slice()).bind(since);
    Ok(query.fetch_optional(work).await?.is_some())
}

async fn insert(
    work: &mut Connection,
    host: HostId,
    body: CommandBody,
    source_key: Option<&[u8; 32]>,
    now: i64,
    effect: &mut Effect,
) -> Result<()> {
    const INSERT: &str = "INSERT INTO command (id, host_id, body, source_key, created_at) VALUES ($1, $2, $3, $4, $5)";
    sqlx::query(INSERT)
        .bind(mint(now).as_bytes().as_slice())
        .bind(host.as_bytes().as_slice())
        .bind(json(&Body::from(body)))
        .bind(source_key.map(<[u8; 32]>::as_slice))
        .bind(now)
        .execute(work)
        .await?;
    effect.commands.insert(host);
    Ok(())
}

impl Store {
    /// Commands a host has not answered yet, oldest first.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn commands_due(&self, host: HostId, limit: u32) -> Result<Vec<Command>> {
        const SELECT: &str = "SELECT id, body FROM command WHERE host_id = $1 AND done_at IS NULL ORDER BY id LIMIT $2";
        let rows = sqlx::query(SELECT).bind(host.as_bytes().as_slice()).bind(limit).fetch_all(&self.reader).await?;
        let command = |row| Ok(Command { id: Columns(row).uuid("id")?, body: Columns(row).json::<Body>("body")?.into() });
        rows.iter().map(command).collect()
    }

    /// A host answered a command of its own; any other id changes nothing. A scan that could not be started has failed.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn command_done(&self, host: HostId, id: Uuid, error: Option<&str>, now: i64) -> Result<()> {
        const UPDATE: &str =
            "UPDATE command SET done_at = $3, error = $4 WHERE id = $1 AND host_id = $2 AND done_at IS NULL RETURNING body";
        let mut work = self.begin().await?;
        let query = sqlx::query(UPDATE).bind(id.as_bytes().as_slice()).bind(host.as_bytes().as_slice()).bind(now).bind(error);
        if let (Some(row), Some(error)) = (query.fetch_optional(&mut *work).await?, error)
            && let Body::StartScan { scan, .. } = Columns(&row).json("body")?
        {
            super::scan::failed(&mut work, scan, error, now).await?;
        }
        work.commit().await?;
        Ok(())
    }
}
