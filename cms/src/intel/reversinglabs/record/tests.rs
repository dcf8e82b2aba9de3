//! The mapping of fact sheet 1.11, field by field.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const FILE: Sha256 = Sha256::new([0xc0; 32]);

fn read(fields: Value) -> Record {
    let mut value = json!({ "query_hash": { "sha256": FILE } });
    value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    record(&value).expect("a record with status and query_hash")
}

fn reputation_of(fields: Value) -> Reputation {
    read(fields).outcome.expect("a documented status").reputation
}

#[test]
fn every_status_and_factor_maps_as_documented() {
    let rows = [
        (json!({"status": "MALICIOUS", "threat_level": 5, "trust_factor": 5}), Class::Malicious, None, Some(5), false),
        (json!({"status": "MALICIOUS"}), Class::Malicious, None, None, false),
        (json!({"status": "SUSPICIOUS", "threat_level": 2, "trust_factor": 0}), Class::Suspicious, None, Some(2), false),
        (json!({"status": "KNOWN", "threat_level": 0, "trust_factor": 0}), Class::Known, Some(0), None, true),
        (json!({"status": "KNOWN", "trust_factor": 1}), Class::Known, Some(1), None, true),
        (json!({"status": "KNOWN", "trust_factor": 2}), Class::Known, Some(2), None, true),
        (json!({"status": "KNOWN", "trust_factor": 3}), Class::Known, Some(3), None, false),
        (json!({"status": "KNOWN", "trust_factor": 5}), Class::Known, Some(5), None, false),
        (json!({"status": "KNOWN"}), Class::Known, None, None, false),
        (json!({"status": "UNKNOWN"}), Class::Unknown, None, None, false),
        (json!({"status": "UNKNOWN", "trust_factor": 0}), Class::Unknown, None, None, false),
        (json!({"status": "known", "trust_factor": 0}), Class::Known, Some(0), None, true),
    ];
    for (fields, class, trust_factor, threat_level, trusted) in rows {
        let got = reputation_of(fields.clone());
        assert_eq!((got.class, got.trust_factor, got.threat_level), (class, trust_factor, threat_level), "{fields}");
        assert_eq!(got.is_trusted(), trusted, "{fields}");
    }
}

#[test]
fn a_factor_that_cannot_be_read_never_means_trusted() {
    for factor in [json!(null), json!(-1), json!(6), json!(255), json!(256), json!("0"), json!(0.0), json!([0]), json!({}), json!(false)] {
        let got = reputation_of(json!({"status": "KNOWN", "trust_factor": factor}));
        assert_eq!(got.trust_factor, None, "{factor}");
        assert!(!got.is_trusted());
    }
}

#[test]
fn a_status_nobody_documented_is_no_answer_at_all() {
    for status in ["GOODWARE", "GREYWARE", "", "MALICIOUS2", "KNOWN UNKNOWN"] {
        assert_eq!(read(json!({"status": status, "trust_factor": 0, "threat_level": 5})).outcome, None, "{status:?}");
    }
    assert!(read(json!({"status": " Unknown "})).outcome.is_some());
}

#[test]
fn without_status_or_question_it_is_no_record() {
    let hash = json!({ "sha256": FILE });
    for value in [
        json!(null),
        json!([]),
        json!("MALICIOUS"),
        json!({"status": "KNOWN"}),
        json!({"status": null, "query_hash": hash}),
        json!({"query_hash": hash}),
        json!({"status": "KNOWN", "query_hash": FILE}),
        json!({"status": "KNOWN", "query_hash": {"sha1": "00"}}),
        json!({"status": "KNOWN", "query_hash": {"sha256": "zz-not-hex"}}),
        json!({"status": "KNOWN", "sha256": FILE}),
    ] {
        assert_eq!(record(&value), None, "{value}");
    }
}

#[test]
fn the_asked_hash_counts_in_either_case_and_the_samples_own_hashes_do_not() {
    let other = "ee".repeat(32);
    let value = json!({"status": "KNOWN", "query_hash": {"sha256": FILE.to_string().to_uppercase()}, "sha256": other, "sha1": "AB".repeat(20), "md5": "x"});
    let got = record(&value).unwrap();
    assert_eq!(got.file, FILE);
    let outcome = got.outcome.unwrap();
    assert_eq!(outcome.sha1, Some(Sha1::new([0xab; 20])));
    assert_eq!(outcome.md5, None);
}

#[test]
fn a_threat_name_is_bounded_and_cannot_steer_a_terminal() {
    let name = format!("Linux.\u{1b}[2JTrojan\n{}é", "x".repeat(THREAT_NAME_BYTES_MAX));
    let got = reputation_of(json!({"status": "MALICIOUS", "threat_name": name})).threat_name.unwrap();
    assert!(got.len() <= THREAT_NAME_BYTES_MAX && got.starts_with("Linux.[2JTrojanxxx"));
    assert_eq!(reputation_of(json!({"status": "MALICIOUS", "threat_name": ""})).threat_name, None);
    assert_eq!(reputation_of(json!({"status": "KNOWN", "threat_name": "Linux.Odd"})).threat_name, None);
}

#[test]
fn a_small_record_is_kept_whole_and_a_huge_one_in_its_documented_fields() {
    let small = json!({"status": "UNKNOWN", "query_hash": {"sha256": FILE}, "extra": {"deep": [1, null]}});
    assert_eq!(serde_json::from_str::<Value>(&record(&small).unwrap().outcome.unwrap().raw).unwrap(), small);

    let huge = json!({"status": "MALICIOUS", "query_hash": {"sha256": FILE}, "junk": "x".repeat(RAW_BYTES_MAX), "reason": "y".repeat(RAW_BYTES_MAX), "scanner_match": 3});
    let raw = record(&huge).unwrap().outcome.unwrap().raw;
    assert!(raw.len() <= RAW_BYTES_MAX);
    assert_eq!(
        serde_json::from_str::<Value>(&raw).unwrap(),
        json!({"status": "MALICIOUS", "query_hash": {"sha256": FILE}, "scanner_match": 3})
    );
}

/// Any JSON a hostile or broken server could send.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{0,12}", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_record_panics_and_none_is_trusted_without_known_and_a_small_factor(
        status in "[A-Za-z]{0,10}|KNOWN|MALICIOUS|UNKNOWN",
        factor in any_json(),
        level in any_json(),
        name in any_json(),
        extra in any_json(),
    ) {
        let value = json!({"status": status, "query_hash": {"sha256": FILE}, "trust_factor": factor, "threat_level": level, "threat_name": name, "extra": extra});
        let Some(got) = record(&value).unwrap().outcome else {
            prop_assert!(!matches!(status.to_ascii_lowercase().as_str(), "known" | "malicious" | "unknown" | "suspicious"));
            return Ok(());
        };
        prop_assert!(got.raw.len() <= RAW_BYTES_MAX);
        prop_assert!(got.reputation.trust_factor.is_none_or(|factor| factor <= FACTOR_MAX));
        prop_assert!(got.reputation.threat_level.is_none_or(|level| level <= FACTOR_MAX));
        if got.reputation.is_trusted() {
            prop_assert!(status.eq_ignore_ascii_case("known") && factor.as_u64().is_some_and(|factor| factor <= 2));
        }
    }

    #[test]
    fn any_value_is_a_record_or_none(value in any_json()) {
        let _ = record(&value);
    }
}
