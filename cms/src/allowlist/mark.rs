//! Marking: what follows for one file in one profile from everything known of it. Pure: facts in, status and automatic allow out; the
//! words and rules are `policy`'s. The store calls it inside the transaction that changed a fact, so no fact stays unmarked.

use doorward_policy::{
    AllowUnknown, Answer, AutoAllow, AutoAllowSettings, Candidate, Closure, Evidence, Facts, Listed, Listing, Met, PublisherEvidence,
    Scope, Standing, Status, TrustRules, auto_allow, status, threat_score,
};
use serde::{Serialize, Serializer};

/// The ways a file was met, summed up; bits as they stand in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sources(u8);

impl Sources {
    /// A scan that is nobody's reference scan.
    pub const SCAN: Self = Self(1);
    /// A scan the CMS asked for by id, on the profile's reference host.
    pub const REFERENCE_SCAN: Self = Self(2);
    /// An execution or a load.
    pub const EXEC: Self = Self(4);

    /// Takes the bits from a row; unknown ones are dropped.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 7)
    }

    /// The bits for a row.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both sets of ways.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn met(self) -> impl Iterator<Item = Met> {
        // Best first: what the reference scan found reaches further than what an execution brought in.
        [(Self::REFERENCE_SCAN, Met::ReferenceScan), (Self::EXEC, Met::Exec), (Self::SCAN, Met::Scan)]
            .into_iter()
            .filter(move |(way, _)| self.has(*way))
            .map(|(_, met)| met)
    }

    /// The words of the ways, for people.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        [(Self::REFERENCE_SCAN, "reference_scan"), (Self::SCAN, "scan"), (Self::EXEC, "exec")]
            .into_iter()
            .filter(move |(way, _)| self.has(*way))
            .map(|(_, word)| word)
    }
}

impl Serialize for Sources {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.words())
    }
}

/// How the profile's hosts met the file with one and the same proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The proof.
    pub evidence: Evidence,
    /// What the published lists say of its package.
    pub package: Listing,
    /// What the published lists say of its publisher.
    pub publisher: Listing,
    /// The ways it was met.
    pub sources: Sources,
    /// Where it was met, somebody other than root can write.
    pub user_writable: bool,
}

/// What people decided on the file, in the widest scope that applies to the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct People {
    /// Denied.
    pub denied: Option<Scope>,
    /// Allowed.
    pub allowed: Option<Scope>,
}

/// An automatic allow for all hosts of the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleAllow {
    /// The setting that allowed it.
    pub rule: AutoAllow,
    /// Not in force until somebody publishes the profile.
    pub draft: bool,
}

/// Everything known of one file in one profile.
#[derive(Debug, Clone, Copy)]
pub struct FileInProfile<'a> {
    /// Which evidence counts.
    pub rules: &'a TrustRules,
    /// What is allowed without a person.
    pub auto_allow: &'a AutoAllowSettings,
    /// What TI says.
    pub answer: &'a Answer,
    /// What people say.
    pub people: People,
    /// How it was met; empty when it never was.
    pub sightings: &'a [Sighting],
    /// The automatic allow it has now.
    pub rule: Option<RuleAllow>,
}

/// What becomes of the allows of single hosts that executions brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAllows {
    /// Every host that executed it outside user-writable folders gets one.
    Grant,
    /// Those that are there stay.
    Keep,
    /// All of them go.
    Withdraw,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The worst of what the sightings give, for people to see. What one host proved may make it worse, and holds on that host alone.
    pub standing: Standing,
    /// What each sighting gives, in the order of [`FileInProfile::sightings`]; one standing for a file nobody met.
    pub standings: Vec<Standing>,
    /// For threats TI scores.
    pub threat_score: Option<u8>,
    /// The automatic allow it has from now on.
    pub rule: Option<RuleAllow>,
    /// What becomes of single hosts' allows.
    pub host_allows: HostAllows,
}

/// Marks a file.
///
/// Evidence belongs to the host that brought it, and so does what a list makes of it: a denied package makes the file a threat where it
/// was met with that package, by the host's own row 4. What holds for the profile's other hosts follows from people and TI alone, and
/// from sightings without such evidence; else one host's word could take from all others what they run by. See decision 0006.
#[must_use]
pub fn mark(file: &FileInProfile<'_>) -> Mark {
    let unseen = [Sighting::unseen()];
    let sightings = if file.sightings.is_empty() { unseen.as_slice() } else { file.sightings };
    let standings: Vec<Standing> = sightings.iter().map(|sighting| status(file.rules, &facts(file, sighting))).collect();
    let standing = *standings.iter().min_by_key(|standing| rank(standing.status)).expect("there is at least one sighting");
    let score = (standing.status == Status::Threat).then(|| threat_score(file.answer)).flatten();
    let everywhere = status(file.rules, &facts(file, &unseen[0])).status;
    let fired: Vec<AutoAllow> =
        sightings.iter().zip(&standings).flat_map(|(sighting, standing)| fired(file, sighting, standing.status)).collect();
    Mark {
        standing,
        standings,
        threat_score: score,
        rule: rule(file, everywhere, &fired),
        host_allows: host_allows(file, everywhere, &fired),
    }
}

/// Whether TI may be asked about a file met like this: files of a denied source are settled without it.
#[must_use]
pub fn asks(sighting: &Sighting) -> bool {
    let publisher_denied = |publisher: &PublisherEvidence| publisher.valid && sighting.publisher == Listing::Denied;
    let package_denied = sighting.evidence.package.is_some() && sighting.package == Listing::Denied;
    !package_denied && !sighting.evidence.publisher.as_ref().is_some_and(publisher_denied)
}

impl Sighting {
    /// A file nobody met: no proof at all.
    #[must_use]
    pub const fn unseen() -> Self {
        Self {
            evidence: Evidence { package: None, publisher: None },
            package: Listing::Unlisted,
            publisher: Listing::Unlisted,
            sources: Sources(0),
            user_writable: false,
        }
    }
}

/// Listing order: threats first, then what needs a decision.
#[must_use]
pub const fn rank(status: Status) -> u8 {
    match status {
        Status::Threat => 0,
        Status::Unverified => 1,
        Status::Safe => 2,
    }
}

/// What `policy` judges by, for this file met with this proof.
#[must_use]
pub fn facts(file: &FileInProfile<'_>, sighting: &Sighting) -> Facts {
    Facts {
        // Hosts prove membership of the closure to themselves; the CMS never assumes it.
        closure: Closure::Outside,
        denied_by_person: file.people.denied,
        package: sighting.evidence.package.clone().map(|evidence| Listed { evidence, listing: sighting.package }),
        publisher: sighting.evidence.publisher.clone().map(|evidence| Listed { evidence, listing: sighting.publisher }),
        answer: file.answer.clone(),
    }
}

fn fired(file: &FileInProfile<'_>, sighting: &Sighting, status: Status) -> Vec<AutoAllow> {
    let decided_by_person = file.people.denied.is_some() || file.people.allowed.is_some();
    let candidate = |met| Candidate { status, answer: file.answer, met, user_writable_folder: sighting.user_writable, decided_by_person };
    sighting.sources.met().filter_map(|met| auto_allow(file.auto_allow, &candidate(met))).collect()
}

/// `status` is what the file is wherever it is met.
fn rule(file: &FileInProfile<'_>, status: Status, fired: &[AutoAllow]) -> Option<RuleAllow> {
    let in_force = file.rule.is_some_and(|rule| !rule.draft);
    let met_otherwise =
        |sighting: &Sighting| asks(sighting) && (sighting.sources.has(Sources::SCAN) || sighting.sources.has(Sources::EXEC));
    if fired.contains(&AutoAllow::Safe) {
        let draft = !in_force && !file.sightings.iter().any(met_otherwise);
        return Some(RuleAllow { rule: AutoAllow::Safe, draft });
    }
    if fired.contains(&AutoAllow::UnknownInReferenceScan) {
        return Some(RuleAllow { rule: AutoAllow::UnknownInReferenceScan, draft: !in_force });
    }
    // A file that TI did not know and now knows from a doubtful source did not turn for the worse: what was allowed stays allowed. A
    // draft allowed nothing yet, and publishing it would allow what no setting allows.
    let stays = in_force && status != Status::Threat && file.auto_allow.allow_unknown != AllowUnknown::Never && !decided(file);
    file.rule.filter(|rule| stays && rule.rule == AutoAllow::UnknownInReferenceScan)
}

fn host_allows(file: &FileInProfile<'_>, status: Status, fired: &[AutoAllow]) -> HostAllows {
    if status == Status::Threat || file.auto_allow.allow_unknown != AllowUnknown::ReferenceScanAndExec || decided(file) {
        HostAllows::Withdraw
    } else if fired.contains(&AutoAllow::UnknownInExec) {
        HostAllows::Grant
    } else {
        HostAllows::Keep
    }
}

const fn decided(file: &FileInProfile<'_>) -> bool {
    file.people.denied.is_some() || file.people.allowed.is_some()
}

#[cfg(test)]
mod tests;
