//! `host`: who is enrolled and how each one fares.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Session;
use super::failure::Failure;
use super::output::sentence;
use super::table::{Facts, Table};
use super::terminal::count;
use super::time::{both, relative_or};
use doorward_service::Exit;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List hosts
    List {
        /// Rows at most
        #[arg(long)]
        limit: Option<u32>,
        /// Where the page before ended
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
    },
    /// Show one host
    Show {
        /// Id, or a name that only one host has
        host: String,
    },
    /// Give a host a mode of its own: mode=disabled|detect|protect, or mode=profile for its profile's
    Set {
        /// Id, or a name that only one host has
        host: String,
        /// mode=VALUE
        #[arg(value_name = "KEY=VALUE")]
        setting: String,
    },
    /// Take a host's right to connect; what it reported stays
    Remove {
        /// Id, or a name that only one host has
        host: String,
    },
}

#[derive(Deserialize)]
struct Host {
    id: String,
    name: String,
    profile: String,
    mode: String,
    mode_is_own: bool,
    mode_in_force: Option<String>,
    connected: bool,
    agent_version: String,
    enrolled_at: i64,
    certificate_not_after: i64,
    last_seen_at: Option<i64>,
    removed_at: Option<i64>,
    settings_revision: u64,
    settings_in_force: InForce,
    policy_in_force: InForce,
    facts: HostFacts,
    coverage: Option<Coverage>,
    health: Option<Health>,
}

#[derive(Deserialize)]
struct InForce {
    revision: u64,
    refused: Option<String>,
}

#[derive(Deserialize)]
struct HostFacts {
    operating_system: String,
    kernel: String,
    architecture: String,
}

#[derive(Deserialize)]
struct Coverage {
    covered: Vec<String>,
    uncovered: Vec<Uncovered>,
}

#[derive(Deserialize)]
struct Uncovered {
    mount_point: String,
    filesystem: String,
    reason: String,
}

#[derive(Deserialize)]
struct Health {
    pending: u64,
    dropped: u64,
}

impl Command {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let now = session.now;
        match self {
            Self::List { limit, after } => {
                let answer = session.client.get(&["hosts"], &super::paging(limit, after)).await?;
                session.output.page(answer, |rows| list(rows, now))
            }
            Self::Show { host } => {
                let answer = session.client.get(&["hosts", &host], &[]).await?;
                session.output.show(answer, |host| show(&host, now))
            }
            Self::Set { host, setting } => {
                let answer = session.client.patch(&["hosts", &host], &json!({"mode": mode(&setting)?})).await?;
                session.output.show(answer, |host: Host| {
                    let whose = if host.mode_is_own { "its own" } else { "its profile's" };
                    let but = host.shortfall().map(|why| format!("; {why}")).unwrap_or_default();
                    sentence(format!("host {} ({}) is to run in {}, {whose} mode{but}", host.name, host.id, host.mode))
                })
            }
            Self::Remove { host } => {
                let answer = session.client.delete(&["hosts", &host]).await?;
                session.output.show(answer, |host: Host| {
                    sentence(format!("host {} ({}) may no longer connect; what it reported stays", host.name, host.id))
                })
            }
        }
    }
}

impl Host {
    /// The mode its agent is in, when that is not the one wanted.
    fn falls_short(&self) -> Option<&str> {
        // Without a hello it is not known what the agent can do; a wish it has not heard of yet is no shortfall.
        self.mode_in_force.as_deref().filter(|able| *able != self.mode)
    }

    fn shortfall(&self) -> Option<String> {
        let (wanted, able) = (&self.mode, self.falls_short()?);
        Some(format!("{wanted} wanted, {able} in force: the agent cannot {wanted}"))
    }
}

/// `mode=protect` as the API has it.
fn mode(setting: &str) -> Result<Value, Failure> {
    match setting.split_once('=') {
        Some(("mode", "profile")) => Ok(Value::Null),
        Some(("mode", mode)) => Ok(mode.into()),
        _ => Err(Failure::new(Exit::Usage, format!("{setting:?} is no setting of a host"))
            .next("write mode=disabled, mode=detect, mode=protect or mode=profile")),
    }
}

fn list(hosts: &[Host], now: i64) -> String {
    let mut table = Table::new(["NAME", "STATE", "MODE", "PROFILE", "LAST SEEN", ">POLICY", "AGENT", "ID"]);
    for host in hosts {
        let state = if host.connected { "connected" } else { "away" };
        let mut mode = if host.mode_is_own { format!("{} (own)", host.mode) } else { host.mode.clone() };
        if let Some(able) = host.falls_short() {
            mode = format!("{able}, not {mode}");
        }
        table.row([
            host.name.clone(),
            state.into(),
            mode,
            host.profile.clone(),
            relative_or(host.last_seen_at, now, "never"),
            host.policy_in_force.revision.to_string(),
            host.agent_version.clone(),
            host.id.clone(),
        ]);
    }
    table.or("no host is enrolled; make a token with `doorward-cms token create --profile default`, then on the host run `doorward-agent enroll`")
}

fn show(host: &Host, now: i64) -> String {
    let state = match (host.removed_at, host.connected) {
        (Some(at), _) => format!("removed {}", both(at, now)),
        (None, true) => "connected".into(),
        (None, false) => "away".into(),
    };
    let mode = if host.mode_is_own { "its own" } else { "its profile's" };
    let settings = format!("revision {} in force, {} wanted", host.settings_in_force.revision, host.settings_revision);
    let mut facts = Facts::default()
        .add("name", host.name.clone())
        .add("id", host.id.clone())
        .add("profile", host.profile.clone())
        .add("state", state)
        .add("last seen", host.last_seen_at.map_or_else(|| "never".into(), |at| both(at, now)))
        .add("mode", format!("{} ({mode})", host.mode))
        .maybe("IN FORCE", host.shortfall())
        .add("settings", settings)
        .maybe("refused", host.settings_in_force.refused.clone())
        .add("policy", format!("revision {} in force", host.policy_in_force.revision))
        .maybe("refused", host.policy_in_force.refused.clone())
        .add("system", format!("{}, Linux {}, {}", host.facts.operating_system, host.facts.kernel, host.facts.architecture))
        .add("agent", host.agent_version.clone())
        .add("enrolled", both(host.enrolled_at, now))
        .add("certificate", format!("until {}", both(host.certificate_not_after, now)));
    if let Some(health) = &host.health {
        facts = facts.add("queue", format!("{} reports waiting, {} lost", count(health.pending), count(health.dropped)));
    }
    if let Some(coverage) = &host.coverage {
        facts = facts.add("watched", coverage.covered.join(", "));
        for uncovered in &coverage.uncovered {
            facts = facts.add("NOT WATCHED", format!("{} ({}): {}", uncovered.mount_point, uncovered.filesystem, uncovered.reason));
        }
    }
    facts.text()
}
