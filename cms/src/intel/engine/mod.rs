//! Takes due look-ups from the store's queue, asks the provider, hands what came of it to the allowlist. Owns the order and the
//! pace of asking; never decides what an answer means.
//!
//! Two lanes: executed files are asked at once, alone or with what else was executed; everything else gathers for a moment to share
//! a request. While the provider is down (see [`super::pace`]) new look-ups are told so at once and asked again when it is back.

mod ask;
mod lane;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use doorward_policy::{NoAnswer, Sha256};
use doorward_service::clock::Clock;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::ask::Ask;
use self::lane::{Lane, Lanes};
use super::chance::Chance;
use super::failure::FailureKind;
use super::lifetime::Lifetimes;
use super::pace::{Leave, Pace};
use super::provider::{Provider, no_answer};
use super::settings::Settings;
use super::tally::{Health, Tally};
use crate::allowlist::{Allowlist, Failed};
use crate::signals::Signals;
use crate::store::{Priority, Store, StoreError, Taken};

/// Look-ups told in one transaction that the provider is down.
const SHED_FILES_MAX: u32 = 500;

/// Longest sleep of the loop: how late a change of the wall clock is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// How long a store that cannot be read or written is left alone.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Time for questions under way to be answered and written when the program ends.
const DRAIN: Duration = Duration::from_secs(3);

/// What the API sees and does of the engine. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Control {
    tally: Arc<Tally>,
    resumed: Arc<Resumed>,
}

#[derive(Debug, Default)]
struct Resumed {
    is_asked_for: AtomicBool,
    wake: Notify,
}

impl Control {
    /// Counters and health since start.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Somebody asked for a re-check: a provider that was stopped or backing off is tried again at once. Call it before making
    /// questions due, or they may be told once more that the provider is down.
    pub fn resume(&self) {
        self.resumed.is_asked_for.store(true, Ordering::Release);
        self.resumed.wake.notify_one();
    }
}

/// The engine. One for each store: two would ask everything twice.
pub struct Engine {
    store: Store,
    signals: Signals,
    asking: Arc<Asking>,
    batch_wait: Duration,
    in_flight_max: usize,
    control: Control,
}

/// What every question needs.
struct Asking {
    allowlist: Allowlist,
    provider: Arc<dyn Provider>,
    pace: Mutex<Pace>,
    lifetimes: Lifetimes,
    clock: Clock,
    chance: Chance,
    control: Control,
}

impl Engine {
    /// Puts it together; nothing runs yet.
    #[must_use]
    pub fn new(
        store: Store,
        allowlist: Allowlist,
        signals: Signals,
        provider: Arc<dyn Provider>,
        settings: &Settings,
        clock: Clock,
        chance: Chance,
    ) -> Self {
        let control = Control::default();
        if !provider.is_configured() {
            control.tally.set_health(Health::NotConfigured);
        }
        let asking = Arc::new(Asking {
            allowlist,
            provider,
            pace: Mutex::new(Pace::default()),
            lifetimes: settings.lifetimes,
            clock,
            chance,
            control: control.clone(),
        });
        let batch_wait = Duration::from_millis(settings.batch_wait_ms);
        Self { store, signals, asking, batch_wait, in_flight_max: settings.in_flight, control }
    }

    /// For the API; stays valid while the engine runs and after.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Runs until `cancel`. Questions under way then have [`DRAIN`] to be answered; what is not returns to the queue.
    pub async fn run(self, cancel: CancellationToken) {
        self.take_up().await;
        let mut asks = JoinSet::new();
        let mut lanes = Lanes::new(self.in_flight_max, self.batch_wait);
        // Something was taken from the queue that nobody works on.
        let mut is_astray = false;
        while !cancel.is_cancelled() {
            if is_astray && asks.is_empty() {
                is_astray = self.store.release_in_flight().await.is_err();
            }
            let wait = match self.turn(&mut asks, &mut lanes).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(%error, "the look-up queue cannot be used; trying again");
                    is_astray = true;
                    STORE_RETRY
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = self.signals.lookups() => {}
                Some(done) = asks.join_next() => {
                    if done.is_err() {
                        self.asking.pace.lock().await.lost(self.asking.clock.now_micros());
                        is_astray = true;
                    }
                    lanes.returned(done);
                }
                () = self.control.resumed.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.drain(asks).await;
    }

    /// What was in flight when the program was killed goes back to the queue, and what failed under an earlier configuration gets
    /// another chance under this one.
    async fn take_up(&self) {
        let now = self.asking.clock.now_micros();
        match self.store.release_in_flight().await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "look-ups that were under way when the program ended are asked again"),
            Err(error) => tracing::error!(%error, "look-ups under way at the last end stay unasked until the next start"),
        }
        if self.asking.provider.is_configured()
            && let Err(error) = self.store.retry_given_up(now).await
        {
            tracing::error!(%error, "failed look-ups are not asked again before their time");
        }
    }

    /// Starts whatever may start now; returns how long nothing else will become due by itself.
    async fn turn(&self, asks: &mut JoinSet<Lane>, lanes: &mut Lanes) -> Result<Duration, StoreError> {
        let now = self.asking.clock.now_micros();
        if self.control.resumed.is_asked_for.swap(false, Ordering::AcqRel) {
            self.asking.pace.lock().await.resume(now);
            self.store.retry_given_up(now).await?;
        }
        // Reading is cheap and waits for nobody, so it is found out here that there is nothing to take.
        let due = match self.store.next_lookup_due(now).await? {
            None => return Ok(SLEEP_MAX),
            Some(due) if due.at > now => return Ok(span(now, due.at)),
            Some(due) => due,
        };
        if !self.asking.provider.is_configured() {
            return self.shed(now, None, FailureKind::NotConfigured).await;
        }
        let leave = self.asking.pace.lock().await.leave(now);
        match leave {
            Leave::Hold => Ok(SLEEP_MAX),
            Leave::Wait { until, after } => self.shed(now, Some(until), after).await,
            Leave::Probe => self.start_probe(now, asks, lanes).await,
            Leave::Ask => self.start(now, due.priority, asks, lanes).await,
        }
    }

    async fn start(&self, now: i64, best: Priority, asks: &mut JoinSet<Lane>, lanes: &mut Lanes) -> Result<Duration, StoreError> {
        let is_executed = best == Priority::Executed;
        let (lane, least) = match is_executed && lanes.has_room(Lane::Executed) {
            true => (Lane::Executed, Priority::Executed),
            false => (Lane::Gathered, Priority::Refresh),
        };
        if !lanes.has_room(lane) {
            return Ok(SLEEP_MAX);
        }
        if !is_executed && let Some(wait) = lanes.gather(now) {
            return Ok(wait);
        }
        let taken = self.store.take_lookups(now, least, self.batch_max()).await?;
        if lane == Lane::Gathered && (taken.len() as u32) < self.batch_max() {
            lanes.gathered();
        }
        if taken.is_empty() {
            return Ok(SLEEP_MAX);
        }
        self.spawn(lane, taken, asks, lanes);
        Ok(Duration::ZERO)
    }

    /// One file of the highest priority goes first; when it is answered the others follow.
    async fn start_probe(&self, now: i64, asks: &mut JoinSet<Lane>, lanes: &mut Lanes) -> Result<Duration, StoreError> {
        let taken = self.store.take_lookups(now, Priority::Refresh, 1).await?;
        if !taken.is_empty() {
            self.asking.pace.lock().await.probe();
            self.spawn(Lane::Executed, taken, asks, lanes);
        }
        Ok(SLEEP_MAX)
    }

    fn spawn(&self, lane: Lane, taken: Vec<Taken>, asks: &mut JoinSet<Lane>, lanes: &mut Lanes) {
        lanes.left(lane);
        let ask = Ask { asking: Arc::clone(&self.asking), taken };
        asks.spawn(async move {
            ask.run().await;
            lane
        });
    }

    /// Tells whoever waits for due look-ups that there is no answer for now. They come up again at `retry_at`, or when the
    /// configuration or a person changes something. Nobody waits for a file that has an answer: its refresh stays due.
    async fn shed(&self, now: i64, retry_at: Option<i64>, kind: FailureKind) -> Result<Duration, StoreError> {
        let taken = self.store.take_unanswered(now, SHED_FILES_MAX).await?;
        if taken.is_empty() {
            return Ok(retry_at.map_or(SLEEP_MAX, |until| span(now, until)));
        }
        let failed: Vec<Failed> = taken.iter().map(|taken| failed(taken.file, kind, retry_at)).collect();
        self.asking.allowlist.failed(&failed).await?;
        Ok(Duration::ZERO)
    }

    async fn drain(&self, mut asks: JoinSet<Lane>) {
        let all = async { while asks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            asks.shutdown().await;
            if let Err(error) = self.store.release_in_flight().await {
                tracing::warn!(%error, "look-ups under way return to the queue at the next start");
            }
        }
    }

    fn batch_max(&self) -> u32 {
        u32::try_from(self.asking.provider.batch_files_max()).unwrap_or(u32::MAX)
    }
}

/// A failed look-up. The digest of nothing is settled without anybody's word.
fn failed(file: Sha256, kind: FailureKind, not_before: Option<i64>) -> Failed {
    if file == Sha256::EMPTY {
        return Failed { file, error: "empty_file".into(), no_answer: NoAnswer::NotAsked, not_before: None };
    }
    Failed { file, error: kind.word().into(), no_answer: no_answer(kind), not_before }
}

fn span(now: i64, until: i64) -> Duration {
    Duration::from_micros(u64::try_from(until.saturating_sub(now)).unwrap_or(0)).min(SLEEP_MAX)
}
