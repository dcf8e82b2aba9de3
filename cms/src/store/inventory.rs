//! Packages and publishers behind files that hosts settled by themselves: counts, never the files.

use std::collections::BTreeSet;

use doorward_policy::{HostId, ProfileId};
use doorward_proto::report::{Inventory, Source};
use doorward_proto::uplink::CommandBody;
use sqlx::QueryBuilder;

use super::batch::ROWS_MAX;
use super::column::{Columns, claimed, json};
use super::evidence::key_of;
use super::source::{NamedSource, register};
use super::{Connection, Result, command};
use crate::profile::GLOBAL;
use crate::signals::Effect;

/// Takes an inventory report; a complete one forgets everything it does not name.
pub(super) async fn write(work: &mut Connection, host: HostId, inventory: &Inventory, now: i64) -> Result<()> {
    const FORGET: &str = "DELETE FROM inventory WHERE host_id = $1";
    if inventory.complete {
        sqlx::query(FORGET).bind(host.as_bytes().as_slice()).execute(&mut *work).await?;
    }
    register(work, inventory.sources.iter().map(|source| NamedSource::from(&source.source)), now).await?;
    for chunk in inventory.sources.chunks(ROWS_MAX) {
        // Of one source named twice the last word counts; a statement may touch a row only once.
        let mut named = BTreeSet::new();
        let distinct: Vec<_> = chunk.iter().rev().filter(|source| named.insert(key_of(&source.source))).collect();
        let mut insert = QueryBuilder::new("INSERT INTO inventory (host_id, key, evidence, files, executed, modified, updated_at) ");
        insert.push_values(distinct, |mut row, source| {
            row.push_bind(host.as_bytes().to_vec()).push_bind(key_of(&source.source).to_vec()).push_bind(json(&source.source));
            row.push_bind(claimed(source.files)).push_bind(claimed(source.executed)).push_bind(claimed(source.modified)).push_bind(now);
        });
        insert.push(
            " ON CONFLICT (host_id, key) DO UPDATE SET evidence = excluded.evidence, files = excluded.files, \
             executed = excluded.executed, modified = excluded.modified, updated_at = excluded.updated_at",
        );
        insert.build().execute(&mut *work).await?;
    }
    Ok(())
}

/// Asks every host that holds files of a source, in this profile or in all, to report them.
pub(super) async fn ask_for_files(work: &mut Connection, owner: ProfileId, key: &[u8; 32], now: i64, effect: &mut Effect) -> Result<()> {
    const SELECT: &str = "SELECT i.host_id, i.evidence FROM inventory i JOIN host h ON h.id = i.host_id \
         WHERE i.key = $1 AND i.files > 0 AND h.removed_at IS NULL AND ($2 <> 0 OR h.profile_id = $3)";
    let query = sqlx::query(SELECT).bind(key.as_slice()).bind(owner == GLOBAL).bind(owner.as_bytes().as_slice());
    for row in query.fetch_all(&mut *work).await? {
        let (host, source): (_, Source) = (Columns(&row).host("host_id")?, Columns(&row).json("evidence")?);
        command::queue(work, host, CommandBody::SourceFiles(source), now, effect).await?;
    }
    Ok(())
}
