//! The audit log: who did what, when, and what it was before and after. Append-only, written in the transaction it tells of, and
//! chained with BLAKE3 so that an edited or removed row is noticed by whoever holds a later hash.

use serde::Serialize;

use super::column::Columns;
use super::{Connection, Cursor, Page, PageRequest, Result, Store};

/// Longest comment and value kept in a row, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// Rises by one.
    pub id: i64,
    /// Microseconds since 1970, UTC.
    pub at: i64,
    /// A person, or `rule` or `cms`.
    pub actor: String,
    /// What was done, as `noun.verb`.
    pub action: String,
    /// To what.
    pub target: String,
    /// What it was, where that says something.
    pub before: Option<String>,
    /// What it is now.
    pub after: Option<String>,
    /// Why, as the person put it.
    pub comment: Option<String>,
    /// BLAKE3 over the hash before it and this row.
    pub hash: String,
}

/// An act about to be written down.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Act<'a> {
    pub(super) at: i64,
    pub(super) actor: &'a str,
    pub(super) action: &'a str,
    pub(super) target: &'a str,
    pub(super) before: Option<&'a str>,
    pub(super) after: Option<&'a str>,
    pub(super) comment: Option<&'a str>,
}

/// Writes an act down, in the caller's transaction.
pub(super) async fn append(work: &mut Connection, act: Act<'_>) -> Result<()> {
    const LAST: &str = "SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1";
    const INSERT: &str = "INSERT INTO audit (id, at, actor, action, target, before, after, comment, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let (last, hash) = match sqlx::query(LAST).fetch_optional(&mut *work).await? {
        Some(row) => (Columns(&row).integer("id")?, Columns(&row).bytes("hash")?),
        None => (0, Vec::new()),
    };
    let (before, after, comment) = (act.before.map(cut), act.after.map(cut), act.comment.map(cut));
    let hash = chained(&hash, last + 1, &Act { before, after, comment, ..act });
    sqlx::query(INSERT)
        .bind(last + 1)
        .bind(act.at)
        .bind(act.actor)
        .bind(act.action)
        .bind(act.target)
        .bind(before)
        .bind(after)
        .bind(comment)
        .bind(hash.as_bytes().as_slice())
        .execute(work)
        .await?;
    Ok(())
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// Every field with its length before it, so that no two rows are written alike.
fn chained(previous: &[u8], id: i64, act: &Act<'_>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"doorward/audit/v1");
    let texts = [Some(act.actor), Some(act.action), Some(act.target), act.before, act.after, act.comment];
    let (id, at) = (id.to_be_bytes(), act.at.to_be_bytes());
    let fields = [Some(previous), Some(id.as_slice()), Some(at.as_slice())].into_iter();
    for field in fields.chain(texts.into_iter().map(|text| text.map(str::as_bytes))) {
        let length = field.map_or(u64::MAX, |field| field.len() as u64);
        hasher.update(&length.to_be_bytes());
        hasher.update(field.unwrap_or_default());
    }
    hasher.finalize()
}

impl Store {
    /// Acts, newest first.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn audit(&self, page: &PageRequest) -> Result<Page<AuditRow>> {
        const SELECT: &str =
            "SELECT id, at, actor, action, target, before, after, comment, hash FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2";
        let before = page.after.as_ref().map_or(Ok(i64::MAX), Cursor::number)?;
        let rows = sqlx::query(SELECT).bind(before).bind(i64::from(page.limit) + 1).fetch_all(&self.reader).await?;
        let rows = rows.iter().map(|row| audit_row(&Columns(row))).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(rows, page.limit, |row| Cursor::new(row.id.to_be_bytes())))
    }

    /// The first row whose hash does not follow from the row before it; `None` when the whole chain holds.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn broken_audit_row(&self) -> Result<Option<i64>> {
        const SELECT: &str =
            "SELECT id, at, actor, action, target, before, after, comment, hash FROM audit WHERE id > $1 ORDER BY id LIMIT 1000";
        let (mut last, mut previous) = (0, Vec::new());
        loop {
            let rows = sqlx::query(SELECT).bind(last).fetch_all(&self.reader).await?;
            if rows.is_empty() {
                return Ok(None);
            }
            for row in &rows {
                let columns = Columns(row);
                let (row, hash) = (audit_row(&columns)?, columns.bytes("hash")?);
                if row.id != last + 1 || hash != chained(&previous, row.id, &row.act()).as_bytes() {
                    return Ok(Some(row.id));
                }
                (last, previous) = (row.id, hash);
            }
        }
    }
}

impl AuditRow {
    fn act(&self) -> Act<'_> {
        Act {
            at: self.at,
            actor: &self.actor,
            action: &self.action,
            target: &self.target,
            before: self.before.as_deref(),
            after: self.after.as_deref(),
            comment: self.comment.as_deref(),
        }
    }
}

fn audit_row(row: &Columns<'_>) -> Result<AuditRow> {
    Ok(AuditRow {
        id: row.integer("id")?,
        at: row.time("at")?,
        actor: row.text("actor")?,
        action: row.text("action")?,
        target: row.text("target")?,
        before: row.maybe_text("before")?,
        after: row.maybe_text("after")?,
        comment: row.maybe_text("comment")?,
        hash: data_encoding::HEXLOWER.encode(&row.bytes("hash")?),
    })
}
