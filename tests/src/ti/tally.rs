//! What was asked: counts, and the last requests word for word so that a test can prove that only checksums leave.
//!
//! Everything is bounded. Passwords are not kept.

use std::collections::{BTreeMap, HashMap, VecDeque};

use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use serde::{Deserialize, Serialize};

use super::checksum::Checksum;
use super::question::{Question, Shape, shape_of};

/// Requests kept word for word.
const REQUESTS_KEPT_MAX: usize = 1_000;
/// Of each kept request's body; a bulk question of 100 takes some 7 KB.
const BODY_KEPT_MAX_BYTES: usize = 64 * 1024;
/// Distinct hashes whose repetitions are counted; some 50 bytes each.
const HASHES_TRACKED_MAX: usize = 2_000_000;
/// Distinct paths listed, hashes left aside: a faithful client uses two.
const PATHS_MAX: usize = 256;

/// The answer of `GET /stats`, since the start or the last `DELETE /stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Whatever their path and whatever became of them.
    pub requests: u64,
    /// To the bulk path, refused ones included.
    pub bulk_requests: u64,
    /// To the single path, refused ones included.
    pub single_requests: u64,
    /// Well-formed hashes in well-formed questions of the entitled account, whatever was answered.
    pub hashes_asked: u64,
    /// The same without repetitions.
    pub distinct_hashes_asked: u64,
    /// How often a hash was asked again.
    pub repeated_hashes: u64,
    /// Asked after the memory for distinct hashes was full; 0 means that the three above are exact.
    pub untracked_hashes: u64,
    /// Ill-formed items of bulk questions.
    pub invalid_hashes: u64,
    /// Well-formed hashes that were answered with 200 since 00:00 UTC.
    pub quota_used: u64,
    /// The same since the first of the month.
    pub quota_used_this_month: u64,
    /// HTTP status to number of requests.
    pub by_status: BTreeMap<u16, u64>,
    /// `None` before the first.
    pub last_request: Option<LastRequest>,
    /// Distinct paths in order of first use, at most 256; a checksum in a path is shown as `{hash}`.
    pub paths: Vec<String>,
}

/// Enough to check how the client speaks HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRequest {
    /// `GET`, `POST`, ...
    pub method: String,
    /// As sent, undecoded.
    pub path: String,
    /// After the `?`, in the client's order; empty when there is none.
    pub query: String,
    /// Names in lower case, without values.
    pub headers: Vec<String>,
    /// The one value worth keeping.
    pub user_agent: String,
}

/// One element of `GET /requests`, oldest first: everything that left the client but its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRequest {
    /// `GET`, `POST`, ...
    pub method: String,
    /// As sent, undecoded.
    pub path: String,
    /// After the `?`.
    pub query: String,
    /// Name to value; of `authorization` only the scheme.
    pub headers: BTreeMap<String, String>,
    /// Bytes that are not UTF-8 are replaced.
    pub body: String,
    /// The body was longer than 64 KiB and is not kept whole.
    pub body_cut: bool,
}

/// The memory behind the control plane.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    stats: Stats,
    asked: HashMap<Checksum, u64>,
    kept: VecDeque<KeptRequest>,
}

impl Tally {
    /// Once for every request that was read, with the status it was answered.
    pub(crate) fn request(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8], status: StatusCode) {
        self.stats.requests += 1;
        match shape_of(uri.path()) {
            Some(Shape::Bulk) => self.stats.bulk_requests += 1,
            Some(Shape::Single) => self.stats.single_requests += 1,
            None => {}
        }
        *self.stats.by_status.entry(status.as_u16()).or_default() += 1;
        let path = without_hashes(uri.path());
        if self.stats.paths.len() < PATHS_MAX && !self.stats.paths.contains(&path) {
            self.stats.paths.push(path);
        }
        self.stats.last_request = Some(LastRequest {
            method: method.to_string(),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            headers: headers.keys().map(|name| name.to_string()).collect(),
            user_agent: headers.get(header::USER_AGENT).map(text).unwrap_or_default(),
        });
        if self.kept.len() == REQUESTS_KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(KeptRequest {
            method: method.to_string(),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            headers: kept_headers(headers),
            body: String::from_utf8_lossy(&body[..body.len().min(BODY_KEPT_MAX_BYTES)]).into_owned(),
            body_cut: body.len() > BODY_KEPT_MAX_BYTES,
        });
    }

    /// Once for every well-formed question of the entitled account.
    pub(crate) fn question(&mut self, question: &Question) {
        let mut well_formed = 0;
        for checksum in question.checksums() {
            well_formed += 1;
            if let Some(count) = self.asked.get_mut(&checksum) {
                *count += 1;
                self.stats.repeated_hashes += 1;
            } else if self.asked.len() < HASHES_TRACKED_MAX {
                self.asked.insert(checksum, 1);
                self.stats.distinct_hashes_asked += 1;
            } else {
                self.stats.untracked_hashes += 1;
            }
        }
        self.stats.hashes_asked += well_formed;
        self.stats.invalid_hashes += question.items.len() as u64 - well_formed;
    }

    /// Without the quota, which is not the tally's.
    pub(crate) fn stats(&self) -> Stats {
        self.stats.clone()
    }

    /// How often the hash was asked, by this kind of checksum.
    pub(crate) fn asked(&self, checksum: &Checksum) -> u64 {
        self.asked.get(checksum).copied().unwrap_or(0)
    }

    /// Oldest first.
    pub(crate) fn kept(&self) -> Vec<KeptRequest> {
        self.kept.iter().cloned().collect()
    }
}

fn without_hashes(path: &str) -> String {
    let segments = path.split('/').map(|segment| if segment.parse::<Checksum>().is_ok() { "{hash}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// A name that comes twice keeps both values.
fn kept_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut kept: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = kept_value(name, value);
        kept.entry(name.to_string()).and_modify(|before| *before = format!("{before}, {value}")).or_insert(value);
    }
    kept
}

fn kept_value(name: &header::HeaderName, value: &header::HeaderValue) -> String {
    let value = text(value);
    if *name != header::AUTHORIZATION && *name != header::PROXY_AUTHORIZATION {
        return value;
    }
    let scheme = value.split(' ').next().unwrap_or_default();
    format!("{scheme} (not kept)")
}

fn text(value: &header::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(tally: &mut Tally, path: &str, body: &[u8]) {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Basic c2VjcmV0".parse().unwrap());
        headers.insert(header::USER_AGENT, "doorward/0".parse().unwrap());
        headers.append("x-note", "one".parse().unwrap());
        headers.append("x-note", "two".parse().unwrap());
        tally.request(&Method::POST, &path.parse().unwrap(), &headers, body, StatusCode::OK);
    }

    #[test]
    fn what_left_the_client_is_kept_but_not_its_password() {
        let mut tally = Tally::default();
        request(&mut tally, "/api/x?q=1", b"body \xff");
        let kept = serde_json::to_string(&tally.kept()).unwrap();
        assert!(kept.contains("doorward/0") && kept.contains("body") && kept.contains("q=1"));
        assert!(kept.contains("Basic (not kept)") && !kept.contains("c2VjcmV0"));
        let last = tally.stats().last_request.unwrap();
        assert_eq!(last.user_agent, "doorward/0");
        assert_eq!(last.headers, ["authorization", "user-agent", "x-note"]);
        assert_eq!(tally.kept()[0].headers["x-note"], "one, two");
    }

    #[test]
    fn memory_is_bounded() {
        let mut tally = Tally::default();
        let body = vec![b'x'; BODY_KEPT_MAX_BYTES + 1];
        for index in 0..REQUESTS_KEPT_MAX + 5 {
            request(&mut tally, &format!("/{index}"), if index < 6 { &body } else { b"" });
        }
        let kept = tally.kept();
        assert_eq!((kept.len(), kept[0].path.as_str()), (REQUESTS_KEPT_MAX, "/5"));
        assert_eq!((kept[0].body.len(), kept[0].body_cut), (BODY_KEPT_MAX_BYTES, true));
        assert_eq!(tally.stats().paths.len(), PATHS_MAX);
    }

    #[test]
    fn a_path_is_listed_without_its_hash_but_with_whatever_else_leaked_into_it() {
        let mut tally = Tally::default();
        let base = "/api/databrowser/malware_presence/query/sha256";
        for last in ["a".repeat(64), "B".repeat(64), "passwd".to_owned()] {
            request(&mut tally, &format!("{base}/{last}"), b"");
        }
        let stats = tally.stats();
        assert_eq!(stats.paths, [format!("{base}/{{hash}}"), format!("{base}/passwd")]);
        assert_eq!(stats.single_requests, 3);
    }
}
