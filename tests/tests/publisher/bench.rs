//! A host's publishers, with anchors of the test, and files to look at.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use doorward_agent::identify::{Identified, Identifier, IdentityStore, Limits};
use doorward_agent::trust::publisher::{AnchorError, Finding, Haste, Publishers};
use doorward_policy::{Flaw, PublisherEvidence};
use doorward_service::Clock;
use tempfile::TempDir;

use doorward_tests::workshop::Signer;

/// 2026-06-01T00:00:00Z.
pub(crate) const SUMMER_2026: i64 = 1_780_272_000_000_000;

pub(crate) struct Bench {
    anchors: TempDir,
    files: TempDir,
    publishers: Publishers,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let anchors = tempfile::tempdir().unwrap();
        let (publishers, problems) = Publishers::open(anchors.path(), Clock::standing(SUMMER_2026));
        assert!(problems.is_empty(), "{problems:?}");
        Self { anchors, files: tempfile::tempdir().unwrap(), publishers }
    }

    /// Takes a certificate for an anchor; the folder says of what.
    pub(crate) fn trusting(self, folder: &str, signer: &Signer) -> Self {
        self.trusting_file(folder, &signer.der)
    }

    pub(crate) fn trusting_file(self, folder: &str, content: &[u8]) -> Self {
        let problems = self.set(folder, content);
        assert!(problems.is_empty(), "{problems:?}");
        self
    }

    /// Writes one more file of anchors and has it read.
    pub(crate) fn set(&self, folder: &str, content: &[u8]) -> Vec<AnchorError> {
        let folder = self.anchors.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let count = fs::read_dir(&folder).unwrap().count();
        fs::write(folder.join(format!("{count}.pem")), content).unwrap();
        self.publishers.renew().expect("a change is noticed")
    }

    pub(crate) fn publishers(&self) -> &Publishers {
        &self.publishers
    }

    pub(crate) fn anchors(&self) -> &Path {
        self.anchors.path()
    }

    /// Looks at a file with this name and content.
    pub(crate) fn look(&self, name: &str, content: &[u8]) -> Arc<Finding> {
        let path = self.files.path().join(name);
        fs::write(&path, content).unwrap();
        self.look_at(&path)
    }

    pub(crate) fn look_at(&self, path: &Path) -> Arc<Finding> {
        let file = File::open(path).unwrap();
        let identified = identified(path, &file);
        self.publishers.examine(&file, &identified, Haste::None, &|| false);
        assert!(!self.publishers.is_open_about(&identified), "asked once is enough");
        self.publishers.finding(&identified).unwrap_or_default()
    }

    pub(crate) fn evidence(&self, name: &str, content: &[u8]) -> PublisherEvidence {
        self.look(name, content).evidence.clone().expect("somebody signed it")
    }

    pub(crate) fn flaw(&self, name: &str, content: &[u8]) -> Option<Flaw> {
        self.evidence(name, content).flaw
    }

    /// Why nobody is named.
    pub(crate) fn reason(&self, name: &str, content: &[u8]) -> String {
        let finding = self.look(name, content);
        assert_eq!(finding.evidence, None);
        finding.reason.clone().unwrap_or_else(|| "unsigned".to_owned())
    }
}

pub(crate) fn identified(path: &Path, file: &File) -> Identified {
    let store = Arc::new(IdentityStore::in_memory(|key| key.fill(1)));
    let identifier = Identifier::new(store, Clock::system(), Limits::default());
    let name = path.file_name().unwrap().as_encoded_bytes();
    identifier.file(file, name, None, &|| false).unwrap().expect("a candidate")
}
