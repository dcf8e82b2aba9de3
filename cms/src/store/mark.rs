//! Marking inside a transaction: reads everything known of some files, has [`crate::allowlist::mark`] say what follows, and writes
//! entries, host allows, policy records and questions accordingly. Whoever changes a fact calls this before committing.

use std::collections::{BTreeMap, BTreeSet};

use doorward_policy::{
    Answer, Author, AutoAllowSettings, Class, Decision, Explanation, HostId, NoAnswer, ProfileId, Scope, Sha256, StatusReason, Subject,
    explain, status, threat_score,
};
use doorward_proto::snapshot::{Record, RecordKind, RecordScope};

use super::batch::ROWS_MAX;
use super::column::{Columns, json};
use super::entry::{self, EntryRow};
use super::evidence::EvidenceKey;
use super::file::{self, KnownFile};
use super::record::RecordChanges;
use super::sighting::{self, SightingRow};
use super::source::Listings;
use super::{Connection, Result, incident, lookup, observation, profile};
use crate::allowlist::{FileInProfile, HostAllows, Mark, People, Sighting, Sources, asks, facts, mark as judge_file, rank};
use crate::profile::{GLOBAL, Settings};
use crate::signals::Effect;

/// What marking did.
#[derive(Debug, Default)]
pub(super) struct Marked {
    /// Policy records to be put in force with [`super::record::apply`], once the caller has added its own.
    pub(super) records: RecordChanges,
    /// One for each profile that met or decided on a file.
    pub(super) files: Vec<MarkedFile>,
    /// Automatic allows that were in force and went, hosts' own included.
    pub(super) allows_removed: BTreeMap<Sha256, u64>,
}

/// One file in one profile, with what was known of it.
#[derive(Debug)]
pub(super) struct MarkedFile {
    pub(super) file: Sha256,
    pub(super) profile: ProfileId,
    pub(super) answer: Answer,
    pub(super) people: People,
    pub(super) mark: Mark,
}

/// Whether TI is asked about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Ask,
    /// Not about its kind, though nothing else would stand in the way.
    Kind,
    No,
}

/// Everything read for one chunk of files.
struct Chunk {
    known: BTreeMap<Sha256, KnownFile>,
    sightings: BTreeMap<Sha256, Vec<SightingRow>>,
    entries: BTreeMap<Sha256, Vec<EntryRow>>,
    listings: Listings,
    settings: BTreeMap<ProfileId, Settings>,
}

/// Marks files by the published settings and lists.
pub(super) async fn mark(work: &mut Connection, files: &[Sha256], now: i64, effect: &mut Effect) -> Result<Marked> {
    mark_from(work, files, None, now, effect).await
}

/// As [`mark`], for files this host brought. What its own proofs change concerns it alone and goes to it at once, as the answer to its
/// report: the other hosts that hold the files are not woken for it.
pub(super) async fn mark_from(
    work: &mut Connection,
    files: &[Sha256],
    host: Option<HostId>,
    now: i64,
    effect: &mut Effect,
) -> Result<Marked> {
    let mut marked = Marked::default();
    for files in files.chunks(ROWS_MAX) {
        let mut chunk = Chunk::load(work, files, None).await?;
        effect.lookups |= chunk.ask(work, files, host, now).await?;
        chunk.mark(work, files, host.is_none(), now, &mut marked, effect).await?;
    }
    Ok(marked)
}

/// What marking would make of files by other settings of one profile, without writing anything.
pub(super) async fn foresee(
    view: &mut Connection,
    files: &[Sha256],
    profile: ProfileId,
    settings: &Settings,
) -> Result<Vec<(EntryRow, Option<EntryRow>)>> {
    let mut foreseen = Vec::new();
    for files in files.chunks(ROWS_MAX) {
        let chunk = Chunk::load(view, files, Some((profile, settings))).await?;
        for file in files {
            let before = chunk.entry(file, profile);
            if let Some((mark, _)) = chunk.judge(file, profile) {
                foreseen.push((chunk.entry_after(file, profile, &mark, 0), before.cloned()));
            }
        }
    }
    Ok(foreseen)
}

/// Why a file may run in a profile, or not, by the worst of the proofs its hosts brought.
pub(super) async fn explain_worst(view: &mut Connection, file: &Sha256, profile: ProfileId) -> Result<Option<Explanation>> {
    let chunk = Chunk::load(view, &[*file], None).await?;
    Ok(chunk.explain(file, profile))
}

impl Chunk {
    /// `other` replaces the published settings of one profile.
    async fn load(work: &mut Connection, files: &[Sha256], other: Option<(ProfileId, &Settings)>) -> Result<Self> {
        let known = file::known(work, files).await?;
        let mut sightings: BTreeMap<Sha256, Vec<SightingRow>> = BTreeMap::new();
        for sighting in sighting::of(work, files).await? {
            sightings.entry(sighting.file).or_default().push(sighting);
        }
        let mut entries: BTreeMap<Sha256, Vec<EntryRow>> = BTreeMap::new();
        for entry in entry::of(work, files).await? {
            entries.entry(entry.file).or_default().push(entry);
        }
        let rows = || sightings.values().flatten();
        let keys = rows().flat_map(|sighting| [sighting.package, sighting.publisher]).flatten().collect();
        let listings = Listings::load(work, &keys).await?;
        let met = rows().map(|sighting| sighting.profile);
        let decided = entries.values().flatten().filter(|entry| entry.scope == Scope::Profile).map(|entry| entry.owner);
        let profiles: BTreeSet<_> = met.chain(decided).collect();
        let mut settings = BTreeMap::new();
        for id in profiles {
            let chosen = match other {
                Some((profile, settings)) if profile == id => settings.clone(),
                _ => profile::marked_by(work, id).await?,
            };
            settings.insert(id, chosen);
        }
        Ok(Self { known, sightings, entries, listings, settings })
    }

    /// Queues questions that are wanted and withdraws those that no longer are. Says whether any was queued.
    async fn ask(&mut self, work: &mut Connection, files: &[Sha256], host: Option<HostId>, now: i64) -> Result<bool> {
        let queued = lookup::queued(work, files).await?;
        let (mut ask, mut withdraw, mut unknowable, mut unasked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for file in files {
            let Some(known) = self.known.get(file) else { continue };
            let wish = self.wish(file, known);
            match (wish, queued.contains(file)) {
                (Wish::Ask, false) => ask.push(*file),
                (Wish::Ask, true) => {}
                (_, true) => withdraw.push(*file),
                (_, false) => {}
            }
            match wish {
                Wish::Ask => {}
                Wish::Kind if known.answer != Answer::None(NoAnswer::NotAskedKind) => unknowable.push(*file),
                Wish::No if known.answer == Answer::None(NoAnswer::NotAskedKind) => unasked.push(*file),
                Wish::Kind | Wish::No => {}
            }
        }
        lookup::queue(work, &ask, host, now).await?;
        lookup::withdraw(work, &withdraw).await?;
        file::set_no_answer(work, &unknowable, NoAnswer::NotAskedKind).await?;
        file::set_no_answer(work, &unasked, NoAnswer::NotAsked).await?;
        let reasons = [
            (&ask, NoAnswer::Pending),
            (&withdraw, NoAnswer::NotAsked),
            (&unknowable, NoAnswer::NotAskedKind),
            (&unasked, NoAnswer::NotAsked),
        ];
        for (files, why) in reasons {
            for file in files {
                if let Some(KnownFile { answer: answer @ Answer::None(_), .. }) = self.known.get_mut(file) {
                    *answer = Answer::None(why);
                }
            }
        }
        Ok(!ask.is_empty())
    }

    /// Whether TI is to be asked, by the profiles that met the file. What nobody met and a person merely decided on beforehand is not.
    fn wish(&self, file: &Sha256, known: &KnownFile) -> Wish {
        let mut wish = Wish::No;
        for (profile, _) in self.sightings_of(file).filter(|(_, sighting)| *file != Sha256::EMPTY && asks(sighting)) {
            if !known.is_of_unknowable_kind() || self.settings.get(&profile).is_some_and(|settings| settings.ask_bytecode) {
                return Wish::Ask;
            }
            wish = Wish::Kind;
        }
        wish
    }

    /// `tells` says whether hosts are to hear of what changed for them.
    async fn mark(
        &self,
        work: &mut Connection,
        files: &[Sha256],
        tells: bool,
        now: i64,
        marked: &mut Marked,
        effect: &mut Effect,
    ) -> Result<()> {
        let (mut entries, mut changed, mut allowed) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        for file in files {
            self.threat_records(file, &mut marked.records);
            for profile in self.profiles_of(file) {
                let Some((mark, people)) = self.judge(file, profile) else { continue };
                let (before, after) = (self.entry(file, profile), self.entry_after(file, profile, &mark, now));
                if tells && before.is_some_and(|before| before.told != after.told) {
                    changed.insert(*file);
                }
                if self.host_allows(work, file, profile, mark.host_allows, now, marked).await? {
                    changed.insert(*file);
                }
                note_rule(&after, before, marked, &mut allowed);
                marked.files.push(MarkedFile { file: *file, profile, answer: self.answer(file), people, mark });
                if before != Some(&after) {
                    entries.push(after);
                }
            }
        }
        entry::write(work, &entries).await?;
        let changed: Vec<_> = changed.into_iter().collect();
        file::touch(work, &changed).await?;
        effect.verdicts.append(&mut observation::hosts_of(work, &changed).await?);
        for (profile, files) in allowed {
            incident::settle(work, profile, &files, "rule", now).await?;
        }
        Ok(())
    }

    fn profiles_of(&self, file: &Sha256) -> BTreeSet<ProfileId> {
        let met = self.sighting_rows(file).map(|sighting| sighting.profile);
        let entries = self.entries.get(file).into_iter().flatten();
        met.chain(entries.filter(|entry| entry.scope == Scope::Profile).map(|entry| entry.owner)).collect()
    }

    fn sighting_rows(&self, file: &Sha256) -> impl Iterator<Item = &SightingRow> {
        self.sightings.get(file).into_iter().flatten()
    }

    fn sightings_of(&self, file: &Sha256) -> impl Iterator<Item = (ProfileId, Sighting)> {
        self.sighting_rows(file).map(|sighting| {
            let listed = Sighting {
                evidence: sighting.evidence.clone(),
                package: self.listings.package(sighting.profile, sighting.package, &sighting.evidence),
                publisher: self.listings.publisher(sighting.profile, sighting.publisher),
                sources: sighting.sources,
                user_writable: sighting.user_writable,
            };
            (sighting.profile, listed)
        })
    }

    /// Proofs that name a source the profile does not allow.
    fn denied_proofs(&self, file: &Sha256, profile: ProfileId) -> BTreeSet<EvidenceKey> {
        let rows = self.sighting_rows(file).zip(self.sightings_of(file));
        rows.filter(|(row, (_, sighting))| row.profile == profile && !asks(sighting)).map(|(row, _)| row.key).collect()
    }

    fn entry(&self, file: &Sha256, profile: ProfileId) -> Option<&EntryRow> {
        self.entries.get(file).into_iter().flatten().find(|entry| entry.owner == profile)
    }

    fn answer(&self, file: &Sha256) -> Answer {
        self.known.get(file).map_or(Answer::None(NoAnswer::NotAsked), |known| known.answer.clone())
    }

    fn explain(&self, file: &Sha256, profile: ProfileId) -> Option<Explanation> {
        let rules = self.settings.get(&profile)?.rules();
        let (mark, people) = self.judge(file, profile)?;
        let in_profile = FileInProfile {
            rules: &rules,
            auto_allow: &AutoAllowSettings::default(),
            answer: &self.answer(file),
            people,
            sightings: &[],
            rule: None,
        };
        let in_force = mark.rule.filter(|allow| !allow.draft).map(|_| Scope::Profile);
        let met = self.sightings_of(file).filter(|(met_in, _)| *met_in == profile).map(|(_, sighting)| sighting);
        let subject = |sighting: &Sighting| Subject {
            facts: facts(&in_profile, sighting),
            allowed_by_person: people.allowed,
            allowed_by_rule: in_force,
        };
        let worst = met.map(|sighting| subject(&sighting)).min_by_key(|subject| rank(status(&rules, &subject.facts).status));
        Some(explain(&rules, &worst.unwrap_or_else(|| subject(&Sighting::unseen()))))
    }

    fn judge(&self, file: &Sha256, profile: ProfileId) -> Option<(Mark, People)> {
        let settings = self.settings.get(&profile)?;
        let sightings: Vec<_> = self.sightings_of(file).filter(|(met_in, _)| *met_in == profile).map(|(_, sighting)| sighting).collect();
        let entries = self.entries.get(file).map_or([].as_slice(), Vec::as_slice);
        let people = entry::people(entries, profile);
        let in_profile = FileInProfile {
            rules: &settings.rules(),
            auto_allow: &settings.auto_allow(),
            answer: &self.answer(file),
            people,
            sightings: &sightings,
            rule: self.entry(file, profile).and_then(EntryRow::rule_allow),
        };
        Some((judge_file(&in_profile), people))
    }

    /// The profile's row with the mark on it. A person's decision stays as it is.
    fn entry_after(&self, file: &Sha256, profile: ProfileId, mark: &Mark, now: i64) -> EntryRow {
        let before = self.entry(file, profile);
        let mut after = before.cloned().unwrap_or(EntryRow {
            owner: profile,
            file: *file,
            scope: Scope::Profile,
            decision: Decision::Undecided,
            author: None,
            rule: None,
            draft: false,
            actor: None,
            comment: None,
            decided_at: None,
            reason: StatusReason::NotAsked,
            threat_score: None,
            told: String::new(),
            sources: Sources::default(),
            first_at: now,
            last_at: now,
            executed_at: None,
        });
        after.reason = mark.standing.reason;
        after.threat_score = mark.threat_score;
        after.told = told(mark, &self.answer(file));
        for (nth, sighting) in self.sighting_rows(file).filter(|row| row.profile == profile).enumerate() {
            after.sources = after.sources.with(sighting.sources);
            after.first_at = if nth == 0 { sighting.first_at } else { after.first_at.min(sighting.first_at) };
            after.last_at = if nth == 0 { sighting.last_at } else { after.last_at.max(sighting.last_at) };
            after.executed_at = after.executed_at.max(sighting.executed_at);
        }
        if after.author != Some(Author::Person) && after.rule_allow() != mark.rule {
            after.decision = if mark.rule.is_some() { Decision::Allowed } else { Decision::Undecided };
            after.author = mark.rule.map(|_| Author::Rule);
            after.rule = mark.rule.map(|allow| allow.rule);
            after.draft = mark.rule.is_some_and(|allow| allow.draft);
            after.decided_at = mark.rule.map(|_| now);
            (after.actor, after.comment) = (None, None);
        }
        after
    }

    /// What TI says goes to every profile, whether or not the file was met there.
    fn threat_records(&self, file: &Sha256, records: &mut RecordChanges) {
        let Some(reputation) = self.known.get(file).and_then(|known| known.answer.reputation()) else { return };
        for (class, malicious) in [(Class::Malicious, true), (Class::Suspicious, false)] {
            let record = Record::threat(file, malicious, reputation.threat_level, RecordScope::Global);
            records.set(GLOBAL, &record, reputation.class == class);
        }
    }

    /// Gives or takes single hosts' allows; says whether any changed.
    async fn host_allows(
        &self,
        work: &mut Connection,
        file: &Sha256,
        profile: ProfileId,
        allows: HostAllows,
        now: i64,
        marked: &mut Marked,
    ) -> Result<bool> {
        // Owners of host rows are hosts' ids; which profile they are in is for the statements to say.
        let some_host_allowed = self.entries.get(file).into_iter().flatten().any(|entry| entry.scope == Scope::Host);
        match allows {
            HostAllows::Keep => Ok(false),
            HostAllows::Withdraw if !some_host_allowed => Ok(false),
            HostAllows::Withdraw => {
                let removed = entry::withdraw_hosts(work, file, profile).await?;
                *marked.allows_removed.entry(*file).or_default() += removed;
                Ok(removed > 0)
            }
            HostAllows::Grant => {
                let denied = self.denied_proofs(file, profile);
                let hosts = executing_hosts(work, file, profile, &denied).await?;
                let granted = entry::grant_hosts(work, file, &hosts, now).await?;
                incident::settle_on(work, file, &granted, now).await?;
                Ok(!granted.is_empty())
            }
        }
    }
}

/// Puts the profile's automatic allow in force or takes it out, where that changed.
fn note_rule(after: &EntryRow, before: Option<&EntryRow>, marked: &mut Marked, allowed: &mut BTreeMap<ProfileId, Vec<Sha256>>) {
    let in_force = |entry: &EntryRow| entry.rule_allow().is_some_and(|allow| !allow.draft);
    let (was, is) = (before.is_some_and(in_force), in_force(after));
    if was == is {
        return;
    }
    let record = Record::file(&after.file, RecordKind::FileAllowedByRule, RecordScope::Profile);
    marked.records.set(after.owner, &record, is);
    if is {
        allowed.entry(after.owner).or_default().push(after.file);
    } else {
        *marked.allows_removed.entry(after.file).or_default() += 1;
    }
}

/// All that any host of the profile is told about a file. Which reason holds on which host follows from the host's own proofs.
fn told(mark: &Mark, answer: &Answer) -> String {
    let reasons: BTreeSet<StatusReason> = mark.standings.iter().map(|standing| standing.reason).collect();
    let threat = answer.reputation().filter(|reputation| reputation.is_threat());
    json(&(reasons, threat_score(answer), threat.and_then(|reputation| reputation.threat_name.as_deref())))
}

/// Names of hosts, at most `limit`, that met a file with a source the profile does not allow: on them, and on them alone, it is a threat
/// for that.
pub(super) async fn denied_on(view: &mut Connection, file: &Sha256, profile: ProfileId, limit: usize) -> Result<Vec<String>> {
    const SELECT: &str = "SELECT DISTINCT h.name, o.evidence_key FROM observation o JOIN host h ON h.id = o.host_id \
         WHERE o.sha256 = $1 AND h.profile_id = $2 AND h.removed_at IS NULL ORDER BY h.name";
    let denied = Chunk::load(view, &[*file], None).await?.denied_proofs(file, profile);
    if denied.is_empty() {
        return Ok(Vec::new());
    }
    let mut names = BTreeSet::new();
    for row in sqlx::query(SELECT).bind(file.as_bytes().as_slice()).bind(profile.as_bytes().as_slice()).fetch_all(view).await? {
        let row = Columns(&row);
        if denied.contains(&row.array("evidence_key")?) {
            names.insert(row.text("name")?);
        }
    }
    Ok(names.into_iter().take(limit).collect())
}

/// Hosts of a profile that executed a file outside user-writable folders and without one of the `denied` proofs.
async fn executing_hosts(
    work: &mut Connection,
    file: &Sha256,
    profile: ProfileId,
    denied: &BTreeSet<EvidenceKey>,
) -> Result<BTreeSet<HostId>> {
    const SELECT: &str = "SELECT DISTINCT o.host_id, o.evidence_key FROM observation o JOIN host h ON h.id = o.host_id WHERE o.sha256 = $1 \
         AND h.profile_id = $2 AND h.removed_at IS NULL AND o.last_executed_at IS NOT NULL AND o.user_writable = 0";
    let query = sqlx::query(SELECT).bind(file.as_bytes().as_slice()).bind(profile.as_bytes().as_slice());
    let mut hosts = BTreeSet::new();
    for row in query.fetch_all(work).await? {
        if !denied.contains(&Columns(&row).array("evidence_key")?) {
            hosts.insert(Columns(&row).host("host_id")?);
        }
    }
    Ok(hosts)
}
