//! The settings themselves. They are edited as a draft and mean nothing to hosts until published.

use doorward_policy::auto_allow::{AllowUnknown, AutoAllowSettings};
use doorward_policy::{HostId, Interpreter, KeyFingerprint, Level, Mode, PathBytes, TrustRules, UnverifiedAction};
use doorward_proto::uplink::CoverageKind;
use serde::{Deserialize, Serialize};

/// Everything a profile says about how its hosts work and what they trust. Words as in the API and the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How far agents act; a host may have its own.
    pub mode: Mode,
    /// Which opens count as uses.
    pub coverage: CoverageKind,
    /// What protect does with a file nothing settles.
    pub unverified_action: UnverifiedAction,
    /// Highest trust factor allowed automatically, 0..=2; `None` is off.
    #[serde(with = "threshold")]
    pub allow_safe: Option<u8>,
    /// When files TI does not know are allowed automatically.
    pub allow_unknown: AllowUnknown,
    /// Package evidence below this level settles nothing.
    pub package_level: Level,
    /// Packages on no list count.
    pub allow_new_packages: bool,
    /// Publishers on no list count, unless they merely chain to a public authority.
    pub allow_new_publishers: bool,
    /// Threat intelligence is asked about compiled Python too, which differs from host to host.
    pub ask_bytecode: bool,
    /// The host whose scans may allow files TI does not know.
    pub reference_host: Option<HostId>,
    /// Path prefixes no scan and no exec+open coverage looks at.
    pub exclusions: Vec<PathBytes>,
    /// Protect ends the processes of a file that turns bad.
    pub kill_on_bad_verdict: bool,
    /// Mount points of filesystems nobody on a host can vouch for, whose executions are let be all the same, though reported.
    pub trusted_mounts: Vec<PathBytes>,
    /// With exec+open, programs that run what they read.
    pub interpreters: Vec<Interpreter>,
    /// Path prefixes no exec+open coverage looks at, though scans do.
    pub open_exclusions: Vec<PathBytes>,
    /// Keys of repositories whose signed archives count; none: those each host's own package manager uses.
    pub archive_keys: Vec<KeyFingerprint>,
}

/// Trees of databases, mail and object stores: files without end that are opened all the time and run by nobody.
const DATA_TREES: [&str; 12] = [
    "/var/lib/mysql",
    "/var/lib/postgresql",
    "/var/lib/pgsql",
    "/var/lib/mongodb",
    "/var/lib/redis",
    "/var/lib/elasticsearch",
    "/var/lib/cassandra",
    "/var/lib/clickhouse",
    "/var/lib/ceph",
    "/var/lib/minio",
    "/var/mail",
    "/var/spool",
];

impl Default for Settings {
    fn default() -> Self {
        let rules = TrustRules::default();
        let auto_allow = AutoAllowSettings::default();
        Self {
            mode: Mode::default(),
            coverage: CoverageKind::default(),
            unverified_action: UnverifiedAction::default(),
            allow_safe: auto_allow.allow_safe,
            allow_unknown: auto_allow.allow_unknown,
            package_level: rules.package_level,
            allow_new_packages: rules.allow_new_packages,
            allow_new_publishers: rules.allow_new_publishers,
            ask_bytecode: false,
            reference_host: None,
            exclusions: Vec::new(),
            kill_on_bad_verdict: false,
            trusted_mounts: Vec::new(),
            interpreters: Interpreter::usual(),
            open_exclusions: DATA_TREES.map(PathBytes::new).into(),
            archive_keys: Vec::new(),
        }
    }
}

/// One setting that differs between draft and published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    /// The setting's name.
    pub setting: String,
    /// Published.
    pub before: serde_json::Value,
    /// Draft.
    pub after: serde_json::Value,
}

impl Settings {
    /// The part hosts judge by; it is signed with the policy.
    #[must_use]
    pub const fn rules(&self) -> TrustRules {
        TrustRules {
            package_level: self.package_level,
            allow_new_packages: self.allow_new_packages,
            allow_new_publishers: self.allow_new_publishers,
        }
    }

    /// The part only the CMS acts on.
    #[must_use]
    pub const fn auto_allow(&self) -> AutoAllowSettings {
        AutoAllowSettings { allow_safe: self.allow_safe, allow_unknown: self.allow_unknown }
    }

    /// Whether hosts must be told, apart from the policy.
    #[must_use]
    pub fn changes_hosts(&self, published: &Self) -> bool {
        (self.mode, self.coverage, self.unverified_action) != (published.mode, published.coverage, published.unverified_action)
            || self.exclusions != published.exclusions
            || self.kill_on_bad_verdict != published.kill_on_bad_verdict
            || self.trusted_mounts != published.trusted_mounts
            || self.interpreters != published.interpreters
            || self.open_exclusions != published.open_exclusions
            || self.archive_keys != published.archive_keys
    }

    /// What publishing this draft would change, in the order of the settings.
    #[must_use]
    pub fn changes(&self, published: &Self) -> Vec<SettingChange> {
        let object = |settings: &Self| match serde_json::to_value(settings) {
            Ok(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        let (draft, published) = (object(self), object(published));
        let differs = |(setting, after): (String, serde_json::Value)| {
            let before = published.get(&setting).cloned().unwrap_or_default();
            (before != after).then_some(SettingChange { setting, before, after })
        };
        draft.into_iter().filter_map(differs).collect()
    }
}

/// `allow_safe` as people write it: a number 0..=2 or the word `off`.
pub(super) mod threshold {
    use doorward_policy::reputation::TRUST_FACTOR_MAX;
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(u64),
        Word(String),
    }

    pub(in crate::profile) fn serialize<S: Serializer>(threshold: &Option<u8>, serializer: S) -> Result<S::Ok, S::Error> {
        match threshold {
            Some(number) => serializer.serialize_u8(*number),
            None => serializer.serialize_str("off"),
        }
    }

    pub(in crate::profile) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
        let refused = || serde::de::Error::custom("allow_safe is 0, 1, 2 or \"off\"");
        match Form::deserialize(deserializer).map_err(|_| refused())? {
            Form::Word(word) if word == "off" => Ok(None),
            Form::Word(word) => word.parse().ok().filter(|number| *number <= TRUST_FACTOR_MAX).map(Some).ok_or_else(refused),
            Form::Number(number) => u8::try_from(number).ok().filter(|number| *number <= TRUST_FACTOR_MAX).map(Some).ok_or_else(refused),
        }
    }
}
