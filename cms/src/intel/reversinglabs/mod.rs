//! The ReversingLabs file reputation API (TCA-0101), bulk query only: a batch of one is a bulk of one.
//!
//! The way of a batch: [`question`] -> [`endpoint`] (one of [`base`]'s hosts over [`connection`]) -> [`status`] says what the status
//! means -> [`answer`] and [`record`] read the body. Everything but `endpoint` and `connection` is pure.

pub mod answer;
pub mod base;
pub mod connection;
pub mod endpoint;
pub mod preset;
pub mod question;
pub mod record;
pub mod retry_after;
pub mod status;

use std::collections::VecDeque;

use doorward_policy::Sha256;
use doorward_service::clock::Clock;
use futures::future::BoxFuture;
use reqwest::Client;
use tokio::time::Instant;

use self::base::Bases;
use self::question::HASHES_MAX;
use self::status::Action;
use super::failure::{Failure, FailureKind};
use super::provider::{Cost, Item, LookUp, Provider};

/// Most requests one look-up may cost. Finding one bad hash in a hundred takes 15; a batch with many bad ones is left unfinished
/// and its rest asked again later.
pub const REQUESTS_MAX: u64 = 40;

/// Refusals after which a host that answered nothing at all is taken to refuse everything.
const REFUSALS_MAX: u64 = 10;

/// The client for one account.
#[derive(Debug)]
pub struct ReversingLabs {
    client: Client,
    bases: Bases,
    clock: Clock,
}

impl ReversingLabs {
    /// Puts a prepared client and its hosts together; `clock` reads dates in `Retry-After`.
    #[must_use]
    pub fn new(client: Client, bases: Bases, clock: Clock) -> Self {
        Self { client, bases, clock }
    }

    async fn look_up(&self, files: &[Sha256]) -> LookUp {
        let mut found = LookUp::default();
        let mut batches: VecDeque<&[Sha256]> = files.chunks(HASHES_MAX).collect();
        let mut refusals = Refusals::default();
        while let Some(batch) = batches.pop_front() {
            if found.cost.requests >= REQUESTS_MAX || (found.items.is_empty() && refusals.count >= REFUSALS_MAX) {
                break;
            }
            match self.ask(batch, &mut found.cost).await {
                Ok(Said::Items(items)) => found.items.extend(items),
                Ok(Said::TooMuch { host, status }) => batches.extend(refusals.halve(batch, host, status)),
                Err(failure) => {
                    found.failure = Some(failure);
                    break;
                }
            }
        }
        refusals.conclude(found)
    }

    /// Asks about one batch, host after host while the trouble is the host's.
    async fn ask(&self, batch: &[Sha256], cost: &mut Cost) -> Result<Said, Failure> {
        let mut last = None;
        for (index, base) in self.bases.in_order(Instant::now()) {
            cost.requests += 1;
            match self.ask_host(base, batch, cost).await {
                Ok(said) => {
                    self.bases.answered(index, Instant::now());
                    return Ok(said);
                }
                Err(failure) => {
                    cost.errors.push(failure.kind());
                    let elsewhere = failure.concerns_host_only();
                    last = Some(failure);
                    if !elsewhere {
                        break;
                    }
                }
            }
        }
        Err(last.expect("there is at least one base URL, and every turn without a return sets it"))
    }

    async fn ask_host(&self, base: &base::Base, batch: &[Sha256], cost: &mut Cost) -> Result<Said, Failure> {
        let reply = endpoint::ask(&self.client, base, question::question(batch), &self.clock).await?;
        match status::action(reply.status, &base.host, reply.retry_after) {
            Action::Read => {
                let items = answer::answer(&reply.body, batch)
                    .map_err(|error| Failure::BadAnswer { host: base.host.clone(), what: error.to_string() })?;
                cost.hashes += batch.len() as u64;
                cost.unknown_statuses += items.unknown_statuses;
                Ok(Said::Items(items.items))
            }
            Action::Split => {
                cost.errors.push(FailureKind::Rejected);
                Ok(Said::TooMuch { host: base.host.clone(), status: reply.status })
            }
            Action::Fail(failure) => Err(failure),
        }
    }
}

/// What a host said of a batch.
enum Said {
    Items(Vec<(Sha256, Item)>),
    /// 400 or 413: too many hashes, or one it cannot read.
    TooMuch {
        host: String,
        status: u16,
    },
}

/// Batches a host would not read, on the way down to the hashes at fault.
#[derive(Default)]
struct Refusals {
    count: u64,
    last: Option<(String, u16)>,
    files: Vec<Sha256>,
}

impl Refusals {
    /// The halves of a refused batch; nothing when it was a single hash.
    fn halve<'a>(&mut self, batch: &'a [Sha256], host: String, status: u16) -> Vec<&'a [Sha256]> {
        self.count += 1;
        self.last = Some((host, status));
        match batch {
            [file] => {
                self.files.push(*file);
                Vec::new()
            }
            _ => batch.chunks(batch.len().div_ceil(2)).collect(),
        }
    }

    /// A hash that is refused while others are answered is at fault itself. When nothing at all was answered, it is the host: no hash
    /// is given up for that.
    fn conclude(self, mut found: LookUp) -> LookUp {
        match self.last {
            Some((host, status)) if found.items.is_empty() => {
                found.failure.get_or_insert(Failure::Rejected { host, status });
            }
            _ => found.items.extend(self.files.into_iter().map(|file| (file, Item::Refused))),
        }
        found
    }
}

impl Provider for ReversingLabs {
    fn name(&self) -> &'static str {
        "reversinglabs"
    }

    fn batch_files_max(&self) -> usize {
        HASHES_MAX
    }

    fn look_up<'a>(&'a self, files: &'a [Sha256]) -> BoxFuture<'a, LookUp> {
        Box::pin(self.look_up(files))
    }
}

#[cfg(test)]
mod tests;
