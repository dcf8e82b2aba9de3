//! What a host that waits for a file is told. Built from the entries its profile has; the order is the store's own change id.

use doorward_policy::{Answer, Decision, HostId, NoAnswer, ProfileId, Scope, Sha256, StatusReason};
use doorward_proto::uplink::{Verdict, VerdictDecision};
use sqlx::QueryBuilder;

use super::batch::{ROWS_MAX, digests};
use super::column::{Columns, word};
use super::entry::{self, EntryRow};
use super::{Connection, Result, Store, file};

impl Store {
    /// Verdicts on those of the files that the host's profile knows.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn verdicts(&self, host: HostId, files: &[Sha256]) -> Result<Vec<Verdict>> {
        let mut view = self.reader.begin().await?;
        of(&mut view, host, files).await
    }

    /// Verdicts on files this host met that changed after `change`, in order of their changes, at most `limit`.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn verdicts_since(&self, host: HostId, change: u64, limit: u32) -> Result<Vec<Verdict>> {
        const SELECT: &str = "SELECT f.sha256 FROM file f WHERE f.change_id > $2 \
             AND EXISTS (SELECT 1 FROM observation o WHERE o.sha256 = f.sha256 AND o.host_id = $1) ORDER BY f.change_id LIMIT $3";
        let mut view = self.reader.begin().await?;
        let query = sqlx::query(SELECT).bind(host.as_bytes().as_slice()).bind(super::column::signed(change)).bind(limit);
        let rows = query.fetch_all(&mut *view).await?;
        let files = rows.iter().map(|row| Columns(row).sha256("sha256")).collect::<Result<Vec<_>>>()?;
        let mut verdicts = of(&mut view, host, &files).await?;
        verdicts.sort_unstable_by_key(|verdict| verdict.change_id);
        Ok(verdicts)
    }
}

async fn of(view: &mut Connection, host: HostId, files: &[Sha256]) -> Result<Vec<Verdict>> {
    let mut verdicts = Vec::with_capacity(files.len());
    for chunk in files.chunks(ROWS_MAX) {
        let entries = entry::of(view, chunk).await?;
        let mut select = QueryBuilder::new("SELECT f.*, e.reason, e.threat_score, h.profile_id FROM file f JOIN host h ON h.id = ");
        select.push_bind(host.as_bytes().to_vec());
        select.push(" JOIN entry e ON e.owner = h.profile_id AND e.sha256 = f.sha256 WHERE f.sha256 IN (");
        let mut list = select.separated(", ");
        for digest in digests(chunk) {
            list.push_bind(digest.to_vec());
        }
        select.push(")");
        for row in select.build().fetch_all(&mut *view).await? {
            verdicts.push(verdict(&Columns(&row), host, &entries)?);
        }
    }
    Ok(verdicts)
}

fn verdict(row: &Columns<'_>, host: HostId, entries: &[EntryRow]) -> Result<Verdict> {
    let file = row.sha256("sha256")?;
    let answer = file::answer(row)?;
    let reason: StatusReason = row.word("reason")?;
    let entries: Vec<_> = entries.iter().filter(|entry| entry.file == file).cloned().collect();
    let decision = decision(&entries, host, row.profile("profile_id")?, &answer);
    let threat = answer.reputation().filter(|reputation| reputation.is_threat());
    Ok(Verdict {
        file,
        status: reason.status(),
        reason: word(&reason),
        decision,
        threat_score: row.maybe_number("threat_score")?,
        threat_name: threat.and_then(|reputation| reputation.threat_name.clone()),
        is_final: answer != Answer::None(NoAnswer::Pending),
        change_id: row.number("change_id")?,
    })
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
