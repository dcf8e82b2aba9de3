//! A change of some settings, as it comes from a person: each one present or not, all of them checked before any is taken.

use doorward_policy::{HostId, PathBytes};
use doorward_proto::limit::{ARCHIVE_KEYS_MAX, EXCLUSIONS_MAX, INTERPRETERS_MAX, TRUSTED_MOUNTS_MAX};
use serde_json::{Map, Value};

use super::Settings;

/// Why a change of settings was not taken; none of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// There is no such setting.
    #[error("there is no setting {0:?}; settings are {known}", known = known())]
    Unknown(String),
    /// The value is not one the setting can have.
    #[error("{setting}: {what}")]
    Value {
        /// The setting.
        setting: String,
        /// What is wrong, and what it can be.
        what: String,
    },
    /// Too many exclusions, or one that is no absolute path.
    #[error("exclusions are at most {EXCLUSIONS_MAX} absolute paths; {0:?} is not")]
    Exclusion(String),
    /// Too many interpreters.
    #[error("interpreters are at most {INTERPRETERS_MAX}")]
    Interpreters,
    /// Too many trusted mount points, or one that no mount table can hold.
    #[error("trusted_mounts are at most {TRUSTED_MOUNTS_MAX} absolute paths without `.`, `..` or a slash too many; {0:?} is not")]
    TrustedMount(String),
    /// Too many keys.
    #[error("archive_keys are at most {ARCHIVE_KEYS_MAX} fingerprints of keys")]
    ArchiveKeys,
}

/// Settings by name with new values, as an API body or `key=value` words give them. Checked by [`Self::apply`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettingsPatch(Map<String, Value>);

fn known() -> String {
    match serde_json::to_value(Settings::default()) {
        Ok(Value::Object(map)) => map.keys().cloned().collect::<Vec<_>>().join(", "),
        _ => String::new(),
    }
}

impl SettingsPatch {
    /// Takes the members of a JSON object.
    #[must_use]
    pub const fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// The reference host as the person named it, by id or by name, when the patch sets one.
    #[must_use]
    pub fn reference_host(&self) -> Option<&str> {
        self.0.get("reference_host").and_then(Value::as_str)
    }

    /// Replaces the reference host's name by its id.
    pub fn resolve_reference_host(&mut self, host: HostId) {
        self.0.insert("reference_host".into(), Value::String(host.to_string()));
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The settings with the patch on them.
    ///
    /// # Errors
    /// The first member that cannot be taken.
    pub fn apply(&self, settings: &Settings) -> Result<Settings, PatchError> {
        let mut patched = settings.clone();
        for (setting, value) in &self.0 {
            patched = with_one(&patched, setting, value)?;
        }
        let is_absolute = |path: &PathBytes| path.as_bytes().starts_with(b"/");
        check(&patched.exclusions, EXCLUSIONS_MAX, is_absolute).map_err(PatchError::Exclusion)?;
        check(&patched.open_exclusions, EXCLUSIONS_MAX, is_absolute).map_err(PatchError::Exclusion)?;
        if patched.interpreters.len() > INTERPRETERS_MAX {
            return Err(PatchError::Interpreters);
        }
        check(&patched.trusted_mounts, TRUSTED_MOUNTS_MAX, PathBytes::is_normal).map_err(PatchError::TrustedMount)?;
        if patched.archive_keys.len() > ARCHIVE_KEYS_MAX {
            return Err(PatchError::ArchiveKeys);
        }
        Ok(patched)
    }
}

/// A list of paths; the error names the one that cannot be taken.
fn check(paths: &[PathBytes], paths_max: usize, is_right: impl Fn(&PathBytes) -> bool) -> Result<(), String> {
    match paths.iter().find(|path| !is_right(path)) {
        Some(path) => Err(path.to_string()),
        None if paths.len() > paths_max => Err(format!("number {}", paths_max + 1)),
        None => Ok(()),
    }
}

/// One setting at a time, so that the error can name it.
fn with_one(settings: &Settings, setting: &str, value: &Value) -> Result<Settings, PatchError> {
    let Ok(Value::Object(mut whole)) = serde_json::to_value(settings) else {
        return Err(PatchError::Unknown(setting.into()));
    };
    if !whole.contains_key(setting) {
        return Err(PatchError::Unknown(printable(setting)));
    }
    whole.insert(setting.into(), value.clone());
    let refused = |error: serde_json::Error| PatchError::Value { setting: setting.into(), what: error.to_string() };
    serde_json::from_value(Value::Object(whole)).map_err(refused)
}

/// What a person typed, cut and escaped, to be shown back.
fn printable(text: &str) -> String {
    const SHOWN_BYTES_MAX: usize = 80;
    let bytes = text.as_bytes();
    PathBytes::new(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)]).to_string()
}

#[cfg(test)]
mod tests {
    use doorward_policy::{AllowUnknown, Mode};
    use serde_json::json;

    use super::*;

    fn patch(value: Value) -> SettingsPatch {
        match value {
            Value::Object(members) => SettingsPatch::new(members),
            other => panic!("{other} is no object"),
        }
    }

    #[test]
    fn takes_every_setting_in_its_own_words() {
        let words = json!({
            "mode": "protect", "coverage": "exec_and_open", "unverified_action": "hold", "allow_safe": "off",
            "allow_unknown": "reference_scan", "allow_new_packages": false, "allow_new_publishers": true, "package_level": "signed",
            "ask_bytecode": true, "reference_host": null, "exclusions": ["/srv/mail", "/var/lib/\\xff"], "kill_on_bad_verdict": true,
            "trusted_mounts": ["/", "/srv/\\xff"], "interpreters": ["python3*:.py:-c"], "open_exclusions": ["/var/lib/db"],
        });
        let settings = patch(words).apply(&Settings::default()).unwrap();
        assert_eq!(settings.mode, Mode::Protect);
        assert!(settings.ask_bytecode && !Settings::default().ask_bytecode);
        assert_eq!(settings.allow_safe, None);
        assert_eq!(settings.allow_unknown, AllowUnknown::ReferenceScan);
        assert_eq!(settings.exclusions[1].as_bytes(), b"/var/lib/\xff");
        assert!(settings.kill_on_bad_verdict && !Settings::default().kill_on_bad_verdict);
        assert!(settings.interpreters[0].is(b"python3.11") && !Settings::default().interpreters.is_empty());
        assert_eq!(settings.trusted_mounts[1].as_bytes(), b"/srv/\xff");
        let again: Settings = serde_json::from_str(&serde_json::to_string(&settings).unwrap()).unwrap();
        assert_eq!(again, settings);
    }

    #[test]
    fn refuses_what_a_setting_cannot_be_and_names_the_setting() {
        let refused = [
            (json!({"allow_safe": 3}), "allow_safe"),
            (json!({"allow_safe": "on"}), "allow_safe"),
            (json!({"mode": "enforce"}), "mode"),
            (json!({"mode": null}), "mode"),
            (json!({"allow_new_packages": "yes"}), "allow_new_packages"),
            (json!({"kill_on_bad_verdict": "sometimes"}), "kill_on_bad_verdict"),
            (json!({"exclusions": ["relative"]}), "exclusions"),
            (json!({"exclusions": vec!["/x"; EXCLUSIONS_MAX + 1]}), "exclusions"),
            (json!({"archive_keys": ["4CB5"]}), "archive_keys"),
            (json!({"archive_keys": vec!["4CB50190207B4758A3F73A796ED0E7B82643E131"; ARCHIVE_KEYS_MAX + 1]}), "archive_keys"),
            (json!({"open_exclusions": ["relative"]}), "exclusions"),
            (json!({"interpreters": ["/bin/sh"]}), "interpreters"),
            (json!({"interpreters": vec!["sh"; INTERPRETERS_MAX + 1]}), "interpreters"),
            (json!({"trusted_mounts": "/srv"}), "trusted_mounts"),
            (json!({"trusted_mounts": ["relative"]}), "trusted_mounts"),
            (json!({"trusted_mounts": ["/srv/../etc"]}), "trusted_mounts"),
            (json!({"trusted_mounts": ["/srv/"]}), "trusted_mounts"),
            (json!({"trusted_mounts": [format!("/{}", "x".repeat(4095))]}), "trusted_mounts"),
            (json!({"trusted_mounts": vec!["/x"; TRUSTED_MOUNTS_MAX + 1]}), "trusted_mounts"),
            (json!({"colour": "red"}), "colour"),
        ];
        for (words, setting) in refused {
            let error = patch(words.clone()).apply(&Settings::default()).unwrap_err();
            assert!(error.to_string().contains(setting), "{words}: {error}");
        }
    }

    #[test]
    fn an_unknown_setting_cannot_steer_the_terminal_it_is_shown_on() {
        let error = patch(json!({"\u{1b}[2J": 1})).apply(&Settings::default()).unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}
