//! One request to one host: bytes out, status and bounded body back, every failure in words without credentials.

use std::error::Error as _;
use std::fmt::Write as _;
use std::time::Duration;

use doorward_service::clock::Clock;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response};

use super::base::Base;
use super::retry_after::retry_after;
use crate::intel::failure::Failure;

/// Largest answer read, in bytes after decompression. 100 records have about 80 KiB; what is larger is no answer.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most characters of causes in one message.
const CAUSE_CHARS_MAX: usize = 300;

/// What a host sent back.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The `Retry-After` header, read.
    pub retry_after: Option<Duration>,
    /// The body of a 200; empty for every other status, since nothing in it is ever used.
    pub body: Vec<u8>,
}

/// Sends `question` and reads the reply.
///
/// # Errors
/// When no whole reply came, or one larger than [`BODY_BYTES_MAX`].
pub async fn ask(client: &Client, base: &Base, question: String, clock: &Clock) -> Result<Reply, Failure> {
    let request =
        client.post(base.query.clone()).header(CONTENT_TYPE, "application/json").header(ACCEPT, "application/json").body(question);
    let mut response = request.send().await.map_err(|error| failure(base, error))?;
    let status = response.status().as_u16();
    let retry_after = wait(&response, clock);
    let body = if status == 200 { body(&mut response, base).await? } else { Vec::new() };
    Ok(Reply { status, retry_after, body })
}

fn wait(response: &Response, clock: &Clock) -> Option<Duration> {
    let now = Timestamp::from_microsecond(clock.now_micros()).ok()?;
    retry_after(response.headers().get(RETRY_AFTER)?.as_bytes(), now)
}

async fn body(response: &mut Response, base: &Base) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| cut(base, error))? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Failure::BadAnswer { host: base.host.clone(), what: format!("more than {BODY_BYTES_MAX} bytes") });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn cut(base: &Base, error: reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::TimedOut { host: base.host.clone() };
    }
    Failure::BadAnswer { host: base.host.clone(), what: format!("the answer broke off: {}", causes(error)) }
}

fn failure(base: &Base, error: reqwest::Error) -> Failure {
    // A connect time-out says where it stuck; only a request that was sent and not answered is a time-out of the provider.
    if error.is_timeout() && !error.is_connect() {
        return Failure::TimedOut { host: base.host.clone() };
    }
    let mut what = causes(error);
    if what.contains("UnknownIssuer") {
        what.push_str("; if a proxy inspects TLS, name its CA in [intel] ca_file");
    }
    Failure::Unavailable { host: base.host.clone(), what }
}

/// The chain of causes, without the URL and without what would break a line of a log.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = String::new();
    let mut next: Option<&dyn std::error::Error> = error.source();
    while let Some(cause) = next {
        let separator = if text.is_empty() { "" } else { ": " };
        let _ = write!(text, "{separator}{cause}");
        next = cause.source();
    }
    if text.is_empty() {
        text = error.to_string();
    }
    text.chars().filter(|character| !character.is_control()).take(CAUSE_CHARS_MAX).collect()
}
