//! Walking DER: one element after the other, each with its bytes as they stand in the file.

use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};

use super::fault::{Fault, Part};

/// One element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    class: Class,
    tag: Tag,
    /// Tag, length and content.
    pub(super) whole: &'a [u8],
    pub(super) content: &'a [u8],
}

/// The elements of a sequence or set that are left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// What is to blame when they are not what was expected.
    part: Part,
}

impl<'a> Element<'a> {
    pub(super) fn is(&self, tag: Tag) -> bool {
        self.class == Class::Universal && self.tag == tag
    }

    /// Whether it carries this context-specific tag.
    pub(super) fn is_context(&self, number: u32) -> bool {
        self.class == Class::ContextSpecific && self.tag == Tag(number)
    }

    /// Reads what is inside.
    pub(super) const fn inside(&self, part: Part) -> Reader<'a> {
        Reader::new(self.content, part)
    }
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8], part: Part) -> Self {
        Self { bytes, part }
    }

    pub(super) const fn fault(&self) -> Fault {
        Fault::Malformed(self.part)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left, unread.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn next(&mut self) -> Result<Element<'a>, Fault> {
        let (rest, any) = Any::from_der(self.bytes).map_err(|_| self.fault())?;
        let whole = self.bytes.get(..self.bytes.len().saturating_sub(rest.len())).unwrap_or_default();
        self.bytes = rest;
        Ok(Element { class: any.class(), tag: any.tag(), whole, content: any.data })
    }

    pub(super) fn expect(&mut self, tag: Tag) -> Result<Element<'a>, Fault> {
        let element = self.next()?;
        if element.is(tag) { Ok(element) } else { Err(self.fault()) }
    }

    pub(super) fn sequence(&mut self) -> Result<Reader<'a>, Fault> {
        Ok(self.expect(Tag::Sequence)?.inside(self.part))
    }

    pub(super) fn set(&mut self) -> Result<Reader<'a>, Fault> {
        Ok(self.expect(Tag::Set)?.inside(self.part))
    }

    /// The bytes of an object identifier.
    pub(super) fn oid(&mut self) -> Result<&'a [u8], Fault> {
        Ok(self.expect(Tag::Oid)?.content)
    }

    /// The next element if it carries this context-specific tag.
    pub(super) fn context(&mut self, number: u32) -> Result<Option<Element<'a>>, Fault> {
        let mut ahead = *self;
        if ahead.is_empty() {
            return Ok(None);
        }
        let element = ahead.next()?;
        if !element.is_context(number) {
            return Ok(None);
        }
        *self = ahead;
        Ok(Some(element))
    }
}

/// An algorithm's identifier and whatever follows it.
pub(super) fn algorithm<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], Reader<'a>), Fault> {
    let mut algorithm = reader.sequence()?;
    Ok((algorithm.oid()?, algorithm))
}

/// A `UTCTime` or `GeneralizedTime`, in seconds since 1970, UTC; only with seconds and `Z`, fractions cut off.
pub(super) fn time(element: &Element<'_>) -> Option<i64> {
    let text = std::str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
    let text = text.split_once('.').map_or(text, |(whole, _)| whole);
    let (year, rest) = if element.is(Tag::UtcTime) {
        let year = number(text.get(..2)?)?;
        (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
    } else if element.is(Tag::GeneralizedTime) {
        (number(text.get(..4)?)?, text.get(4..)?)
    } else {
        return None;
    };
    if rest.len() != 10 || !rest.is_ascii() {
        return None;
    }
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| number(&rest[at..at + 2]));
    let (month, day, hour, minute, second) = (month?, day?, hour?, minute?, second?);
    let is_real = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    is_real.then(|| days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn number(digits: &str) -> Option<i64> {
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Of the Gregorian calendar, counted in eras of 400 years that begin in March.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Option<i64> {
        let bytes = [&[tag, text.len() as u8], text.as_bytes()].concat();
        time(&Reader::new(&bytes, Part::TimeStamp).next().unwrap())
    }

    #[test]
    fn times_are_read_to_the_second() {
        assert_eq!(seconds(23, "700101000000Z"), Some(0));
        assert_eq!(seconds(23, "250610222919Z"), Some(1_749_594_559));
        assert_eq!(seconds(24, "20250610222919.917Z"), Some(1_749_594_559));
        assert_eq!(seconds(24, "20000229000000Z"), Some(951_782_400));
        for wrong in ["2506102229Z", "250610222919", "250610222919+0100", "251310222919Z", "2506102229\u{e9}Z", ""] {
            assert_eq!(seconds(23, wrong), None, "{wrong}");
        }
    }
}
