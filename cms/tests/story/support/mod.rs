//! A CMS without sockets: store, allowlist and a clock that stands until it is moved; hosts that report in order; threat intelligence
//! that says what the story needs.

pub(crate) mod host;

use std::sync::Arc;

use doorward_cms::allowlist::{Allowlist, Answered, Policies};
use doorward_cms::incident::Kind;
use doorward_cms::profile::{GLOBAL, SettingsPatch};
use doorward_cms::signals::Signals;
use doorward_cms::store::{
    FileDecision, FileDetail, IncidentFilter, IncidentView, ListingFilter, ListingRow, PageRequest, Published, Store, mint,
};
use doorward_policy::{Class, Decision, HostId, ProfileId, Reputation, Sha256};
use doorward_proto::snapshot::{FileListing, PolicySigner, PolicyVerifier};
use doorward_service::clock::Clock;
use sha2::Digest;

pub(crate) use host::{Found, TestHost};

/// 2026-11-22, in microseconds.
pub(crate) const NOON: i64 = 1_795_348_800_000_000;
pub(crate) const HOUR: i64 = 3_600_000_000;

pub(crate) struct TestCms {
    pub(crate) store: Store,
    pub(crate) allowlist: Allowlist,
    pub(crate) signals: Signals,
    pub(crate) clock: Clock,
    pub(crate) profile: ProfileId,
    pub(crate) dir: tempfile::TempDir,
    signer: Arc<PolicySigner>,
}

/// The digest of a file with this text in it.
pub(crate) fn file(content: &str) -> Sha256 {
    Sha256::new(sha2::Sha256::digest(content.as_bytes()).into())
}

impl TestCms {
    /// With the profile `default`.
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::standing(NOON);
        let store = Store::create(&dir.path().join("cms.sqlite"), NOON).await.unwrap();
        let profile = store.create_profile("default", "default", "test", NOON).await.unwrap().id;
        let signals = Signals::new();
        let signer = Arc::new(PolicySigner::from_pem(&PolicySigner::generate_pem().unwrap()).unwrap());
        let allowlist = Allowlist::new(store.clone(), signals.clone(), Arc::clone(&signer), clock.clone());
        Self { store, allowlist, signals, clock, profile, dir, signer }
    }

    /// Enrolls a host into `default`.
    pub(crate) async fn host(&self, name: &str) -> TestHost {
        self.host_in(name, self.profile).await
    }

    pub(crate) async fn host_in(&self, name: &str, profile: ProfileId) -> TestHost {
        TestHost::enroll(self, name, profile, HostId::new(mint(self.now()))).await
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now_micros()
    }

    /// Drafts settings of `default` from JSON and publishes them.
    pub(crate) async fn with_settings(&self, settings: serde_json::Value) -> Published {
        self.draft(settings).await;
        self.publish().await
    }

    pub(crate) async fn draft(&self, settings: serde_json::Value) {
        let serde_json::Value::Object(members) = settings else { panic!("settings are an object") };
        let profile = self.store.profile("default").await.unwrap().unwrap();
        let draft = SettingsPatch::new(members).apply(&profile.draft).unwrap();
        self.store.draft_settings(profile.id, &draft, "test", self.now()).await.unwrap();
    }

    pub(crate) async fn publish(&self) -> Published {
        self.allowlist.publish("default", "ada").await.unwrap().unwrap()
    }

    /// Threat intelligence answers about a file; good for an hour.
    pub(crate) async fn ti_says(&self, content: &str, reputation: Reputation) {
        self.ti_says_all(&[(content, reputation)]).await;
    }

    pub(crate) async fn ti_says_all(&self, answers: &[(&str, Reputation)]) {
        let answer = |(content, reputation): &(&str, Reputation)| Answered {
            file: file(content),
            raw: serde_json::json!({ "said": format!("{reputation:?}") }).to_string(),
            reputation: reputation.clone(),
            sha1: None,
            md5: None,
            answered_at: self.now(),
            fresh_until: self.now() + HOUR,
        };
        let answers: Vec<_> = answers.iter().map(answer).collect();
        self.allowlist.answered("simulated", &answers).await.unwrap();
    }

    /// Ada decides on a file in `default`.
    pub(crate) async fn decide(&self, content: &str, decision: Decision) {
        self.decide_in(content, self.profile, decision).await;
    }

    pub(crate) async fn decide_globally(&self, content: &str, decision: Decision) {
        self.decide_in(content, GLOBAL, decision).await;
    }

    async fn decide_in(&self, content: &str, owner: ProfileId, decision: Decision) {
        let decision = FileDecision { file: file(content), owner, decision, comment: Some("because".into()) };
        self.allowlist.decide_file(&decision, "ada").await.unwrap();
    }

    pub(crate) async fn listing(&self) -> Vec<ListingRow> {
        let filter = ListingFilter { profile: self.profile, status: None };
        self.store.listing(&filter, &PageRequest::default()).await.unwrap().items
    }

    /// The file's row in `default`.
    pub(crate) async fn row(&self, content: &str) -> ListingRow {
        let rows = self.listing().await;
        rows.into_iter().find(|row| row.sha256 == file(content)).unwrap_or_else(|| panic!("{content} is not listed"))
    }

    pub(crate) async fn detail(&self, content: &str) -> FileDetail {
        self.store.file(&file(content), None, self.now()).await.unwrap().unwrap_or_else(|| panic!("{content} is not known"))
    }

    /// What the policy that hosts of `default` get says of a file.
    pub(crate) async fn policy_on(&self, content: &str) -> FileListing {
        self.allowlist.policies().current(self.profile).await.unwrap().lookup_file(&file(content))
    }

    /// Policies as a program just started makes them.
    pub(crate) fn fresh_policies(&self) -> Policies {
        Policies::new(self.store.clone(), Arc::clone(&self.signer))
    }

    pub(crate) fn verifier(&self) -> PolicyVerifier {
        self.signer.verifier()
    }

    pub(crate) async fn revision(&self) -> u64 {
        self.store.profile("default").await.unwrap().unwrap().revision
    }

    pub(crate) async fn open_incidents(&self) -> Vec<IncidentView> {
        let filter = IncidentFilter { open: Some(true), file: None };
        self.store.incidents(&filter, &PageRequest::default()).await.unwrap().items
    }

    pub(crate) async fn open_incident(&self, kind: Kind) -> IncidentView {
        let incidents = self.open_incidents().await;
        let kinds: Vec<_> = incidents.iter().map(|incident| incident.kind).collect();
        incidents.into_iter().find(|incident| incident.kind == kind).unwrap_or_else(|| panic!("no {kind:?} among {kinds:?}"))
    }
}

pub(crate) fn malicious(level: u8, name: &str) -> Reputation {
    Reputation { class: Class::Malicious, trust_factor: None, threat_level: Some(level), threat_name: Some(name.into()) }
}

pub(crate) fn suspicious() -> Reputation {
    Reputation { class: Class::Suspicious, trust_factor: None, threat_level: Some(2), threat_name: Some("Win32.Trojan.Maybe".into()) }
}

pub(crate) fn known(trust_factor: u8) -> Reputation {
    Reputation { class: Class::Known, trust_factor: Some(trust_factor), threat_level: None, threat_name: None }
}

pub(crate) fn unknown() -> Reputation {
    Reputation { class: Class::Unknown, trust_factor: None, threat_level: None, threat_name: None }
}
