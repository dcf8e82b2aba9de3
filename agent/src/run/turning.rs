//! Finds out which files executed here turn bad when policy or verdicts change, ends the processes that run them where the profile
//! wants it, and reports both.

use std::path::Path;
use std::sync::Arc;

use doorward_policy::{Mode, Sha256};
use doorward_proto::report::{Fate, ReportBody, Turned};
use doorward_proto::uplink::Verdict;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::agent::Agent;
use super::insist::insist;
use crate::exec::Runners;
use crate::exec::history::Executed;
use crate::exec::mount::{MOUNTINFO, Mounts};
use crate::identify::Identity;
use crate::judge::Trouble;

/// Waits for news of either kind until `cancel`.
pub(super) async fn follow(agent: Arc<Agent>, mut verdicts: mpsc::Receiver<Vec<Verdict>>, cancel: CancellationToken) {
    let mut policies = agent.lists.policy_changes();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = policies.changed() => if changed.is_err() { return },
            batch = verdicts.recv() => if batch.is_none() { return },
        }
        // Whatever came in together is judged together; judging again is cheap, and only what turned is looked for among processes.
        while verdicts.try_recv().is_ok() {}
        let judging = Arc::clone(&agent);
        match tokio::task::spawn_blocking(move || turned(&judging)).await {
            Ok(reports) if reports.is_empty() => {}
            Ok(reports) => report(&agent, reports, &cancel).await,
            Err(error) => tracing::error!(%error, "looking for files that turned bad panicked"),
        }
    }
}

/// Judges everything executed here again and gathers what turned. Ends its processes before anything is reported.
fn turned(agent: &Agent) -> Vec<Turned> {
    let trouble = |file: &Sha256, executed: &Executed, identity: &Identity| agent.judge.judge(file, identity, &executed.evidence).trouble();
    let turned = agent.history.judge_again(|file, executed| {
        let last = executed.identities.last();
        last.map_or(Trouble::None, |identity| trouble(file, executed, identity))
    });
    if turned.is_empty() {
        return Vec::new();
    }
    // What somebody allowed runs on whatever else is said of it, and so does what the host cannot do without: in each inode for itself.
    let is_denied = |file: &Sha256, executed: &Executed, identity: &Identity| trouble(file, executed, identity) == Trouble::Denied;
    let settings = agent.lists.settings();
    let is_ending = settings.mode == Mode::Protect && settings.kill_on_bad_verdict;
    let mounts = Mounts::read(Path::new(MOUNTINFO)).unwrap_or_default();
    let runners = Runners { identifier: &agent.identifier, mounts: &mounts, health: &agent.health };
    let live = runners.of(&turned, is_ending.then_some(&is_denied));
    let report = |((file, executed), live): ((Sha256, Executed), Vec<_>)| Turned {
        file,
        paths: executed.paths,
        live,
        last_executed_at: Some(executed.last_executed_at),
    };
    turned.into_iter().zip(live).map(report).collect()
}

/// What turned is marked as such already and turns no second time, so each report is brought until it is kept. What changes meanwhile
/// is judged after that.
async fn report(agent: &Agent, reports: Vec<Turned>, cancel: &CancellationToken) {
    for turned in reports {
        let killed = turned.live.iter().filter(|live| live.fate == Fate::Killed).count();
        let processes = turned.live.len();
        tracing::warn!(file = %turned.file, processes, killed, "a file that was executed here is now denied or a threat");
        insist(&agent.pending, &agent.health, cancel, ReportBody::Turned(turned)).await;
    }
}
