//! What a test orders the provider to do wrong, and for how many questions.
//!
//! A fault meets well-formed questions of the entitled account only, so that `times` counts look-ups. What each kind
//! does to an answer is in `distortion`; what it does to the bytes on the wire in `endpoint`.

use anyhow::{Result, ensure};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::refusal::Refusal;

/// Longer than any client waits, short enough that nothing stays behind for ever.
const DELAY_MAX_MS: u64 = 600_000;
/// Of a slow body whose order names no time.
const SLOW_DEFAULT_MS: u64 = 1_000;

/// The ways an answer goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Answers are right; with `delay_ms` merely late.
    None,
    /// The HTTP status of the order, with a short plain body.
    Status,
    /// The headers come at once, the body drips in over `delay_ms` (default 1 s).
    Slow,
    /// The connection closes in the middle of the body.
    Cut,
    /// 200 with a web page, as from a captive portal or a proxy.
    Html,
    /// Entries come in the reverse order of the question.
    Shuffle,
    /// The first entry is left out.
    Missing,
    /// The status is a word the documentation does not have.
    UnknownStatus,
    /// Every object has fields the documentation does not have, null among them.
    ExtraFields,
    /// Entries hold `status` and `query_hash` alone.
    DropOptional,
    /// Checksums are spelled in upper case, whatever was asked.
    Upper,
    /// The status is spelled in lower case.
    LowerStatus,
}

/// The body of `PUT /fault`. It replaces the order before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// For `status` only, and needed there: 201 to 599.
    #[serde(default)]
    pub status: Option<u16>,
    /// For `status` only: sent as the `Retry-After` header, which is absent otherwise.
    #[serde(default)]
    pub retry_after_s: Option<u32>,
    /// Questions the fault meets before it is over; `None` is until replaced.
    #[serde(default)]
    pub times: Option<u32>,
    /// Wait before the answer; for `slow` the time its body takes.
    #[serde(default)]
    pub delay_ms: Option<u64>,
}

impl Fault {
    /// Until replaced, without delay. A `Status` needs [`Fault::status`] instead.
    pub fn new(kind: FaultKind) -> Self {
        Self { kind, status: None, retry_after_s: None, times: None, delay_ms: None }
    }

    /// This HTTP status until replaced, without `Retry-After`.
    pub fn status(status: u16) -> Self {
        Self { status: Some(status), ..Self::new(FaultKind::Status) }
    }

    /// The same fault for the next `times` questions only.
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Refuses orders that would do nothing, or something else than they say.
    pub(crate) fn checked(self) -> Result<Self> {
        match (self.kind, self.status) {
            (FaultKind::Status, Some(status)) => {
                ensure!((201..600).contains(&status), "status {status} is not in 201 to 599");
            }
            (FaultKind::Status, None) => anyhow::bail!("the kind \"status\" needs a \"status\""),
            (_, Some(_)) => anyhow::bail!("\"status\" belongs to the kind \"status\""),
            (_, None) => {
                ensure!(self.retry_after_s.is_none(), "\"retry_after_s\" belongs to the kind \"status\"");
            }
        }
        ensure!(self.times != Some(0), "\"times\" of 0 would never fire; send the kind \"none\"");
        ensure!(self.delay_ms.is_none_or(|delay| delay <= DELAY_MAX_MS), "\"delay_ms\" is above {DELAY_MAX_MS}");
        Ok(self)
    }

    /// The refusal a `Status` fault stands for.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        let status = StatusCode::from_u16(self.status?).expect("checked when it was ordered");
        Some(Refusal::Ordered { status, retry_after_s: self.retry_after_s })
    }

    /// Time before the first byte of the answer.
    pub(crate) fn delay(&self) -> Duration {
        match self.kind {
            FaultKind::Slow => Duration::ZERO,
            _ => Duration::from_millis(self.delay_ms.unwrap_or(0)),
        }
    }

    /// Time from the first to the last byte of a body that drips.
    pub(crate) fn drip(&self) -> Duration {
        match self.kind {
            FaultKind::Slow => Duration::from_millis(self.delay_ms.unwrap_or(SLOW_DEFAULT_MS)),
            _ => Duration::ZERO,
        }
    }
}

/// The order in force and how often it will still be met.
#[derive(Debug)]
pub(crate) struct FaultSwitch {
    order: Fault,
}

impl Default for FaultSwitch {
    fn default() -> Self {
        Self { order: Fault::new(FaultKind::None) }
    }
}

impl FaultSwitch {
    pub(crate) fn order(&mut self, fault: Fault) {
        self.order = fault;
    }

    /// The fault for the question at hand; the last of `times` switches it off.
    pub(crate) fn take(&mut self) -> Fault {
        let fault = self.order;
        match &mut self.order.times {
            Some(1) => *self = Self::default(),
            Some(times) => *times -= 1,
            None => {}
        }
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_met_as_often_as_ordered_and_then_never_again() {
        let mut switch = FaultSwitch::default();
        switch.order(Fault::status(503).times(2));
        let kinds: Vec<FaultKind> = (0..4).map(|_| switch.take().kind).collect();
        assert_eq!(kinds, [FaultKind::Status, FaultKind::Status, FaultKind::None, FaultKind::None]);
    }

    #[test]
    fn a_fault_without_times_lasts_until_replaced() {
        let mut switch = FaultSwitch::default();
        switch.order(Fault::new(FaultKind::Html));
        assert!((0..1000).all(|_| switch.take().kind == FaultKind::Html));
        switch.order(Fault::new(FaultKind::None));
        assert_eq!(switch.take().kind, FaultKind::None);
    }

    #[test]
    fn orders_that_contradict_themselves_are_refused() {
        let parse = |text: &str| serde_json::from_str::<Fault>(text).map_err(anyhow::Error::from)?.checked();
        for order in [
            r#"{"kind":"status"}"#,
            r#"{"kind":"status","status":200}"#,
            r#"{"kind":"status","status":600}"#,
            r#"{"kind":"html","status":503}"#,
            r#"{"kind":"cut","retry_after_s":1}"#,
            r#"{"kind":"cut","times":0}"#,
            r#"{"kind":"none","delay_ms":600001}"#,
            r#"{"kind":"sluggish"}"#,
            r#"{"kind":"slow","delay":5}"#,
        ] {
            assert!(parse(order).is_err(), "{order}");
        }
        let order = parse(r#"{"kind":"status","status":429,"retry_after_s":1,"times":3}"#).unwrap();
        assert_eq!(order.refusal(), Some(Refusal::Ordered { status: StatusCode::TOO_MANY_REQUESTS, retry_after_s: Some(1) }));
    }

    #[test]
    fn a_slow_body_begins_at_once_and_other_delays_come_first() {
        let delayed = |kind| Fault { delay_ms: Some(300), ..Fault::new(kind) };
        let slow = delayed(FaultKind::Slow);
        assert_eq!((slow.delay(), slow.drip()), (Duration::ZERO, Duration::from_millis(300)));
        let late = delayed(FaultKind::None);
        assert_eq!((late.delay(), late.drip()), (Duration::from_millis(300), Duration::ZERO));
    }
}
