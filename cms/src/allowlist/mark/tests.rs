use doorward_policy::{
    Class, Fit, Level, NoAnswer, PackageEvidence, PackageManager, Reputation, StatusReason, reputation::TRUST_FACTOR_MAX,
};
use proptest::prelude::*;

use super::*;

fn package(fit: Fit) -> Evidence {
    let package = PackageEvidence {
        manager: PackageManager::Dpkg,
        name: "nmap".into(),
        version: "1".into(),
        origin: String::new(),
        level: Level::Database,
        fit,
    };
    Evidence { package: Some(package), publisher: None }
}

fn evidence() -> impl Strategy<Value = Evidence> {
    prop_oneof![Just(Evidence::default()), prop_oneof![Just(Fit::Match), Just(Fit::Modified), Just(Fit::NoDigest)].prop_map(package)]
}

fn listing() -> impl Strategy<Value = Listing> {
    prop_oneof![Just(Listing::Unlisted), Just(Listing::Allowed), Just(Listing::Denied)]
}

prop_compose! {
    fn sighting()(evidence in evidence(), package in listing(), bits in 0..8_u8, user_writable: bool) -> Sighting {
        Sighting { evidence, package, publisher: Listing::Unlisted, sources: Sources::from_bits(bits), user_writable }
    }
}

fn answer() -> impl Strategy<Value = Answer> {
    let class = prop_oneof![Just(Class::Unknown), Just(Class::Known), Just(Class::Suspicious), Just(Class::Malicious)];
    let reputation =
        (class, proptest::option::of(0..=5_u8), proptest::option::of(0..=5_u8)).prop_map(|(class, trust_factor, threat_level)| {
            Answer::Reputation(Reputation { class, trust_factor, threat_level, threat_name: None })
        });
    let none = prop_oneof![
        Just(NoAnswer::NotAsked),
        Just(NoAnswer::Pending),
        Just(NoAnswer::NotConfigured),
        Just(NoAnswer::ProviderError),
        Just(NoAnswer::OverBudget)
    ];
    prop_oneof![3 => reputation, 1 => none.prop_map(Answer::None)]
}

fn people() -> impl Strategy<Value = People> {
    let scope = || proptest::option::weighted(0.2, prop_oneof![Just(Scope::Profile), Just(Scope::Global)]);
    (scope(), scope()).prop_map(|(denied, allowed)| People { denied, allowed })
}

fn settings() -> impl Strategy<Value = AutoAllowSettings> {
    let unknown = prop_oneof![Just(AllowUnknown::Never), Just(AllowUnknown::ReferenceScan), Just(AllowUnknown::ReferenceScanAndExec)];
    (proptest::option::of(0..=TRUST_FACTOR_MAX), unknown)
        .prop_map(|(allow_safe, allow_unknown)| AutoAllowSettings { allow_safe, allow_unknown })
}

fn rule() -> impl Strategy<Value = Option<RuleAllow>> {
    let kind = prop_oneof![Just(AutoAllow::Safe), Just(AutoAllow::UnknownInReferenceScan)];
    proptest::option::of((kind, any::<bool>()).prop_map(|(rule, draft)| RuleAllow { rule, draft }))
}

#[derive(Debug, Clone)]
struct Story {
    settings: AutoAllowSettings,
    answer: Answer,
    people: People,
    sightings: Vec<Sighting>,
    rule: Option<RuleAllow>,
}

prop_compose! {
    fn story()(
        settings in settings(),
        answer in answer(),
        people in people(),
        sightings in proptest::collection::vec(sighting(), 0..4),
        rule in rule(),
    ) -> Story {
        Story { settings, answer, people, sightings, rule }
    }
}

impl Story {
    fn mark(&self) -> Mark {
        mark(&FileInProfile {
            rules: &TrustRules::default(),
            auto_allow: &self.settings,
            answer: &self.answer,
            people: self.people,
            sightings: &self.sightings,
            rule: self.rule,
        })
    }

    fn decided(&self) -> bool {
        self.people.denied.is_some() || self.people.allowed.is_some()
    }
}

proptest! {
    #[test]
    fn what_people_or_ti_call_a_threat_has_no_automatic_allow_of_any_kind(story in story()) {
        let mark = story.mark();
        if story.answer.is_threat() || story.people.denied.is_some() {
            prop_assert_eq!(mark.standing.status, Status::Threat);
            prop_assert_eq!(mark.rule, None);
            prop_assert_eq!(mark.host_allows, HostAllows::Withdraw);
        }
    }

    #[test]
    fn a_sighting_that_a_list_makes_a_threat_fires_no_rule(story in story()) {
        let denied = |sighting: &Sighting| Sighting { package: Listing::Denied, evidence: package(Fit::Match), ..sighting.clone() };
        let sightings = story.sightings.iter().map(denied).collect();
        let story = Story { sightings, rule: None, ..story };
        if !story.sightings.is_empty() {
            prop_assert_eq!(story.mark().standing.status, Status::Threat);
            prop_assert_eq!(story.mark().rule, None);
            prop_assert_ne!(story.mark().host_allows, HostAllows::Grant);
        }
    }

    #[test]
    fn what_one_host_proves_takes_nothing_from_the_others(story in story(), bits in 0..8_u8, user_writable: bool) {
        let denied = Sighting {
            evidence: package(Fit::NoDigest),
            package: Listing::Denied,
            sources: Sources::from_bits(bits),
            user_writable,
            ..Sighting::unseen()
        };
        let before = story.mark();
        let mut with = story;
        with.sightings.push(denied);
        let after = with.mark();
        prop_assert_eq!(after.standing.status, Status::Threat, "people see it");
        prop_assert_eq!((after.rule, after.host_allows), (before.rule, before.host_allows));
        let others = if with.sightings.len() == 1 { Vec::new() } else { before.standings };
        prop_assert_eq!(&after.standings[..others.len()], &others[..]);
    }

    #[test]
    fn a_draft_is_there_only_while_a_setting_asks_for_it(story in story()) {
        let draft = story.rule.map(|rule| RuleAllow { draft: true, ..rule });
        let without = Story { rule: None, ..story.clone() };
        prop_assert_eq!(Story { rule: draft, ..story }.mark().rule, without.mark().rule);
    }

    #[test]
    fn a_rule_never_stands_beside_a_person(story in story()) {
        if story.decided() {
            prop_assert_eq!(story.mark().rule, None);
            prop_assert_eq!(story.mark().host_allows, HostAllows::Withdraw);
        }
    }

    #[test]
    fn without_an_answer_nothing_new_is_allowed(story in story()) {
        let story = Story { rule: None, ..story };
        if story.answer.reputation().is_none() {
            prop_assert_eq!(story.mark().rule, None);
            prop_assert_ne!(story.mark().host_allows, HostAllows::Grant);
        }
    }

    #[test]
    fn what_only_the_reference_scan_found_comes_into_force_by_publishing_alone(story in story()) {
        let only_reference = story.sightings.iter().all(|sighting| sighting.sources == Sources::REFERENCE_SCAN);
        let was_in_force = story.rule.is_some_and(|rule| !rule.draft);
        if only_reference && !was_in_force {
            prop_assert!(story.mark().rule.is_none_or(|rule| rule.draft));
        }
    }

    #[test]
    fn the_rule_for_unknown_files_stays_within_the_reference_scan_and_outside_user_folders(story in story()) {
        let story = Story { rule: None, ..story };
        let found = story.sightings.iter().any(|sighting| sighting.sources.has(Sources::REFERENCE_SCAN) && !sighting.user_writable);
        if story.mark().rule.is_some_and(|rule| rule.rule == AutoAllow::UnknownInReferenceScan) {
            prop_assert!(found);
            prop_assert_ne!(story.settings.allow_unknown, AllowUnknown::Never);
        }
    }

    #[test]
    fn marking_again_changes_nothing(story in story()) {
        let once = story.mark();
        let again = Story { rule: once.rule, ..story }.mark();
        prop_assert_eq!(again, once);
    }

    #[test]
    fn status_does_not_depend_on_settings_allows_or_the_rule_in_force(story in story(), other in story()) {
        let people = People { allowed: other.people.allowed, ..story.people };
        let else_alike = Story { settings: other.settings, rule: other.rule, people, ..story.clone() };
        prop_assert_eq!(else_alike.mark().standings, story.mark().standings);
    }
}

#[test]
fn the_worst_proof_is_what_people_see() {
    let good = Sighting { evidence: package(Fit::Match), sources: Sources::SCAN, ..Sighting::unseen() };
    let none = Sighting { sources: Sources::SCAN, ..Sighting::unseen() };
    let denied = Sighting { package: Listing::Denied, ..good.clone() };
    let story = |sightings: Vec<Sighting>| Story {
        settings: AutoAllowSettings::default(),
        answer: Answer::None(NoAnswer::Pending),
        people: People::default(),
        sightings,
        rule: None,
    };
    assert_eq!(story(vec![good.clone()]).mark().standing.reason, StatusReason::Package);
    assert_eq!(story(vec![good.clone(), none.clone()]).mark().standing.reason, StatusReason::Pending);
    assert_eq!(story(vec![good, none, denied]).mark().standing.reason, StatusReason::PackageNotAllowed);
}

#[test]
fn a_file_of_a_denied_source_is_asked_about_only_where_it_was_met_without_it() {
    let denied = Sighting { evidence: package(Fit::Modified), package: Listing::Denied, ..Sighting::unseen() };
    assert!(!asks(&denied));
    assert!(asks(&Sighting { package: Listing::Allowed, ..denied }));
    assert!(asks(&Sighting::unseen()));
}
