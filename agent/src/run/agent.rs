//! Everything the daemon's tasks share, opened in the order in which it depends on each other.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use doorward_policy::PathBytes;
use doorward_proto::report::{Coverage, FailureCount, Health as HealthReport};
use doorward_service::Clock;
use tokio::sync::{Notify, watch};

use super::RunError;
use super::inventory::Book;
use super::scan::Scans;
use crate::config::Settings;
use crate::control::trust::PackageCounts;
use crate::credential::Credential;
use crate::exec::{Counters, History};
use crate::health::{FailureReason, Health, Pulses};
use crate::identify::{Identifier, IdentityStore, Limits};
use crate::judge::{Closure, Judge};
use crate::list::{Lists, Trustee};
use crate::pending::{self, Pending, PendingError};
use crate::sandbox::Sandbox;
use crate::system::entropy;
use crate::trust::publisher::{AnchorError, Publishers};
use crate::trust::{Ledger, Trust, Witness};

/// What tasks share. All of it can be used from any thread.
pub(super) struct Agent {
    pub(super) settings: Settings,
    pub(super) credential: Credential,
    pub(super) clock: Clock,
    pub(super) started: Instant,
    pub(super) lists: Arc<Lists>,
    pub(super) identifier: Arc<Identifier>,
    pub(super) judge: Arc<Judge>,
    pub(super) pending: Pending,
    /// The verdicts kept in the store of reports were read. Without them files are judged by policy and evidence alone.
    pub(super) knows_verdicts: bool,
    pub(super) history: Arc<History>,
    pub(super) counters: Arc<Counters>,
    pub(super) inventory: Arc<Book>,
    pub(super) coverage: watch::Sender<Coverage>,
    /// A new generation of packages is in force, and the closure was found again.
    pub(super) packages_read: Notify,
    pub(super) scans: Scans,
    pub(super) witness: Witness,
    /// Where files of attackers' making are read.
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) health: Health,
    /// Loops whose standing still means that the daemon must be started anew.
    pub(super) vital: Pulses,
    /// Loops that may have to wait for a disk.
    pub(super) slow: Pulses,
}

impl Agent {
    /// Opens everything on disk. Blocks, for minutes when a damaged store has to be recovered.
    ///
    /// # Errors
    /// [`RunError`] for what the daemon cannot do without.
    pub(super) fn open(settings: Settings, credential: Credential, clock: Clock) -> Result<Arc<Self>, RunError> {
        let health = Health::default();
        let pending = open_pending(&settings, &clock, &health)?;
        let lists = open_lists(&settings, &credential, &health);
        let learned = load_verdicts(&pending, &lists).inspect_err(|error| {
            health.note_code(error.reason());
            tracing::error!(%error, "verdicts on single files are not known until the store opens");
        });
        let identities = open_identities(&settings, &health);
        let identifier = Arc::new(Identifier::new(Arc::new(identities), clock.clone(), Limits::default()));
        let (ledger, problem) = Ledger::open(&settings.state_dir.join("trust"));
        if let Some(problem) = problem {
            health.note(FailureReason::LedgerError);
            tracing::error!(%problem, "what signed archives vouched for is of the lower level until they are read again");
        }
        let (trust, problems) = Trust::with_ledger(&settings.root, ledger);
        for problem in problems {
            health.note(problem.manager.into());
            tracing::error!(%problem, "the package database cannot be used; no package of it vouches for anything until it can");
        }
        let closure = Closure::default();
        closure.find(&identifier, &settings.root);
        let root = PathBytes::new(settings.root.as_os_str().as_bytes());
        let publishers = open_publishers(&settings, &clock, &health);
        let judge = Judge::new(Arc::clone(&lists), Arc::new(trust), Arc::new(closure), root).with_publishers(publishers);
        let judge = Arc::new(judge);
        Ok(Arc::new(Self {
            inventory: Arc::new(Book::open(settings.state_dir.join("inventory"))),
            scans: Scans::new(settings.state_dir.join("scan.json")),
            witness: Witness::default(),
            settings,
            credential,
            clock,
            started: Instant::now(),
            lists,
            identifier,
            judge,
            pending,
            knows_verdicts: learned.is_ok(),
            history: Arc::default(),
            counters: Arc::default(),
            coverage: watch::Sender::new(Coverage::default()),
            packages_read: Notify::new(),
            // Started here, before anything is watched, so that its own execution never has to be judged.
            sandbox: Arc::new(Sandbox::start(health.clone())),
            health,
            vital: Pulses::default(),
            slow: Pulses::default(),
        }))
    }

    /// Lets the ledger forget what is not installed any more.
    pub(super) fn forget_unused_archives(&self) {
        let trust = self.judge.trust();
        let Some(current) = trust.current() else { return };
        let installed: std::collections::HashSet<(&str, &str)> = current.installed().collect();
        trust.ledger().forget_unused(self.clock.now_micros(), |package, version| installed.contains(&(package, version)));
        if let Err(error) = trust.ledger().keep() {
            self.health.note(FailureReason::LedgerError);
            tracing::warn!(%error, "the ledger of signed archives cannot be put on disk");
        }
    }

    /// Installed packages, and those of them whose signed archive was read.
    pub(super) fn package_counts(&self) -> PackageCounts {
        let trust = self.judge.trust();
        let keys = self.lists.settings().archive_keys.clone();
        let Some(current) = trust.current() else { return PackageCounts::default() };
        let mut counts = PackageCounts { installed: current.packages() as u64, signed: 0 };
        counts.signed =
            current.installed().filter(|(package, version)| trust.ledger().holds_package(package, version, &keys)).count() as u64;
        counts
    }

    /// The counters a person should look at, as they are now.
    pub(super) fn health_report(&self) -> HealthReport {
        let gauges = self.pending.gauges();
        let failures = self.health.counts().into_iter().map(|(reason, count)| FailureCount { reason: reason.to_owned(), count });
        HealthReport {
            pending: gauges.records,
            dropped: gauges.lost(self.health.count(FailureReason::ReportDropped)),
            failures: failures.collect(),
        }
    }
}

/// Makes the state folder, for root's eyes only.
pub(super) fn make_state_dir(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn open_pending(settings: &Settings, clock: &Clock, health: &Health) -> Result<Pending, RunError> {
    let options = pending::Options { limits: pending::Limits::default(), clock: clock.clone(), mint_epoch: pending::random_epoch };
    let opened = Pending::open(&settings.pending_dir(), options).map_err(RunError::Pending)?;
    if let Some(error) = &opened.closed {
        health.note_code(error.reason());
    }
    for recovery in &opened.recovered {
        health.note_code(recovery.reason());
    }
    Ok(opened.pending)
}

fn open_lists(settings: &Settings, credential: &Credential, health: &Health) -> Arc<Lists> {
    let trustee = Trustee { verifier: credential.policy_verifier(), profile: credential.profile_id };
    let (lists, problems) = Lists::open(&settings.policy_dir(), trustee);
    for problem in problems {
        health.note_code(problem.reason());
        tracing::error!(%problem, "the CMS will be asked for it again");
    }
    Arc::new(lists)
}

/// Takes the verdicts kept on disk into account. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn load_verdicts(pending: &Pending, lists: &Lists) -> Result<(), PendingError> {
    pending.each_verdict_blocking(|verdict| lists.take_verdicts([&verdict]))
}

fn open_publishers(settings: &Settings, clock: &Clock, health: &Health) -> Arc<Publishers> {
    let (publishers, problems) = Publishers::open(&settings.trust.publisher_anchors, clock.clone());
    tell_of_anchors(&publishers, &problems, health);
    Arc::new(publishers)
}

/// Names every file that gives no anchor.
pub(super) fn tell_of_anchors(publishers: &Publishers, problems: &[AnchorError], health: &Health) {
    for problem in problems {
        health.note(FailureReason::PublisherAnchorError);
        tracing::error!(%problem, "no publisher is trusted by this file");
    }
    tracing::info!(anchors = publishers.anchors().len(), "anchors of publishers");
}

fn open_identities(settings: &Settings, health: &Health) -> IdentityStore {
    let folder = settings.identity_dir();
    match IdentityStore::open(&folder, entropy::fill) {
        Ok((store, problems)) => {
            for problem in problems {
                health.note(FailureReason::IdentityStoreError);
                tracing::warn!(%problem, "files are read again instead");
            }
            store
        }
        Err(error) => {
            health.note(FailureReason::IdentityStoreError);
            tracing::error!(folder = %folder.display(), %error, "identities cannot be kept; files are read again after every start");
            IdentityStore::in_memory(entropy::fill)
        }
    }
}
