//! `stats`: how much of everything there is.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Session;
use super::failure::Failure;
use super::table::Facts;
use super::terminal::{count, size};

#[derive(Deserialize)]
struct Stats {
    hosts: u64,
    connected: u64,
    files: u64,
    observations: u64,
    threat: u64,
    safe: u64,
    unverified: u64,
    lookups_queued: u64,
    lookups_done: u64,
    ti_requests: u64,
    ti_hashes: u64,
    ti_errors: BTreeMap<String, u64>,
    #[serde(default)]
    not_asked_kind: u64,
    incidents_open: u64,
    db_bytes: u64,
}

pub(super) async fn run(session: &mut Session<'_>) -> Result<(), Failure> {
    let answer = session.client.get(&["stats"], &[]).await?;
    session.output.show(answer, text)
}

fn text(stats: Stats) -> String {
    Facts::default()
        .add("hosts", format!("{}, {} connected", count(stats.hosts), count(stats.connected)))
        .add("files", format!("{}, met in {} places", count(stats.files), count(stats.observations)))
        .add("THREAT", count(stats.threat))
        .add("SAFE", count(stats.safe))
        .add("UNVERIFIED", count(stats.unverified))
        .add("open incidents", count(stats.incidents_open))
        .add("look-ups", format!("{} answered, {} queued", count(stats.lookups_done), count(stats.lookups_queued)))
        .add("not asked", format!("{} of a kind that threat intelligence can never know", count(stats.not_asked_kind)))
        .add("requests", format!("{} for {} checksums since the server started", count(stats.ti_requests), count(stats.ti_hashes)))
        .maybe("failures", failures(&stats.ti_errors))
        .add("database", size(stats.db_bytes))
        .text()
}

/// Failures by kind, as `timeout 3, server_error 1`; nothing when there are none.
pub(super) fn failures(errors: &BTreeMap<String, u64>) -> Option<String> {
    let named: Vec<_> = errors.iter().map(|(kind, number)| format!("{kind} {number}")).collect();
    (!named.is_empty()).then(|| named.join(", "))
}
