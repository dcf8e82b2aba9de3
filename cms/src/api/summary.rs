//! An incident in one sentence. Names that came from hosts or providers are escaped here, whatever shows the sentence later.

use std::collections::BTreeSet;

use doorward_policy::{PathBytes, Use};
use doorward_proto::report::{ClosureEvent, ClosureNews, Fate, Unjudged};

use super::word::word;
use crate::incident::{Detail, Execution, Kind, Opinion, Turn};
use crate::store::IncidentView;

/// Paths named beside an incident.
const PATHS_SHOWN_MAX: usize = 10;

/// Filesystems named in a sentence; the rest are counted.
const FILESYSTEMS_SHOWN_MAX: usize = 3;

/// What an incident is about, by path.
pub(super) fn paths(detail: &Detail) -> Vec<PathBytes> {
    let paths: BTreeSet<&PathBytes> = match detail {
        Detail::Execution(execution) => [&execution.path].into(),
        Detail::Turn(turn) => turn.hosts.iter().flat_map(|holder| &holder.paths).collect(),
        Detail::Coverage { uncovered } => uncovered.iter().map(|uncovered| &uncovered.mount_point).collect(),
        Detail::Closure { path } => [path].into(),
        Detail::Overridden { entries } => entries.iter().map(|entry| &entry.path).collect(),
        Detail::Unjudged { unjudged } => unjudged.iter().map(|unjudged| &unjudged.path).collect(),
        Detail::Silence { .. } | Detail::Clone { .. } | Detail::Ahead { .. } => BTreeSet::new(),
    };
    paths.into_iter().take(PATHS_SHOWN_MAX).cloned().collect()
}

/// What happened.
pub(super) fn summary(incident: &IncidentView) -> String {
    let host = incident.host.as_deref().map_or_else(|| "a host".into(), escaped);
    match &incident.detail {
        Detail::Execution(execution) => executed(incident.kind, execution, &host),
        Detail::Turn(turn) => turned(turn),
        Detail::Coverage { uncovered } => {
            let named: Vec<_> = uncovered.iter().take(FILESYSTEMS_SHOWN_MAX).map(|uncovered| uncovered.mount_point.to_string()).collect();
            let more = uncovered.len().saturating_sub(FILESYSTEMS_SHOWN_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{host} no longer watches {}{more}", named.join(", "))
        }
        Detail::Unjudged { unjudged } => {
            let named: Vec<_> = unjudged.iter().take(FILESYSTEMS_SHOWN_MAX).map(unjudged_line).collect();
            let more = unjudged.len().saturating_sub(FILESYSTEMS_SHOWN_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{host} could not identify what was executed: {}{more}", named.join(", "))
        }
        Detail::Closure { path } => format!("{path} on {host} changed and proves nothing; the host cannot run without it"),
        Detail::Overridden { entries } => {
            let named: Vec<_> = entries.iter().take(FILESYSTEMS_SHOWN_MAX).map(overridden_line).collect();
            let more = entries.len().saturating_sub(FILESYSTEMS_SHOWN_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{host} can be neither booted nor managed without what lists deny and overrides {}{more}", named.join(", "))
        }
        Detail::Clone { address } => {
            let address = escaped(address);
            format!("two copies of {host} speak with one certificate, the other from {address}: remove the host and enroll both anew")
        }
        Detail::Ahead { has_epoch, has_revision, epoch, revision, begun } => {
            let outcome = if *begun {
                "a new epoch was begun and its profile's hosts follow again; what was decided after the copy was made is lost"
            } else {
                "that cannot be, or comes again after a new epoch was begun; look at that host"
            };
            let has = format!("{has_epoch}.{has_revision}");
            format!("{host} has policy {has}, newer than the server's {epoch}.{revision}, as after a restore from a backup: {outcome}")
        }
        Detail::Silence { .. } => format!("{host} is silent: its agent was not heard of for too long"),
    }
}

fn overridden_line(entry: &ClosureNews) -> String {
    let source = escaped(entry.source.as_deref().unwrap_or_default());
    match entry.event {
        ClosureEvent::PackageDenyOverridden => format!("the deny of package {source} ({})", entry.path),
        ClosureEvent::PublisherDenyOverridden => format!("the deny of publisher {source} ({})", entry.path),
        ClosureEvent::FileDenyOverridden | ClosureEvent::Changed => format!("the deny of {} ({})", entry.file, entry.path),
    }
}

fn unjudged_line(unjudged: &Unjudged) -> String {
    let Unjudged { path, process, reason, fate, .. } = unjudged;
    let user = process.uid.map_or_else(|| "an unknown user".into(), |uid| format!("uid {uid}"));
    format!("{path} by pid {} of {user} ({}, {})", process.pid, escaped(reason), deed(*fate))
}

const fn deed(fate: Fate) -> &'static str {
    match fate {
        Fate::Ran => "ran",
        Fate::Refused => "was refused",
        Fate::Killed => "was killed after it had started",
    }
}

fn executed(kind: Kind, execution: &Execution, host: &str) -> String {
    let path = &execution.path;
    let deed = match (execution.usage, execution.fate) {
        (Some(Use::Load { .. }), Fate::Ran) => "was loaded",
        (Some(Use::Load { .. }), Fate::Refused) => "was kept from being loaded",
        (_, fate) => deed(fate),
    };
    let reason = word(&execution.reason);
    match kind {
        Kind::ThreatExecuted => {
            let threat = threat(execution.threat_score, execution.threat_name.as_deref());
            format!("{path} {deed} on {host}: a threat ({reason}{threat})")
        }
        Kind::ProcessModified => format!("{path} {deed} on {host} and is not what was there before ({reason})"),
        Kind::ProcessKilled => format!("{path} {deed} on {host}, though it is allowed ({reason})"),
        _ => format!("{path} {deed} on {host} and nothing vouches for it ({reason})"),
    }
}

fn turned(turn: &Turn) -> String {
    let hosts = match turn.host_count {
        1 => "1 host holds it".into(),
        count => format!("{count} hosts hold it"),
    };
    let removed = match turn.allows_removed {
        0 => String::new(),
        1 => "; 1 automatic allow was withdrawn".into(),
        count => format!("; {count} automatic allows were withdrawn"),
    };
    let what = if turn.from == turn.to {
        format!("a file that ran may no longer run (threat intelligence: {})", opinion(turn.to.as_ref()))
    } else {
        format!("threat intelligence turned from {} to {}", opinion(turn.from.as_ref()), opinion(turn.to.as_ref()))
    };
    format!("{what}; {hosts}{removed}{}", processes(turn))
}

fn processes(turn: &Turn) -> String {
    let live: u64 = turn.hosts.iter().map(|holder| holder.live_count).sum();
    let killed: u64 = turn.hosts.iter().map(|holder| holder.killed_count).sum();
    let of = |count: u64| if count == 1 { "1 process".into() } else { format!("{count} processes") };
    match (killed, live.saturating_sub(killed)) {
        (0, 0) => String::new(),
        (0, ran) => format!("; {} still ran it", of(ran)),
        (killed, 0) => format!("; {} that ran it {} killed", of(killed), if killed == 1 { "was" } else { "were" }),
        (killed, ran) => format!("; of {} that ran it {killed} {} killed", of(killed + ran), if killed == 1 { "was" } else { "were" }),
    }
}

fn opinion(opinion: Option<&Opinion>) -> String {
    let said = |opinion: &Opinion| format!("{}{}", word(&opinion.class), threat(opinion.threat_score, opinion.threat_name.as_deref()));
    opinion.map_or_else(|| "no answer".into(), said)
}

fn threat(score: Option<u8>, name: Option<&str>) -> String {
    let score = score.map(|score| format!(", score {score}")).unwrap_or_default();
    let name = name.map(|name| format!(", {}", escaped(name))).unwrap_or_default();
    format!("{score}{name}")
}

fn escaped(text: &str) -> String {
    PathBytes::new(text).to_string()
}

#[cfg(test)]
mod tests {
    use doorward_policy::{Class, FileKind, StatusReason};

    use super::*;
    use crate::incident::Holder;

    fn incident(kind: Kind, detail: Detail) -> IncidentView {
        IncidentView {
            id: uuid::Uuid::nil(),
            kind,
            file: None,
            host_id: None,
            host: Some("web-1\u{1b}[2J".into()),
            open: true,
            first_at: 0,
            last_at: 0,
            count: 1,
            detail,
            closed_at: None,
            closed_by: None,
            comment: None,
        }
    }

    fn execution() -> Execution {
        Execution {
            path: PathBytes::new(b"/opt/\x1b[31mred".as_slice()),
            kind: FileKind::Script,
            reason: StatusReason::Malicious,
            threat_score: Some(10),
            threat_name: Some("Linux.Trojan\u{7}".into()),
            process: None,
            fate: Fate::Ran,
            usage: Some(Use::Execute),
            previous: None,
        }
    }

    #[test]
    fn what_ran_is_said_without_letting_names_steer_the_terminal() {
        let said = summary(&incident(Kind::ThreatExecuted, Detail::Execution(Box::new(execution()))));
        assert_eq!(said, r"/opt/\x1b[31mred ran on web-1\x1b[2J: a threat (malicious, score 10, Linux.Trojan\x07)");
    }

    #[test]
    fn what_became_of_an_execution_is_said_in_words() {
        let said = |kind, fate| {
            let execution = Execution { path: PathBytes::new("/a"), fate, reason: StatusReason::Unknown, ..execution() };
            summary(&IncidentView { host: Some("web-1".into()), ..incident(kind, Detail::Execution(Box::new(execution))) })
        };
        assert_eq!(said(Kind::NewProcess, Fate::Ran), "/a ran on web-1 and nothing vouches for it (unknown)");
        assert_eq!(said(Kind::NewProcess, Fate::Refused), "/a was refused on web-1 and nothing vouches for it (unknown)");
        let load = |fate| {
            let usage = Some(Use::Load { opener: None });
            let execution = Execution { path: PathBytes::new("/a"), fate, usage, reason: StatusReason::Unknown, ..execution() };
            summary(&IncidentView { host: Some("web-1".into()), ..incident(Kind::NewProcess, Detail::Execution(Box::new(execution))) })
        };
        assert_eq!(load(Fate::Ran), "/a was loaded on web-1 and nothing vouches for it (unknown)");
        assert_eq!(load(Fate::Refused), "/a was kept from being loaded on web-1 and nothing vouches for it (unknown)");
        let killed = "/a was killed after it had started on web-1";
        assert_eq!(said(Kind::NewProcess, Fate::Killed), format!("{killed} and nothing vouches for it (unknown)"));
        assert_eq!(said(Kind::ProcessKilled, Fate::Killed), format!("{killed}, though it is allowed (unknown)"));
    }

    #[test]
    fn a_turn_names_both_opinions_and_counts_hosts() {
        let opinion = |class, score| Some(Opinion { class, trust_factor: None, threat_score: score, threat_name: None });
        let turn = Turn {
            from: opinion(Class::Suspicious, Some(7)),
            to: opinion(Class::Malicious, Some(9)),
            hosts: Vec::new(),
            host_count: 2,
            allows_removed: 1,
        };
        let said = |turn| summary(&incident(Kind::VerdictTurned, Detail::Turn(Box::new(turn))));
        let told =
            "threat intelligence turned from suspicious, score 7 to malicious, score 9; 2 hosts hold it; 1 automatic allow was withdrawn";
        assert_eq!(said(turn.clone()), told);
        let holder = |live_count, killed_count| Holder {
            host_id: doorward_policy::HostId::new(uuid::Uuid::nil()),
            host: "web-1".into(),
            paths: Vec::new(),
            last_executed_at: None,
            live: Vec::new(),
            live_count,
            killed_count,
        };
        let ending = |hosts| {
            let said = said(Turn { hosts, allows_removed: 0, ..turn.clone() });
            said.split_once("; 2 hosts hold it").unwrap().1.to_owned()
        };
        assert_eq!(ending(vec![holder(1, 0)]), "; 1 process still ran it");
        assert_eq!(ending(vec![holder(1, 1)]), "; 1 process that ran it was killed");
        assert_eq!(ending(vec![holder(2, 1), holder(3, 3)]), "; of 5 processes that ran it 4 were killed");
        let denied = Turn { from: None, to: None, hosts: vec![holder(1, 1)], host_count: 1, allows_removed: 0 };
        let told = "a file that ran may no longer run (threat intelligence: no answer); 1 host holds it; 1 process that ran it was killed";
        assert_eq!(said(denied), told);
    }
}
