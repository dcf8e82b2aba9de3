//! What in a host's reports a person should see: executions that nothing allows or nobody could judge, and coverage that went. Decides by `policy`'s judge.

use std::collections::BTreeMap;

use doorward_policy::{
    AutoAllowSettings, Evidence, HostId, PathBytes, ProfileId, Scope, Sha256, StatusReason, Subject, TrustRules, Verdict, judge, status,
    threat_score,
};
use doorward_proto::report::{ClosureEvent, ClosureNews, Coverage, Fate, PROTECTION, Uncovered, Unjudged};

use super::column::Columns;
use super::execution::Executed;
use super::incident::{NewIncident, open_detail, raise};
use super::mark::{Marked, MarkedFile};
use super::observation::{self, PathKey, path_key};
use super::source::Listings;
use super::{Connection, Result, profile};
use crate::allowlist::{FileInProfile, Sighting, Sources, facts};
use crate::incident::{Detail, ENTRIES_NAMED_MAX, Execution, FILESYSTEMS_NAMED_MAX, Kind, UNJUDGED_NAMED_MAX};

/// What the paths that were executed held before, where that was something else.
pub(super) type Previous = BTreeMap<(Sha256, PathKey), Sha256>;

/// Looks at the paths before the batch is written.
pub(super) async fn previous(work: &mut Connection, host: HostId, executed: &[Executed<'_>]) -> Result<Previous> {
    let mut previous = Previous::new();
    for executed in executed {
        let key = (executed.observation.file.sha256, path_key(&executed.observation.path));
        if let (false, Some(other)) = (previous.contains_key(&key), observation::previous(work, host, key.1, &key.0).await?) {
            previous.insert(key, other);
        }
    }
    Ok(previous)
}

/// Raises incidents for executions that nothing allows on this host, and for all that were ended after they had started.
pub(super) async fn executions(
    work: &mut Connection,
    host: HostId,
    profile: ProfileId,
    executed: &[Executed<'_>],
    previous: &Previous,
    marked: &Marked,
    now: i64,
) -> Result<()> {
    if executed.is_empty() {
        return Ok(());
    }
    let rules = profile::published(work, profile).await?.rules();
    for executed in executed {
        let file = executed.observation.file.sha256;
        let in_profile = marked.files.iter().find(|marked| marked.file == file && marked.profile == profile);
        let Some(in_profile) = in_profile else { continue };
        let subject = subject(work, host, &rules, in_profile, &executed.observation.evidence).await?;
        let before = previous.get(&(file, path_key(&executed.observation.path))).copied();
        let kind = match judge(&rules, &subject).verdict {
            // Somebody's process was ended, whatever this server makes of the file by now.
            Verdict::Allow if executed.fate == Fate::Killed => Kind::ProcessKilled,
            Verdict::Allow => continue,
            Verdict::Deny => Kind::ThreatExecuted,
            Verdict::Undecided if before.is_some() || subject.facts.is_modified() => Kind::ProcessModified,
            Verdict::Undecided => Kind::NewProcess,
        };
        let reason = status(&rules, &subject.facts).reason;
        let detail = Detail::Execution(Box::new(execution(executed, in_profile, reason, before)));
        raise(work, &NewIncident { kind, file: Some(file), host: Some(host), detail }, now).await?;
    }
    Ok(())
}

/// The file as this host's own evidence makes it.
async fn subject(work: &mut Connection, host: HostId, rules: &TrustRules, marked: &MarkedFile, evidence: &Evidence) -> Result<Subject> {
    const HOST_ALLOW: &str = "SELECT 1 AS one FROM entry WHERE owner = $1 AND sha256 = $2 AND decision = 'allowed'";
    let own = sqlx::query(HOST_ALLOW).bind(host.as_bytes().as_slice()).bind(marked.file.as_bytes().as_slice());
    let own = own.fetch_optional(&mut *work).await?.map(|_| Scope::Host);
    let in_force = marked.mark.rule.filter(|allow| !allow.draft).map(|_| Scope::Profile);
    let keys = super::evidence::keys_of(evidence);
    let listings = Listings::load(work, &keys.iter().flatten().copied().collect()).await?;
    let sighting = Sighting {
        evidence: evidence.clone(),
        package: listings.package(marked.profile, keys[0], evidence),
        publisher: listings.publisher(marked.profile, keys[1]),
        sources: Sources::EXEC,
        user_writable: false,
    };
    let in_profile = FileInProfile {
        rules,
        auto_allow: &AutoAllowSettings::default(),
        answer: &marked.answer,
        people: marked.people,
        sightings: &[],
        rule: None,
    };
    Ok(Subject { facts: facts(&in_profile, &sighting), allowed_by_person: marked.people.allowed, allowed_by_rule: in_force.max(own) })
}

/// `reason` is the host's own: what others proved is not to be read into what this one did.
fn execution(executed: &Executed<'_>, marked: &MarkedFile, reason: StatusReason, previous: Option<Sha256>) -> Execution {
    Execution {
        path: executed.observation.path.clone(),
        kind: executed.observation.file.kind,
        reason,
        threat_score: threat_score(&marked.answer),
        threat_name: marked.answer.reputation().filter(|reputation| reputation.is_threat()).and_then(|it| it.threat_name.clone()),
        process: executed.observation.process.clone(),
        fate: executed.fate,
        usage: Some(executed.observation.usage),
        previous,
    }
}

/// Raises an incident when something that was watched no longer is.
pub(super) async fn coverage(work: &mut Connection, host: HostId, now_covered: &Coverage, now: i64) -> Result<()> {
    const SELECT: &str = "SELECT coverage FROM host WHERE id = $1";
    let row = sqlx::query(SELECT).bind(host.as_bytes().as_slice()).fetch_one(&mut *work).await?;
    let before = Columns(&row).maybe_json::<Coverage>("coverage")?.unwrap_or_default();
    let was_covered = |mount_point: &PathBytes| before.covered.contains(mount_point);
    // A host that cannot hold executions says so once, whatever was covered before.
    let is_unheld = |mount_point: &PathBytes| {
        mount_point.as_bytes() == PROTECTION && before.uncovered.iter().all(|uncovered| uncovered.mount_point != *mount_point)
    };
    let is_lost = |uncovered: &&Uncovered| was_covered(&uncovered.mount_point) || is_unheld(&uncovered.mount_point);
    let lost = now_covered.uncovered.iter().filter(is_lost);
    let uncovered: Vec<_> = lost.take(FILESYSTEMS_NAMED_MAX).cloned().collect();
    if !uncovered.is_empty() {
        let incident = NewIncident { kind: Kind::CoverageLost, file: None, host: Some(host), detail: Detail::Coverage { uncovered } };
        raise(work, &incident, now).await?;
    }
    Ok(())
}

/// Raises an incident about executions whose files a host could not identify, those told while it was open among them.
pub(super) async fn unjudged(work: &mut Connection, host: HostId, told: &[&Unjudged], now: i64) -> Result<()> {
    if told.is_empty() {
        return Ok(());
    }
    let kind = Kind::ExecutionUnjudged;
    let mut unjudged = match open_detail(work, kind, None, Some(host)).await? {
        Some(Detail::Unjudged { unjudged }) => unjudged,
        _ => Vec::new(),
    };
    for new in told {
        let is_same =
            |it: &&mut Unjudged| (&it.path, &it.reason, it.fate, it.process.uid) == (&new.path, &new.reason, new.fate, new.process.uid);
        if let Some(known) = unjudged.iter_mut().find(is_same) {
            known.count = known.count.saturating_add(new.count);
            known.last_observed_at = known.last_observed_at.max(new.last_observed_at);
        } else if unjudged.len() < UNJUDGED_NAMED_MAX {
            // The first ones stay: what comes later cannot push out what gave the alarm.
            unjudged.push((*new).clone());
        }
    }
    raise(work, &NewIncident { kind, file: None, host: Some(host), detail: Detail::Unjudged { unjudged } }, now).await
}

/// Raises incidents about what a host cannot do without: one for each file that changed, and one for all entries the host overrides,
/// those told while it was open among them.
pub(super) async fn closure(work: &mut Connection, host: HostId, told: &[&ClosureNews], now: i64) -> Result<()> {
    let (changed, overridden): (Vec<_>, Vec<_>) = told.iter().copied().partition(|news| news.event == ClosureEvent::Changed);
    for news in changed {
        let detail = Detail::Closure { path: news.path.clone() };
        raise(work, &NewIncident { kind: Kind::ClosureChanged, file: Some(news.file), host: Some(host), detail }, now).await?;
    }
    if overridden.is_empty() {
        return Ok(());
    }
    let kind = Kind::DenyOverridden;
    let mut entries = match open_detail(work, kind, None, Some(host)).await? {
        Some(Detail::Overridden { entries }) => entries,
        _ => Vec::new(),
    };
    for new in overridden {
        // A deny of a file is about that file, whatever its path; one of a source is about the source.
        let is_same = |it: &ClosureNews| (it.event, &it.source) == (new.event, &new.source) && (it.source.is_some() || it.file == new.file);
        if entries.len() < ENTRIES_NAMED_MAX && !entries.iter().any(is_same) {
            entries.push(new.clone());
        }
    }
    raise(work, &NewIncident { kind, file: None, host: Some(host), detail: Detail::Overridden { entries } }, now).await
}
