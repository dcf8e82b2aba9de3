//! What every threat-intelligence provider offers: a batch of checksums in, one item for each out.
//! Nothing but checksums passes here, so no provider can be told more (no path, host, user or content).

use doorward_policy::{Md5, NoAnswer, Reputation, Sha1, Sha256};
use futures::future::BoxFuture;

use super::failure::{Failure, FailureKind};

/// A provider. Two exist: [`super::reversinglabs::ReversingLabs`] and [`super::NotConfigured`]; tests bring a third.
pub trait Provider: Send + Sync {
    /// The word that stands in reputation rows and the API.
    fn name(&self) -> &'static str;

    /// Whether there is anything to ask. When not, nothing is taken from the queue.
    fn is_configured(&self) -> bool {
        true
    }

    /// Most files one look-up may have.
    fn batch_files_max(&self) -> usize;

    /// Asks about `files`, distinct and at most [`Self::batch_files_max`]. Takes a bounded time.
    fn look_up<'a>(&'a self, files: &'a [Sha256]) -> BoxFuture<'a, LookUp>;
}

/// What came of one look-up. A file without an item was not answered: because of `failure`, or it was missing in the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookUp {
    /// In no order; files that were asked for only, each at most once.
    pub items: Vec<(Sha256, Item)>,
    /// Set when the look-up, or the rest of it, failed as a whole.
    pub failure: Option<Failure>,
    /// What it took.
    pub cost: Cost,
}

/// What a look-up took, for the counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cost {
    /// Requests sent, retries on other hosts and split batches included.
    pub requests: u64,
    /// Hashes in requests that were answered, which is what a provider's quota counts.
    pub hashes: u64,
    /// Every failure on the way, those that another host made good included. As many as `requests` at most.
    pub errors: Vec<FailureKind>,
    /// Entries whose status is none of the documented words.
    pub unknown_statuses: u64,
}

/// What was said of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An answer, to be kept.
    Answered(Outcome),
    /// The provider calls the hash itself ill-formed. Never sent again by itself.
    Refused,
}

/// One provider's whole answer about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The part that decides.
    pub reputation: Reputation,
    /// The provider's own record as JSON text, for people and later readers; at most 16 KiB.
    pub raw: String,
    /// Other names of the content, when the provider told them. Some of its feeds know files only by these.
    pub sha1: Option<Sha1>,
    /// As `sha1`.
    pub md5: Option<Md5>,
}

/// The provider of a CMS that has none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NotConfigured;

impl Provider for NotConfigured {
    fn name(&self) -> &'static str {
        "none"
    }

    fn is_configured(&self) -> bool {
        false
    }

    fn batch_files_max(&self) -> usize {
        0
    }

    fn look_up<'a>(&'a self, _files: &'a [Sha256]) -> BoxFuture<'a, LookUp> {
        Box::pin(std::future::ready(LookUp { failure: Some(Failure::NotConfigured), ..LookUp::default() }))
    }
}

/// What a file without a stored answer counts as after `kind`.
#[must_use]
pub const fn no_answer(kind: FailureKind) -> NoAnswer {
    match kind {
        FailureKind::NotConfigured => NoAnswer::NotConfigured,
        _ => NoAnswer::ProviderError,
    }
}
