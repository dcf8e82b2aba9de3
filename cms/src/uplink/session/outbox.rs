//! What goes to one host: a short queue with a deadline, so that a host that takes nothing holds a few messages and no task of others.

use std::time::Duration;

use doorward_proto::uplink::CmsMessage;
use doorward_proto::v1;
use tokio::sync::mpsc;
use tonic::Status;

use super::end::End;

/// Messages that wait for one host. The largest have 1 MiB, and only a few hosts are sent such at once.
const QUEUE_MAX: usize = 8;

/// How long one message may wait for the host to take those before it.
const SEND_DEADLINE: Duration = Duration::from_secs(60);

/// How long the last word may wait. The host has had its chance.
const LAST_WORD_DEADLINE: Duration = Duration::from_secs(1);

type Item = Result<v1::CmsMessage, Status>;

/// The sending side of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Outbox(mpsc::Sender<Item>);

impl Outbox {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Item>) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        (Self(sender), receiver)
    }

    pub(crate) async fn send(&self, message: CmsMessage) -> Result<(), End> {
        match tokio::time::timeout(SEND_DEADLINE, self.0.send(Ok(message.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Left),
            Err(_) => Err(End::Slow),
        }
    }

    /// Returns when nobody takes messages any more: the host hung up.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }

    /// Ends the stream for the host.
    pub(crate) async fn close(self, end: &End) {
        if let Some(status) = end.status() {
            let _ = tokio::time::timeout(LAST_WORD_DEADLINE, self.0.send(Err(status))).await;
        }
    }
}
