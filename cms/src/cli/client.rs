//! The command line's side of the API: HTTP/1.1 over the server's unix socket, with a bound on how long and how large an answer may be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::Value;

use super::failure::Failure;
use crate::api::Problem;

/// Longest wait for an answer; a little more than the server itself allows.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(75);

/// Largest answer read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A client of one server.
pub(super) struct Client {
    http: reqwest::Client,
    socket: PathBuf,
}

/// Names and values behind the question mark.
pub(super) type Query<'q> = &'q [(&'q str, String)];

impl Client {
    pub(super) fn new(socket: &Path) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            // No TLS on a unix socket: without this every command would read the system's certificates first.
            .tls_certs_only(std::iter::empty())
            .timeout(ANSWER_TIMEOUT)
            .build()
            .map_err(|error| Failure::unreachable(socket, &error))?;
        Ok(Self { http, socket: socket.to_owned() })
    }

    pub(super) async fn get(&self, path: &[&str], query: Query<'_>) -> Result<Value, Failure> {
        self.ask(Method::GET, path, query, None).await
    }

    pub(super) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, &[], Some(body)).await
    }

    pub(super) async fn put(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.ask(Method::PUT, path, &[], Some(body)).await
    }

    pub(super) async fn patch(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.ask(Method::PATCH, path, &[], Some(body)).await
    }

    pub(super) async fn delete(&self, path: &[&str]) -> Result<Value, Failure> {
        self.ask(Method::DELETE, path, &[], None).await
    }

    async fn ask(&self, method: Method, path: &[&str], query: Query<'_>, body: Option<&Value>) -> Result<Value, Failure> {
        let mut request = self.http.request(method, url(path, query));
        if let Some(body) = body {
            request = request.json(body);
        }
        let lost = |error: reqwest::Error| Failure::unreachable(&self.socket, &error);
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Failure::answer(format!("it is larger than {ANSWER_BYTES_MAX} bytes; ask for less with --limit")));
            }
            bytes.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(match serde_json::from_slice::<Problem>(&bytes) {
                Ok(problem) => problem.into(),
                Err(_) => Failure::answer(format!("status {status} without a reason")),
            });
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(Failure::answer)
    }
}

/// Every part of the path is escaped, so that a name with a slash in it stays one name.
fn url(path: &[&str], query: Query<'_>) -> Url {
    let mut url = Url::parse("http://doorward/api/v1").expect("it is a URL");
    url.path_segments_mut().expect("an http URL has a path").extend(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_the_path() {
        let url = url(&["profiles", "a/../b?c#d"], &[("after", "x&y=z".into())]);
        assert_eq!(url.as_str(), "http://doorward/api/v1/profiles/a%2F..%2Fb%3Fc%23d?after=x%26y%3Dz");
    }
}
