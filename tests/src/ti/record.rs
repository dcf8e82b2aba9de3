//! What the simulated provider knows about one file, and the data file it is read from.
//!
//! A field left out of a record is left out of the answer, so a test can ask for a KNOWN without a trust factor.
//! Files without a record are UNKNOWN; there is no UNKNOWN record. The look-up by any of the three checksums is in
//! `catalogue`, the shape of the answer in `answer`.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::checksum::{Checksum, ChecksumKind};

/// Both scales of the vendor run from 0 to 5: trust 0 is the best, threat 5 the worst.
const FACTOR_MAX: u8 = 5;
/// The vendor's date format: UTC without a zone suffix.
const SEEN_FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

/// The three classes a record can have; the fourth, UNKNOWN, is the absence of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordStatus {
    /// Declared malware.
    Malicious,
    /// Doubted; may later become malicious or known.
    Suspicious,
    /// Presumed benign; how far to believe it is the trust factor's business.
    Known,
}

impl RecordStatus {
    /// The spelling on the wire, upper case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malicious => "MALICIOUS",
            Self::Suspicious => "SUSPICIOUS",
            Self::Known => "KNOWN",
        }
    }
}

/// The parts of a threat name, as the provider spells them out beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classification {
    /// First part up to a dash: `Script` of `Script-JS`.
    pub platform: String,
    /// Rest of the first part: `JS` of `Script-JS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subplatform: Option<String>,
    /// Second part: `Ransomware`, `PUA`, `Downloader`, ...
    #[serde(rename = "type")]
    pub threat_type: String,
    /// Third part.
    pub family_name: String,
    /// The family is a catch-all, not a named one.
    pub is_generic: bool,
    /// Present for exploits of a numbered vulnerability only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cve: Option<Cve>,
}

/// The vulnerability an exploit uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cve {
    /// A `CAN-` number of old, not yet a `CVE-`.
    pub is_candidate: bool,
    /// Four digits.
    pub year: u16,
    /// The part after the year.
    pub number: u32,
}

impl Classification {
    /// Takes `platform[-subplatform].type.family` apart; `None` when the name has another shape.
    pub fn from_threat_name(name: &str) -> Option<Self> {
        let mut parts = name.splitn(3, '.');
        let (platform, threat_type, family) = (parts.next()?, parts.next()?, parts.next()?);
        let (platform, subplatform) = match platform.split_once('-') {
            Some((platform, rest)) => (platform, Some(rest.to_owned())),
            None => (platform, None),
        };
        Some(Self {
            platform: platform.to_owned(),
            subplatform,
            threat_type: threat_type.to_owned(),
            family_name: family.to_owned(),
            is_generic: family == "Generic",
            cve: None,
        })
    }
}

/// One line of the data file, one element of `PUT /records`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The record's name; a second record with the same one replaces the first.
    pub sha256: Checksum,
    /// Makes the record answer questions by SHA-1, and shown with `show_hashes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha1: Option<Checksum>,
    /// As `sha1`, for MD5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<Checksum>,
    /// The verdict.
    pub status: RecordStatus,
    /// 0 (most trusted) to 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_factor: Option<u8>,
    /// 0 to 5 (worst).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threat_level: Option<u8>,
    /// `platform[-subplatform].type.family`; `classification` is derived from it unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threat_name: Option<String>,
    /// Engines that looked; with `scanner_match` it also gives `scanner_percent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanner_count: Option<u32>,
    /// Engines that detected, at most `scanner_count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanner_match: Option<u32>,
    /// What decided; `antivirus` is the value seen in the wild, others exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only for what cannot be derived from the threat name, such as a CVE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classification: Option<Classification>,
    /// UTC, `YYYY-MM-DDThh:mm:ss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<String>,
    /// As `first_seen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
}

impl Record {
    /// A record that says nothing but its verdict; fill in the rest by struct update.
    pub fn new(sha256: Checksum, status: RecordStatus) -> Self {
        Self {
            sha256,
            sha1: None,
            md5: None,
            status,
            trust_factor: None,
            threat_level: None,
            threat_name: None,
            scanner_count: None,
            scanner_match: None,
            reason: None,
            classification: None,
            first_seen: None,
            last_seen: None,
        }
    }

    /// Reads a data file: a JSON array, one JSON object, or JSON lines where blank lines and lines that start with `#`
    /// are skipped. The error names the line or the element.
    pub fn parse_all(text: &str) -> Result<Vec<Self>> {
        if text.trim_start().starts_with('[') {
            return Self::parse_array(text);
        }
        // One object over several lines is what a person types at the control plane.
        if let Ok(record) = serde_json::from_str::<Self>(text) {
            return Ok(vec![record.checked().context("the record")?]);
        }
        text.lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
            .map(|(index, line)| {
                let place = || format!("line {}", index + 1);
                serde_json::from_str::<Self>(line).with_context(place)?.checked().with_context(place)
            })
            .collect()
    }

    fn parse_array(text: &str) -> Result<Vec<Self>> {
        let records: Vec<Self> = serde_json::from_str(text).context("the array of records")?;
        records.into_iter().enumerate().map(|(index, record)| record.checked().with_context(|| format!("element {index}"))).collect()
    }

    /// Refuses values the provider could not have sent, so that a typing slip in a test's data is not taken for a finding.
    pub fn checked(self) -> Result<Self> {
        for (field, wanted, checksum) in [
            ("sha256", ChecksumKind::Sha256, Some(self.sha256)),
            ("sha1", ChecksumKind::Sha1, self.sha1),
            ("md5", ChecksumKind::Md5, self.md5),
        ] {
            if let Some(checksum) = checksum {
                ensure!(checksum.kind() == wanted, "{field} holds a checksum of another kind: {checksum:?}");
            }
        }
        for (field, factor) in [("trust_factor", self.trust_factor), ("threat_level", self.threat_level)] {
            ensure!(factor.is_none_or(|value| value <= FACTOR_MAX), "{field} is above {FACTOR_MAX}");
        }
        if let (Some(count), Some(matched)) = (self.scanner_count, self.scanner_match) {
            ensure!(matched <= count, "scanner_match {matched} is above scanner_count {count}");
        }
        for (field, seen) in [("first_seen", &self.first_seen), ("last_seen", &self.last_seen)] {
            if let Some(seen) = seen
                && jiff::civil::DateTime::strptime(SEEN_FORMAT, seen).is_err()
            {
                bail!("{field} is not written as YYYY-MM-DDThh:mm:ss");
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha256(digit: &str) -> String {
        digit.repeat(64)
    }

    #[test]
    fn a_data_file_is_json_lines_with_comments_or_an_array_or_one_object() {
        let line = format!(r#"{{"sha256":"{}","status":"KNOWN","trust_factor":0}}"#, sha256("c"));
        let other = format!(r#"{{"sha256":"{}","status":"MALICIOUS"}}"#, sha256("a"));
        let lines = Record::parse_all(&format!("# header\n\n{line}\n   # indented\n{other}\n")).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].trust_factor, Some(0));
        assert_eq!(lines[1].status, RecordStatus::Malicious);
        assert_eq!(Record::parse_all(&format!(" [{line},\n{other}]")).unwrap(), lines);
        let spread = line.replace(',', ",\n");
        assert_eq!(Record::parse_all(&spread).unwrap(), lines[..1]);
        assert_eq!(Record::parse_all("# nothing\n").unwrap(), []);
    }

    #[test]
    fn the_error_names_the_line_and_the_field() {
        let good = format!(r#"{{"sha256":"{}","status":"KNOWN"}}"#, sha256("c"));
        let refused = |field: &str| {
            let bad = format!(r#"{{"sha256":"{}","status":"KNOWN",{field}}}"#, sha256("d"));
            format!("{:#}", Record::parse_all(&format!("{good}\n{bad}\n")).unwrap_err())
        };
        for (field, named) in [
            (r#""trust_factor":6"#, "trust_factor"),
            (r#""threat_level":9"#, "threat_level"),
            (r#""trust":1"#, "trust"),
            (r#""scanner_count":1,"scanner_match":2"#, "scanner_match"),
            (r#""first_seen":"2026-01-02 03:04:05""#, "first_seen"),
            (r#""last_seen":"2026-13-02T03:04:05""#, "last_seen"),
            (r#""md5":"aaaa""#, "32, 40 or 64"),
            (&format!(r#""sha1":"{}""#, "a".repeat(32)), "sha1"),
        ] {
            let error = refused(field);
            assert!(error.starts_with("line 2") && error.contains(named), "{field}: {error}");
        }
    }

    #[test]
    fn unknown_is_not_a_record() {
        let text = format!(r#"[{{"sha256":"{}","status":"UNKNOWN"}}]"#, sha256("f"));
        assert!(format!("{:#}", Record::parse_all(&text).unwrap_err()).contains("UNKNOWN"));
    }

    #[test]
    fn a_threat_name_comes_apart_into_its_classification() {
        let script = Classification::from_threat_name("Script-JS.Downloader.Nemucod").unwrap();
        assert_eq!(
            (script.platform.as_str(), script.subplatform.as_deref(), script.threat_type.as_str()),
            ("Script", Some("JS"), "Downloader")
        );
        assert!(!script.is_generic);
        assert!(Classification::from_threat_name("Linux.PUA.Generic").unwrap().is_generic);
        assert_eq!(Classification::from_threat_name("EICAR"), None);
    }

    #[test]
    fn the_example_file_is_well_formed() {
        let records = Record::parse_all(include_str!("../../data/ti/records.jsonl")).unwrap();
        assert_eq!(records.len(), 6);
    }
}
