//! The threads of a watch: they end together, one that ends by itself is told of, and those that answer go before others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;

use tokio::sync::Notify;

use crate::health::{FailureReason, Health};
use crate::system::group::Class;
use crate::system::priority;

/// Starts threads that end together and tells when one fails.
pub(super) struct Threads {
    pub(super) over: SyncSender<()>,
    pub(super) failed: Arc<Notify>,
    pub(super) health: Health,
}

impl Threads {
    pub(super) fn start(&self, name: &'static str, work: impl FnOnce() -> Result<(), String> + Send + 'static) -> std::io::Result<()> {
        let (over, failed, health) = (self.over.clone(), Arc::clone(&self.failed), self.health.clone());
        let life = move || {
            let fault = match catch_unwind(AssertUnwindSafe(work)) {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error),
                Err(_) => Some("it met a defect".to_owned()),
            };
            if let Some(error) = fault {
                health.note(FailureReason::ReaderFailed);
                tracing::error!(thread = name, %error, "watching failed; it is started anew");
                failed.notify_one();
            }
            drop(over);
        };
        thread::Builder::new().name(name.into()).spawn(life).map(drop)
    }
}

/// As [`raise`], for a thread that all of them wait for.
pub(super) fn go_first(class: Class) {
    if class == Class::Permission && priority::first().is_err() {
        raise(class, priority::ANSWERING);
    }
}

/// Where executions wait for this thread, it goes before those who start them by the thousand. Refused, it takes its turn like others.
pub(super) fn raise(class: Class, nice: i32) {
    if class == Class::Permission {
        let _ = priority::set(nice);
    }
}
