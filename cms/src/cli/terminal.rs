//! What reaches a screen: nothing that steers it. Every cell and sentence goes through [`shown`]; JSON is written so that it is safe on
//! a terminal too.

use std::fmt::Write as _;

use doorward_policy::PathBytes;
use serde_json::Value;

/// The text with everything escaped that is no plain character: control characters, and those that hide or turn text around.
/// Backslashes stay as they are, since paths arrive escaped.
pub(super) fn shown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_graphic() || character == ' ' {
            safe.push(character);
        } else {
            let mut utf8 = [0; 4];
            let _ = write!(safe, "{}", PathBytes::new(character.encode_utf8(&mut utf8).as_bytes()));
        }
    }
    safe
}

/// One line of JSON.
pub(super) fn json_line(value: &Value) -> String {
    screen_safe(&value.to_string())
}

/// Indented JSON, for a person.
pub(super) fn json_block(value: &Value) -> String {
    screen_safe(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// serde_json escapes what JSON must; terminals also act on DEL, C1 controls and direction marks. Such characters only occur inside
/// strings, where `\u` says the same.
fn screen_safe(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        let plain = character.is_ascii_graphic()
            || matches!(character, ' ' | '\n')
            || shown(character.encode_utf8(&mut [0; 4])).len() == character.len_utf8();
        if plain {
            safe.push(character);
            continue;
        }
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            let _ = write!(safe, "\\u{unit:04x}");
        }
    }
    safe
}

/// Bytes in the unit that keeps the number short.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes, 0);
    while value >= 1024 * 1024 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024, unit + 1);
    }
    format!("{}.{} {}", value / 1024, value % 1024 * 10 / 1024, UNITS[unit])
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        assert_eq!(shown("a\u{1b}[2Jb\nc\u{9b}d\u{202e}e\u{7f}"), r"a\x1b[2Jb\nc\xc2\x9bd\xe2\x80\xaee\x7f");
        assert_eq!(shown(r"/opt/\xff größe 大"), r"/opt/\xff größe 大", "escaped paths and plain words stay as they are");
    }

    #[test]
    fn json_is_safe_on_a_terminal_and_reads_back_the_same() {
        let value = serde_json::json!({"name": "a\u{1b}\u{9b}\u{202e}\u{7f}\u{e0001}", "plain": "größe\\"});
        let line = json_line(&value);
        assert!(!line.chars().any(char::is_control) && !line.contains('\u{202e}'), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
        assert_eq!(serde_json::from_str::<Value>(&json_block(&value)).unwrap(), value);
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1023, 1024, 1536, 5 << 30].map(size), ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 GiB"]);
        assert_eq!(size(u64::MAX), "16383.9 PiB");
    }
}
