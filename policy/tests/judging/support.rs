//! Reads the data tables: one case a line, tab-separated columns, facts written as words (`package:match`, `ti:known:2`).

use doorward_policy::{
    Answer, Class, Closure, Facts, Fit, Level, Listed, Listing, NoAnswer, PackageEvidence, PackageManager, PublisherEvidence, Reputation,
    Scope, Sha256, Signing, Subject, TrustRules,
};

/// Lines of a table that are cases, as (line number, columns).
pub(crate) fn cases(table: &'static str) -> Vec<(usize, Vec<&'static str>)> {
    let cases: Vec<_> = table
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#') && !line.is_empty())
        .map(|(index, line)| (index + 1, line.split('\t').collect()))
        .collect();
    assert!(!cases.is_empty(), "an empty table tests nothing");
    cases
}

/// A word as serde knows it.
pub(crate) fn word<T: serde::de::DeserializeOwned>(word: &str) -> T {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).unwrap_or_else(|error| panic!("{word}: {error}"))
}

pub(crate) fn answer(class: &str, detail: &str, threat_level: Option<u8>) -> Answer {
    if class == "none" {
        return Answer::None(word::<NoAnswer>(detail));
    }
    let class = word::<Class>(class);
    Answer::Reputation(Reputation { class, trust_factor: detail.parse().ok(), threat_level, threat_name: None })
}

pub(crate) fn package(fit: Fit, level: Level, listing: Listing) -> Listed<PackageEvidence> {
    let evidence = PackageEvidence {
        manager: PackageManager::Dpkg,
        name: "coreutils".into(),
        version: "9.1-1".into(),
        origin: "Debian".into(),
        level,
        fit,
    };
    Listed { evidence, listing }
}

pub(crate) fn publisher(valid: bool, chain_trusted: bool, public_authority: bool, listing: Listing) -> Listed<PublisherEvidence> {
    let evidence = PublisherEvidence {
        signing: Signing::Jar,
        name: "Example Corp".into(),
        fingerprint: Sha256::new([7; 32]),
        valid,
        chain_trusted,
        public_authority,
        flaw: None,
        signed_at: None,
        validity: None,
        chain: Vec::new(),
    };
    Listed { evidence, listing }
}

/// Builds rules and subject from words; `-` is no word at all.
pub(crate) fn subject(facts: &str) -> (TrustRules, Subject) {
    let mut rules = TrustRules::default();
    let facts_of_nothing = Facts::unknown(Answer::None(NoAnswer::NotAsked));
    let mut subject = Subject { facts: facts_of_nothing, allowed_by_person: None, allowed_by_rule: None };
    for fact in facts.split(' ').filter(|fact| *fact != "-") {
        let mut parts = fact.split(':');
        let (noun, first, second) = (parts.next().unwrap(), parts.next().unwrap_or("-"), parts.next().unwrap_or("-"));
        match noun {
            "closure" => subject.facts.closure = Closure::Proven,
            "boot" => subject.facts.closure = Closure::Boot,
            "denied" => subject.facts.denied_by_person = Some(word::<Scope>(first)),
            "allowed" => subject.allowed_by_person = Some(word::<Scope>(first)),
            "auto" => subject.allowed_by_rule = Some(word::<Scope>(first)),
            "package" => subject.facts.package = Some(package_word(first)),
            "publisher" => subject.facts.publisher = Some(publisher_word(first)),
            "ti" => subject.facts.answer = answer(first, second, None),
            "rules" => rules_word(&mut rules, first),
            other => panic!("no such fact: {other}"),
        }
    }
    (rules, subject)
}

fn package_word(word: &str) -> Listed<PackageEvidence> {
    match word {
        "match" => package(Fit::Match, Level::Database, Listing::Unlisted),
        "allowed" => package(Fit::Match, Level::Database, Listing::Allowed),
        "signed" => package(Fit::Match, Level::Signed, Listing::Unlisted),
        "modified" => package(Fit::Modified, Level::Database, Listing::Allowed),
        "compiled" => package(Fit::Compiled, Level::Database, Listing::Unlisted),
        "compiled_signed" => package(Fit::Compiled, Level::Signed, Listing::Allowed),
        "denied_compiled" => package(Fit::Compiled, Level::Database, Listing::Denied),
        "no_digest" => package(Fit::NoDigest, Level::Database, Listing::Allowed),
        "denied" => package(Fit::Match, Level::Signed, Listing::Denied),
        "denied_modified" => package(Fit::Modified, Level::Database, Listing::Denied),
        other => panic!("no such package: {other}"),
    }
}

fn publisher_word(word: &str) -> Listed<PublisherEvidence> {
    match word {
        "valid" => publisher(true, true, true, Listing::Allowed),
        "unlisted" => publisher(true, true, false, Listing::Unlisted),
        "public" => publisher(true, true, true, Listing::Unlisted),
        "invalid" => publisher(false, true, false, Listing::Allowed),
        "unchained" => publisher(true, false, false, Listing::Allowed),
        "denied" => publisher(true, true, false, Listing::Denied),
        "denied_invalid" => publisher(false, true, false, Listing::Denied),
        other => panic!("no such publisher: {other}"),
    }
}

fn rules_word(rules: &mut TrustRules, word: &str) {
    match word {
        "signed" => rules.package_level = Level::Signed,
        "no_new_packages" => rules.allow_new_packages = false,
        "new_publishers" => rules.allow_new_publishers = true,
        other => panic!("no such rule: {other}"),
    }
}
