//! The body of the bulk query: SHA-256 digests in lower-case hexadecimal and nothing else.

use doorward_policy::Sha256;
use serde_json::json;

/// Most hashes the documentation allows in one request.
pub const HASHES_MAX: usize = 100;

/// Path and query below a base URL. The extended answer is the only one with a trust factor; without `format` the server
/// would answer in XML.
pub const BULK_QUERY: &str = "api/databrowser/malware_presence/bulk_query/json?extended=true&show_hashes=true&format=json";

/// Writes the question for `files`.
#[must_use]
pub fn question(files: &[Sha256]) -> String {
    let hashes: Vec<String> = files.iter().map(Sha256::to_string).collect();
    json!({ "rl": { "query": { "hash_type": "sha256", "hashes": hashes } } }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_holds_checksums_and_nothing_else() {
        let text = question(&[Sha256::new([0xAB; 32]), Sha256::EMPTY]);
        let (ab, empty) = ("ab".repeat(32), Sha256::EMPTY.to_string());
        assert_eq!(text, format!(r#"{{"rl":{{"query":{{"hash_type":"sha256","hashes":["{ab}","{empty}"]}}}}}}"#));
    }
}
