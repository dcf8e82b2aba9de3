//! How far a scan is, for whoever shows it, and the way to stop it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Stops a scan within a few hundred microseconds of digesting, or one file. Clones stop the same scan.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the scan to stop; there is no way back.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters of a running scan; share by reference or `Arc`, read at any time.
        #[derive(Debug, Default)]
        pub struct Progress {
            expected: AtomicU64,
            $($name: AtomicU64),*
        }

        /// Counters at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Reading {
            /// Files there will be, as far as the last whole scan or the file systems tell; 0 when neither does.
            pub files_expected: u64,
            $($(#[$doc])* pub $name: u64),*
        }

        impl Reading {
            pub(super) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl Progress {
            /// The counters now. They are added to in batches, folder by folder, each for itself.
            #[must_use]
            pub fn reading(&self) -> Reading {
                Reading {
                    files_expected: self.expected.load(Ordering::Relaxed),
                    $($name: self.$name.load(Ordering::Relaxed)),*
                }
            }

            /// Adds what one thread counted and starts its count anew.
            pub(super) fn add(&self, part: &mut Reading) {
                $(self.$name.fetch_add(part.$name, Ordering::Relaxed);)*
                *part = Reading::default();
            }
        }
    };
}

counters! {
    /// Regular files met.
    files,
    /// Of which could be executed or loaded.
    candidates,
    /// Sizes of all files met.
    bytes,
    /// Candidates read and digested, rather than remembered.
    digested_files,
    /// Sizes of those.
    digested_bytes,
    /// Candidates settled by their package.
    package_trusted,
    /// Candidates settled by lists or other evidence, for or against them.
    otherwise_trusted,
    /// Candidates that nothing settles.
    unresolved,
    /// Files and folders not looked at.
    skipped,
}

impl Progress {
    pub(super) fn expect(&self, files: u64) {
        self.expected.store(files, Ordering::Relaxed);
    }
}

impl Reading {
    /// Seconds left, from the pace so far; `None` while nothing can be said.
    #[must_use]
    pub fn seconds_left(&self, elapsed: Duration) -> Option<u64> {
        let left = self.files_expected.checked_sub(self.files)?;
        if self.files == 0 || self.files_expected == 0 {
            return None;
        }
        Some((elapsed.as_secs_f64() * left as f64 / self.files as f64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_follows_the_pace_and_is_never_made_up() {
        let reading = Reading { files_expected: 1000, files: 250, ..Reading::default() };
        assert_eq!(reading.seconds_left(Duration::from_secs(10)), Some(30));
        assert_eq!(Reading::default().seconds_left(Duration::from_secs(10)), None);
        assert_eq!(Reading { files: 1001, ..reading }.seconds_left(Duration::from_secs(10)), None);
    }
}
