//! Statements over many rows. A round trip to the database costs more than the row, so batches travel in statements of up to
//! [`ROWS_MAX`] rows; full ones have the same text each time and stay prepared.

use doorward_policy::Sha256;
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite};

/// Rows in one statement; times the widest row's 20 columns it stays far below what a database can bind (32766).
///
/// PERF: a statement costs a change of threads there and back, which on a busy machine is dearer than a hundred rows.
pub(super) const ROWS_MAX: usize = 256;

/// `prefix ($1, $2, …) suffix` over the blobs of a chunk.
pub(super) fn any_of<'a, T: AsRef<[u8]> + 'a>(
    prefix: &'static str,
    blobs: impl IntoIterator<Item = &'a T>,
    suffix: &'static str,
) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(prefix);
    query.push(" (");
    let mut list = query.separated(", ");
    for blob in blobs {
        list.push_bind(blob.as_ref().to_vec());
    }
    query.push(") ");
    query.push(suffix);
    query
}

/// `WITH new (columns) AS (VALUES …) rest`: rows that an `UPDATE … FROM new` can join.
pub(super) fn with_rows<T>(
    columns: &'static str,
    rows: impl IntoIterator<Item = T>,
    bind: impl FnMut(Separated<'_, Sqlite, &'static str>, T),
    rest: &'static str,
) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("WITH new (");
    query.push(columns).push(") AS (").push_values(rows, bind).push(") ").push(rest);
    query
}

/// The digests' bytes, ready for [`any_of`].
pub(super) fn digests(files: &[Sha256]) -> impl Iterator<Item = [u8; 32]> + '_ {
    files.iter().map(|file| *file.as_bytes())
}
