//! What a client asks: the two paths of TCA-0101, their three query parameters and the body of a bulk question.
//!
//! Reads untrusted bytes; every deviation is a `Refusal`, never a panic. Whether the question may be answered (account,
//! limit, quota) is decided in `service`.

use axum::http::{Method, Uri};
use serde::Deserialize;

use super::checksum::{Checksum, ChecksumKind};
use super::refusal::Refusal;
use super::xml;

const ENDPOINT: [&str; 3] = ["api", "databrowser", "malware_presence"];

/// Single questions answer `rl.malware_presence`, bulk ones `rl.entries[]` and `rl.invalid_hashes[]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Single,
    Bulk,
}

/// Of the answer, and of the body of a bulk question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Xml,
    Json,
}

/// One hash as it was spelled; answers repeat the spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) text: String,
    /// `None` when it is ill-formed or of another kind than the question.
    pub(crate) checksum: Option<Checksum>,
}

/// A well-formed question; some of its items may still be ill-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) shape: Shape,
    pub(crate) kind: ChecksumKind,
    pub(crate) items: Vec<Item>,
    /// Of the answer.
    pub(crate) format: Format,
    /// False, the default, leaves a record with its status alone: no trust factor, no threat level.
    pub(crate) extended: bool,
    /// True adds all three checksums of a file that is known.
    pub(crate) show_hashes: bool,
}

/// Which endpoint a path names, whatever the method and the rest of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint<'a> {
    Single { kind: &'a str, hash: &'a str },
    Bulk { post_format: &'a str },
}

impl<'a> Endpoint<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        match parts.strip_prefix(&ENDPOINT)? {
            ["query", kind, hash] => Some(Self::Single { kind, hash }),
            ["bulk_query", post_format] => Some(Self::Bulk { post_format }),
            _ => None,
        }
    }
}

/// For the tally, which counts refused questions too.
pub(crate) fn shape_of(path: &str) -> Option<Shape> {
    Some(match Endpoint::of(path)? {
        Endpoint::Single { .. } => Shape::Single,
        Endpoint::Bulk { .. } => Shape::Bulk,
    })
}

impl Question {
    /// The `Content-Type` of a bulk question is not looked at: the documentation and the SDK disagree on it.
    pub(crate) fn parse(method: &Method, uri: &Uri, body: &[u8]) -> Result<Self, Refusal> {
        let parameters = Parameters::parse(uri.query().unwrap_or_default())?;
        match Endpoint::of(uri.path()).ok_or(Refusal::NotFound)? {
            Endpoint::Single { .. } if method != Method::GET => Err(Refusal::MethodNotAllowed { allow: "GET" }),
            Endpoint::Bulk { .. } if method != Method::POST => Err(Refusal::MethodNotAllowed { allow: "POST" }),
            Endpoint::Single { kind, hash } => {
                let kind = kind_named(kind)?;
                let item = Item::new(kind, hash.to_owned());
                if item.checksum.is_none() {
                    return Err(malformed("the hash is not one of the type in the path"));
                }
                // The documentation's default; a client that wants JSON has to say so.
                let format = parameters.format.unwrap_or(Format::Xml);
                Ok(Self::new(Shape::Single, kind, vec![item], format, &parameters))
            }
            Endpoint::Bulk { post_format } => {
                let post_format = format_named(post_format)?;
                let (kind, hashes) = match post_format {
                    Format::Json => read_json(body)?,
                    Format::Xml => xml::read_bulk(body).map_err(|error| malformed(error.to_string()))?,
                };
                let kind = kind_named(&kind)?;
                let items = hashes.into_iter().map(|text| Item::new(kind, text)).collect();
                let format = parameters.format.unwrap_or(post_format);
                Ok(Self::new(Shape::Bulk, kind, items, format, &parameters))
            }
        }
    }

    fn new(shape: Shape, kind: ChecksumKind, items: Vec<Item>, format: Format, parameters: &Parameters) -> Self {
        Self { shape, kind, items, format, extended: parameters.extended, show_hashes: parameters.show_hashes }
    }

    /// The well-formed hashes, repetitions included: what the quota and the tally count.
    pub(crate) fn checksums(&self) -> impl Iterator<Item = Checksum> {
        self.items.iter().filter_map(|item| item.checksum)
    }
}

impl Item {
    fn new(kind: ChecksumKind, text: String) -> Self {
        let checksum = text.parse().ok().filter(|checksum: &Checksum| checksum.kind() == kind);
        Self { text, checksum }
    }
}

/// The query string; parameters the API does not have are tolerated, as web services do.
#[derive(Debug, Default)]
struct Parameters {
    format: Option<Format>,
    extended: bool,
    show_hashes: bool,
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let mut parameters = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "format" => parameters.format = Some(format_named(value)?),
                "extended" => parameters.extended = flag(name, value)?,
                "show_hashes" => parameters.show_hashes = flag(name, value)?,
                _ => {}
            }
        }
        Ok(parameters)
    }
}

#[derive(Deserialize)]
struct BulkBody {
    rl: BulkRoot,
}

#[derive(Deserialize)]
struct BulkRoot {
    query: BulkQuery,
}

#[derive(Deserialize)]
struct BulkQuery {
    hash_type: String,
    hashes: Vec<String>,
}

fn read_json(body: &[u8]) -> Result<(String, Vec<String>), Refusal> {
    let body: BulkBody = serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    Ok((body.rl.query.hash_type, body.rl.query.hashes))
}

fn kind_named(name: &str) -> Result<ChecksumKind, Refusal> {
    ChecksumKind::from_name(name).ok_or_else(|| malformed("the hash type is none of md5, sha1, sha256"))
}

fn format_named(name: &str) -> Result<Format, Refusal> {
    match name {
        "json" => Ok(Format::Json),
        "xml" => Ok(Format::Xml),
        _ => Err(malformed("the format is neither json nor xml")),
    }
}

fn flag(name: &str, value: &str) -> Result<bool, Refusal> {
    value.parse().map_err(|_| malformed(format!("{name} is neither true nor false")))
}

fn malformed(reason: impl Into<String>) -> Refusal {
    Refusal::Malformed(reason.into())
}

#[cfg(test)]
mod tests;
