//! Findings by what they are about, for one generation of anchors.

use std::collections::HashMap;
use std::sync::Arc;

use doorward_policy::Sha256;

use super::Finding;
use crate::identify::{Identified, Identity};

/// Findings kept; when there are more all are forgotten, and found again when asked for.
const FINDINGS_MAX: usize = 65_536;

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    file: Sha256,
    /// For what lies beside the content, in the state of one inode.
    inode: Option<Identity>,
}

impl Subject {
    /// What is in the file.
    pub(super) const fn content(file: &Identified) -> Self {
        Self { file: file.digests.sha256, inode: None }
    }

    /// What its inode says; whoever changes an attribute changes the time of that.
    pub(super) const fn inode(file: &Identified) -> Self {
        Self { file: file.digests.sha256, inode: Some(file.identity) }
    }
}

#[derive(Debug)]
struct Kept {
    generation: u64,
    finding: Arc<Finding>,
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    findings: HashMap<Subject, Kept>,
    /// Most files are not signed.
    unsigned: Option<Arc<Finding>>,
}

impl Cache {
    pub(super) fn get(&self, subject: &Subject, generation: u64, now: i64) -> Option<Arc<Finding>> {
        let kept = self.findings.get(subject).filter(|kept| kept.generation == generation)?;
        kept.finding.until.is_none_or(|until| now <= until).then(|| Arc::clone(&kept.finding))
    }

    pub(super) fn put(&mut self, subject: Subject, generation: u64, finding: Finding) {
        if self.findings.len() >= FINDINGS_MAX && !self.findings.contains_key(&subject) {
            self.findings.clear();
        }
        let finding =
            if finding == Finding::unsigned() { Arc::clone(self.unsigned.get_or_insert_with(Arc::default)) } else { Arc::new(finding) };
        self.findings.insert(subject, Kept { generation, finding });
    }
}
