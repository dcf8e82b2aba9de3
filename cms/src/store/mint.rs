//! New ids: UUIDv7, so they sort by when they were made. The clock is the caller's; randomness comes from the kernel.

use uuid::{Builder, Uuid};

/// Mints an id for something made at `now` (microseconds since 1970).
///
/// # Panics
/// When the kernel has no randomness to give, which it never refuses once booted.
#[must_use]
pub fn mint(now: i64) -> Uuid {
    let mut random = [0; 10];
    getrandom::fill(&mut random).expect("the kernel gives randomness once booted");
    Builder::from_unix_timestamp_millis(u64::try_from(now / 1000).unwrap_or(0), &random).into_uuid()
}
