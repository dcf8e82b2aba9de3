//! What must hold for every subject there can be, not only for those somebody thought of.

use doorward_policy::{
    AllowUnknown, Answer, AutoAllowSettings, Candidate, Class, Closure, Facts, Fit, Level, Listing, Met, Mode, NoAnswer, PathBytes,
    Reputation, Response, Row, Scope, Sha256, Status, Subject, TrustRules, UnverifiedAction, Verdict, auto_allow, explain, judge, respond,
    status,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn scopes() -> impl Strategy<Value = Scope> {
    select(vec![Scope::Host, Scope::Profile, Scope::Global])
}

fn listings() -> impl Strategy<Value = Listing> {
    select(vec![Listing::Unlisted, Listing::Allowed, Listing::Denied])
}

fn levels() -> impl Strategy<Value = Level> {
    select(vec![Level::Database, Level::Signed])
}

fn answers() -> impl Strategy<Value = Answer> {
    let classes = select(vec![Class::Unknown, Class::Known, Class::Suspicious, Class::Malicious]);
    let reputation = (classes, option::of(any::<u8>()), option::of(any::<u8>()), option::of(any::<String>()));
    let states = vec![
        NoAnswer::NotAsked,
        NoAnswer::NotAskedKind,
        NoAnswer::Pending,
        NoAnswer::NotConfigured,
        NoAnswer::ProviderError,
        NoAnswer::OverBudget,
    ];
    prop_oneof![
        reputation.prop_map(|(class, trust_factor, threat_level, threat_name)| Answer::Reputation(Reputation {
            class,
            trust_factor,
            threat_level,
            threat_name
        })),
        select(states).prop_map(Answer::None),
    ]
}

fn rules() -> impl Strategy<Value = TrustRules> {
    (levels(), any::<bool>(), any::<bool>()).prop_map(|(package_level, allow_new_packages, allow_new_publishers)| TrustRules {
        package_level,
        allow_new_packages,
        allow_new_publishers,
    })
}

fn subjects() -> impl Strategy<Value = Subject> {
    let fits = select(vec![Fit::Match, Fit::Modified, Fit::NoDigest]);
    let packages = (fits, levels(), listings()).prop_map(|(fit, level, listing)| crate::support::package(fit, level, listing));
    let publishers = (any::<bool>(), any::<bool>(), any::<bool>(), listings())
        .prop_map(|(valid, chain, public, listing)| crate::support::publisher(valid, chain, public, listing));
    let closures = select(vec![Closure::Outside, Closure::Boot, Closure::Proven]);
    let facts = (closures, option::of(scopes()), option::of(packages), option::of(publishers), answers()).prop_map(
        |(closure, denied_by_person, package, publisher, answer)| Facts { closure, denied_by_person, package, publisher, answer },
    );
    (facts, option::of(scopes()), option::of(scopes())).prop_map(|(facts, allowed_by_person, allowed_by_rule)| Subject {
        facts,
        allowed_by_person,
        allowed_by_rule,
    })
}

proptest! {
    #[test]
    fn judge_is_total_and_agrees_with_its_chain(rules in rules(), subject in subjects()) {
        let judgement = judge(&rules, &subject);
        prop_assert_eq!(judgement.verdict, judgement.row.verdict());
        prop_assert!(judgement.row.matches(&rules, &subject));
        prop_assert!(Row::ALL.iter().take_while(|row| **row < judgement.row).all(|row| !row.matches(&rules, &subject)));
        let explanation = explain(&rules, &subject);
        prop_assert_eq!(explanation.judgement, judgement);
        prop_assert!(explanation.steps.iter().all(|step| !step.finding.chars().any(char::is_control)), "{:?}", explanation.steps);
    }

    #[test]
    fn a_persons_deny_wins_over_everything_but_the_closure(rules in rules(), mut subject in subjects(), scope in scopes()) {
        subject.facts.denied_by_person = Some(scope);
        let expected = match subject.facts.closure {
            Closure::Proven => Verdict::Allow,
            Closure::Boot if !subject.facts.answer.is_threat() => Verdict::Allow,
            Closure::Boot | Closure::Outside => Verdict::Deny,
        };
        prop_assert_eq!(judge(&rules, &subject).verdict, expected);
    }

    #[test]
    fn the_wider_closure_is_judged_like_any_other_file_unless_a_list_alone_denies_it(rules in rules(), mut subject in subjects()) {
        subject.facts.closure = Closure::Boot;
        let here = (judge(&rules, &subject), status(&rules, &subject.facts));
        let is_overridden = subject.facts.is_denied_by_list() && !subject.facts.answer.is_threat();
        subject.facts.closure = Closure::Outside;
        let elsewhere = (judge(&rules, &subject), status(&rules, &subject.facts));
        match is_overridden {
            true => prop_assert_eq!(here.0.row, Row::Closure),
            false => prop_assert_eq!(here, elsewhere),
        }
    }

    #[test]
    fn a_threat_runs_only_for_the_closure_or_by_a_persons_allow(rules in rules(), subject in subjects()) {
        if subject.facts.answer.is_threat() && judge(&rules, &subject).verdict != Verdict::Deny {
            prop_assert!(matches!(judge(&rules, &subject).row, Row::Closure | Row::AllowedByPerson));
        }
    }

    #[test]
    fn a_threat_is_never_allowed_automatically(
        rules in rules(),
        subject in subjects(),
        safe in option::of(any::<u8>()),
        unknown in select(vec![AllowUnknown::Never, AllowUnknown::ReferenceScan, AllowUnknown::ReferenceScanAndExec]),
        met in select(vec![Met::ReferenceScan, Met::Scan, Met::Exec]),
        user_writable_folder: bool,
        decided_by_person: bool,
    ) {
        let settings = AutoAllowSettings { allow_safe: safe, allow_unknown: unknown };
        let status = status(&rules, &subject.facts).status;
        let answer = &subject.facts.answer;
        let allowed = auto_allow(&settings, &Candidate { status, answer, met, user_writable_folder, decided_by_person });
        if status == Status::Threat || answer.is_threat() || decided_by_person || answer.reputation().is_none() {
            prop_assert_eq!(allowed, None);
        }
        if let Some(reputation) = answer.reputation().filter(|reputation| reputation.class == Class::Known) {
            prop_assert!(allowed.is_none() || reputation.trust_factor.is_some_and(|factor| factor <= 2));
        }
    }

    #[test]
    fn status_never_depends_on_a_decision_to_allow(
        rules in rules(),
        subject in subjects(),
        person in option::of(scopes()),
        rule in option::of(scopes()),
    ) {
        let decided = Subject { allowed_by_person: person, allowed_by_rule: rule, ..subject.clone() };
        prop_assert_eq!(explain(&rules, &decided).judgement, judge(&rules, &decided));
        prop_assert_eq!(status(&rules, &decided.facts), status(&rules, &subject.facts));
    }

    #[test]
    fn no_error_and_no_missing_trust_factor_ever_means_trusted(rules in rules(), answer in answers()) {
        let facts = Facts::unknown(answer);
        let standing = status(&rules, &facts);
        let subject = Subject { facts, allowed_by_person: None, allowed_by_rule: None };
        prop_assert!(judge(&rules, &subject).verdict != Verdict::Allow, "TI alone never allows");
        let trusted = subject.facts.answer.reputation().is_some_and(|reputation| {
            reputation.class == Class::Known && matches!(reputation.trust_factor, Some(0..=2))
        });
        prop_assert_eq!(standing.status == Status::Safe, trusted);
    }

    #[test]
    fn only_protect_ever_denies_or_holds(
        rules in rules(),
        subject in subjects(),
        mode in select(vec![Mode::Disabled, Mode::Detect, Mode::Protect]),
        maintenance: bool,
        action in select(vec![UnverifiedAction::Allow, UnverifiedAction::Deny, UnverifiedAction::Hold]),
    ) {
        let judgement = judge(&rules, &subject);
        let response = respond(mode, maintenance, action, judgement);
        if mode != Mode::Protect || judgement.verdict == Verdict::Allow {
            prop_assert_eq!(response, Response::Allow);
        } else if judgement.verdict == Verdict::Deny {
            prop_assert_eq!(response, Response::Deny, "a denial holds in maintenance too");
        }
    }

    #[test]
    fn any_path_survives_being_shown(bytes in prop::collection::vec(any::<u8>(), 0..4095)) {
        let path = PathBytes::new(bytes);
        let shown = path.to_string();
        prop_assert!(!shown.chars().any(char::is_control), "{shown:?}");
        prop_assert_eq!(shown.parse::<PathBytes>(), Ok(path));
    }

    #[test]
    fn any_text_parses_as_a_path_or_is_refused(text: String) {
        if let Ok(path) = text.parse::<PathBytes>() {
            prop_assert!(path.as_bytes().len() <= doorward_policy::path::PATH_BYTES_MAX);
        }
    }

    #[test]
    fn digests_round_trip_and_refuse_everything_else(bytes: [u8; 32], text: String) {
        let digest = Sha256::new(bytes);
        prop_assert_eq!(digest.to_string().to_uppercase().parse::<Sha256>(), Ok(digest));
        prop_assert_eq!(serde_json::from_str::<Sha256>(&serde_json::to_string(&digest).unwrap()).unwrap(), digest);
        prop_assert_eq!(text.parse::<Sha256>().is_ok(), text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

#[test]
fn names_that_lie_on_a_screen_are_escaped() {
    for (bytes, shown) in [
        (&b"/tmp/a\nb"[..], r"/tmp/a\nb"),
        (b"/tmp/\x1b[31mred", r"/tmp/\x1b[31mred"),
        (b"/tmp/\xff\xfe", r"/tmp/\xff\xfe"),
        ("/tmp/\u{202e}gnp.exe".as_bytes(), r"/tmp/\xe2\x80\xaegnp.exe"),
        (b"/tmp/back\\slash", r"/tmp/back\\slash"),
        ("/tmp/größe".as_bytes(), "/tmp/größe"),
    ] {
        assert_eq!(PathBytes::new(bytes).to_string(), shown);
    }
}
