//! Finds out which files executed here turn bad when policy or verdicts change, and reports them with the processes that still run
//! them.

use std::path::Path;
use std::sync::Arc;

use doorward_policy::Sha256;
use doorward_proto::report::{ReportBody, Turned};
use doorward_proto::uplink::Verdict;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::agent::Agent;
use super::insist::insist;
use crate::exec::history::Executed;
use crate::exec::mount::{MOUNTINFO, Mounts};
use crate::exec::processes_of;

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

/// Judges everything executed here again and gathers what turned.
fn turned(agent: &Agent) -> Vec<Turned> {
    let is_bad = |file: &Sha256, executed: &Executed| {
        executed.identities.last().is_some_and(|identity| agent.judge.judge(file, identity, &executed.evidence).is_bad())
    };
    let turned = agent.history.judge_again(is_bad);
    if turned.is_empty() {
        return Vec::new();
    }
    let mounts = Mounts::read(Path::new(MOUNTINFO)).unwrap_or_default();
    let report = |(file, executed): (Sha256, Executed)| Turned {
        live: processes_of(&file, &agent.history, &agent.identifier, &mounts),
        file,
        paths: executed.paths,
        last_executed_at: Some(executed.last_executed_at),
    };
    turned.into_iter().map(report).collect()
}

/// What turned is marked as such already and turns no second time, so each report is brought until it is kept. What changes meanwhile
/// is judged after that.
async fn report(agent: &Agent, reports: Vec<Turned>, cancel: &CancellationToken) {
    for turned in reports {
        tracing::warn!(file = %turned.file, processes = turned.live.len(), "a file that was executed here is now denied or a threat");
        insist(&agent.pending, &agent.health, cancel, ReportBody::Turned(turned)).await;
    }
}
