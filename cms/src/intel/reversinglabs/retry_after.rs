//! The `Retry-After` header: whole seconds or an HTTP date. What cannot be read counts as absent.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// Longest wait a provider can ask for. Longer ones are taken as this, so that no header parks look-ups for ever.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads the header's value as a wait from `now`, at most [`RETRY_AFTER_MAX`].
#[must_use]
pub fn retry_after(value: &[u8], now: Timestamp) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // All digits and no number: more than fits, which is more than the most.
        return Some(text.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs).min(RETRY_AFTER_MAX));
    }
    let until = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let wait = Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO);
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Option<u64> {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        retry_after(value.as_bytes(), now).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read() {
        assert_eq!(parsed("7"), Some(7));
        assert_eq!(parsed(" 0 "), Some(0));
        assert_eq!(parsed("Sun, 22 Nov 2026 12:01:30 GMT"), Some(90));
        assert_eq!(parsed("Sun, 22 Nov 2026 11:00:00 GMT"), Some(0), "a date that has passed");
    }

    #[test]
    fn no_header_parks_look_ups_for_ever() {
        assert_eq!(parsed("99999999"), Some(RETRY_AFTER_MAX.as_secs()));
        assert_eq!(parsed("99999999999999999999999999"), Some(RETRY_AFTER_MAX.as_secs()));
        assert_eq!(parsed("Sun, 22 Nov 2099 12:00:00 GMT"), Some(RETRY_AFTER_MAX.as_secs()));
    }

    #[test]
    fn anything_else_counts_as_absent() {
        for value in ["", "soon", "-1", "1.5", "+3", "12 parsecs"] {
            assert_eq!(parsed(value), None, "{value:?}");
        }
        assert_eq!(retry_after(b"\xff\xfe", Timestamp::UNIX_EPOCH), None);
    }
}
