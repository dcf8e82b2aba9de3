//! The status table of the bulk query: what an HTTP status means for the batch that was asked. Pure; no body is read here.

use std::time::Duration;

use crate::intel::failure::Failure;

/// What to do after a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read the body as an answer.
    Read,
    /// The batch is at fault: ask in halves, down to the hash that is.
    Split,
    /// The batch goes back as it is.
    Fail(Failure),
}

/// Looks `status` up. `host` names who answered; `retry_after` is the wait the answer's header asked for.
///
/// 404 is not "unknown": the bulk query answers 200 with entries for hashes it never saw, so 404 means a wrong address.
#[must_use]
pub fn action(status: u16, host: &str, retry_after: Option<Duration>) -> Action {
    let host = host.to_owned();
    match status {
        200 => Action::Read,
        400 | 413 => Action::Split,
        407 => Action::Fail(Failure::Unavailable { host, what: "the proxy refuses its credentials (HTTP 407)".into() }),
        401 => Action::Fail(Failure::Unauthorized { host }),
        403 => Action::Fail(Failure::Forbidden { host }),
        408 => Action::Fail(Failure::TimedOut { host }),
        429 => Action::Fail(Failure::RateLimited { host, retry_after }),
        500.. => Action::Fail(Failure::Unavailable { host, what: format!("HTTP {status}") }),
        _ => Action::Fail(Failure::Misconfigured { host, status }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intel::FailureKind;

    #[test]
    fn every_documented_status_has_its_action() {
        let kind = |kind| Err(Some(kind));
        let rows: [(u16, Result<(), Option<FailureKind>>); 20] = [
            (200, Ok(())),
            (400, Err(None)),
            (413, Err(None)),
            (401, kind(FailureKind::Unauthorized)),
            (403, kind(FailureKind::Forbidden)),
            (404, kind(FailureKind::Misconfigured)),
            (405, kind(FailureKind::Misconfigured)),
            (406, kind(FailureKind::Misconfigured)),
            (407, kind(FailureKind::Unavailable)),
            (408, kind(FailureKind::TimedOut)),
            (409, kind(FailureKind::Misconfigured)),
            (301, kind(FailureKind::Misconfigured)),
            (302, kind(FailureKind::Misconfigured)),
            (204, kind(FailureKind::Misconfigured)),
            (429, kind(FailureKind::RateLimited)),
            (500, kind(FailureKind::Unavailable)),
            (502, kind(FailureKind::Unavailable)),
            (503, kind(FailureKind::Unavailable)),
            (504, kind(FailureKind::Unavailable)),
            (599, kind(FailureKind::Unavailable)),
        ];
        for (status, expected) in rows {
            let got = match action(status, "ti.example", None) {
                Action::Read => Ok(()),
                Action::Split => Err(None),
                Action::Fail(failure) => Err(Some(failure.kind())),
            };
            assert_eq!(got, expected, "HTTP {status}");
        }
    }

    #[test]
    fn only_200_is_ever_read() {
        for status in 0..=u16::MAX {
            assert_eq!(action(status, "ti.example", None) == Action::Read, status == 200, "HTTP {status}");
        }
    }

    #[test]
    fn the_wait_a_rate_limit_asks_for_is_kept() {
        let wait = Some(Duration::from_secs(7));
        let Action::Fail(failure) = action(429, "ti.example", wait) else { panic!("429 is a failure") };
        assert_eq!(failure, Failure::RateLimited { host: "ti.example".into(), retry_after: wait });
        assert!(!failure.concerns_host_only(), "the account is limited, whichever host is asked");
    }
}
