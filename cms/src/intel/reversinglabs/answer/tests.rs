//! Bulk answers in every order and in every state of decay.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn file(byte: u8) -> Sha256 {
    Sha256::new([byte; 32])
}

fn entry(byte: u8, status: &str) -> Value {
    json!({"status": status, "query_hash": {"sha256": file(byte)}, "trust_factor": 0, "threat_level": 3})
}

fn read(rl: Value, asked: &[Sha256]) -> Items {
    let mut items = answer(json!({ "rl": rl }).to_string().as_bytes(), asked).unwrap();
    items.items.sort_by_key(|(file, _)| *file);
    items
}

fn classes(items: &Items) -> Vec<(u8, Option<Class>)> {
    let class = |item: &Item| match item {
        Item::Answered(outcome) => Some(outcome.reputation.class),
        Item::Refused => None,
    };
    items.items.iter().map(|(file, item)| (file.as_bytes()[0], class(item))).collect()
}

#[test]
fn entries_are_found_by_the_asked_hash_in_whatever_order() {
    let items = read(json!({"entries": [entry(3, "UNKNOWN"), entry(1, "MALICIOUS"), entry(2, "KNOWN")]}), &[file(1), file(2), file(3)]);
    assert_eq!(classes(&items), [(1, Some(Class::Malicious)), (2, Some(Class::Known)), (3, Some(Class::Unknown))]);
}

#[test]
fn what_was_not_asked_is_not_listened_to_and_what_is_missing_stays_missing() {
    let items = read(json!({"entries": [entry(9, "KNOWN"), entry(1, "KNOWN"), {"status": "KNOWN"}, null, 7]}), &[file(1), file(2)]);
    assert_eq!(classes(&items), [(1, Some(Class::Known))]);
}

#[test]
fn invalid_hashes_are_refused_and_unknown_ones_unknown() {
    let rl = json!({"entries": [], "invalid_hashes": [file(1), "zz-not-hex", null, file(9)], "unknown_hashes": [file(2)]});
    assert_eq!(classes(&read(rl, &[file(1), file(2), file(3)])), [(1, None), (2, Some(Class::Unknown))]);
    for odd in [json!(null), json!("text"), json!({"a": 1})] {
        assert_eq!(read(json!({"entries": [], "invalid_hashes": odd}), &[file(1)]).items, []);
    }
}

#[test]
fn an_entry_is_believed_before_the_lists_beside_it() {
    let rl = json!({"entries": [entry(1, "MALICIOUS")], "invalid_hashes": [file(1)], "unknown_hashes": [file(1)]});
    assert_eq!(classes(&read(rl, &[file(1)])), [(1, Some(Class::Malicious))]);
}

#[test]
fn of_two_entries_for_one_file_the_worse_counts() {
    for (first, second, worse) in [
        ("KNOWN", "MALICIOUS", Class::Malicious),
        ("MALICIOUS", "KNOWN", Class::Malicious),
        ("SUSPICIOUS", "MALICIOUS", Class::Malicious),
        ("KNOWN", "UNKNOWN", Class::Unknown),
        ("UNKNOWN", "KNOWN", Class::Unknown),
    ] {
        let items = read(json!({"entries": [entry(1, first), entry(1, second)]}), &[file(1)]);
        assert_eq!(classes(&items), [(1, Some(worse))], "{first} and {second}");
    }
}

#[test]
fn an_entry_with_a_status_nobody_documented_answers_nothing_and_is_counted() {
    let items = read(json!({"entries": [entry(1, "GREYWARE"), entry(2, "KNOWN")]}), &[file(1), file(2)]);
    assert_eq!(items.unknown_statuses, 1);
    assert_eq!(classes(&items), [(2, Some(Class::Known))]);
    for (beside, heard) in [("KNOWN", None), ("UNKNOWN", None), ("SUSPICIOUS", Some(Class::Suspicious))] {
        let rl = json!({"entries": [entry(1, beside), entry(1, "GREYWARE")], "unknown_hashes": [file(1)]});
        let expected: Vec<_> = heard.map(|class| (1, Some(class))).into_iter().collect();
        assert_eq!(classes(&read(rl, &[file(1)])), expected, "beside {beside}");
    }
}

#[test]
fn what_is_not_an_answer_is_an_error_that_quotes_nothing() {
    let rows: [(&[u8], &str); 7] = [
        (b"", "empty"),
        (b"\n <!DOCTYPE HTML><title>Sign in SECRET</title>", "a web page"),
        (b"<html>SECRET", "a web page"),
        (b"<rl><entries/></rl>", "XML"),
        (b"{\"rl\":{\"entries\":[{\"status\":\"KNO", "cut or damaged"),
        (b"SECRET try later", "neither JSON nor XML"),
        (b"\xff\xfe\x00", "neither JSON nor XML"),
    ];
    for (body, what) in rows {
        let error = answer(body, &[file(1)]).unwrap_err();
        assert_eq!(error, AnswerError::NotJson { length: body.len(), what });
        assert!(!error.to_string().contains("SECRET"));
    }
    for body in ["{}", "null", "[]", "{\"rl\":null}", "{\"rl\":{\"entries\":{}}}", "{\"rl\":{\"malware_presence\":{}}}"] {
        assert_eq!(answer(body.as_bytes(), &[file(1)]), Err(AnswerError::NoEntries), "{body}");
    }
}

#[test]
fn nesting_without_end_is_an_error_and_no_overflow() {
    let body = [b"[".repeat(200_000), b"]".repeat(200_000)].concat();
    assert!(matches!(answer(&body, &[file(1)]), Err(AnswerError::NotJson { .. })));
}

proptest! {
    #[test]
    fn an_answer_cut_anywhere_says_nothing(cut in 0usize..1000) {
        let whole = json!({"rl": {"entries": [entry(1, "MALICIOUS"), entry(2, "KNOWN")]}}).to_string();
        let cut = cut % whole.len();
        prop_assert!(answer(&whole.as_bytes()[..cut], &[file(1), file(2)]).is_err());
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = answer(&body, &[file(1)]);
    }

    #[test]
    fn items_are_distinct_and_were_asked(bytes in prop::collection::vec(0u8..6, 0..12)) {
        let entries: Vec<Value> = bytes.iter().map(|byte| entry(*byte, "KNOWN")).collect();
        let asked = [file(0), file(1), file(2)];
        let items = read(json!({ "entries": entries }), &asked);
        let distinct: HashSet<Sha256> = items.items.iter().map(|(file, _)| *file).collect();
        prop_assert_eq!(distinct.len(), items.items.len());
        prop_assert!(distinct.iter().all(|file| asked.contains(file)));
    }
}
