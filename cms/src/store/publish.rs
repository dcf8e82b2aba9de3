//! Drafts: settings, lists and what the reference scan would allow wait until a person publishes them. What that would change is worked
//! out here, without keeping anything; publishing itself is [`super::publication`]'s.

use doorward_policy::{ProfileId, Sha256};
use serde::Serialize;

use super::column::Columns;
use super::entry::EntryRow;
use super::source::SourceKind;
use super::source_detail::{self, Extent, SourcePreview};
use super::{Connection, Profile, Result, Store, mark, profile, sighting, source_entry};
use crate::profile::{SettingChange, Settings};

/// Files read at a time while a whole profile is gone through.
const FILES_PER_STEP: u32 = 512;

/// Files a difference names; the rest are counted.
pub const FILES_NAMED_MAX: usize = 200;

/// List entries of which a difference tells what they bear on; the rest are named only.
pub const SOURCES_FORESEEN_MAX: usize = 200;

/// What publishing would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The profile's name.
    pub profile: String,
    /// The revision in force now.
    pub revision: u64,
    /// Settings.
    pub settings: Vec<SettingChange>,
    /// List entries, with what they bear on.
    pub sources: Vec<SourcePreview>,
    /// What `allow_new_packages` and `allow_new_publishers` decide on, where one of them would change: sources no entry names.
    pub new_sources: Option<NewSources>,
    /// Automatic allows that would come into force.
    pub allowed: u64,
    /// Automatic allows that would go.
    pub withdrawn: u64,
    /// The first of both, at most [`FILES_NAMED_MAX`].
    pub files: Vec<FileChange>,
}

/// Sources that are new to a profile, and what they are behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NewSources {
    /// Packages.
    pub packages: Extent,
    /// Publishers.
    pub publishers: Extent,
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
    /// The list entries that publishing a profile or the global scope would bring into force; none when there is none of that name.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn drafted_sources(&self, name: &str) -> Result<Vec<source_entry::SourceChange>> {
        let mut view = self.reader.begin().await?;
        match profile::find(&mut view, name).await? {
            Some(profile) => source_entry::drafts(&mut view, profile.id).await,
            None => Ok(Vec::new()),
        }
    }

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
            sources: previews(&mut view, profile.id).await?,
            new_sources: new_sources(&mut view, &profile).await?,
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

async fn previews(view: &mut Connection, owner: ProfileId) -> Result<Vec<SourcePreview>> {
    let mut previews = Vec::new();
    for change in source_entry::drafts(view, owner).await? {
        // What is adopted by the thousand is not looked at one by one.
        let extent = match previews.len() < SOURCES_FORESEEN_MAX {
            true => Some(source_detail::extent(view, owner, &change.source.key(), change.versions.as_ref()).await?),
            false => None,
        };
        previews.push(SourcePreview { change, extent });
    }
    Ok(previews)
}

async fn new_sources(view: &mut Connection, profile: &Profile) -> Result<Option<NewSources>> {
    let (draft, published) = (profile.draft.rules(), profile.published.rules());
    if (draft.allow_new_packages, draft.allow_new_publishers) == (published.allow_new_packages, published.allow_new_publishers) {
        return Ok(None);
    }
    let packages = source_detail::extent_of_new(view, profile.id, SourceKind::Package).await?;
    let publishers = source_detail::extent_of_new(view, profile.id, SourceKind::Publisher).await?;
    Ok(Some(NewSources { packages, publishers }))
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
