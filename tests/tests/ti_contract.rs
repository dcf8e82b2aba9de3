//! The simulator against the vendor's own Python SDK: what the SDK makes of every kind of answer.
//!
//! `contract/reversinglabs_sdk.py` asks and notes; the judgement is here, one named check for each fact. The SDK is
//! installed once into a kept folder, see `ti_contract/sdk.rs`.

#[path = "ti_contract/contract.rs"]
mod contract;
#[path = "ti_contract/sdk.rs"]
mod sdk;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use contract::Contract;
use doorward_tests::ti::Process;
use sdk::Sdk;
use serde_json::{Value, json};

const SIMULATOR: &str = env!("CARGO_BIN_EXE_doorward-ti-simulator");
/// The SDK itself has no time-outs. The script takes some two seconds.
const SCRIPT_DEADLINE: Duration = Duration::from_secs(120);

#[test]
fn the_vendors_sdk_understands_the_simulator() {
    let sdk = match Sdk::installed().unwrap() {
        Ok(sdk) => sdk,
        Err(missing) => {
            eprintln!("SKIPPED: the contract with the vendor's SDK is not checked, because {missing}");
            return;
        }
    };
    let mut contract = Contract::new(observe(&sdk).unwrap());
    single_answers(&mut contract);
    bulk_answers(&mut contract);
    limits_and_quota(&mut contract);
    exceptions_by_status(&mut contract);
    accounts(&mut contract);
    distorted_answers(&mut contract);
    broken_answers(&mut contract);
    turning_verdicts(&mut contract);
    refusals_of_the_sdk(&mut contract);
    hosts_and_certificates(&mut contract);
    wire(&mut contract);
    contract.hold();
}

fn observe(sdk: &Sdk) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let stranger = tempfile::tempdir()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let records = root.join("data/ti/records.jsonl").display().to_string();
    let simulator = Process::spawn(Path::new(SIMULATOR), folder.path(), &["--records", &records])?;
    // Another simulator's CA: well-formed, and not the one that signed.
    let other = Process::spawn(Path::new(SIMULATOR), stranger.path(), &[])?;
    let ready = simulator.ready();
    let options = [
        ("--host", ready.url.trim_start_matches("https://").to_owned()),
        ("--control", ready.control_url.clone()),
        ("--ca", ready.ca.display().to_string()),
        ("--stranger-ca", other.ready().ca.display().to_string()),
        ("--user", ready.user.clone()),
        ("--forbidden-user", "u/doorward/forbidden".to_owned()),
        ("--password-file", ready.password_file.display().to_string()),
    ];
    let options: Vec<&str> = options.iter().flat_map(|(name, value)| [*name, value]).collect();
    sdk.run(&root.join("contract/reversinglabs_sdk.py"), &options, SCRIPT_DEADLINE)
}

fn sha256(digit: &str) -> Value {
    digit.repeat(64).into()
}

fn single_answers(contract: &mut Contract) {
    let record = "/body/rl/malware_presence";
    for (name, status) in [
        ("single_malicious", "MALICIOUS"),
        ("single_suspicious", "SUSPICIOUS"),
        ("single_trusted", "KNOWN"),
        ("single_doubtful", "KNOWN"),
        ("single_detected", "KNOWN"),
        ("single_unknown", "UNKNOWN"),
        ("single_bare", "KNOWN"),
    ] {
        contract.equals(name, "/http", 200);
        contract.equals(name, &format!("{record}/status"), status);
    }
    contract.equals(
        "single_malicious",
        record,
        json!({
            "status": "MALICIOUS", "query_hash": {"sha256": sha256("a")},
            "sha1": "a".repeat(40), "md5": "a".repeat(32), "sha256": sha256("a"),
            "threat_level": 5, "trust_factor": 5, "threat_name": "Win32.Ransomware.Example",
            "classification": {
                "platform": "Win32", "type": "Ransomware", "family_name": "Example", "is_generic": false
            },
            "reason": "antivirus", "scanner_count": 40, "scanner_match": 36, "scanner_percent": 90.0,
            "first_seen": "2025-02-01T08:00:00", "last_seen": "2026-08-30T10:11:12"
        }),
    );
    contract.equals("single_unknown", record, json!({"status": "UNKNOWN", "query_hash": {"sha256": sha256("f")}}));
    contract.equals("single_trusted", &format!("{record}/trust_factor"), 0);
    contract.equals("single_doubtful", &format!("{record}/trust_factor"), 3);
    contract.equals("single_detected", &format!("{record}/trust_factor"), 5);
    contract.equals("single_detected", &format!("{record}/scanner_percent"), 4.44444465637207);
    contract.equals("single_bare", &format!("{record}/sha256"), sha256("1"));
    contract.absent("single_bare", &format!("{record}/trust_factor"));
    contract.equals("single_sha1", &format!("{record}/query_hash"), json!({"sha1": "a".repeat(40)}));
    contract.equals("single_md5", &format!("{record}/query_hash"), json!({"md5": "a".repeat(32)}));
    contract.equals("single_md5", &format!("{record}/sha256"), sha256("a"));
    contract.equals("single_upper_case", &format!("{record}/query_hash/sha256"), sha256("A"));
    contract.equals("single_upper_case", &format!("{record}/sha256"), sha256("a"));
    contract.equals(
        "single_not_extended",
        record,
        json!({
            "status": "KNOWN", "query_hash": {"sha256": sha256("c")},
            "sha1": "c".repeat(40), "md5": "c".repeat(32), "sha256": sha256("c")
        }),
    );
    contract.equals("single_without_hashes", &format!("{record}/trust_factor"), 0);
    for field in ["md5", "sha1", "sha256"] {
        contract.absent("single_without_hashes", &format!("{record}/{field}"));
    }
}

fn bulk_answers(contract: &mut Contract) {
    contract.equals("bulk_all", "/http", 200);
    for (index, (digit, status)) in
        [("f", "UNKNOWN"), ("a", "MALICIOUS"), ("b", "SUSPICIOUS"), ("c", "KNOWN"), ("d", "KNOWN")].into_iter().enumerate()
    {
        let entry = format!("/body/rl/entries/{index}");
        contract.equals("bulk_all", &format!("{entry}/status"), status);
        contract.equals("bulk_all", &format!("{entry}/query_hash"), json!({"sha256": sha256(digit)}));
    }
    contract.length("bulk_all", "/body/rl/entries", 5);
    contract.absent("bulk_all", "/body/rl/invalid_hashes");
    contract.length("bulk_of_one", "/body/rl/entries", 1);
    contract.equals("bulk_upper_case", "/body/rl/entries/0/status", "MALICIOUS");
    contract.equals("bulk_upper_case", "/body/rl/entries/0/query_hash/sha256", sha256("A"));
    contract.equals("bulk_not_extended", "/body/rl/entries", json!([{"status": "KNOWN", "query_hash": {"sha256": sha256("c")}}]));
    contract.equals("bulk_mixed", "/http", 200);
    contract.length("bulk_mixed", "/body/rl/entries", 1);
    contract.equals("bulk_mixed", "/body/rl/entries/0/status", "MALICIOUS");
    contract.equals("bulk_mixed", "/body/rl/invalid_hashes", json!([sha256("b")]));
}

fn limits_and_quota(contract: &mut Contract) {
    contract.equals("bulk_100", "/http", 200);
    contract.length("bulk_100", "/body/rl/entries", 100);
    contract.equals("bulk_101", "/exception", "RequestTooLargeError");
    contract.equals("bulk_250_when_400", "/exception", "BadRequestError");
    contract.equals("stats_after_bulk", "/quota_used", 100);
    contract.equals("stats_after_bulk", "/bulk_requests", 2);
    contract.equals("stats_after_bulk", "/hashes_asked", 201);
    contract.equals("stats_after_bulk", "/distinct_hashes_asked", 101);
    contract.equals("stats_after_bulk", "/repeated_hashes", 100);
    contract.equals("stats_after_bulk", "/by_status", json!({"200": 1, "413": 1}));
    contract.equals("quota_used_up", "/exception", "TooManyRequestsError");
    contract.absent("quota_used_up", "/headers/retry-after");
    contract.equals("quota_lifted", "/http", 200);
}

fn exceptions_by_status(contract: &mut Contract) {
    for (status, exception) in [
        (400, "BadRequestError"),
        (401, "UnauthorizedError"),
        (403, "ForbiddenError"),
        (404, "NotFoundError"),
        (405, "NotAllowedError"),
        (406, "NotAcceptableError"),
        (408, "RequestTimeoutError"),
        (409, "ConflictError"),
        (413, "RequestTooLargeError"),
        (429, "TooManyRequestsError"),
        (500, "InternalServerError"),
        (502, "BadGatewayError"),
        (503, "ServiceUnavailableError"),
    ] {
        let name = format!("status_{status}");
        contract.equals(&name, "/exception", exception);
        contract.equals(&name, "/http", status);
    }
    // Not in the SDK's map: a client that trusts it takes these for answers.
    for status in [422, 504] {
        let name = format!("status_{status}");
        contract.absent(&name, "/exception");
        contract.equals(&name, "/http", status);
    }
    contract.absent("status_429", "/headers/retry-after");
    contract.equals("status_429_with_wait", "/exception", "TooManyRequestsError");
    contract.equals("status_429_with_wait", "/headers/retry-after", "7");
    contract.equals("after_the_fault", "/http", 200);
    contract.absent("none_for_404", "/exception");
    contract.equals("none_for_404", "/http", 404);
}

fn accounts(contract: &mut Contract) {
    for name in ["wrong_password", "wrong_user"] {
        contract.equals(name, "/exception", "UnauthorizedError");
        contract.starts(name, "/headers/www-authenticate", "Basic ");
    }
    contract.equals("forbidden_user", "/exception", "ForbiddenError");
}

fn distorted_answers(contract: &mut Contract) {
    let asked = |entry: usize| format!("/body/rl/entries/{entry}/query_hash/sha256");
    for (index, digit) in ["c", "b", "a"].into_iter().enumerate() {
        contract.equals("fault_shuffle", &asked(index), sha256(digit));
    }
    contract.length("fault_missing", "/body/rl/entries", 2);
    contract.equals("fault_missing", &asked(0), sha256("b"));
    contract.equals("fault_unknown_status", "/body/rl/entries/0/status", "GREYWARE");
    contract.equals("fault_unknown_status", "/body/rl/entries/0/threat_level", 5);
    contract.equals("fault_extra_fields", "/body/rl/entries/0/an_empty_field", Value::Null);
    contract.equals("fault_extra_fields", "/body/rl/entries/0/status", "MALICIOUS");
    contract.equals("fault_drop_optional", "/body/rl/entries/2", json!({"status": "KNOWN", "query_hash": {"sha256": sha256("c")}}));
    contract.equals("fault_upper", &asked(0), sha256("A"));
    contract.equals("fault_upper", "/body/rl/entries/0/md5", "A".repeat(32));
    contract.equals("fault_lower_status", "/body/rl/entries/0/status", "malicious");
}

fn broken_answers(contract: &mut Contract) {
    contract.equals("fault_html", "/http", 200);
    contract.equals("fault_html", "/not_json", "JSONDecodeError");
    contract.starts("fault_html", "/headers/content-type", "text/html");
    contract.equals("fault_cut", "/exception", "ChunkedEncodingError");
    contract.equals("fault_slow", "/http", 200);
    contract.length("fault_slow", "/body/rl/entries", 3);
}

fn turning_verdicts(contract: &mut Contract) {
    let status = "/body/rl/entries/0/status";
    contract.equals("turn_before", status, "SUSPICIOUS");
    contract.equals("turn_after", status, "MALICIOUS");
    contract.equals("turn_removed", status, "UNKNOWN");
}

fn refusals_of_the_sdk(contract: &mut Contract) {
    for name in [
        "refused_non_hex",
        "refused_sha512",
        "refused_other_length",
        "refused_empty_list",
        "refused_non_string",
        "refused_non_string_item",
        "refused_plain_http",
    ] {
        contract.equals(name, "/exception", "WrongInputError");
    }
    contract.equals("stats_after_refusals", "/requests", 0);
}

fn hosts_and_certificates(contract: &mut Contract) {
    for name in ["host_with_scheme_and_slash", "host_by_name", "unverified"] {
        contract.equals(name, "/http", 200);
    }
    for name in ["wrong_ca", "public_ca", "environment_wins"] {
        contract.equals(name, "/exception", "SSLError");
    }
    contract.equals("other_product", "/exception", "NotFoundError");
}

fn wire(contract: &mut Contract) {
    let user_agent = format!("ReversingLabs SDK v{}; FileReputation get_file_reputation", sdk::VERSION);
    for (name, method, path, query) in [
        (
            "request_single",
            "GET",
            format!("/api/databrowser/malware_presence/query/sha256/{}", "c".repeat(64)),
            "extended=true&show_hashes=false&format=json",
        ),
        ("request_bulk", "POST", "/api/databrowser/malware_presence/bulk_query/json".to_owned(), "extended=true&show_hashes=true"),
    ] {
        contract.equals(name, "/method", method);
        contract.equals(name, "/path", path);
        contract.equals(name, "/query", query);
        contract.equals(name, "/user_agent", user_agent.as_str());
    }
}
