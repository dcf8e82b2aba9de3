//! Bringing a report until it is kept, for tasks whose news does not come a second time.
//!
//! The recorder of `exec` and the scans do the same on threads of their own.

use std::time::Duration;

use doorward_proto::report::ReportBody;
use tokio_util::sync::CancellationToken;

use crate::health::{FailureReason, Health};
use crate::pending::{Pending, PendingError};

/// Pause before a report that was refused is brought again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Brings a report until it is on disk; false when it was given up, which is counted: the daemon stops, or it can never be kept.
pub(super) async fn insist(pending: &Pending, health: &Health, cancel: &CancellationToken, body: ReportBody) -> bool {
    let mut is_first = true;
    loop {
        let error = match pending.add(body.clone()).await {
            Ok(()) => return true,
            Err(error) => error,
        };
        health.note_code(error.reason());
        let is_hopeless = matches!(error, PendingError::Closed | PendingError::TooLarge { .. });
        if is_first || is_hopeless {
            tracing::error!(%error, lost = is_hopeless, "a report could not be kept");
        }
        is_first = false;
        if !is_hopeless {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(RETRY_PAUSE) => continue,
            }
        }
        health.note(FailureReason::ReportDropped);
        return false;
    }
}

#[cfg(test)]
mod tests {
    use doorward_policy::{PathBytes, Sha256};
    use doorward_proto::report::Turned;
    use doorward_service::Clock;

    use super::*;
    use crate::pending::{Limits, Options};

    fn turned(path: &str) -> ReportBody {
        let file = Sha256::new([1; 32]);
        ReportBody::Turned(Turned { file, paths: vec![PathBytes::new(path)], live: Vec::new(), last_executed_at: Some(1) })
    }

    /// A store with room for one report.
    fn narrow(folder: &std::path::Path) -> Pending {
        let limits = Limits { records_max: 1, free_bytes_min: 0, ..Limits::default() };
        Pending::open(folder, Options { limits, clock: Clock::standing(1), mint_epoch: || Ok([1; 16]) }).unwrap().pending
    }

    fn lost(pending: &Pending, health: &Health) -> u64 {
        pending.gauges().lost(health.count(FailureReason::ReportDropped))
    }

    #[tokio::test]
    async fn what_is_refused_for_want_of_room_is_kept_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let (pending, health) = (narrow(folder.path()), Health::default());
        pending.add(turned("/first")).await.unwrap();
        let never = CancellationToken::new();
        let room = async {
            while pending.gauges().refused == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let first = pending.batch(0, 1, usize::MAX).await.unwrap();
            pending.acknowledge(first[0].sequence).await.unwrap();
        };
        let (is_kept, ()) = tokio::join!(insist(&pending, &health, &never, turned("/second")), room);
        assert!(is_kept);
        let kept = pending.batch(0, 9, usize::MAX).await.unwrap();
        assert_eq!(kept.into_iter().map(|report| report.body).collect::<Vec<_>>(), [turned("/second")]);
        assert_eq!(lost(&pending, &health), 0, "an attempt that failed is no loss");
        pending.close().await;
    }

    #[tokio::test]
    async fn what_is_given_up_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let (pending, health, cancel) = (narrow(folder.path()), Health::default(), CancellationToken::new());
        pending.add(turned("/first")).await.unwrap();
        cancel.cancel();
        assert!(!insist(&pending, &health, &cancel, turned("/second")).await);
        assert_eq!(lost(&pending, &health), 1);
        pending.close().await;
        assert!(!insist(&pending, &health, &CancellationToken::new(), turned("/third")).await);
        assert_eq!(lost(&pending, &health), 2);
    }
}
