//! Files by content: digests, size, kind and the newest answer about them. The history of answers is [`super::reputation`]'s.

use std::collections::BTreeMap;

use doorward_policy::{Answer, Class, FileKind, NoAnswer, Reputation, Sha256};
use doorward_proto::report::FileFacts;
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite};

use super::batch::{ROWS_MAX, any_of, digests, with_rows};
use super::column::{Columns, signed, word};
use super::{Connection, Result};

/// What is known of a file apart from where it was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownFile {
    pub(super) kind: FileKind,
    pub(super) answer: Answer,
    /// When the newest answer was given.
    pub(super) fetched_at: Option<i64>,
    pub(super) class_since: Option<i64>,
}

impl KnownFile {
    /// It is of a kind that differs from host to host, so that TI can never know it.
    pub(super) fn is_of_unknowable_kind(&self) -> bool {
        self.kind == FileKind::PythonBytecode
    }
}

/// Adds files that are new and completes those that are known.
pub(super) async fn upsert(work: &mut Connection, files: &BTreeMap<Sha256, &FileFacts>, now: i64) -> Result<()> {
    // A first host's word cannot keep a file from being asked about: any other kind replaces bytecode, and size decides nothing.
    const MERGE: &str = " ON CONFLICT (sha256) DO UPDATE SET sha1 = coalesce(file.sha1, excluded.sha1), \
         md5 = coalesce(file.md5, excluded.md5), blake3 = coalesce(file.blake3, excluded.blake3), \
         kind = CASE WHEN file.kind = 'python_bytecode' THEN excluded.kind ELSE file.kind END";
    let files: Vec<_> = files.values().collect();
    for chunk in files.chunks(ROWS_MAX) {
        let mut insert =
            QueryBuilder::new("INSERT INTO file (sha256, sha1, md5, blake3, size, kind, first_received_at, no_answer, change_id) ");
        insert.push_values(chunk, |mut row, file| {
            row.push_bind(file.sha256.as_bytes().to_vec());
            row.push_bind(file.sha1.map(|digest| digest.as_bytes().to_vec()));
            row.push_bind(file.md5.map(|digest| digest.as_bytes().to_vec()));
            row.push_bind(file.blake3.map(|digest| digest.as_bytes().to_vec()));
            row.push_bind(signed(file.size)).push_bind(file.kind.word()).push_bind(now);
            row.push_bind("not_asked").push_bind(0_i64);
        });
        insert.push(MERGE).build().execute(&mut *work).await?;
    }
    Ok(())
}

/// The known ones among these files.
pub(super) async fn known(work: &mut Connection, files: &[Sha256]) -> Result<BTreeMap<Sha256, KnownFile>> {
    let mut known = BTreeMap::new();
    for chunk in files.chunks(ROWS_MAX) {
        let keys: Vec<_> = digests(chunk).collect();
        let mut select = any_of(
            "SELECT sha256, kind, no_answer, class, trust_factor, threat_level, threat_name, fetched_at, class_since FROM file \
             WHERE sha256 IN",
            &keys,
            "",
        );
        for row in select.build().fetch_all(&mut *work).await? {
            let row = Columns(&row);
            let file = KnownFile {
                kind: row.word("kind")?,
                answer: answer(&row)?,
                fetched_at: row.maybe_time("fetched_at")?,
                class_since: row.maybe_time("class_since")?,
            };
            known.insert(row.sha256("sha256")?, file);
        }
    }
    Ok(known)
}

/// The newest answer, or why there is none, from the columns of `file`.
pub(super) fn answer(row: &Columns<'_>) -> Result<Answer> {
    let Some(class) = row.maybe_word::<Class>("class")? else {
        return Ok(Answer::None(row.word("no_answer")?));
    };
    Ok(Answer::Reputation(Reputation {
        class,
        trust_factor: row.maybe_number("trust_factor")?,
        threat_level: row.maybe_number("threat_level")?,
        threat_name: row.maybe_text("threat_name")?,
    }))
}

/// Says why these files have no answer; those that have one keep it.
pub(super) async fn set_no_answer(work: &mut Connection, files: &[Sha256], why: NoAnswer) -> Result<()> {
    for chunk in files.chunks(ROWS_MAX) {
        let keys: Vec<_> = digests(chunk).collect();
        let mut update = QueryBuilder::new("UPDATE file SET no_answer = ");
        update.push_bind(word(&why)).push(" WHERE sha256 IN (");
        let mut list = update.separated(", ");
        for key in keys {
            list.push_bind(key.to_vec());
        }
        update.push(")").build().execute(&mut *work).await?;
    }
    Ok(())
}

/// What hosts are told about these files changed: gives each the next change id.
pub(super) async fn touch(work: &mut Connection, files: &[Sha256]) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let first = super::record::next_changes(work, files.len()).await?;
    let changes: Vec<_> = files.iter().zip(first..).collect();
    for chunk in changes.chunks(ROWS_MAX) {
        let bind = |mut row: Separated<'_, Sqlite, &'static str>, (file, change): &(&Sha256, i64)| {
            row.push_bind(file.as_bytes().to_vec()).push_bind(*change);
        };
        let update = "UPDATE file SET change_id = new.change_id FROM new WHERE file.sha256 = new.sha256";
        with_rows("sha256, change_id", chunk, bind, update).build().execute(&mut *work).await?;
    }
    Ok(())
}
