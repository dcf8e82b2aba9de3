//! The server's own certificate: made anew at every start, and again while running when half its time is over. Connections that stand
//! keep the old one; new ones get the new one.

use std::sync::Arc;
use std::time::Duration;

use doorward_proto::certificate::{Authority, CertificateError, SERVER_DAYS, ServerCredential, Validity};
use doorward_proto::tls::ServerIdentity;
use doorward_service::clock::Clock;
use tokio_util::sync::CancellationToken;

/// How often the date is looked at.
const LOOK: Duration = Duration::from_secs(3600);

/// Signs a certificate for the server's names.
pub(super) fn issue(authority: &Authority, names: &[String], now: i64) -> Result<(ServerCredential, Validity), CertificateError> {
    let validity = Validity::days(now, SERVER_DAYS);
    Ok((authority.issue_server(names, validity)?, validity))
}

/// Whether a certificate that holds for `validity` is to be replaced. Also when it lies in the future: then the clock was set back.
const fn is_due(validity: Validity, now: i64) -> bool {
    now >= validity.half() || now < validity.not_before
}

/// Renews until `cancel`.
pub(super) struct Renewal {
    pub(super) authority: Arc<Authority>,
    pub(super) identity: Arc<ServerIdentity>,
    pub(super) names: Vec<String>,
    pub(super) validity: Validity,
    pub(super) clock: Clock,
    pub(super) cancel: CancellationToken,
}

impl Renewal {
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK) => self.look(),
            }
        }
    }

    fn look(&mut self) {
        let now = self.clock.now_micros();
        if !is_due(self.validity, now) {
            return;
        }
        let renewed = issue(&self.authority, &self.names, now).map_err(|error| error.to_string()).and_then(|(credential, validity)| {
            self.identity.replace(credential).map_err(|error| error.to_string())?;
            Ok(validity)
        });
        match renewed {
            Ok(validity) => {
                self.validity = validity;
                tracing::info!("the server's certificate was renewed");
            }
            Err(error) => tracing::error!(%error, "the server's certificate cannot be renewed; hosts will refuse it when it ends"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn a_certificate_is_replaced_when_half_its_time_is_over() {
        let start = 20_000 * DAY;
        let validity = Validity::days(start, SERVER_DAYS);
        assert!(!is_due(validity, start) && !is_due(validity, start + 44 * DAY));
        assert!(is_due(validity, start + 46 * DAY) && is_due(validity, start + 100 * DAY));
        assert!(is_due(validity, start - DAY), "the clock was set back");
    }
}
