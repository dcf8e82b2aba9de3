//! The content of `rl` for a question: one record, or `entries` and `invalid_hashes`.
//!
//! Which fields a record shows follows from `extended` and `show_hashes` alone. Faults change the result afterwards, in
//! `distortion`.

use serde_json::{Map, Value, json};

use super::catalogue::Catalogue;
use super::question::{Item, Question, Shape};
use super::record::{Classification, Record};

/// Fields are in alphabetical order; the provider promises none.
pub(crate) type Object = Map<String, Value>;

/// Answers every item: a well-formed one by an entry, UNKNOWN if there is no record; an ill-formed one of a bulk
/// question by its place in `invalid_hashes`, which is there only when it has something to hold.
pub(crate) fn answer(question: &Question, catalogue: &Catalogue) -> Object {
    let mut entries = Vec::new();
    let mut invalid = Vec::new();
    for item in &question.items {
        match &item.checksum {
            Some(checksum) => entries.push(entry(question, item, catalogue.find(checksum))),
            None => invalid.push(Value::from(item.text.as_str())),
        }
    }
    let mut rl = Object::new();
    match question.shape {
        Shape::Single => {
            let only = entries.pop().expect("a single question holds one well-formed hash");
            rl.insert("malware_presence".into(), only);
        }
        Shape::Bulk => {
            rl.insert("entries".into(), entries.into());
            if !invalid.is_empty() {
                rl.insert("invalid_hashes".into(), invalid.into());
            }
        }
    }
    rl
}

fn entry(question: &Question, item: &Item, record: Option<&Record>) -> Value {
    let mut entry = Object::new();
    // The spelling of the question: clients that compare without folding case learn it here.
    entry.insert("query_hash".into(), json!({ question.kind.name(): item.text }));
    let Some(record) = record else {
        entry.insert("status".into(), "UNKNOWN".into());
        return entry.into();
    };
    entry.insert("status".into(), record.status.name().into());
    if question.show_hashes {
        let others = [("sha1", record.sha1), ("md5", record.md5)];
        put(&mut entry, "sha256", Some(record.sha256.to_string()));
        for (name, checksum) in others {
            put(&mut entry, name, checksum.map(|checksum| checksum.to_string()));
        }
    }
    if question.extended {
        extend(&mut entry, record);
    }
    entry.into()
}

fn extend(entry: &mut Object, record: &Record) {
    let classification = record.classification.clone().or_else(|| {
        let name = record.threat_name.as_deref()?;
        Classification::from_threat_name(name)
    });
    let classification = classification.map(|parts| serde_json::to_value(parts).expect("a struct of text, numbers and flags is JSON"));
    put(entry, "trust_factor", record.trust_factor);
    put(entry, "threat_level", record.threat_level);
    put(entry, "threat_name", record.threat_name.clone());
    put(entry, "classification", classification);
    put(entry, "reason", record.reason.clone());
    put(entry, "scanner_count", record.scanner_count);
    put(entry, "scanner_match", record.scanner_match);
    put(entry, "scanner_percent", percent(record));
    put(entry, "first_seen", record.first_seen.clone());
    put(entry, "last_seen", record.last_seen.clone());
}

fn put(entry: &mut Object, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        entry.insert(name.into(), value.into());
    }
}

/// The provider computes in single precision and prints the double: 44 of 47 is 93.61701965332031.
fn percent(record: &Record) -> Option<f64> {
    let (count, matched) = (record.scanner_count?, record.scanner_match?);
    if count == 0 {
        return Some(0.0);
    }
    Some(f64::from((100.0 * f64::from(matched) / f64::from(count)) as f32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{Method, Uri};

    fn catalogue() -> Catalogue {
        let mut catalogue = Catalogue::default();
        for record in Record::parse_all(include_str!("../../data/ti/records.jsonl")).unwrap() {
            catalogue.put(record).unwrap();
        }
        catalogue
    }

    fn ask(kind: &str, hashes: &[&str], parameters: &str) -> Object {
        let body = json!({"rl": {"query": {"hash_type": kind, "hashes": hashes}}}).to_string();
        let uri: Uri = format!("/api/databrowser/malware_presence/bulk_query/json?{parameters}").parse().unwrap();
        answer(&Question::parse(&Method::POST, &uri, body.as_bytes()).unwrap(), &catalogue())
    }

    #[test]
    fn a_malicious_record_shows_everything_when_asked_for_everything() {
        let sha256 = "a".repeat(64);
        let uri: Uri =
            format!("/api/databrowser/malware_presence/query/sha256/{sha256}?extended=true&show_hashes=true&format=json").parse().unwrap();
        let rl = answer(&Question::parse(&Method::GET, &uri, b"").unwrap(), &catalogue());
        assert_eq!(
            Value::Object(rl),
            json!({"malware_presence": {
                "status": "MALICIOUS", "query_hash": {"sha256": sha256},
                "sha1": "a".repeat(40), "md5": "a".repeat(32), "sha256": sha256,
                "threat_level": 5, "trust_factor": 5, "threat_name": "Win32.Ransomware.Example",
                "classification": {
                    "platform": "Win32", "type": "Ransomware", "family_name": "Example", "is_generic": false
                },
                "reason": "antivirus", "scanner_count": 40, "scanner_match": 36, "scanner_percent": 90.0,
                "first_seen": "2025-02-01T08:00:00", "last_seen": "2026-08-30T10:11:12"
            }})
        );
    }

    #[test]
    fn without_extended_and_show_hashes_a_record_is_its_status() {
        let sha256 = "c".repeat(64);
        let bare = json!({"status": "KNOWN", "query_hash": {"sha256": sha256}});
        assert_eq!(ask("sha256", &[&sha256], "")["entries"], json!([bare]));

        let hashes = &ask("sha256", &[&sha256], "show_hashes=true")["entries"][0];
        assert_eq!(hashes["sha1"], json!("c".repeat(40)));
        assert_eq!(hashes.get("trust_factor"), None);
        let extended = &ask("sha256", &[&sha256], "extended=true")["entries"][0];
        assert_eq!(extended["trust_factor"], json!(0));
        assert_eq!(extended.get("sha1"), None);
    }

    #[test]
    fn unknown_is_an_entry_and_ill_formed_is_apart() {
        let (unknown, known) = ("f".repeat(64), "c".repeat(64));
        let rl = ask("sha256", &[&unknown, "zz-not-hex", &known], "extended=true&show_hashes=true");
        let entries = rl["entries"].as_array().unwrap();
        assert_eq!(entries[0], json!({"status": "UNKNOWN", "query_hash": {"sha256": unknown}}));
        assert_eq!(entries[1]["status"], "KNOWN");
        assert_eq!(entries.len(), 2);
        assert_eq!(rl["invalid_hashes"], json!(["zz-not-hex"]));
        assert_eq!(ask("sha256", &[&unknown], "").get("invalid_hashes"), None);
    }

    #[test]
    fn query_hash_repeats_the_asked_kind_and_spelling_while_the_record_is_lower_case() {
        let upper = "A".repeat(40);
        let entry = &ask("sha1", &[&upper], "show_hashes=true")["entries"][0];
        assert_eq!(entry["query_hash"], json!({"sha1": upper}));
        assert_eq!(entry["sha1"], json!("a".repeat(40)));
        assert_eq!(entry["sha256"], json!("a".repeat(64)));
    }

    #[test]
    fn percentages_are_widened_from_single_precision() {
        let share = |matched, count| {
            percent(&Record {
                scanner_match: Some(matched),
                scanner_count: Some(count),
                ..Record::parse_all(include_str!("../../data/ti/records.jsonl")).unwrap()[0].clone()
            })
        };
        assert_eq!(share(44, 47), Some(93.61701965332031));
        assert_eq!(share(2, 45), Some(4.44444465637207));
        assert_eq!(share(0, 0), Some(0.0));
    }
}
