//! Drafts: settings, lists and what the reference scan would allow wait until a person publishes them. What that would change is worked
//! out here, without keeping anything; publishing itself is [`super::publication`]'s.

use doorward_policy::{Decision, ProfileId, Sha256};
use serde::{Deserialize, Serialize};

use super::column::Columns;
use super::entry::EntryRow;
use super::source::{NamedSource, named};
use super::{Connection, Profile, Result, Store, mark, profile, sighting};
use crate::profile::{SettingChange, Settings};

/// Files read at a time while a whole profile is gone through.
const FILES_PER_STEP: u32 = 512;

/// Files a difference names; the rest are counted.
pub const FILES_NAMED_MAX: usize = 200;

/// What publishing would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The profile's name.
    pub profile: String,
    /// The revision in force now.
    pub revision: u64,
    /// Settings.
    pub settings: Vec<SettingChange>,
    /// List entries.
    pub sources: Vec<SourceChange>,
    /// Automatic allows that would come into force.
    pub allowed: u64,
    /// Automatic allows that would go.
    pub withdrawn: u64,
    /// The first of both, at most [`FILES_NAMED_MAX`].
    pub files: Vec<FileChange>,
}

/// A list entry that waits to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceChange {
    /// On what.
    #[serde(flatten)]
    pub source: NamedSource,
    /// Published.
    pub before: Decision,
    /// Draft.
    pub after: Decision,
}

/// An automatic allow that would come or go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// The file.
    pub sha256: Sha256,
    /// Now in force.
    pub allowed_before: bool,
    /// In force once published.
    pub allowed_after: bool,
}

impl Store {
    /// What publishing a profile would change; `None` when there is no such profile.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn difference(&self, name: &str) -> Result<Option<Difference>> {
        let mut view = self.reader.begin().await?;
        let Some(profile) = profile::find(&mut view, name).await? else {
            return Ok(None);
        };
        let mut difference = Difference {
            profile: profile.name.clone(),
            revision: profile.revision,
            settings: profile.draft.changes(&profile.published),
            sources: source_drafts(&mut view, profile.id).await?,
            allowed: 0,
            withdrawn: 0,
            files: Vec::new(),
        };
        if remarks_all(&profile) {
            difference.foresee(&mut view, &profile).await?;
        } else {
            difference.count_drafts(&mut view, profile.id).await?;
        }
        Ok(Some(difference))
    }
}

/// Whether the draft settings bear on the marks of every file of the profile.
pub(super) fn remarks_all(profile: &Profile) -> bool {
    let bearing = |settings: &Settings| (settings.rules(), settings.auto_allow(), settings.ask_bytecode);
    bearing(&profile.draft) != bearing(&profile.published)
}

impl Difference {
    /// Marks every file by the draft settings, without keeping anything.
    async fn foresee(&mut self, view: &mut Connection, profile: &Profile) -> Result<()> {
        let mut after = Sha256::new([0; 32]);
        loop {
            let files = sighting::files_of_profile(view, profile.id, &after, FILES_PER_STEP).await?;
            let Some(last) = files.last() else { return Ok(()) };
            after = *last;
            for (entry, before) in mark::foresee(view, &files, profile.id, &profile.draft).await? {
                self.add(&entry, before.as_ref());
            }
        }
    }

    /// With the same settings, what is drafted already is all there is.
    async fn count_drafts(&mut self, view: &mut Connection, owner: ProfileId) -> Result<()> {
        const COUNT: &str = "SELECT count(*) AS files FROM entry WHERE owner = $1 AND draft <> 0";
        const FIRST: &str = "SELECT sha256 FROM entry WHERE owner = $1 AND draft <> 0 ORDER BY sha256 LIMIT $2";
        let owner = owner.as_bytes().as_slice();
        self.allowed = Columns(&sqlx::query(COUNT).bind(owner).fetch_one(&mut *view).await?).number("files")?;
        let limit = i64::try_from(FILES_NAMED_MAX).expect("a small bound");
        for row in sqlx::query(FIRST).bind(owner).bind(limit).fetch_all(view).await? {
            let sha256 = Columns(&row).sha256("sha256")?;
            self.files.push(FileChange { sha256, allowed_before: false, allowed_after: true });
        }
        Ok(())
    }

    fn add(&mut self, after: &EntryRow, before: Option<&EntryRow>) {
        let in_force = |entry: &EntryRow| entry.rule_allow().is_some_and(|allow| !allow.draft);
        // Once published, a draft is in force.
        let (was, is) = (before.is_some_and(in_force), after.rule_allow().is_some());
        if was == is {
            return;
        }
        if is {
            self.allowed += 1;
        } else {
            self.withdrawn += 1;
        }
        if self.files.len() < FILES_NAMED_MAX {
            self.files.push(FileChange { sha256: after.file, allowed_before: was, allowed_after: is });
        }
    }
}

/// List entries that wait to be published.
pub(super) async fn source_drafts(view: &mut Connection, owner: ProfileId) -> Result<Vec<SourceChange>> {
    const SELECT: &str = "SELECT s.*, e.decision, e.draft_decision FROM source_entry e JOIN source s ON s.key = e.key \
         WHERE e.owner = $1 AND e.draft_decision IS NOT NULL ORDER BY s.kind, s.name";
    let rows = sqlx::query(SELECT).bind(owner.as_bytes().as_slice()).fetch_all(view).await?;
    let change = |row| {
        let row = Columns(row);
        Ok(SourceChange { source: named(&row)?, before: row.word("decision")?, after: row.word("draft_decision")? })
    };
    rows.iter().map(change).collect()
}
