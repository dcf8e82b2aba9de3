//! What one request may cost. Callers are few and trusted, but their scripts may be broken.

use std::time::Duration;

/// Largest request body, in bytes. The largest real one is a profile's exclusions.
pub const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Connections open at a time; the next one waits to be accepted.
pub const CONNECTIONS_MAX: usize = 64;

/// How long a connection stands without a request on it, before its first, between two, or in the middle of a request's head.
pub const IDLE: Duration = Duration::from_secs(10);

/// Requests worked on at a time; one more is refused as busy.
pub const REQUESTS_MAX: usize = 32;

/// Longest a request may take from its head to its answer. A change it has begun goes on to its end without it.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long requests under way may go on once the server stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Files one request decides on, in one transaction: short enough that nobody who reports waits for it noticeably, and their records fit
/// one step of a policy.
pub const DECISIONS_MAX: usize = 5_000;

/// Longest comment on a decision, in bytes.
pub const COMMENT_BYTES_MAX: usize = 1000;

/// Most hosts one enrollment token is good for.
pub const TOKEN_USES_MAX: u32 = 100_000;

/// Shortest and longest life of an enrollment token, in seconds.
pub const TOKEN_LIFE_S: std::ops::RangeInclusive<u64> = 60..=365 * 24 * 3600;
