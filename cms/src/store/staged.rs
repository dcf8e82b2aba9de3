//! Records that a publication works out step by step and that come into force together when it ends.

use std::collections::BTreeSet;

use doorward_policy::ProfileId;
use sqlx::QueryBuilder;

use super::batch::{ROWS_MAX, any_of};
use super::column::Columns;
use super::record::{RecordChanges, Wanted, differing, next_changes};
use super::{Connection, Result};

/// Keeps changes for [`release`]. Whatever is applied or staged later on the same record stands in their place: a threat that TI finds
/// meanwhile is not allowed by what was worked out before.
pub(super) async fn stage(work: &mut Connection, changes: &RecordChanges) -> Result<()> {
    for (owner, wanted) in changes.of_owners() {
        for chunk in wanted.chunks(ROWS_MAX) {
            forget(work, owner, chunk).await?;
            let changed = differing(work, owner, chunk).await?;
            if changed.is_empty() {
                continue;
            }
            let mut insert = QueryBuilder::new("INSERT INTO staged (owner, key, flags) ");
            insert.push_values(changed, |mut row, change| {
                row.push_bind(owner.as_bytes().to_vec()).push_bind(change.key.to_vec());
                row.push_bind(change.after.map(|flags| flags.to_vec()));
            });
            insert.build().execute(&mut *work).await?;
        }
    }
    Ok(())
}

/// Something newer is known of these records.
pub(super) async fn forget(work: &mut Connection, owner: ProfileId, wanted: &[Wanted]) -> Result<()> {
    let mut delete = any_of("DELETE FROM staged WHERE key IN", wanted.iter().map(|(key, _)| key), "AND owner = ");
    delete.push_bind(owner.as_bytes().to_vec()).build().execute(work).await?;
    Ok(())
}

/// Applies everything that was staged, however much it is, in a handful of statements; gives the owners whose records changed, to be
/// sealed.
pub(super) async fn release(work: &mut Connection, actor: &str, now: i64) -> Result<BTreeSet<ProfileId>> {
    const COUNT: &str = "SELECT count(*) AS records FROM staged";
    const OWNERS: &str = "SELECT DISTINCT owner FROM staged";
    const CHANGES: &str = "INSERT INTO change (id, owner, key, before, after, actor, at) \
         SELECT $1 + row_number() OVER (ORDER BY s.owner, s.key), s.owner, s.key, r.flags, s.flags, $2, $3 \
         FROM staged s LEFT JOIN record r ON r.owner = s.owner AND r.key = s.key";
    const GONE: &str = "DELETE FROM record WHERE (owner, key) IN (SELECT owner, key FROM staged WHERE flags IS NULL)";
    const PUT: &str = "INSERT INTO record (owner, key, flags) SELECT owner, key, flags FROM staged WHERE flags IS NOT NULL \
         ON CONFLICT (owner, key) DO UPDATE SET flags = excluded.flags";
    let count: usize = Columns(&sqlx::query(COUNT).fetch_one(&mut *work).await?).number("records")?;
    if count == 0 {
        return Ok(BTreeSet::new());
    }
    let owners = sqlx::query(OWNERS).fetch_all(&mut *work).await?;
    let owners = owners.iter().map(|row| Columns(row).profile("owner")).collect::<Result<_>>()?;
    let first = next_changes(work, count).await?;
    sqlx::query(CHANGES).bind(first - 1).bind(actor).bind(now).execute(&mut *work).await?;
    for statement in [GONE, PUT, "DELETE FROM staged"] {
        sqlx::query(statement).execute(&mut *work).await?;
    }
    Ok(owners)
}
