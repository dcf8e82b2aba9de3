//! The specification's tables as data: every row of the judge, every pair of rows in conflict, every answer, every response.

use crate::support::{answer, cases, subject, word};
use doorward_policy::{
    AllowUnknown, AutoAllow, AutoAllowSettings, Candidate, Judgement, Met, Mode, Response, Row, Standing, Status, StatusReason,
    UnverifiedAction, Verdict, auto_allow, explain, judge, respond, status, threat_score,
};

#[test]
fn judge_follows_its_table() {
    for (line, columns) in cases(include_str!("data/judge.tsv")) {
        let [facts, verdict, row, people_see, reason] = columns[..] else { panic!("line {line}: five columns, not {columns:?}") };
        let (rules, subject) = subject(facts);
        let expected = Judgement { verdict: word::<Verdict>(verdict), row: word::<Row>(row) };
        assert_eq!(judge(&rules, &subject), expected, "line {line}: {facts}");
        let standing = Standing { status: word::<Status>(people_see), reason: word::<StatusReason>(reason) };
        assert_eq!(status(&rules, &subject.facts), standing, "line {line}: {facts}");
        let explanation = explain(&rules, &subject);
        assert_eq!(explanation.judgement, expected, "line {line}: the chain ends where the judge does");
        let last = explanation.steps.last().expect("a chain has at least the deciding row");
        assert!(last.decided && last.row == expected.row, "line {line}: {explanation:?}");
        assert!(!explanation.would_change.is_empty(), "line {line}: every outcome says what would change it");
    }
}

#[test]
fn every_row_decides_somewhere_in_the_table() {
    let table = cases(include_str!("data/judge.tsv"));
    for row in Row::ALL {
        assert!(table.iter().any(|(_, columns)| word::<Row>(columns[2]) == row), "{row:?} is in no case");
    }
}

#[test]
fn status_and_score_follow_every_answer() {
    for (line, columns) in cases(include_str!("data/reputation.tsv")) {
        let [ti, people_see, reason, score] = columns[..] else { panic!("line {line}: four columns, not {columns:?}") };
        let mut parts = ti.splitn(3, ':').skip(1);
        let answer = answer(parts.next().unwrap(), parts.next().unwrap(), Some(3));
        let (rules, mut subject) = subject("-");
        subject.facts.answer = answer;
        let standing = Standing { status: word::<Status>(people_see), reason: word::<StatusReason>(reason) };
        assert_eq!(status(&rules, &subject.facts), standing, "line {line}: {ti}");
        assert_eq!(threat_score(&subject.facts.answer), score.parse().ok(), "line {line}: {ti}");
    }
}

#[test]
fn threat_score_is_five_plus_the_level_and_at_most_ten() {
    for (level, score) in [(None, 5), (Some(0), 5), (Some(1), 6), (Some(5), 10), (Some(200), 10)] {
        assert_eq!(threat_score(&answer("suspicious", "-", level)), Some(score), "level {level:?}");
    }
}

#[test]
fn respond_follows_its_table() {
    for (line, columns) in cases(include_str!("data/respond.tsv")) {
        let [mode, maintenance, unverified, verdict, response] = columns[..] else { panic!("line {line}: five columns, not {columns:?}") };
        let verdict = word::<Verdict>(verdict);
        let row = Row::ALL.into_iter().find(|row| row.verdict() == verdict).expect("each verdict has a row");
        let said = respond(word::<Mode>(mode), maintenance == "yes", word::<UnverifiedAction>(unverified), Judgement { verdict, row });
        assert_eq!(said, word::<Response>(response), "line {line}: {columns:?}");
    }
}

#[test]
fn auto_allow_follows_its_table() {
    for (line, columns) in cases(include_str!("data/auto_allow.tsv")) {
        let [safe, unknown, ti, met, folder, decided, allowed] = columns[..] else { panic!("line {line}: seven columns, not {columns:?}") };
        let settings = AutoAllowSettings { allow_safe: safe.parse().ok(), allow_unknown: word::<AllowUnknown>(unknown) };
        let (rules, subject) = subject(ti);
        let candidate = Candidate {
            status: status(&rules, &subject.facts).status,
            answer: &subject.facts.answer,
            met: match met {
                "reference_scan" => Met::ReferenceScan,
                "scan" => Met::Scan,
                _ => Met::Exec,
            },
            user_writable_folder: folder == "user_writable",
            decided_by_person: decided == "yes",
        };
        let expected = (allowed != "-").then(|| word::<AutoAllow>(allowed));
        assert_eq!(auto_allow(&settings, &candidate), expected, "line {line}: {columns:?}");
    }
}
