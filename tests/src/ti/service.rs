//! The provider itself: a request and the time in, a reply out. No I/O and no clock.
//!
//! The order of the checks is fixed, because tests lean on it: account, form, ordered fault, hashes per request, quota.
//! What comes before a check is not charged by it: a refused question costs no quota, a malformed one no fault.

use std::time::Duration;

use anyhow::Result;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::account::Accounts;
use super::answer::answer;
use super::catalogue::Catalogue;
use super::checksum::Checksum;
use super::distortion::distort;
use super::fault::{Fault, FaultKind, FaultSwitch};
use super::limit::Limit;
use super::question::{Format, Question};
use super::quota::Quota;
use super::record::Record;
use super::refusal::Refusal;
use super::tally::{KeptRequest, Stats, Tally};
use super::xml;

/// What a captive portal or a broken proxy would say instead of the provider.
const WEB_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\
                        <body><h1>Sign in to use this network</h1></body></html>\n";

/// One request as it was read, its body whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// How the body goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Whole,
    /// In small pieces over this time.
    Dripping(Duration),
    /// Half of it, then the connection closes.
    Cut,
}

/// What goes over the wire, and when.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    /// Before the first byte.
    pub(crate) delay: Duration,
    pub(crate) delivery: Delivery,
}

/// The simulated provider's whole state.
#[derive(Debug)]
pub(crate) struct Service {
    accounts: Accounts,
    catalogue: Catalogue,
    fault: FaultSwitch,
    limit: Limit,
    quota: Quota,
    tally: Tally,
}

impl Service {
    pub(crate) fn new(accounts: Accounts, catalogue: Catalogue, limit: Limit) -> Self {
        let mut service = Self {
            accounts,
            catalogue,
            fault: FaultSwitch::default(),
            limit: Limit::default(),
            quota: Quota::default(),
            tally: Tally::default(),
        };
        service.set_limit(limit);
        service
    }

    /// Answers and remembers the request.
    pub(crate) fn reply(&mut self, request: Request<'_>, now: Timestamp) -> Reply {
        let reply = self.decide(request, now);
        self.remember(request, reply.status);
        reply
    }

    /// For a request whose body could not be read: refuses and remembers it.
    pub(crate) fn refuse(&mut self, request: Request<'_>, refusal: &Refusal) -> Reply {
        let reply = Reply::refusal(refusal, Duration::ZERO);
        self.remember(request, reply.status);
        reply
    }

    fn remember(&mut self, request: Request<'_>, status: StatusCode) {
        self.tally.request(request.method, request.uri, request.headers, request.body, status);
    }

    fn decide(&mut self, request: Request<'_>, now: Timestamp) -> Reply {
        let question = match self.admit(request) {
            Ok(question) => question,
            Err(refusal) => return Reply::refusal(&refusal, Duration::ZERO),
        };
        let fault = self.fault.take();
        match self.charge(&question, &fault, now) {
            Ok(()) => Reply::answer(&question, answer(&question, &self.catalogue), &fault),
            Err(refusal) => Reply::refusal(&refusal, fault.delay()),
        }
    }

    fn admit(&mut self, request: Request<'_>) -> Result<Question, Refusal> {
        self.accounts.admit(request.headers)?;
        let question = Question::parse(request.method, request.uri, request.body)?;
        self.tally.question(&question);
        Ok(question)
    }

    fn charge(&mut self, question: &Question, fault: &Fault, now: Timestamp) -> Result<(), Refusal> {
        if let Some(refusal) = fault.refusal() {
            return Err(refusal);
        }
        self.limit.admit(question.items.len())?;
        self.quota.charge(question.checksums().count() as u64, now).map_err(|_| Refusal::QuotaUsedUp)
    }

    pub(crate) fn put_record(&mut self, record: Record) -> Result<()> {
        self.catalogue.put(record)
    }

    pub(crate) fn remove_record(&mut self, sha256: &Checksum) -> Option<Record> {
        self.catalogue.remove(sha256)
    }

    /// The order was checked.
    pub(crate) fn order(&mut self, fault: Fault) {
        self.fault.order(fault);
    }

    /// The limit was checked. What is used stays used.
    pub(crate) fn set_limit(&mut self, limit: Limit) {
        self.limit = limit;
        self.quota.limit = limit.quota();
    }

    pub(crate) fn stats(&mut self, now: Timestamp) -> Stats {
        let (quota_used, quota_used_this_month) = self.quota.used(now);
        Stats { quota_used, quota_used_this_month, ..self.tally.stats() }
    }

    /// Forgets everything that was asked, the used quota included; records, fault and limits stay.
    pub(crate) fn clear_stats(&mut self) {
        self.tally = Tally::default();
        self.quota.clear();
    }

    pub(crate) fn asked(&self, checksum: &Checksum) -> u64 {
        self.tally.asked(checksum)
    }

    pub(crate) fn kept_requests(&self) -> Vec<KeptRequest> {
        self.tally.kept()
    }
}

impl Reply {
    fn refusal(refusal: &Refusal, delay: Duration) -> Self {
        Self {
            status: refusal.status(),
            content_type: "text/plain; charset=utf-8",
            headers: refusal.headers(),
            body: format!("{refusal}\n"),
            delay,
            delivery: Delivery::Whole,
        }
    }

    fn answer(question: &Question, mut rl: serde_json::Map<String, Value>, fault: &Fault) -> Self {
        distort(fault.kind, &mut rl);
        let (content_type, body) = match (fault.kind, question.format) {
            (FaultKind::Html, _) => ("text/html; charset=utf-8", WEB_PAGE.to_owned()),
            (_, Format::Json) => ("application/json", json!({ "rl": rl }).to_string()),
            (_, Format::Xml) => ("application/xml", xml::write("rl", &rl.into())),
        };
        let delivery = match fault.kind {
            FaultKind::Cut => Delivery::Cut,
            FaultKind::Slow => Delivery::Dripping(fault.drip()),
            _ => Delivery::Whole,
        };
        Self { status: StatusCode::OK, content_type, headers: Vec::new(), body, delay: fault.delay(), delivery }
    }
}

#[cfg(test)]
mod tests;
