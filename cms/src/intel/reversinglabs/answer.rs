//! A whole bulk answer: found by the hash that was asked, never by its place in the list. Pure: bytes in, items out.

use std::collections::{HashMap, HashSet};

use doorward_policy::{Class, Reputation, Sha256};
use serde_json::Value;

use super::record::{Record, record};
use crate::intel::{Item, Outcome};

/// Why bytes are no answer at all. The bytes themselves are never quoted: they are somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// A web page, XML, or a body that was cut.
    #[error("the body is not JSON ({} bytes, {what})", .length)]
    NotJson {
        /// Bytes in the body.
        length: usize,
        /// What it looks like.
        what: &'static str,
    },
    /// JSON of something else.
    #[error("the body has no rl.entries")]
    NoEntries,
}

/// The items of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Items {
    /// For asked files only, each at most once; what is missing was not answered.
    pub items: Vec<(Sha256, Item)>,
    /// Entries with a status that is none of the documented words. They answer nothing, and nothing in the same body that makes the
    /// file look better than a threat counts beside them.
    pub unknown_statuses: u64,
}

/// Reads the body of a 200 to the question about `asked`.
///
/// # Errors
/// When the body is not a bulk answer at all. Then nothing was said about any file.
pub fn answer(body: &[u8], asked: &[Sha256]) -> Result<Items, AnswerError> {
    let body: Value = serde_json::from_slice(body).map_err(|_| AnswerError::NotJson { length: body.len(), what: looks_like(body) })?;
    let rl = body.get("rl").ok_or(AnswerError::NoEntries)?;
    let entries = rl.get("entries").and_then(Value::as_array).ok_or(AnswerError::NoEntries)?;
    let asked: HashSet<Sha256> = asked.iter().copied().collect();
    let mut answered: HashMap<Sha256, Item> = HashMap::new();
    let (mut unknown_statuses, mut odd) = (0, HashSet::new());
    for Record { file, outcome } in entries.iter().filter_map(record).filter(|record| asked.contains(&record.file)) {
        if let Some(outcome) = outcome {
            keep_worse(&mut answered, file, outcome);
        } else {
            unknown_statuses += 1;
            odd.insert(file);
        }
    }
    for file in listed(rl, "invalid_hashes").filter(|file| asked.contains(file)) {
        answered.entry(file).or_insert(Item::Refused);
    }
    for file in listed(rl, "unknown_hashes").filter(|file| asked.contains(file)) {
        answered.entry(file).or_insert_with(|| Item::Answered(unknown(file)));
    }
    answered.retain(|file, item| !odd.contains(file) || matches!(item, Item::Answered(outcome) if outcome.reputation.is_threat()));
    Ok(Items { items: answered.into_iter().collect(), unknown_statuses })
}

/// An answer that contradicts itself counts as the worse of what it says.
fn keep_worse(answered: &mut HashMap<Sha256, Item>, file: Sha256, outcome: Outcome) {
    let better =
        matches!(answered.get(&file), Some(Item::Answered(earlier)) if badness(&earlier.reputation) >= badness(&outcome.reputation));
    if !better {
        answered.insert(file, Item::Answered(outcome));
    }
}

/// Larger is worse. Among files without a threat "known" is not better than "unknown" unless it is trusted.
fn badness(reputation: &Reputation) -> (u8, u8) {
    match reputation.class {
        Class::Malicious => (3, reputation.threat_level.unwrap_or(0)),
        Class::Suspicious => (2, reputation.threat_level.unwrap_or(0)),
        Class::Unknown => (1, 0),
        Class::Known => (u8::from(!reputation.is_trusted()), reputation.trust_factor.unwrap_or(u8::MAX)),
    }
}

/// Hashes in a list beside the entries; such a list may be absent, null or hold anything.
fn listed<'a>(rl: &'a Value, name: &str) -> impl Iterator<Item = Sha256> + use<'a> {
    let list = rl.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|hash| Sha256::from_hex(hash.as_str()?.trim().as_bytes()))
}

fn unknown(file: Sha256) -> Outcome {
    Outcome {
        reputation: Reputation { class: Class::Unknown, trust_factor: None, threat_level: None, threat_name: None },
        raw: serde_json::json!({ "unknown_hashes": [file] }).to_string(),
        sha1: None,
        md5: None,
    }
}

fn looks_like(body: &[u8]) -> &'static str {
    let start: Vec<u8> = body.iter().copied().skip_while(u8::is_ascii_whitespace).take(14).collect::<Vec<_>>().to_ascii_lowercase();
    match start.first() {
        None => "empty",
        Some(_) if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") => "a web page",
        Some(b'<') => "XML",
        Some(b'{' | b'[') => "cut or damaged",
        Some(_) => "neither JSON nor XML",
    }
}

#[cfg(test)]
mod tests;
