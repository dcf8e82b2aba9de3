//! Times as people read them: UTC to the second, and how long ago.

use jiff::Timestamp;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// As `2026-11-22 19:07:37 UTC`.
pub(super) fn utc(at: i64) -> String {
    match Timestamp::from_microsecond(at) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => format!("{at} us since 1970"),
    }
}

/// As `5 min ago` or `in 2 h`.
pub(super) fn relative(at: i64, now: i64) -> String {
    let distance = now.saturating_sub(at);
    let length = match distance.saturating_abs() {
        length if length < SECOND => return "now".into(),
        length if length < 2 * MINUTE => format!("{} s", length / SECOND),
        length if length < 2 * HOUR => format!("{} min", length / MINUTE),
        length if length < 2 * DAY => format!("{} h", length / HOUR),
        length => format!("{} d", length / DAY),
    };
    if distance > 0 { format!("{length} ago") } else { format!("in {length}") }
}

/// Both.
pub(super) fn both(at: i64, now: i64) -> String {
    format!("{} ({})", utc(at), relative(at, now))
}

/// [`relative`], or the word for what never happened.
pub(super) fn relative_or(at: Option<i64>, now: i64, never: &str) -> String {
    at.map_or_else(|| never.to_owned(), |at| relative(at, now))
}

/// Milliseconds as `1 h 2 min`, `3 min 4 s` or `5.6 s`.
pub(super) fn length(ms: u64) -> String {
    match ms / 1000 {
        seconds if seconds >= 3600 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        seconds if seconds >= 60 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{seconds}.{} s", ms % 1000 / 100),
    }
}

/// Reads `90`, `90s`, `15m`, `24h` or `7d` as seconds.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit {
        "" | "s" => Some(1),
        "m" | "min" => Some(60),
        "h" => Some(3600),
        "d" => Some(24 * 3600),
        _ => None,
    };
    let seconds = digits.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    seconds.ok_or_else(|| format!("{text:?} is no length of time; write 90s, 15m, 24h or 7d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_utc_and_from_now() {
        let now = 1_790_000_000 * SECOND;
        assert_eq!(utc(now), "2026-09-21 14:13:20 UTC");
        assert_eq!(relative(now - 90 * SECOND, now), "90 s ago");
        assert_eq!(relative(now - 3 * HOUR, now), "3 h ago");
        assert_eq!(relative(now + 25 * HOUR, now), "in 25 h");
        assert_eq!(relative(now - 300 * DAY, now), "300 d ago");
        assert_eq!(relative(now, now), "now");
        assert_eq!(relative_or(None, now, "never"), "never");
    }

    #[test]
    fn a_clock_gone_mad_still_prints() {
        assert!(!utc(i64::MIN).is_empty() && !utc(i64::MAX).is_empty());
        assert!(!relative(i64::MIN, i64::MAX).is_empty());
    }

    #[test]
    fn lengths_are_read_and_written() {
        assert_eq!(["90", "90s", "15m", "24h", "7d"].map(|text| seconds(text).unwrap()), [90, 90, 900, 86_400, 604_800]);
        for wrong in ["", "h", "1w", "-1h", "1.5h", "99999999999999999999d", "18446744073709551615d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!([5_600, 184_000, 3_725_000].map(length), ["5.6 s", "3 min 4 s", "1 h 2 min"]);
    }
}
