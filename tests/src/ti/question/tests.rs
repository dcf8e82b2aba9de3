//! Well-formed and ill-formed questions, single and bulk.

use super::*;

const SINGLE: &str = "/api/databrowser/malware_presence/query/sha256/";
const BULK: &str = "/api/databrowser/malware_presence/bulk_query/";

fn sha256(digit: &str) -> String {
    digit.repeat(64)
}

fn get(path: &str) -> Result<Question, Refusal> {
    Question::parse(&Method::GET, &path.parse().unwrap(), b"")
}

fn post(path: &str, body: &str) -> Result<Question, Refusal> {
    Question::parse(&Method::POST, &path.parse().unwrap(), body.as_bytes())
}

fn json_body(kind: &str, hashes: &[&str]) -> String {
    serde_json::json!({"rl": {"query": {"hash_type": kind, "hashes": hashes}}}).to_string()
}

#[test]
fn a_single_question_defaults_to_xml_and_to_the_bare_status() {
    let question = get(&format!("{SINGLE}{}", sha256("a"))).unwrap();
    assert_eq!(question.shape, Shape::Single);
    assert_eq!(question.format, Format::Xml);
    assert!(!question.extended && !question.show_hashes);

    let question = get(&format!("{SINGLE}{}?extended=true&show_hashes=true&format=json&x=y", sha256("a"))).unwrap();
    assert_eq!(question.format, Format::Json);
    assert!(question.extended && question.show_hashes);
}

#[test]
fn a_bulk_question_answers_in_the_format_it_was_posted_in_unless_told() {
    let hash = sha256("a");
    let json = json_body("sha256", &[&hash]);
    let xml = format!("<rl><query><hash_type>sha256</hash_type><hashes><item>{hash}</item></hashes></query></rl>");
    let posted_json = post(&format!("{BULK}json"), &json).unwrap();
    let posted_xml = post(&format!("{BULK}xml"), &xml).unwrap();
    assert_eq!(posted_json.format, Format::Json);
    assert_eq!(posted_xml.format, Format::Xml);
    assert_eq!(posted_json.items, posted_xml.items);
    assert_eq!(post(&format!("{BULK}xml?format=json"), &xml).unwrap().format, Format::Json);
}

#[test]
fn items_keep_their_spelling_and_the_ill_formed_ones_are_marked() {
    let (good, other_kind) = ("AB".repeat(32), "b".repeat(40));
    let body = json_body("sha256", &[&good, &other_kind, "zz-not-hex", ""]);
    let question = post(&format!("{BULK}json"), &body).unwrap();
    assert_eq!(question.items[0].text, good);
    let well_formed: Vec<bool> = question.items.iter().map(|item| item.checksum.is_some()).collect();
    assert_eq!(well_formed, [true, false, false, false]);
    assert_eq!(question.checksums().count(), 1);
}

#[test]
fn malformed_questions_are_refused() {
    let hash = sha256("a");
    for path in [
        format!("{SINGLE}zz"),
        format!("{SINGLE}{}", "a".repeat(40)),
        format!("/api/databrowser/malware_presence/query/sha512/{}", "a".repeat(128)),
        format!("{SINGLE}{hash}?format=yaml"),
        format!("{SINGLE}{hash}?extended=1"),
    ] {
        assert!(matches!(get(&path), Err(Refusal::Malformed(_))), "{path}");
    }
    for body in [
        "".to_owned(),
        "[]".to_owned(),
        r#"{"rl":{"query":{"hashes":[]}}}"#.to_owned(),
        r#"{"rl":{"query":{"hash_type":"sha256","hashes":[1]}}}"#.to_owned(),
        json_body("sha512", &[&hash]),
    ] {
        assert!(matches!(post(&format!("{BULK}json"), &body), Err(Refusal::Malformed(_))), "{body}");
    }
    assert!(matches!(post(&format!("{BULK}csv"), &json_body("sha256", &[&hash])), Err(Refusal::Malformed(_))));
}

#[test]
fn other_paths_and_methods_are_told_apart() {
    let hash = sha256("a");
    assert_eq!(get("/api/databrowser/rldata/query/sha256/aa"), Err(Refusal::NotFound));
    assert_eq!(get(&format!("{SINGLE}{hash}/more")), Err(Refusal::NotFound));
    assert_eq!(get(&format!("{BULK}json")), Err(Refusal::MethodNotAllowed { allow: "POST" }));
    assert_eq!(post(&format!("{SINGLE}{hash}"), ""), Err(Refusal::MethodNotAllowed { allow: "GET" }));
}
