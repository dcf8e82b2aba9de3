//! The dates of Release files, `Sat, 17 May 2025 09:33:47 UTC`, as apt takes them: in universal time or not at all.

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970, UTC.
pub(super) fn parse(text: &str) -> Option<i64> {
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = text.split_ascii_whitespace();
    let day = number(words.next()?, 1..=31)?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| month.eq_ignore_ascii_case(name))? as i64 + 1;
    let year = number(words.next()?, 1970..=9999)?;
    let mut clock = words.next()?.split(':');
    let (hour, minute, second) = (number(clock.next()?, 0..=23)?, number(clock.next()?, 0..=59)?, number(clock.next()?, 0..=60)?);
    let is_universal = matches!(words.next()?, "UTC" | "GMT" | "+0000" | "Z");
    let is_over = clock.next().is_none() && words.next().is_none();
    (is_universal && is_over).then(|| days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn number(text: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let is_number = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten().filter(|number| range.contains(number))
}

/// Days since 1970 by the proleptic Gregorian calendar, counting years from March so that leap days come last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_apt_reads_them() {
        assert_eq!(parse("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(parse("Sat, 17 May 2025 09:33:47 UTC"), Some(1_747_474_427));
        assert_eq!(parse("Thu, 29 Feb 2024 23:59:59 +0000"), Some(1_709_251_199));
        for text in ["", "yesterday", "Sat, 17 May 2025 09:33:47 +0200", "Sat, 17 May 2025 09:33 UTC", "Sat, 17 May 2025 09:33:47 UTC UTC"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
