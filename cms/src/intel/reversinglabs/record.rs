//! One record of an answer, read with trust in nothing: every field but `status` and `query_hash` may be absent, null, of
//! another type or out of range, and whatever cannot be read never makes a file look better. A `status` nobody documented says
//! nothing: such a record names a file and answers nothing about it.

use doorward_policy::reputation::FACTOR_MAX;
use doorward_policy::{Class, Md5, Reputation, Sha1, Sha256};
use serde_json::{Map, Value};

use crate::intel::Outcome;

/// Longest threat name kept, in bytes; the wire's limit too.
pub const THREAT_NAME_BYTES_MAX: usize = 255;

/// Largest record kept as it came, in bytes of JSON. Of a larger one only the documented scalar fields are kept.
pub const RAW_BYTES_MAX: usize = 16 * 1024;

/// A record that names the file it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The hash that was asked, which need not be one of the sample's own.
    pub file: Sha256,
    /// What is said about it; `None` when `status` is none of the documented words.
    pub outcome: Option<Outcome>,
}

/// Reads a record; `None` when it does not say which SHA-256 it answers or has no status.
#[must_use]
pub fn record(value: &Value) -> Option<Record> {
    let fields = value.as_object()?;
    let file = fields.get("query_hash")?.as_object()?.get("sha256")?.as_str()?;
    let file = Sha256::from_hex(file.trim().as_bytes())?;
    // SECURITY: a word this program does not know may be a new name for a threat. Read as UNKNOWN it could be allowed by a rule.
    let outcome = class(fields.get("status")?.as_str()?).map(|class| outcome(class, fields));
    Some(Record { file, outcome })
}

fn outcome(class: Class, fields: &Map<String, Value>) -> Outcome {
    let sha1 = digest(fields, "sha1").and_then(Sha1::from_hex);
    let md5 = digest(fields, "md5").and_then(Md5::from_hex);
    Outcome { reputation: reputation(class, fields), raw: raw(fields), sha1, md5 }
}

fn class(status: &str) -> Option<Class> {
    let classes =
        [("MALICIOUS", Class::Malicious), ("SUSPICIOUS", Class::Suspicious), ("KNOWN", Class::Known), ("UNKNOWN", Class::Unknown)];
    classes.into_iter().find(|(word, _)| status.trim().eq_ignore_ascii_case(word)).map(|(_, class)| class)
}

fn reputation(class: Class, fields: &Map<String, Value>) -> Reputation {
    let is_threat = matches!(class, Class::Malicious | Class::Suspicious);
    Reputation {
        class,
        // A factor says how far a known file is trusted; beside another class it would only tempt a reader.
        trust_factor: factor(fields, "trust_factor").filter(|_| class == Class::Known),
        threat_level: factor(fields, "threat_level").filter(|_| is_threat),
        threat_name: threat_name(fields).filter(|_| is_threat),
    }
}

/// 0..=5, or nothing: a factor out of range is not squeezed into it, since 0 is the best there is.
fn factor(fields: &Map<String, Value>, name: &str) -> Option<u8> {
    let factor = u8::try_from(fields.get(name)?.as_u64()?).ok()?;
    (factor <= FACTOR_MAX).then_some(factor)
}

fn threat_name(fields: &Map<String, Value>) -> Option<String> {
    let mut name: String = fields.get("threat_name")?.as_str()?.chars().filter(|character| !character.is_control()).collect();
    name.truncate(name.floor_char_boundary(THREAT_NAME_BYTES_MAX));
    (!name.is_empty()).then_some(name)
}

fn digest<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a [u8]> {
    fields.get(name)?.as_str().map(str::as_bytes)
}

fn raw(fields: &Map<String, Value>) -> String {
    let whole = Value::Object(fields.clone()).to_string();
    if whole.len() <= RAW_BYTES_MAX {
        return whole;
    }
    const KEPT: [&str; 14] = [
        "status",
        "query_hash",
        "md5",
        "sha1",
        "sha256",
        "threat_level",
        "trust_factor",
        "threat_name",
        "reason",
        "scanner_count",
        "scanner_match",
        "scanner_percent",
        "first_seen",
        "last_seen",
    ];
    /// Bytes of JSON one kept field may have, so that all of them fit.
    const FIELD_BYTES_MAX: usize = 512;
    let kept = fields.iter().filter(|(name, value)| KEPT.contains(&name.as_str()) && value.to_string().len() <= FIELD_BYTES_MAX);
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
}

#[cfg(test)]
mod tests;
