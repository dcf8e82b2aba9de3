//! The two files behind the lists: `policy.bin`, signed, and `settings.json`, which came over an authenticated stream and is root's.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use doorward_policy::{Sha256, TrustRules};
use doorward_proto::snapshot::{Policy, Refusal};
use doorward_proto::uplink::HostSettings;
use serde::{Deserialize, Serialize};

use super::change::{Change, changes};
use super::{Lists, Trustee};
use crate::system::durable;

const POLICY_FILE: &str = "policy.bin";
const SETTINGS_FILE: &str = "settings.json";

/// Largest settings file that is read: every exclusion at its longest, each byte escaped.
const SETTINGS_BYTES_MAX: u64 = 8 << 20;

/// Files turned one by one by a new policy, twice what one step of it can name; with more of them everything is judged again. Names of
/// so many take 4 MiB for a moment.
const FILES_TURNED_MAX: usize = 131_072;

/// Version of the settings file's form.
const SETTINGS_VERSION: u32 = 1;

/// A list file that was not taken. The host starts without it and gets a new one from the server.
#[derive(Debug, thiserror::Error)]
pub enum ListProblem {
    /// The policy file was refused.
    #[error("the policy in {} is refused: {refusal}; the host goes on without lists until it gets a new one", path.display())]
    PolicyRefused {
        /// The file.
        path: PathBuf,
        /// Why.
        refusal: Refusal,
    },
    /// The settings file is not one.
    #[error("the settings in {} cannot be understood: {why}; the host works in detect until it gets new ones", path.display())]
    SettingsMalformed {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file could not be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
}

impl ListProblem {
    /// The failure's code in the failure table.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::PolicyRefused { .. } => "policy_file_refused",
            Self::SettingsMalformed { .. } => "settings_file_malformed",
            Self::File { .. } => "list_file_unusable",
        }
    }
}

/// Why settings were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("settings revision {offered} is not newer than {current}")]
pub struct SettingsRefusal {
    /// In force.
    pub current: u64,
    /// Offered.
    pub offered: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsFile {
    version: u32,
    settings: HostSettings,
}

impl Lists {
    /// Reads the lists from `folder`, making it when it is missing. Never fails: what cannot be used is a problem to be counted, and
    /// its place is taken by the empty policy or the default settings.
    #[must_use]
    pub fn open(folder: &Path, trustee: Trustee) -> (Self, Vec<ListProblem>) {
        let mut problems = Vec::new();
        if let Err(source) = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder) {
            problems.push(ListProblem::File { path: folder.to_owned(), source });
        }
        let policy = read_policy(&folder.join(POLICY_FILE), trustee).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let settings = read_settings(&folder.join(SETTINGS_FILE)).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let policy = policy.unwrap_or_else(|| Policy::empty(trustee.profile, TrustRules::default()));
        (Self::new(Some(folder.to_owned()), policy, settings.unwrap_or_default()), problems)
    }

    /// Puts a verified policy in force and on disk. Blocks for as long as writing takes.
    ///
    /// # Errors
    /// When it could not be written. It is in force all the same: a deny must not wait for a full disk, and after a restart the
    /// server sends it again.
    pub fn take_policy(&self, policy: Policy) -> Result<(), ListProblem> {
        let policy = Arc::new(policy);
        let old = self.policy.load_full();
        // SECURITY: looked for before the policy is in force, so that nothing lies between that and the end of what was concluded before.
        let files = files_that_differ(&old, &policy, FILES_TURNED_MAX);
        let last = self.policy.swap(Arc::clone(&policy));
        match files {
            Some(files) if Arc::ptr_eq(&old, &last) => files.iter().for_each(|file| self.stamps.turn(file)),
            _ => self.stamps.turn_over(),
        }
        self.policies.send_replace(Arc::clone(&policy));
        self.write(POLICY_FILE, || policy.encode())
    }

    /// Puts newer settings in force and on disk. Blocks. The inner error is as for [`Lists::take_policy`].
    ///
    /// # Errors
    /// [`SettingsRefusal`] for settings that are not newer; nothing changes then.
    pub fn take_settings(&self, settings: HostSettings) -> Result<Result<(), ListProblem>, SettingsRefusal> {
        let (current, offered) = (self.settings.load().revision, settings.revision);
        if offered <= current {
            return Err(SettingsRefusal { current, offered });
        }
        let settings = Arc::new(settings);
        self.settings.store(Arc::clone(&settings));
        self.stamps.turn_over();
        self.all_settings.send_replace(Arc::clone(&settings));
        let file = SettingsFile { version: SETTINGS_VERSION, settings: settings.as_ref().clone() };
        Ok(self.write(SETTINGS_FILE, || serde_json::to_vec_pretty(&file).expect("settings are plain values")))
    }

    fn write(&self, name: &str, content: impl FnOnce() -> Vec<u8>) -> Result<(), ListProblem> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = folder.join(name);
        durable::replace(&path, &content(), 0o600).map_err(|source| ListProblem::File { path, source })
    }
}

/// The files of which the policies say something different; `None` when more than single files may be judged differently.
pub(super) fn files_that_differ(old: &Policy, new: &Policy, files_max: usize) -> Option<Vec<Sha256>> {
    let mut files = Vec::new();
    let mut is_general = old.rules() != new.rules() || old.version_rules() != new.version_rules();
    if !is_general {
        changes(old, new, |change| match change {
            Change::File { file, .. } if files.len() < files_max => files.push(file),
            _ => is_general = true,
        });
    }
    (!is_general).then_some(files)
}

fn read_policy(path: &Path, trustee: Trustee) -> Result<Option<Policy>, ListProblem> {
    // One byte more than any policy has is enough to be refused.
    let Some(bytes) = read(path, Policy::FILE_BYTES_MAX as u64 + 1)? else { return Ok(None) };
    let policy = Policy::decode(&bytes, &trustee.verifier, trustee.profile);
    policy.map(Some).map_err(|refusal| ListProblem::PolicyRefused { path: path.to_owned(), refusal })
}

fn read_settings(path: &Path) -> Result<Option<HostSettings>, ListProblem> {
    let malformed = |why: String| ListProblem::SettingsMalformed { path: path.to_owned(), why };
    let Some(bytes) = read(path, SETTINGS_BYTES_MAX)? else { return Ok(None) };
    let file: SettingsFile = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    match file.version {
        SETTINGS_VERSION => Ok(Some(file.settings)),
        other => Err(malformed(format!("written in form {other}"))),
    }
}

/// A file's content up to a bound; `None` when there is no such file.
fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, ListProblem> {
    let failed = |source| ListProblem::File { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}
