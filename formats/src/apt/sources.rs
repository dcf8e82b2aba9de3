//! Where apt gets packages from: one-line files (`*.list`) and deb822 files (`*.sources`), see `sources.list(5)`. A source that is
//! not understood is told and passed over, so it earns nothing.

use doorward_policy::KeyFingerprint;

use crate::StanzaProblem;
use crate::deb822::Stanzas;

/// Bytes of a value; an embedded key may have some ten kilobytes.
const VALUE_BYTES_MAX: usize = 1 << 20;

/// Sources taken from one file.
const SOURCES_MAX: usize = 4096;

/// What the administrator says of a source's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trusted {
    /// Nothing: the signature decides.
    #[default]
    BySignature,
    /// `trusted=yes`: apt takes it without looking. It never counts here.
    Always,
    /// `trusted=no`: apt takes nothing from it without asking.
    Never,
}

/// Whose signature counts for a source; the keys apt trusts for all sources when all of it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignedBy {
    /// Absolute paths of keyrings.
    pub keyrings: Vec<String>,
    /// Keys of those keyrings, or of the ones for all sources; any of them when empty.
    pub fingerprints: Vec<KeyFingerprint>,
    /// A key that stands in the source itself, armoured.
    pub embedded: Option<Vec<u8>>,
}

/// Where binary packages come from: one suite at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The repository's address.
    pub uri: String,
    /// The suite; a path when it ends in a slash.
    pub suite: String,
    /// See [`Trusted`].
    pub trusted: Trusted,
    /// See [`SignedBy`].
    pub signed_by: SignedBy,
}

/// A source that was passed over.
#[derive(Debug, thiserror::Error)]
pub enum SourceProblem {
    /// Not in the form of a source.
    #[error("line {0} is no source")]
    Line(usize),
    /// A stanza is damaged; the rest of the file is not read.
    #[error(transparent)]
    Stanza(#[from] StanzaProblem),
    /// Neither an absolute path nor a fingerprint, nor a key.
    #[error("Signed-By is neither a path, a fingerprint nor a key")]
    SignedBy,
    /// A field that every source has is missing.
    #[error("a source without {0}")]
    Missing(&'static str),
    /// More than any file has.
    #[error("more than {SOURCES_MAX} sources")]
    TooMany,
}

/// Sources of one file.
#[derive(Debug, Default)]
pub struct Sources {
    /// Of binary packages, enabled.
    pub sources: Vec<Source>,
    /// What was passed over.
    pub problems: Vec<SourceProblem>,
}

impl Sources {
    /// Reads a `*.list` file.
    #[must_use]
    pub fn of_lines(text: &[u8]) -> Self {
        let mut found = Self::default();
        for (at, line) in String::from_utf8_lossy(text).lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            match one_line(line) {
                Ok(Some(source)) => found.add(source),
                Ok(None) => {}
                Err(None) => found.problems.push(SourceProblem::Line(at + 1)),
                Err(Some(problem)) => found.problems.push(problem),
            }
            if found.is_full() {
                break;
            }
        }
        found
    }

    /// Reads a `*.sources` file.
    #[must_use]
    pub fn of_stanzas(text: &[u8]) -> Self {
        let mut found = Self::default();
        let fields = ["Types", "URIs", "Suites", "Trusted", "Signed-By", "Enabled"];
        let mut stanzas = Stanzas::new(text, fields, VALUE_BYTES_MAX).with_comments();
        loop {
            match stanzas.next() {
                Ok(None) => return found,
                Ok(Some(stanza)) => {
                    let stanza = stanza.map(|value| value.map(|value| String::from_utf8_lossy(&value).into_owned()));
                    if let Err(problem) = found.stanza(&stanza) {
                        found.problems.push(problem);
                    }
                }
                Err(problem) => {
                    found.problems.push(problem.into());
                    return found;
                }
            }
            if found.is_full() {
                return found;
            }
        }
    }

    fn stanza(&mut self, [types, uris, suites, trusted, signed_by, enabled]: &[Option<String>; 6]) -> Result<(), SourceProblem> {
        let is_off = enabled.as_deref().is_some_and(|word| yes_or_no(word) == Some(false));
        if is_off || !words(types, "Types")?.any(|kind| kind == "deb") {
            return Ok(());
        }
        let signed_by = signed_by.as_deref().map_or(Ok(SignedBy::default()), signers)?;
        let trusted = trusted.as_deref().map_or(Trusted::BySignature, trust);
        for uri in words(uris, "URIs")? {
            for suite in words(suites, "Suites")? {
                self.add(Source { uri: uri.to_owned(), suite: suite.to_owned(), trusted, signed_by: signed_by.clone() });
            }
        }
        Ok(())
    }

    fn add(&mut self, source: Source) {
        if self.sources.len() < SOURCES_MAX {
            self.sources.push(source);
        } else if !self.is_full() {
            self.problems.push(SourceProblem::TooMany);
        }
    }

    fn is_full(&self) -> bool {
        matches!(self.problems.last(), Some(SourceProblem::TooMany)) || self.problems.len() >= SOURCES_MAX
    }
}

/// `Ok(None)` for a source of source packages.
fn one_line(line: &str) -> Result<Option<Source>, Option<SourceProblem>> {
    let (kind, rest) = line.split_once(char::is_whitespace).ok_or(None)?;
    match kind {
        "deb" => {}
        "deb-src" => return Ok(None),
        _ => return Err(None),
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(None)?,
        None => ("", rest),
    };
    let (mut trusted, mut signed_by) = (Trusted::BySignature, SignedBy::default());
    for option in options.split_whitespace() {
        let (name, value) = option.split_once('=').ok_or(None)?;
        match name.trim_end_matches(['+', '-']).to_ascii_lowercase().as_str() {
            "trusted" => trusted = trust(value),
            "signed-by" => signed_by = signers(value).map_err(Some)?,
            _ => {}
        }
    }
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next().ok_or(None)?, words.next().ok_or(None)?);
    Ok(Some(Source { uri: uri.to_owned(), suite: suite.to_owned(), trusted, signed_by }))
}

fn words<'a>(value: &'a Option<String>, name: &'static str) -> Result<impl Iterator<Item = &'a str>, SourceProblem> {
    value.as_ref().map(|value| value.split_whitespace()).ok_or(SourceProblem::Missing(name))
}

fn trust(word: &str) -> Trusted {
    match yes_or_no(word) {
        Some(true) => Trusted::Always,
        Some(false) => Trusted::Never,
        None => Trusted::BySignature,
    }
}

fn yes_or_no(word: &str) -> Option<bool> {
    match word.trim().to_ascii_lowercase().as_str() {
        "yes" | "true" | "with" | "on" | "enable" | "1" => Some(true),
        "no" | "false" | "without" | "off" | "disable" | "0" => Some(false),
        _ => None,
    }
}

fn signers(value: &str) -> Result<SignedBy, SourceProblem> {
    let mut signed_by = SignedBy::default();
    if value.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        let lines = value.lines().map(|line| if line.trim() == "." { "" } else { line.trim() });
        signed_by.embedded = Some(lines.collect::<Vec<_>>().join("\n").trim().as_bytes().to_vec());
        return Ok(signed_by);
    }
    for word in value.split(|byte: char| byte == ',' || byte.is_whitespace()).filter(|word| !word.is_empty()) {
        if word.starts_with('/') {
            signed_by.keyrings.push(word.to_owned());
        } else {
            // With a mark behind it, apt means this very key and none of its subkeys; here the primary key is named either way.
            let fingerprint = word.trim_end_matches('!').parse().map_err(|_| SourceProblem::SignedBy)?;
            signed_by.fingerprints.push(fingerprint);
        }
    }
    if signed_by == SignedBy::default() { Err(SourceProblem::SignedBy) } else { Ok(signed_by) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "4CB50190207B4758A3F73A796ED0E7B82643E131";

    #[test]
    fn one_line_sources_are_read_with_their_options() {
        let text = "# comment\ndeb http://deb.debian.org/debian bookworm main # trailing\n\
             deb-src http://deb.debian.org/debian bookworm main\n\
             deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] https://x.example/apt ./\n\
             deb [trusted=yes] file:/srv/mine ./\nnonsense\ndeb [trusted=yes\n";
        let found = Sources::of_lines(text.as_bytes());
        let [debian, signed, trusted] = &*found.sources else { panic!("{found:?}") };
        assert_eq!((debian.uri.as_str(), debian.suite.as_str()), ("http://deb.debian.org/debian", "bookworm"));
        assert_eq!(signed.signed_by.keyrings, ["/usr/share/keyrings/x.gpg"]);
        assert_eq!((signed.suite.as_str(), trusted.trusted), ("./", Trusted::Always));
        assert_eq!(found.problems.len(), 2);
    }

    #[test]
    fn stanzas_are_read_with_paths_fingerprints_and_embedded_keys() {
        let text = format!(
            "Types: deb deb-src\nURIs: http://a.example/debian\n http://b.example/debian\nSuites: stable stable-updates\nComponents: main\n\
             Signed-By: {KEY}!\n\n# off\nTypes: deb\nURIs: http://c.example\nSuites: x\nEnabled: no\n\n\
             Types: deb\nURIs: http://d.example\nSuites: /\nTrusted: yes\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n \
             -----END PGP PUBLIC KEY BLOCK-----\n"
        );
        let found = Sources::of_stanzas(text.as_bytes());
        assert!(found.problems.is_empty(), "{found:?}");
        assert_eq!(found.sources.len(), 5);
        assert_eq!(found.sources[0].signed_by.fingerprints, [KEY.parse().unwrap()]);
        let last = &found.sources[4];
        assert_eq!(last.trusted, Trusted::Always);
        assert_eq!(
            last.signed_by.embedded.as_deref(),
            Some(&b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----"[..])
        );
    }

    #[test]
    fn a_signer_that_is_not_understood_makes_the_source_none() {
        let found = Sources::of_stanzas(b"Types: deb\nURIs: http://a.example\nSuites: x\nSigned-By: keyring.gpg\n");
        assert!(found.sources.is_empty());
        assert!(matches!(*found.problems, [SourceProblem::SignedBy]));
    }
}
