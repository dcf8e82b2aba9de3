//! The published policy as records, every change of them, and the revisions they make up. A transaction that changes a record also
//! seals a new revision, so a revision's content never moves; how often hosts are told of revisions is the sender's business.

use std::collections::{BTreeMap, BTreeSet};

use doorward_policy::{ProfileId, TrustRules};
use doorward_proto::snapshot::{Position, Record, VersionRule};
use serde::Serialize;
use sqlx::QueryBuilder;

use super::batch::{ROWS_MAX, any_of};
use super::column::{Columns, json};
use super::{Connection, Cursor, Page, PageRequest, Result, Store, source_entry, staged};
use crate::profile::GLOBAL;
use crate::signals::Effect;

/// Bytes that name a record.
const KEY_BYTES: usize = 34;

/// Bytes of a record's flags.
const FLAG_BYTES: usize = Record::BYTES - KEY_BYTES;

/// A record in its two parts: what names it and what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyRow {
    /// Key, kind and scope.
    pub key: [u8; KEY_BYTES],
    /// Flags.
    pub flags: [u8; FLAG_BYTES],
}

/// What became of one record between two revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowChange {
    /// Which record.
    pub key: [u8; KEY_BYTES],
    /// Its flags in the earlier revision; `None` when it was not there.
    pub before: Option<[u8; FLAG_BYTES]>,
    /// Its flags in the later revision; `None` when it is gone.
    pub after: Option<[u8; FLAG_BYTES]>,
}

/// A profile's policy, or the way from an earlier one to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRows<T> {
    /// Epoch and revision.
    pub position: Position,
    /// Newest change it holds.
    pub change_id: i64,
    /// Which evidence counts.
    pub rules: TrustRules,
    /// Rules on some versions of packages, whole.
    pub version_rules: Vec<VersionRule>,
    /// Newest change of those.
    pub version_rules_change: i64,
    /// Records, in no order; or what became of them, one row for each.
    pub rows: Vec<T>,
}

/// One change of a profile's policy, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeRow {
    /// The order of all changes.
    pub id: i64,
    /// The profile's name, or `global`.
    pub owner: String,
    /// The record's key in hexadecimal: a file's SHA-256 or a source's key.
    pub key: String,
    /// What the record says, by its number in the policy's layout.
    pub kind: u8,
    /// Whether it was added, replaced or removed.
    pub change: &'static str,
    /// A person, `rule`, or a provider's name.
    pub actor: String,
    /// Microseconds since 1970, UTC.
    pub at: i64,
}

impl PolicyRow {
    pub(super) fn new(record: &Record) -> Self {
        let bytes = record.to_bytes();
        let (key, flags) = bytes.split_first_chunk().expect("a record is longer than its key");
        Self { key: *key, flags: flags.try_into().expect("key and flags make up a record") }
    }

    /// The record; `None` when this program has no meaning for it.
    #[must_use]
    pub fn record(&self) -> Option<Record> {
        let mut bytes = [0; Record::BYTES];
        bytes[..KEY_BYTES].copy_from_slice(&self.key);
        bytes[KEY_BYTES..].copy_from_slice(&self.flags);
        Record::from_bytes(&bytes).ok()
    }
}

/// A record that is to be in force with these flags, or not at all.
pub(super) type Wanted = ([u8; KEY_BYTES], Option<[u8; FLAG_BYTES]>);

/// Records to be put in force or taken out of it, by owner and key; the last word counts.
#[derive(Debug, Default)]
pub(super) struct RecordChanges(BTreeMap<ProfileId, BTreeMap<[u8; KEY_BYTES], Option<[u8; FLAG_BYTES]>>>);

impl RecordChanges {
    /// In force or out of it.
    pub(super) fn set(&mut self, owner: ProfileId, record: &Record, in_force: bool) {
        let row = PolicyRow::new(record);
        self.0.entry(owner).or_default().insert(row.key, in_force.then_some(row.flags));
    }

    /// By owner.
    pub(super) fn of_owners(&self) -> impl Iterator<Item = (ProfileId, Vec<Wanted>)> {
        self.0.iter().map(|(owner, wanted)| (*owner, wanted.iter().map(|(key, flags)| (*key, *flags)).collect()))
    }
}

/// Applies the changes that change something, writes them down and seals new revisions of the profiles they concern.
pub(super) async fn apply(work: &mut Connection, changes: &RecordChanges, actor: &str, now: i64, effect: &mut Effect) -> Result<()> {
    let mut touched = BTreeSet::new();
    for (owner, wanted) in changes.of_owners() {
        for chunk in wanted.chunks(ROWS_MAX) {
            if apply_chunk(work, owner, chunk, actor, now).await? {
                touched.insert(owner);
            }
        }
    }
    seal(work, &touched, actor, now, effect).await
}

async fn apply_chunk(work: &mut Connection, owner: ProfileId, wanted: &[Wanted], actor: &str, now: i64) -> Result<bool> {
    // What is staged was worked out before this.
    staged::forget(work, owner, wanted).await?;
    let changed = differing(work, owner, wanted).await?;
    if changed.is_empty() {
        return Ok(false);
    }
    write_records(work, owner, &changed).await?;
    write_changes(work, owner, &changed, actor, now).await?;
    Ok(true)
}

/// What of it is not so already.
pub(super) async fn differing(work: &mut Connection, owner: ProfileId, wanted: &[Wanted]) -> Result<Vec<RowChange>> {
    let mut select = any_of("SELECT key, flags FROM record WHERE key IN", wanted.iter().map(|(key, _)| key), "AND owner = ");
    select.push_bind(owner.as_bytes().to_vec());
    let mut existing = BTreeMap::new();
    for row in select.build().fetch_all(&mut *work).await? {
        let columns = Columns(&row);
        existing.insert(columns.array::<KEY_BYTES>("key")?, columns.array::<FLAG_BYTES>("flags")?);
    }
    let change = |(key, after): &Wanted| RowChange { key: *key, before: existing.get(key).copied(), after: *after };
    Ok(wanted.iter().map(change).filter(|change| change.before != change.after).collect())
}

async fn write_records(work: &mut Connection, owner: ProfileId, changed: &[RowChange]) -> Result<()> {
    let gone: Vec<_> = changed.iter().filter(|change| change.after.is_none()).map(|change| change.key).collect();
    if !gone.is_empty() {
        let mut delete = any_of("DELETE FROM record WHERE key IN", &gone, "AND owner = ");
        delete.push_bind(owner.as_bytes().to_vec()).build().execute(&mut *work).await?;
    }
    let put: Vec<_> = changed.iter().filter_map(|change| Some((change.key, change.after?))).collect();
    if !put.is_empty() {
        let mut insert = QueryBuilder::new("INSERT INTO record (owner, key, flags) ");
        insert.push_values(put, |mut row, (key, flags)| {
            row.push_bind(owner.as_bytes().to_vec()).push_bind(key.to_vec()).push_bind(flags.to_vec());
        });
        insert.push(" ON CONFLICT (owner, key) DO UPDATE SET flags = excluded.flags").build().execute(work).await?;
    }
    Ok(())
}

async fn write_changes(work: &mut Connection, owner: ProfileId, changed: &[RowChange], actor: &str, now: i64) -> Result<()> {
    let first = next_changes(work, changed.len()).await?;
    let mut insert = QueryBuilder::new("INSERT INTO change (id, owner, key, before, after, actor, at) ");
    insert.push_values((first..).zip(changed), |mut row, (id, change)| {
        row.push_bind(id).push_bind(owner.as_bytes().to_vec()).push_bind(change.key.to_vec());
        row.push_bind(change.before.map(|flags| flags.to_vec())).push_bind(change.after.map(|flags| flags.to_vec()));
        row.push_bind(actor.to_owned()).push_bind(now);
    });
    insert.build().execute(work).await?;
    Ok(())
}

/// Takes `count` change ids and gives the first.
pub(super) async fn next_changes(work: &mut Connection, count: usize) -> Result<i64> {
    const TAKE: &str = "UPDATE counter SET value = value + $1 WHERE name = 'change' RETURNING value";
    let count = i64::try_from(count).expect("nobody counts that far");
    let last: i64 = sqlx::query_scalar(TAKE).bind(count).fetch_one(work).await?;
    Ok(last - count + 1)
}

/// Gives each owner's profiles a new revision; the global scope's are all of them.
pub(super) async fn seal(work: &mut Connection, owners: &BTreeSet<ProfileId>, actor: &str, now: i64, effect: &mut Effect) -> Result<()> {
    const PROFILES: &str = "SELECT id FROM profile";
    const RAISE: &str =
        "UPDATE profile SET revision = revision + 1, change_id = (SELECT value FROM counter WHERE name = 'change') WHERE id = $1";
    const WRITE: &str = "INSERT INTO revision (profile_id, epoch, revision, change_id, rules, actor, at) \
         SELECT id, epoch, revision, change_id, $2, $3, $4 FROM profile WHERE id = $1";
    if owners.is_empty() {
        return Ok(());
    }
    let mut profiles = owners.clone();
    if profiles.remove(&GLOBAL) {
        for row in sqlx::query(PROFILES).fetch_all(&mut *work).await? {
            profiles.insert(Columns(&row).profile("id")?);
        }
        profiles.remove(&GLOBAL);
    }
    for profile in profiles {
        let rules = json(&super::profile::published(work, profile).await?.rules());
        sqlx::query(RAISE).bind(profile.as_bytes().as_slice()).execute(&mut *work).await?;
        sqlx::query(WRITE).bind(profile.as_bytes().as_slice()).bind(rules).bind(actor).bind(now).execute(&mut *work).await?;
        effect.policies.insert(profile);
    }
    Ok(())
}

impl Store {
    /// A profile's whole policy as published now; `None` when there is no such profile.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn policy_rows(&self, profile: ProfileId) -> Result<Option<PolicyRows<PolicyRow>>> {
        const ROWS: &str = "SELECT key, flags FROM record WHERE owner IN ($1, $2)";
        let mut view = self.reader.begin().await?;
        let Some((position, change_id, rules)) = head(&mut view, profile).await? else {
            return Ok(None);
        };
        let rows = sqlx::query(ROWS).bind(profile.as_bytes().as_slice()).bind(GLOBAL.as_bytes().as_slice()).fetch_all(&mut *view).await?;
        let row = |row| Ok(PolicyRow { key: Columns(row).array("key")?, flags: Columns(row).array("flags")? });
        let rows = rows.iter().map(row).collect::<Result<Vec<_>>>()?;
        let (version_rules, version_rules_change) = source_entry::version_rules(&mut view, profile).await?;
        Ok(Some(PolicyRows { position, change_id, rules, version_rules, version_rules_change, rows }))
    }

    /// What became of a profile's records since the revision that held `since` as its newest change. `None` when there is no such
    /// profile, or when more than `limit` changes lie between.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn policy_changes(&self, profile: ProfileId, since: i64, limit: u32) -> Result<Option<PolicyRows<RowChange>>> {
        const CHANGES: &str = "SELECT key, before, after FROM change WHERE owner IN ($1, $2) AND id > $3 AND id <= $4 ORDER BY id LIMIT $5";
        let mut view = self.reader.begin().await?;
        let Some((position, change_id, rules)) = head(&mut view, profile).await? else {
            return Ok(None);
        };
        let rows = sqlx::query(CHANGES)
            .bind(profile.as_bytes().as_slice())
            .bind(GLOBAL.as_bytes().as_slice())
            .bind(since)
            .bind(change_id)
            .bind(i64::from(limit) + 1)
            .fetch_all(&mut *view)
            .await?;
        if rows.len() > limit as usize {
            return Ok(None);
        }
        let (version_rules, version_rules_change) = source_entry::version_rules(&mut view, profile).await?;
        Ok(Some(PolicyRows { position, change_id, rules, version_rules, version_rules_change, rows: fold(&rows)? }))
    }

    /// The newest change a published revision held; `None` when it was never published.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn change_at(&self, profile: ProfileId, position: Position) -> Result<Option<i64>> {
        const SELECT: &str = "SELECT change_id FROM revision WHERE profile_id = $1 AND epoch = $2 AND revision = $3";
        let (Ok(epoch), Ok(revision)) = (i64::try_from(position.epoch), i64::try_from(position.revision)) else {
            return Ok(None);
        };
        let query = sqlx::query_scalar(SELECT).bind(profile.as_bytes().as_slice()).bind(epoch).bind(revision);
        Ok(query.fetch_optional(&self.reader).await?)
    }

    /// Changes of a profile's policy, its own and the global scope's, newest first.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn changes(&self, profile: ProfileId, page: &PageRequest) -> Result<Page<ChangeRow>> {
        const SELECT: &str = "SELECT c.id, p.name, c.key, c.before, c.after, c.actor, c.at FROM change c JOIN profile p ON p.id = c.owner \
             WHERE c.owner IN ($1, $2) AND c.id < $3 ORDER BY c.id DESC LIMIT $4";
        let before = page.after.as_ref().map_or(Ok(i64::MAX), Cursor::number)?;
        let rows = sqlx::query(SELECT)
            .bind(profile.as_bytes().as_slice())
            .bind(GLOBAL.as_bytes().as_slice())
            .bind(before)
            .bind(i64::from(page.limit) + 1)
            .fetch_all(&self.reader)
            .await?;
        let rows = rows.iter().map(|row| change_row(&Columns(row))).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(rows, page.limit, |row| Cursor::new(row.id.to_be_bytes())))
    }

    /// The newest change there is, of policies and standings alike; 0 before the first.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn newest_change(&self) -> Result<u64> {
        const SELECT: &str = "SELECT value FROM counter WHERE name = 'change'";
        Columns(&sqlx::query(SELECT).fetch_one(&self.reader).await?).number("value")
    }
}

async fn head(view: &mut Connection, profile: ProfileId) -> Result<Option<(Position, i64, TrustRules)>> {
    const HEAD: &str = "SELECT p.epoch, p.revision, p.change_id, r.rules FROM profile p JOIN revision r \
         ON r.profile_id = p.id AND r.epoch = p.epoch AND r.revision = p.revision WHERE p.id = $1";
    let Some(row) = sqlx::query(HEAD).bind(profile.as_bytes().as_slice()).fetch_optional(view).await? else {
        return Ok(None);
    };
    let columns = Columns(&row);
    let position = Position { epoch: columns.number("epoch")?, revision: columns.number("revision")? };
    Ok(Some((position, columns.integer("change_id")?, columns.json("rules")?)))
}

/// One row for each record: what it was before the first change and is after the last.
fn fold(rows: &[super::Row]) -> Result<Vec<RowChange>> {
    let flags = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| bytes.try_into().ok());
    let mut folded: BTreeMap<[u8; KEY_BYTES], RowChange> = BTreeMap::new();
    for row in rows {
        let columns = Columns(row);
        let (key, after) = (columns.array("key")?, flags(columns.maybe_bytes("after")?));
        let before = flags(columns.maybe_bytes("before")?);
        folded.entry(key).or_insert(RowChange { key, before, after }).after = after;
    }
    Ok(folded.into_values().filter(|change| change.before != change.after).collect())
}

fn change_row(row: &Columns<'_>) -> Result<ChangeRow> {
    let key: [u8; KEY_BYTES] = row.array("key")?;
    let change = match (row.maybe_bytes("before")?, row.maybe_bytes("after")?) {
        (None, _) => "added",
        (Some(_), Some(_)) => "replaced",
        (Some(_), None) => "removed",
    };
    Ok(ChangeRow {
        id: row.integer("id")?,
        owner: row.text("name")?,
        key: data_encoding::HEXLOWER.encode(&key[..32]),
        kind: key[32],
        change,
        actor: row.text("actor")?,
        at: row.time("at")?,
    })
}
