//! What a host that waits for a file is told. Built from what holds for its whole profile and from the host's own proofs, never from
//! another's; the order is the store's own change id.

use std::collections::BTreeMap;

use doorward_policy::{
    Answer, AutoAllowSettings, Decision, Evidence, HostId, NoAnswer, ProfileId, Scope, Sha256, Standing, TrustRules, status, threat_score,
};
use doorward_proto::uplink::{Verdict, VerdictDecision};
use sqlx::QueryBuilder;

use super::batch::{ROWS_MAX, any_of, digests};
use super::column::{Columns, signed, word};
use super::entry::{self, EntryRow};
use super::source::Listings;
use super::{Connection, Result, Store, file, profile};
use crate::allowlist::{FileInProfile, Sighting, Sources, facts, rank};

/// Rows one page reads at most, whether the host is told of them or not.
const ROWS_READ_MAX: i64 = 1024;

/// With more changes than this behind it, a host's own files are gone through instead of the changes of all hosts.
const CHANGES_FOLLOWED_MAX: u64 = 8192;

/// How far a host was told of its verdicts on one stream. The default is not at all: what a host has of earlier streams it does not say.
///
/// Following the changes costs what changed since the last look on any host; going through the host's own files costs what it holds. The
/// cheaper is taken, in pages of [`ROWS_READ_MAX`] rows either way, so neither a host with many files nor a site with many changes makes
/// a long query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerdictCursor {
    /// Everything up to this change was told.
    change: u64,
    walk: Option<Walk>,
}

/// The host's own files are being gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Walk {
    after: Sha256,
    /// The newest change when it began; what comes later is followed afterwards.
    until: u64,
}

/// Verdicts a host was not told yet, or none and how far was looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictPage {
    /// In order of their changes.
    pub verdicts: Vec<Verdict>,
    /// Where to go on.
    pub cursor: VerdictCursor,
    /// There is nothing more for now.
    pub is_last: bool,
}

impl Store {
    /// Verdicts on those of the files that the host's profile knows.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn verdicts(&self, host: HostId, files: &[Sha256]) -> Result<Vec<Verdict>> {
        let mut view = self.reader.begin().await?;
        of(&mut view, host, files).await
    }

    /// Verdicts on files this host met, from where it was told last; at most `limit`.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn verdicts_after(&self, host: HostId, cursor: VerdictCursor, limit: u32) -> Result<VerdictPage> {
        let mut view = self.reader.begin().await?;
        let newest = newest_change(&mut view).await?;
        let is_far_behind = cursor.change == 0 || newest.saturating_sub(cursor.change) > CHANGES_FOLLOWED_MAX;
        let begun = is_far_behind.then_some(Walk { after: Sha256::new([0; 32]), until: newest });
        let (files, cursor) = match cursor.walk.or(begun) {
            Some(walk) => walk_files(&mut view, host, cursor.change, walk, limit).await?,
            None => follow_changes(&mut view, host, cursor.change, newest, limit).await?,
        };
        let mut verdicts = of(&mut view, host, &files).await?;
        verdicts.sort_unstable_by_key(|verdict| verdict.change_id);
        Ok(VerdictPage { verdicts, cursor, is_last: cursor.walk.is_none() && cursor.change >= newest })
    }
}

async fn newest_change(view: &mut Connection) -> Result<u64> {
    Columns(&sqlx::query("SELECT value FROM counter WHERE name = 'change'").fetch_one(view).await?).number("value")
}

/// The next of the host's own files that changed after `change`.
async fn walk_files(view: &mut Connection, host: HostId, change: u64, mut walk: Walk, limit: u32) -> Result<(Vec<Sha256>, VerdictCursor)> {
    const SELECT: &str = "SELECT o.sha256, f.change_id FROM (SELECT DISTINCT sha256 FROM observation WHERE host_id = $1 AND sha256 > $2 \
         ORDER BY sha256 LIMIT $3) AS o JOIN file f ON f.sha256 = o.sha256 ORDER BY o.sha256";
    // A host that was told nothing is told of every row.
    let rows_max = if change == 0 { ROWS_READ_MAX.min(i64::from(limit)) } else { ROWS_READ_MAX };
    let query = sqlx::query(SELECT).bind(host.as_bytes().as_slice()).bind(walk.after.as_bytes().as_slice()).bind(rows_max);
    let rows = query.fetch_all(view).await?;
    let mut files = Vec::new();
    for row in &rows {
        if files.len() == limit as usize {
            return Ok((files, VerdictCursor { change, walk: Some(walk) }));
        }
        walk.after = Columns(row).sha256("sha256")?;
        // Such a host may hold files whose verdict never changed.
        if change == 0 || Columns(row).number::<u64>("change_id")? > change {
            files.push(walk.after);
        }
    }
    let is_over = (rows.len() as i64) < rows_max;
    let cursor = if is_over { VerdictCursor { change: walk.until, walk: None } } else { VerdictCursor { change, walk: Some(walk) } };
    Ok((files, cursor))
}

/// The next of all changed files, as far as the host met them.
async fn follow_changes(view: &mut Connection, host: HostId, change: u64, newest: u64, limit: u32) -> Result<(Vec<Sha256>, VerdictCursor)> {
    const SELECT: &str = "SELECT f.sha256, f.change_id, EXISTS (SELECT 1 FROM observation o WHERE o.sha256 = f.sha256 AND o.host_id = $1) \
         AS met FROM file f WHERE f.change_id > $2 ORDER BY f.change_id LIMIT $3";
    let query = sqlx::query(SELECT).bind(host.as_bytes().as_slice()).bind(signed(change)).bind(ROWS_READ_MAX);
    let rows = query.fetch_all(view).await?;
    let (mut files, mut told) = (Vec::new(), change);
    for row in &rows {
        if files.len() == limit as usize {
            return Ok((files, VerdictCursor { change: told, walk: None }));
        }
        told = Columns(row).number("change_id")?;
        if Columns(row).flag("met")? {
            files.push(Columns(row).sha256("sha256")?);
        }
    }
    let is_over = (rows.len() as i64) < ROWS_READ_MAX;
    Ok((files, VerdictCursor { change: if is_over { newest } else { told }, walk: None }))
}

async fn of(view: &mut Connection, host: HostId, files: &[Sha256]) -> Result<Vec<Verdict>> {
    const HOST: &str = "SELECT profile_id FROM host WHERE id = $1";
    let row = sqlx::query(HOST).bind(host.as_bytes().as_slice()).fetch_one(&mut *view).await?;
    let profile = Columns(&row).profile("profile_id")?;
    let rules = profile::published(view, profile).await?.rules();
    let mut verdicts = Vec::with_capacity(files.len());
    for chunk in files.chunks(ROWS_MAX) {
        let in_profile = InProfile { host, profile, rules: &rules, entries: &entry::of(view, chunk).await? };
        let proofs = proofs(view, host, profile, chunk).await?;
        let mut select = QueryBuilder::new("SELECT f.* FROM file f JOIN entry e ON e.sha256 = f.sha256 AND e.owner = ");
        select.push_bind(profile.as_bytes().to_vec());
        select.push(" WHERE f.sha256 IN (");
        let mut list = select.separated(", ");
        for digest in digests(chunk) {
            list.push_bind(digest.to_vec());
        }
        select.push(")");
        for row in select.build().fetch_all(&mut *view).await? {
            let row = Columns(&row);
            let proofs = proofs.get(&row.sha256("sha256")?).map(Vec::as_slice).unwrap_or_default();
            verdicts.push(in_profile.verdict(&row, proofs)?);
        }
    }
    Ok(verdicts)
}

/// What the host itself proved of these files, as the profile's lists stand towards it.
async fn proofs(view: &mut Connection, host: HostId, profile: ProfileId, files: &[Sha256]) -> Result<BTreeMap<Sha256, Vec<Sighting>>> {
    let keys: Vec<_> = digests(files).collect();
    let mut select = any_of(
        "SELECT DISTINCT o.sha256, e.evidence, e.package_key, e.publisher_key FROM observation o \
         JOIN evidence e ON e.key = o.evidence_key WHERE o.sha256 IN",
        &keys,
        "AND o.host_id = ",
    );
    let rows = select.push_bind(host.as_bytes().to_vec()).build().fetch_all(&mut *view).await?;
    let key = |row: &Columns<'_>, column| -> Result<Option<[u8; 32]>> { Ok(row.maybe_bytes(column)?.and_then(|key| key.try_into().ok())) };
    let mut named = Vec::with_capacity(rows.len());
    for row in &rows {
        let row = Columns(row);
        let evidence: Evidence = row.json("evidence")?;
        named.push((row.sha256("sha256")?, evidence, key(&row, "package_key")?, key(&row, "publisher_key")?));
    }
    let sources = named.iter().flat_map(|(_, _, package, publisher)| [*package, *publisher]).flatten().collect();
    let listings = Listings::load(view, &sources).await?;
    let mut proofs: BTreeMap<Sha256, Vec<Sighting>> = BTreeMap::new();
    for (file, evidence, package, publisher) in named {
        let (package, publisher) = (listings.package(profile, package, &evidence), listings.publisher(profile, publisher));
        let sighting = Sighting { evidence, package, publisher, sources: Sources::default(), user_writable: false };
        proofs.entry(file).or_default().push(sighting);
    }
    Ok(proofs)
}

/// What the verdicts of one host have in common.
struct InProfile<'a> {
    host: HostId,
    profile: ProfileId,
    rules: &'a TrustRules,
    entries: &'a [EntryRow],
}

impl InProfile<'_> {
    fn verdict(&self, row: &Columns<'_>, proofs: &[Sighting]) -> Result<Verdict> {
        let file = row.sha256("sha256")?;
        let answer = file::answer(row)?;
        let entries: Vec<_> = self.entries.iter().filter(|entry| entry.file == file).cloned().collect();
        let standing = self.standing(&entries, &answer, proofs);
        let threat = answer.reputation().filter(|reputation| reputation.is_threat());
        Ok(Verdict {
            file,
            status: standing.status,
            reason: word(&standing.reason),
            decision: decision(&entries, self.host, self.profile, &answer),
            threat_score: threat_score(&answer),
            threat_name: threat.and_then(|reputation| reputation.threat_name.clone()),
            is_final: answer != Answer::None(NoAnswer::Pending),
            change_id: row.number("change_id")?,
        })
    }

    /// The worst of what the host's own proofs make of the file.
    fn standing(&self, entries: &[EntryRow], answer: &Answer, proofs: &[Sighting]) -> Standing {
        let in_profile = FileInProfile {
            rules: self.rules,
            auto_allow: &AutoAllowSettings::default(),
            answer,
            people: entry::people(entries, self.profile),
            sightings: &[],
            rule: None,
        };
        let standing = |proof: &Sighting| status(self.rules, &facts(&in_profile, proof));
        let worst = proofs.iter().map(standing).min_by_key(|standing| rank(standing.status));
        worst.unwrap_or_else(|| standing(&Sighting::unseen()))
    }
}

/// An allow only where it is this host's own; what holds for the whole profile is for its signed policy to say.
fn decision(entries: &[EntryRow], host: HostId, profile: ProfileId, answer: &Answer) -> VerdictDecision {
    let people = entry::people(entries, profile);
    let owns = |entry: &EntryRow| entry.scope == Scope::Host && entry.owner.as_bytes() == host.as_bytes();
    if people.denied.is_some() {
        VerdictDecision::Deny
    } else if people.allowed.is_some() {
        VerdictDecision::Undecided
    } else if answer.is_threat() {
        VerdictDecision::Deny
    } else if entries.iter().any(|entry| owns(entry) && entry.decision == Decision::Allowed) {
        VerdictDecision::Allow
    } else {
        VerdictDecision::Undecided
    }
}
