//! The words of enums, as they stand in JSON, for sentences.

use serde::Serialize;

/// The word of a value that is one word in JSON; its JSON otherwise.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}
