//! News about files that hosts hold already: TI changing its mind for the worse, and a first answer that calls something a threat that
//! was executed before. Both are incidents; a change for the better is none.

use std::collections::BTreeMap;

use doorward_policy::{HostId, Reputation, Sha256, Status};
use doorward_proto::report::{Fate, Turned};

use super::column::Columns;
use super::file::KnownFile;
use super::incident::{NewIncident, amend, open_detail, raise};
use super::mark::Marked;
use super::reputation::{Answered, answer_before};
use super::{Connection, Result, entry};
use crate::allowlist::{is_worse, opinion};
use crate::incident::{Detail, Execution, HOSTS_NAMED_MAX, Holder, Kind, PATHS_NAMED_MAX, PROCESSES_NAMED_MAX, Turn};

/// Raises what new answers call for.
pub(super) async fn tell(
    work: &mut Connection,
    before: &BTreeMap<Sha256, KnownFile>,
    answers: &BTreeMap<Sha256, &Answered>,
    marked: &Marked,
    now: i64,
) -> Result<()> {
    for (file, answer) in answers.iter().filter(|(file, _)| before.contains_key(file)) {
        match answer_before(before, file) {
            Some(old) if is_worse(old, &answer.reputation) => {
                let allows_removed = marked.allows_removed.get(file).copied().unwrap_or(0);
                turned(work, file, old, &answer.reputation, allows_removed, now).await?;
            }
            None if answer.reputation.is_threat() => executed_before(work, file, &answer.reputation, marked, now).await?,
            _ => {}
        }
    }
    Ok(())
}

async fn turned(work: &mut Connection, file: &Sha256, from: &Reputation, to: &Reputation, allows_removed: u64, now: i64) -> Result<()> {
    const COUNT: &str = "SELECT count(DISTINCT o.host_id) AS hosts FROM observation o JOIN host h ON h.id = o.host_id \
         WHERE o.sha256 = $1 AND h.removed_at IS NULL";
    let host_count = sqlx::query(COUNT).bind(file.as_bytes().as_slice()).fetch_one(&mut *work).await?;
    let turn = Turn {
        from: Some(opinion(from)),
        to: Some(opinion(to)),
        hosts: holders(work, file).await?,
        host_count: Columns(&host_count).number("hosts")?,
        allows_removed,
    };
    let incident = NewIncident { kind: Kind::VerdictTurned, file: Some(*file), host: None, detail: Detail::Turn(Box::new(turn)) };
    raise(work, &incident, now).await
}

/// Hosts that hold a file with its paths, those that executed it last first.
async fn holders(work: &mut Connection, file: &Sha256) -> Result<Vec<Holder>> {
    const HOSTS: &str = "SELECT o.host_id, h.name, max(o.last_executed_at) AS executed FROM observation o JOIN host h ON h.id = o.host_id \
         WHERE o.sha256 = $1 AND h.removed_at IS NULL GROUP BY o.host_id, h.name ORDER BY coalesce(max(o.last_executed_at), 0) DESC, h.name \
         LIMIT $2";
    const PATHS: &str = "SELECT path FROM observation WHERE sha256 = $1 AND host_id = $2 ORDER BY last_observed_at DESC LIMIT $3";
    let limit = i64::try_from(HOSTS_NAMED_MAX).expect("a small bound");
    let rows = sqlx::query(HOSTS).bind(file.as_bytes().as_slice()).bind(limit).fetch_all(&mut *work).await?;
    let mut holders = Vec::new();
    for row in &rows {
        let row = Columns(row);
        let host_id = row.host("host_id")?;
        let limit = i64::try_from(PATHS_NAMED_MAX).expect("a small bound");
        let paths = sqlx::query(PATHS).bind(file.as_bytes().as_slice()).bind(host_id.as_bytes().as_slice()).bind(limit);
        let paths = paths.fetch_all(&mut *work).await?.iter().map(|row| Columns(row).path("path")).collect::<Result<Vec<_>>>()?;
        let last_executed_at = row.maybe_time("executed")?;
        let host = row.text("name")?;
        holders.push(Holder { host_id, host, paths, last_executed_at, live: Vec::new(), live_count: 0, killed_count: 0 });
    }
    Ok(holders)
}

/// A threat was executed before TI's first answer about it came: the same incident, later.
async fn executed_before(work: &mut Connection, file: &Sha256, reputation: &Reputation, marked: &Marked, now: i64) -> Result<()> {
    const SELECT: &str = "SELECT o.host_id, o.path, o.process, o.usage, f.kind, \
         (SELECT e.fate FROM execution e WHERE e.sha256 = o.sha256 AND e.host_id = o.host_id AND e.path = o.path \
         ORDER BY e.id DESC LIMIT 1) AS fate FROM observation o JOIN host h ON h.id = o.host_id \
         JOIN file f ON f.sha256 = o.sha256 WHERE o.sha256 = $1 AND o.last_executed_at IS NOT NULL AND h.removed_at IS NULL \
         ORDER BY o.last_executed_at DESC LIMIT $2";
    let Some(mark) = marked.files.iter().find(|marked| marked.file == *file && marked.mark.standing.status == Status::Threat) else {
        return Ok(());
    };
    let limit = i64::try_from(HOSTS_NAMED_MAX).expect("a small bound");
    for row in sqlx::query(SELECT).bind(file.as_bytes().as_slice()).bind(limit).fetch_all(&mut *work).await? {
        let row = Columns(&row);
        let execution = Execution {
            path: row.path("path")?,
            kind: row.word("kind")?,
            reason: mark.mark.standing.reason,
            threat_score: mark.mark.threat_score,
            threat_name: reputation.threat_name.clone(),
            process: row.maybe_json("process")?,
            // Only the newest executions are kept; of older ones it is not known that anybody stood in their way.
            fate: row.maybe_word("fate")?.unwrap_or(Fate::Ran),
            usage: Some(row.json("usage")?),
            previous: None,
        };
        let detail = Detail::Execution(Box::new(execution));
        let incident = NewIncident { kind: Kind::ThreatExecuted, file: Some(*file), host: Some(row.host("host_id")?), detail };
        raise(work, &incident, now).await?;
    }
    Ok(())
}

/// A host says what of a turned file was in use there: completes the open incident, or makes another where there is none and the file is a
/// threat or was denied. Where it is neither and the host ended processes all the same, that is an incident of this host alone. A host that never met the file has nothing to say about it.
pub(super) async fn still_in_use(work: &mut Connection, host: HostId, report: &Turned, now: i64) -> Result<()> {
    const NAME: &str = "SELECT name FROM host WHERE id = $1";
    const ANSWER: &str = "SELECT class, trust_factor, threat_level, threat_name, no_answer FROM file WHERE sha256 = $1";
    const MET: &str = "SELECT h.profile_id FROM host h WHERE h.id = $1 \
         AND EXISTS (SELECT 1 FROM observation o WHERE o.sha256 = $2 AND o.host_id = h.id)";
    let met = sqlx::query(MET).bind(host.as_bytes().as_slice()).bind(report.file.as_bytes().as_slice());
    let Some(met) = met.fetch_optional(&mut *work).await? else { return Ok(()) };
    let name = sqlx::query(NAME).bind(host.as_bytes().as_slice()).fetch_one(&mut *work).await?;
    let killed = report.live.iter().filter(|live| live.fate == Fate::Killed).count() as u64;
    let holder = Holder {
        host_id: host,
        host: Columns(&name).text("name")?,
        paths: report.paths.iter().take(PATHS_NAMED_MAX).cloned().collect(),
        last_executed_at: report.last_executed_at,
        live: report.live.iter().take(PROCESSES_NAMED_MAX).cloned().collect(),
        live_count: report.live.len() as u64,
        killed_count: killed,
    };
    let (kind, file) = (Kind::VerdictTurned, Some(report.file));
    if let Some(Detail::Turn(mut turn)) = open_detail(work, kind, file, None).await? {
        return if turn.tell(holder) { amend(work, kind, file, None, &Detail::Turn(turn)).await } else { Ok(()) };
    }
    let Some(row) = sqlx::query(ANSWER).bind(report.file.as_bytes().as_slice()).fetch_optional(&mut *work).await? else {
        return Ok(());
    };
    let answer = super::file::answer(&Columns(&row))?;
    let now_said = answer.reputation().map(opinion);
    let people = entry::people(&entry::of(work, &[report.file]).await?, Columns(&met).profile("profile_id")?);
    let is_bad = answer.is_threat() || people.denied.is_some();
    if !is_bad && killed == 0 {
        return Ok(());
    }
    let whose = (!is_bad).then_some(host);
    let mut turn = match open_detail(work, kind, file, whose).await? {
        Some(Detail::Turn(turn)) => turn,
        _ => Box::new(Turn { from: now_said.clone(), to: now_said, hosts: Vec::new(), host_count: 1, allows_removed: 0 }),
    };
    turn.tell(holder);
    raise(work, &NewIncident { kind, file, host: whose, detail: Detail::Turn(turn) }, now).await
}
