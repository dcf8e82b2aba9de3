//! One stream from hello to its end. Sends what there is room for, takes what comes, one thing at a time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use doorward_proto::limit::{BATCH_BYTES_MAX, BATCH_REPORTS_MAX, PROTOCOL};
use doorward_proto::report::{Batch, FailureCount, Health};
use doorward_proto::snapshot::Assembler;
use doorward_proto::uplink::{AgentMessage, CAPABILITY_PROTECT, CmsMessage, Hello, Welcome};
use doorward_proto::v1;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::Channel;

use super::end::{End, contract};
use super::flow::Flow;
use super::outbox::Outbox;
use super::{Deps, client, dial, renewal};
use crate::credential::Credential;
use crate::health::FailureReason;
use crate::pending::PendingError;

/// Messages between this task and the transport; the transport's own window is behind it.
const OUT_MESSAGES_MAX: usize = 4;

/// Messages other than reports that wait to be sent. Only answers to the server's own messages come in, and those wait for room.
const ANSWERS_MAX: usize = 64;

/// Largest window that is used, whatever the server grants.
const WINDOW_MAX: u32 = 8_192;

/// Pause between two words about a running scan.
const PROGRESS_PAUSE: Duration = Duration::from_millis(500);

/// A stream that lasted this long after an answer has delivered it.
const ARRIVED_AFTER: Duration = Duration::from_secs(10);

/// How often it is looked whether a heartbeat is due, or a failure to be told of.
const HEALTH_LOOK: Duration = Duration::from_secs(2);

/// What this agent can do.
const CAPABILITIES: [&str; 6] = ["detect", CAPABILITY_PROTECT, "scan", "dpkg", "rpm", "policy_delta"];

type Renewal = Pin<Box<dyn Future<Output = Result<Credential, String>> + Send>>;

/// A stream on which the server has said welcome.
pub(super) struct Session<'a> {
    pub(super) deps: &'a Deps,
    pub(super) outbox: Outbox,
    pub(super) flow: Flow,
    pub(super) assembler: Assembler,
    /// A whole policy was asked for and has not come, or came and was refused.
    pub(super) snapshot_asked: bool,
    channel: Channel,
    welcome: Welcome,
    out: mpsc::Sender<v1::AgentMessage>,
    inbound: Streaming<v1::CmsMessage>,
    answers: VecDeque<AgentMessage>,
    /// Answers that were sent a moment ago, and when. Nothing acknowledges them but the stream's going on.
    fresh: VecDeque<(Instant, AgentMessage)>,
    arrivals: watch::Receiver<u64>,
    told: Option<Health>,
    heartbeat_due: Instant,
    look_due: Instant,
    progress_due: Instant,
    renewal_due: Instant,
    renewal: Option<Renewal>,
    renewed: Option<Credential>,
}

impl<'a> Session<'a> {
    /// Connects, says hello and waits for the welcome.
    pub(super) async fn open(deps: &'a Deps, outbox: Outbox) -> Result<Self, End> {
        // The hello names the store, and nothing can be sent or taken without it.
        deps.pending.ready().await?;
        let clock = deps.clock.clone();
        let now = doorward_proto::tls::Now::new(move || clock.now_micros());
        let tls = deps.credential.tls(now).map_err(|error| End::Refused(format!("the credential is unusable: {error}")))?;
        let channel = dial::dial(&deps.credential.cms, tls, deps.settings.timing()).await?;
        let (out, messages) = mpsc::channel(OUT_MESSAGES_MAX);
        out.try_send(AgentMessage::Hello(hello(deps)).into()).expect("the channel is new and empty");
        let limit = Duration::from_millis(deps.settings.connect_timeout_ms);
        let greeting = async {
            let mut inbound = client(channel.clone()).connect(ReceiverStream::new(messages)).await?.into_inner();
            let first = inbound.message().await?.ok_or_else(|| End::Network("the server ended the stream at once".to_owned()))?;
            Ok::<_, End>((inbound, first))
        };
        let (inbound, first) =
            timeout(limit, greeting).await.map_err(|_| End::Network(format!("no welcome within {} s", limit.as_secs_f32())))??;
        let CmsMessage::Welcome(welcome) = CmsMessage::try_from(first).map_err(contract)? else {
            return Err(contract("its first message is not a welcome"));
        };
        let window = greeted(deps, &welcome).await?;
        let start = Instant::now();
        Ok(Self {
            deps,
            outbox,
            flow: Flow::new(window, welcome.acknowledged),
            assembler: Assembler::new(deps.credential.policy_verifier(), deps.credential.profile_id),
            snapshot_asked: false,
            channel,
            welcome,
            out,
            inbound,
            answers: VecDeque::new(),
            fresh: VecDeque::new(),
            arrivals: deps.pending.arrivals(),
            told: None,
            heartbeat_due: start,
            look_due: start,
            progress_due: start,
            renewal_due: start,
            renewal: None,
            renewed: None,
        })
    }

    pub(super) fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Gives back what may not have arrived, and the credential that replaced the one this session was opened with.
    pub(super) fn finish(self) -> Option<Credential> {
        let fresh = self.fresh.into_iter().filter(|(sent, _)| sent.elapsed() < ARRIVED_AFTER).map(|(_, message)| message);
        fresh.chain(self.answers).for_each(|message| self.outbox.give_back(message));
        self.renewed
    }

    /// Runs to the end of the stream, or until `cancel`.
    pub(super) async fn run(&mut self, cancel: &CancellationToken) -> End {
        loop {
            if let Err(end) = self.step(cancel).await {
                return end;
            }
        }
    }

    async fn step(&mut self, cancel: &CancellationToken) -> Result<(), End> {
        self.prepare();
        let wants_to_send = !self.answers.is_empty() || self.has_reports();
        // While answers pile up nothing more is taken that would need one.
        let may_take = self.answers.len() < ANSWERS_MAX;
        let wake = self.wake_at();
        tokio::select! {
            () = cancel.cancelled() => return Err(End::Stopped),
            message = self.inbound.message(), if may_take => {
                let message = message?.ok_or_else(|| End::Network("the server ended the stream".to_owned()))?;
                self.take(message).await?;
            }
            permit = self.out.clone().reserve_owned(), if wants_to_send => {
                let permit = permit.map_err(|_| End::Network("the stream is closed".to_owned()))?;
                if let Some(message) = self.next_message().await? {
                    permit.send(message.into());
                }
            }
            changed = self.arrivals.changed() => {
                changed.map_err(|_| End::Store(PendingError::Closed))?;
            }
            () = self.outbox.filled() => {}
            renewed = renewal_outcome(&mut self.renewal) => self.renewal_ended(renewed),
            () = tokio::time::sleep_until(wake) => {}
        }
        Ok(())
    }

    /// Queues an answer to something the server said.
    pub(super) fn answer(&mut self, message: AgentMessage) {
        self.answers.push_back(message);
    }

    fn has_reports(&self) -> bool {
        self.flow.room() > 0 && *self.arrivals.borrow() > self.flow.passed()
    }

    /// What goes out next: answers first, then reports.
    async fn next_message(&mut self) -> Result<Option<AgentMessage>, End> {
        if let Some(answer) = self.answers.pop_front() {
            if self.fresh.len() >= ANSWERS_MAX {
                self.fresh.pop_front();
            }
            self.fresh.push_back((Instant::now(), answer.clone()));
            return Ok(Some(answer));
        }
        // Read before asking: a report that is not there yet may come later, but not below what was there already.
        let newest = *self.arrivals.borrow();
        let count = self.flow.room().min(BATCH_REPORTS_MAX);
        let reports = self.deps.pending.batch(self.flow.passed(), count, BATCH_BYTES_MAX).await?;
        if reports.is_empty() {
            self.flow.pass(newest);
            return Ok(None);
        }
        let mut batch = Batch::default();
        for report in reports {
            if batch.push(report).is_err() {
                break;
            }
        }
        batch.reports().iter().for_each(|report| self.flow.sent(report.sequence));
        Ok(Some(AgentMessage::Reports(batch)))
    }

    /// Turns what has become due into answers.
    fn prepare(&mut self) {
        let now = Instant::now();
        if now >= self.renewal_due && self.renewal.is_none() {
            self.renew_if_due(now);
        }
        if now >= self.look_due {
            self.look_due = now + HEALTH_LOOK;
            self.heartbeat(now);
        }
        while self.answers.len() < ANSWERS_MAX
            && let Some(result) = self.outbox.take_result()
        {
            self.answers.push_back(AgentMessage::CommandResult(result));
        }
        if now >= self.progress_due
            && let Some(progress) = self.outbox.take_running()
        {
            self.progress_due = now + PROGRESS_PAUSE;
            self.answers.push_back(AgentMessage::ScanProgress(progress));
        }
        if let Some(progress) = self.outbox.take_ended(|sequence| self.flow.is_settled(sequence)) {
            self.answers.push_back(AgentMessage::ScanProgress(progress));
        }
    }

    fn wake_at(&self) -> Instant {
        if self.outbox.is_running() { self.look_due.min(self.progress_due) } else { self.look_due }
    }

    /// Sends one when it is due, or when something failed since the last.
    fn heartbeat(&mut self, now: Instant) {
        let health = self.health();
        let has_news = self.told.as_ref().is_none_or(|told| (&told.failures, told.dropped) != (&health.failures, health.dropped));
        if now >= self.heartbeat_due || has_news {
            self.heartbeat_due = now + Duration::from_millis(self.deps.settings.heartbeat_ms);
            self.told = Some(health.clone());
            self.answers.push_back(AgentMessage::Heartbeat(health));
        }
    }

    fn health(&self) -> Health {
        let gauges = self.deps.pending.gauges();
        let failures = self.deps.health.counts().into_iter();
        let failures = failures.map(|(reason, count)| FailureCount { reason: reason.to_owned(), count }).collect();
        Health { pending: gauges.records, dropped: gauges.lost(self.deps.health.count(FailureReason::ReportDropped)), failures }
    }

    fn renew_if_due(&mut self, now: Instant) {
        self.renewal_due = now + renewal::RETRY_PAUSE;
        let current = self.renewed.as_ref().unwrap_or(&self.deps.credential);
        // A certificate that cannot be read was read when it was loaded, so this is for form's sake.
        if current.validity().is_ok_and(|validity| self.deps.clock.now_micros() >= validity.half()) {
            let folder = self.deps.credential_folder.clone();
            self.renewal = Some(Box::pin(renewal::renew(self.channel.clone(), folder, current.clone())));
        }
    }

    fn renewal_ended(&mut self, outcome: Result<Credential, String>) {
        self.renewal = None;
        match outcome {
            Ok(renewed) => {
                tracing::info!("this host's certificate was renewed");
                self.renewed = Some(renewed);
            }
            Err(why) => {
                let words = doorward_policy::PathBytes::new(why);
                tracing::warn!("this host's certificate could not be renewed, which is tried again within the hour: {words}");
            }
        }
    }
}

/// Waits for a renewal that is under way, and for ever when none is.
async fn renewal_outcome(renewal: &mut Option<Renewal>) -> Result<Credential, String> {
    match renewal {
        Some(renewal) => renewal.await,
        None => std::future::pending().await,
    }
}

fn hello(deps: &Deps) -> Hello {
    let policy = deps.lists.policy().head().position();
    Hello {
        protocol: PROTOCOL,
        agent_version: deps.agent_version.clone(),
        capabilities: CAPABILITIES.map(str::to_owned).into(),
        store_epoch: deps.pending.epoch(),
        policy_epoch: policy.epoch,
        policy_revision: policy.revision,
        settings_revision: deps.lists.settings().revision,
        facts: deps.facts.clone(),
        run_id: deps.run_id,
    }
}

/// Takes a welcome at its word, and gives the window. What the server has already is forgotten here.
async fn greeted(deps: &Deps, welcome: &Welcome) -> Result<usize, End> {
    if welcome.protocol != PROTOCOL {
        let spoken = welcome.protocol;
        return Err(End::Refused(format!(
            "the management server speaks protocol {spoken}, this agent {PROTOCOL}; upgrade the older of the two"
        )));
    }
    if welcome.window == 0 {
        return Err(contract("it grants a window of no reports at all"));
    }
    match deps.pending.acknowledge(welcome.acknowledged).await {
        Err(PendingError::NotHandedOut { .. }) => {
            deps.pending.renew_epoch().await?;
            Err(End::NewEpoch)
        }
        outcome => {
            outcome?;
            Ok(welcome.window.min(WINDOW_MAX) as usize)
        }
    }
}
