//! Packages and publishers behind files that hosts settled by themselves: counts, never the files. The files of one that is denied are
//! asked for, once by each host that holds some in a version that is.

use std::collections::BTreeSet;

use doorward_policy::{HostId, Listing, ProfileId};
use doorward_proto::report::{Inventory, Source};
use sqlx::QueryBuilder;

use super::batch::{ROWS_MAX, any_of};
use super::column::{Columns, claimed, json};
use super::evidence::key_of;
use super::source::{Listings, NamedSource, register};
use super::{Connection, Result, command};
use crate::profile::GLOBAL;
use crate::signals::Effect;

/// Sources of one host that are remembered when it has them no more, for when they come back.
const GONE_MAX: i64 = 1_000;

/// Takes an inventory report; what a complete one does not name is gone. Sources that were denied before the host told of them are asked
/// for at once.
pub(super) async fn write(
    work: &mut Connection,
    host: HostId,
    profile: ProfileId,
    inventory: &Inventory,
    now: i64,
    effect: &mut Effect,
) -> Result<()> {
    const GONE: &str = "UPDATE inventory SET gone = 1, updated_at = $2 WHERE host_id = $1 AND gone = 0";
    if inventory.complete {
        sqlx::query(GONE).bind(host.as_bytes().as_slice()).bind(now).execute(&mut *work).await?;
    }
    register(work, inventory.sources.iter().map(|source| NamedSource::from(&source.source)), now).await?;
    for chunk in inventory.sources.chunks(ROWS_MAX) {
        // Of one source named twice the last word counts; a statement may touch a row only once.
        let mut named = BTreeSet::new();
        let distinct: Vec<_> = chunk.iter().rev().filter(|source| named.insert(key_of(&source.source))).collect();
        let mut insert = QueryBuilder::new(
            "INSERT INTO inventory (host_id, key, evidence, files, executed, modified, scanned, first_at, updated_at, gone) ",
        );
        insert.push_values(&distinct, |mut row, source| {
            row.push_bind(host.as_bytes().to_vec()).push_bind(key_of(&source.source).to_vec()).push_bind(json(&source.source));
            row.push_bind(claimed(source.files)).push_bind(claimed(source.executed)).push_bind(claimed(source.modified));
            row.push_bind(source.scanned).push_bind(now).push_bind(now).push_bind(0_i64);
        });
        insert.push(
            " ON CONFLICT (host_id, key) DO UPDATE SET evidence = excluded.evidence, files = excluded.files, \
             executed = excluded.executed, modified = excluded.modified, scanned = excluded.scanned, updated_at = excluded.updated_at, \
             gone = 0",
        );
        insert.build().execute(&mut *work).await?;
        let listings = Listings::load(work, &named).await?;
        for source in distinct.into_iter().filter(|source| source.files > 0) {
            ask_if_denied(work, host, profile, &source.source, &listings, now, effect).await?;
        }
    }
    if inventory.complete { forget(work, host).await } else { Ok(()) }
}

/// Forgets what has been gone for longest, and sources that nothing speaks of any more: a host that names others each time fills no
/// disk.
async fn forget(work: &mut Connection, host: HostId) -> Result<()> {
    const FORGET: &str = "DELETE FROM inventory WHERE host_id = $1 AND gone = 1 AND key NOT IN (SELECT key FROM inventory \
         WHERE host_id = $1 AND gone = 1 ORDER BY updated_at DESC, key LIMIT $2) RETURNING key";
    const UNNAMED: &str = "AND NOT EXISTS (SELECT 1 FROM inventory i WHERE i.key = source.key) \
         AND NOT EXISTS (SELECT 1 FROM source_entry e WHERE e.key = source.key) \
         AND NOT EXISTS (SELECT 1 FROM version_rule r WHERE r.key = source.key) \
         AND NOT EXISTS (SELECT 1 FROM evidence v WHERE v.package_key = source.key OR v.publisher_key = source.key)";
    let rows = sqlx::query(FORGET).bind(host.as_bytes().as_slice()).bind(GONE_MAX).fetch_all(&mut *work).await?;
    let keys = rows.iter().map(|row| Columns(row).array::<32>("key")).collect::<Result<Vec<_>>>()?;
    for chunk in keys.chunks(ROWS_MAX) {
        any_of("DELETE FROM source WHERE key IN", chunk, UNNAMED).build().execute(&mut *work).await?;
    }
    Ok(())
}

/// Asks every host that holds files of these sources, in this profile or in all, for those of versions that are denied.
pub(super) async fn ask_for_denied(
    work: &mut Connection,
    owner: ProfileId,
    keys: &BTreeSet<[u8; 32]>,
    now: i64,
    effect: &mut Effect,
) -> Result<()> {
    let listings = Listings::load(work, keys).await?;
    let keys: Vec<_> = keys.iter().collect();
    for chunk in keys.chunks(ROWS_MAX) {
        let mut select = any_of(
            "SELECT i.host_id, h.profile_id, i.evidence FROM inventory i JOIN host h ON h.id = i.host_id WHERE i.key IN",
            chunk.iter().copied(),
            "AND i.files > 0 AND i.gone = 0 AND h.removed_at IS NULL AND (",
        );
        select.push_bind(owner == GLOBAL).push(" OR h.profile_id = ").push_bind(owner.as_bytes().to_vec()).push(")");
        for row in select.build().fetch_all(&mut *work).await? {
            let row = Columns(&row);
            let (host, profile, source): (_, _, Source) = (row.host("host_id")?, row.profile("profile_id")?, row.json("evidence")?);
            ask_if_denied(work, host, profile, &source, &listings, now, effect).await?;
        }
    }
    Ok(())
}

/// Asks unless it was since the entry came into force.
async fn ask_if_denied(
    work: &mut Connection,
    host: HostId,
    profile: ProfileId,
    source: &Source,
    listings: &Listings,
    now: i64,
    effect: &mut Effect,
) -> Result<()> {
    let key = key_of(source);
    if listings.source(profile, source) != Listing::Denied {
        return Ok(());
    }
    match listings.denied_at(profile, &key) {
        Some(since) if !command::was_asked_for(work, host, &key, since).await? => {
            command::ask_for_source(work, host, source, &key, now, effect).await
        }
        _ => Ok(()),
    }
}
