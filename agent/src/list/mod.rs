//! What the management server decided, on this host: the profile's signed policy, the host's settings, and the verdicts that weigh.
//!
//! Readers never wait for a writer: a judge takes the policy as it is at that moment. Files are replaced atomically and believed
//! only with the policy key's signature; a file that fails that leaves the empty policy in force and asks for a new one. `uplink`
//! brings news here, `exec` and `scan` judge by it. Nothing here talks to anybody.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use doorward_policy::{Evidence, ProfileId, Sha256, Subject, TrustRules, Verdict as Judged, judge};
use doorward_proto::snapshot::{Policy, PolicyVerifier};
use doorward_proto::uplink::{HostSettings, Verdict};
use tokio::sync::watch;

mod change;
mod file;
mod stamp;
mod subject;
#[cfg(test)]
mod tests;
mod weight;

pub use change::{Change, changes};
pub use file::{ListProblem, SettingsRefusal};
pub use stamp::Stamp;
pub use subject::ClosureClaim;

use stamp::Stamps;
use weight::Weights;

/// Whose policy a host believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trustee {
    /// The policy key it was enrolled with.
    pub verifier: PolicyVerifier,
    /// The profile it was enrolled into.
    pub profile: ProfileId,
}

/// The lists in force on this host. Share it behind an `Arc`.
pub struct Lists {
    folder: Option<PathBuf>,
    policy: ArcSwap<Policy>,
    settings: ArcSwap<HostSettings>,
    weights: Weights,
    policies: watch::Sender<Arc<Policy>>,
    all_settings: watch::Sender<Arc<HostSettings>>,
    stamps: Stamps,
}

impl Lists {
    /// Lists of a host that belongs to nobody: no record, default rules, detect. Keeps nothing on disk.
    #[must_use]
    pub fn unenrolled() -> Self {
        let nobody = ProfileId::from_slice(&[0; 16]).expect("16 bytes are an id");
        Self::new(None, Policy::empty(nobody, TrustRules::default()), HostSettings::default())
    }

    fn new(folder: Option<PathBuf>, policy: Policy, settings: HostSettings) -> Self {
        let (policy, settings) = (Arc::new(policy), Arc::new(settings));
        Self {
            folder,
            policies: watch::Sender::new(Arc::clone(&policy)),
            all_settings: watch::Sender::new(Arc::clone(&settings)),
            policy: ArcSwap::new(policy),
            settings: ArcSwap::new(settings),
            weights: Weights::default(),
            stamps: Stamps::default(),
        }
    }

    /// Rises after every change of what may bear on any file: rules, sources, settings, or more files than are looked at one by one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.stamps.general()
    }

    /// Rises after every other change of what is said of a file of which a stamp was taken, whichever it is.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.stamps.any()
    }

    /// Changes after every change of what is said of this file in particular. To be read before judging.
    #[must_use]
    pub fn stamp(&self, file: &Sha256) -> Stamp {
        self.stamps.of(file)
    }

    /// Whether nothing was said since of the file this stamp is of. Waits for nobody.
    #[must_use]
    pub fn holds(&self, stamp: Stamp) -> bool {
        self.stamps.holds(stamp)
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Which evidence counts.
    #[must_use]
    pub fn rules(&self) -> TrustRules {
        *self.policy.load().rules()
    }

    /// How this host is to work.
    #[must_use]
    pub fn settings(&self) -> Arc<HostSettings> {
        self.settings.load_full()
    }

    /// Every policy that comes into force; one that is overtaken before anybody looks is skipped.
    #[must_use]
    pub fn policy_changes(&self) -> watch::Receiver<Arc<Policy>> {
        self.policies.subscribe()
    }

    /// Settings as they come into force; as for policies.
    #[must_use]
    pub fn settings_changes(&self) -> watch::Receiver<Arc<HostSettings>> {
        self.all_settings.subscribe()
    }

    /// Takes verdicts into account that are newer than those before them, as `pending` says. Those that change no judgement are not
    /// kept here.
    pub fn take_verdicts<'a>(&self, verdicts: impl IntoIterator<Item = &'a Verdict>) {
        self.weights.take(verdicts, |file| self.stamps.turn(file));
    }

    /// The verdict on a file, if it is one that weighs: an allow on this host alone, a deny, or a threat. `pending` knows the others.
    #[must_use]
    pub fn verdict(&self, file: &Sha256) -> Option<Arc<Verdict>> {
        self.weights.of(file)
    }

    /// Everything known of a file, ready to be judged.
    #[must_use]
    pub fn subject(&self, file: &Sha256, evidence: &Evidence, closure: ClosureClaim) -> Subject {
        subject::subject(&self.policy.load(), self.verdict(file).as_deref(), file, evidence, closure)
    }

    /// As [`Lists::subject`], with the whole of what the server said of the file, for explaining. The judgement is the same; the
    /// status then has the server's own reason.
    #[must_use]
    pub fn subject_with(&self, file: &Sha256, evidence: &Evidence, closure: ClosureClaim, verdict: Option<&Verdict>) -> Subject {
        subject::subject(&self.policy.load(), verdict, file, evidence, closure)
    }

    /// Whether a list entry, evidence or threat intelligence settles the file, so that it need not be reported.
    #[must_use]
    pub fn settles(&self, file: &Sha256, evidence: &Evidence, closure: ClosureClaim) -> bool {
        judge(&self.rules(), &self.subject(file, evidence, closure)).verdict != Judged::Undecided
    }
}
