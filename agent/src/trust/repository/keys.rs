//! Which keys count for which source: those apt itself would take, and of them only the pinned ones when any are pinned.

use std::path::Path;

use doorward_formats::apt::SignedBy;
use doorward_formats::openpgp::{KEYRING_BYTES_MAX, Keyring};
use doorward_policy::KeyFingerprint;

use super::names_in;
use crate::trust::read;

/// The keyrings of one host, read as they are asked for.
pub(super) struct Keys<'a> {
    root: &'a Path,
    pinned: &'a [KeyFingerprint],
    for_all: Option<Keyring>,
    pub(super) problems: Vec<String>,
}

impl<'a> Keys<'a> {
    pub(super) const fn new(root: &'a Path, pinned: &'a [KeyFingerprint]) -> Self {
        Self { root, pinned, for_all: None, problems: Vec::new() }
    }

    /// The keys that count for a source.
    pub(super) fn of(&mut self, signed_by: &SignedBy) -> Result<Keyring, String> {
        let mut keyring = Keyring::default();
        if let Some(embedded) = &signed_by.embedded {
            keyring.add(embedded).map_err(|problem| format!("its own key: {problem}"))?;
        } else if signed_by.keyrings.is_empty() {
            keyring = self.for_all().clone();
        } else {
            for path in &signed_by.keyrings {
                self.add(&mut keyring, &self.root.join(path.trim_start_matches('/')));
            }
        }
        let (named, pinned) = (&signed_by.fingerprints, self.pinned);
        Ok(keyring.filtered(|key| (named.is_empty() || named.contains(key)) && (pinned.is_empty() || pinned.contains(key))))
    }

    /// The keys apt takes for every source that names none.
    fn for_all(&mut self) -> &Keyring {
        if self.for_all.is_none() {
            let mut keyring = Keyring::default();
            let mut files = vec![self.root.join("etc/apt/trusted.gpg")];
            files.extend(names_in(&self.root.join("etc/apt/trusted.gpg.d"), &["gpg", "asc"]));
            for file in files {
                self.add(&mut keyring, &file);
            }
            self.for_all = Some(keyring);
        }
        self.for_all.get_or_insert_default()
    }

    fn add(&mut self, keyring: &mut Keyring, path: &Path) {
        let mut bytes = Vec::new();
        let outcome = match read::whole(path, KEYRING_BYTES_MAX as u64, &mut bytes) {
            Ok(true) => keyring.add(&bytes).map_err(|problem| format!("{}: {problem}", path.display())),
            Ok(false) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        self.problems.extend(outcome.err());
    }
}
