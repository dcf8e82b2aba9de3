//! Carries out what the CMS asks of this host, and tells it what became of it.

use std::sync::Arc;
use std::time::Duration;

use doorward_policy::ScanId;
use doorward_proto::uplink::{Command, CommandBody, ScanState};
use doorward_service::Lifecycle;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::agent::Agent;
use super::scan::{self, Asked, Current, Purpose};
use super::source::Requests;
use crate::health::FailureReason;
use crate::scan::{ScanError, Summary};
use crate::uplink::UplinkHandle;

/// How often the CMS hears of a scan under way.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// How long a connection must have held after the end of a scan was sent before the end counts as told.
const TOLD_AFTER: Duration = Duration::from_secs(2);
/// How often it is looked whether the end was sent.
const TOLD_INTERVAL: Duration = Duration::from_millis(250);

/// Carries commands out.
#[derive(Clone)]
pub(super) struct Commands {
    pub(super) agent: Arc<Agent>,
    pub(super) uplink: UplinkHandle,
    pub(super) lifecycle: Lifecycle,
    pub(super) requests: Arc<Requests>,
}

impl Commands {
    /// Takes commands until the daemon stops. What takes long runs on tasks of its own.
    pub(super) async fn take(self, mut commands: mpsc::Receiver<Command>) {
        let cancel = self.lifecycle.cancel();
        loop {
            let command = tokio::select! {
                () = cancel.cancelled() => return,
                command = commands.recv() => command,
            };
            let Some(Command { id, body }) = command else { return };
            match body {
                CommandBody::StartScan(start) => self.start_scan(Asked::new(id, start)),
                CommandBody::StopScan(scan) => self.stop_scan(id, scan),
                CommandBody::SourceFiles(source) if self.requests.take(id) => {
                    let commands = self.clone();
                    drop(self.lifecycle.spawn(async move { commands.report_source(id, source).await }));
                }
                CommandBody::SourceFiles(_) => {}
            }
        }
    }

    /// Runs a scan again that was cut short.
    pub(super) fn resume(&self) {
        if let Some(asked) = self.agent.scans.unfinished() {
            tracing::info!(scan = %asked.scan, "a scan was cut short; it runs again");
            self.start_scan(asked);
        }
    }

    fn start_scan(&self, asked: Asked) {
        if !self.agent.scans.expect(asked.scan) {
            return;
        }
        let commands = self.clone();
        drop(self.lifecycle.spawn(async move {
            let scan = asked.scan;
            commands.run_asked(asked).await;
            commands.agent.scans.told(&scan);
        }));
    }

    async fn run_asked(&self, asked: Asked) {
        let Some(place) = self.agent.scans.begin(Some(asked.scan)) else {
            return self.uplink.finished(asked.command, Err("another scan is under way on this host; stop it or wait for its end".into()));
        };
        let agent = Arc::clone(&self.agent);
        let written = asked.clone();
        let outcome = tokio::task::spawn_blocking(move || agent.scans.write_down(&written)).await;
        if let Ok(Err(error)) = outcome {
            tracing::warn!(%error, "this scan will not run again should it be cut short");
        }
        tracing::info!(scan = %asked.scan, reference = asked.reference, "scanning");
        let current = place.current.clone();
        let outcome = self.run(&current, Purpose::Asked(asked.clone())).await;
        if self.lifecycle.cancel().is_cancelled() {
            // Stopped by the daemon's own end: it stays written down and runs again.
            return;
        }
        let state = self.log_end(&outcome);
        let end = current.progress(state);
        drop(place);
        self.tell_end(end).await;
        if self.lifecycle.cancel().is_cancelled() {
            return;
        }
        self.agent.scans.strike_out(&asked.scan);
        self.uplink.finished(asked.command, outcome.map(drop).map_err(|error| error.to_string()));
    }

    /// Runs a scan on threads of its own, telling the CMS how far it is.
    pub(super) async fn run(&self, current: &Current, purpose: Purpose) -> Result<Summary, ScanError> {
        let (agent, scanning, is_asked) = (Arc::clone(&self.agent), current.clone(), current.scan.is_some());
        let cancel = self.lifecycle.cancel();
        let mut running = tokio::task::spawn_blocking(move || scan::run(&agent, &scanning, &purpose));
        let mut tick = tokio::time::interval(PROGRESS_INTERVAL);
        loop {
            tokio::select! {
                outcome = &mut running => return outcome.unwrap_or(Err(ScanError::Panicked)),
                () = cancel.cancelled(), if !current.cancel.is_cancelled() => current.cancel.cancel(),
                _ = tick.tick(), if is_asked => self.uplink.progress(current.progress(ScanState::Running)),
            }
        }
    }

    /// Tells the end of a scan until a connection held for a while after it was sent: there is no other sign that it arrived.
    async fn tell_end(&self, end: doorward_proto::uplink::ScanProgress) {
        let cancel = self.lifecycle.cancel();
        let state = self.uplink.state();
        while !cancel.is_cancelled() {
            self.uplink.progress(end.clone());
            while self.uplink.holds_end_of(&end.scan) && !cancel.is_cancelled() {
                sleep(TOLD_INTERVAL, &cancel).await;
            }
            let sent_on = state.borrow().clone();
            sleep(TOLD_AFTER, &cancel).await;
            if sent_on.is_connected() && *state.borrow() == sent_on {
                return;
            }
        }
    }

    pub(super) fn log_end(&self, outcome: &Result<Summary, ScanError>) -> ScanState {
        match outcome {
            Ok(summary) => {
                let counts = &summary.counts;
                tracing::info!(
                    files = counts.files,
                    candidates = counts.candidates,
                    unresolved = counts.unresolved,
                    stopped = summary.stopped,
                    "scan ended"
                );
                if summary.stopped { ScanState::Stopped } else { ScanState::Done }
            }
            Err(error) => {
                self.agent.health.note(FailureReason::ScanFailed);
                tracing::error!(%error, "scan failed");
                ScanState::Failed
            }
        }
    }

    fn stop_scan(&self, id: Uuid, scan: ScanId) {
        match self.agent.scans.current().filter(|current| current.scan == Some(scan)) {
            Some(current) => {
                current.cancel.cancel();
                self.uplink.finished(id, Ok(()));
            }
            None => self.uplink.finished(id, Err("no scan with this id is under way".into())),
        }
    }
}

pub(super) async fn sleep(duration: Duration, cancel: &tokio_util::sync::CancellationToken) {
    tokio::select! {
        () = cancel.cancelled() => {}
        () = tokio::time::sleep(duration) => {}
    }
}
