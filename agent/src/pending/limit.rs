//! Every bound of the pending store in one place. The ones an operator can move are in [`Limits`].

/// Reports kept at most, those held back for counting included.
pub const PENDING_RECORDS_MAX: u64 = 200_000;

/// Bytes of report values kept at most; sled needs a multiple of it on disk.
pub const PENDING_BYTES_MAX: u64 = 256 << 20;

/// Free space on the store's file system below which new reports are refused, so that acknowledgements still find room.
pub const FREE_BYTES_MIN: u64 = 16 << 20;

/// Free space below which the store is not opened: sled would be in the middle of its recovery when it finds out.
pub const OPEN_FREE_BYTES_MIN: u64 = 1 << 20;

/// Encoded size of one report at most; a whole inventory of 20,000 packages stays below it.
pub const REPORT_BYTES_MAX: usize = 4 << 20;

/// Reports in one call of `add_many`.
pub const ADD_BODIES_MAX: usize = 1_024;

/// Files whose verdict is awaited, and verdicts remembered. Beyond it nothing is lost but local memory of them: the CMS holds both.
pub const FILES_MAX: u64 = 1_000_000;

/// How long occurrences are counted together.
pub const COLLAPSE_WINDOW_US: i64 = 60_000_000;

/// Things that are being counted at once; beyond it occurrences get reports of their own.
pub const COLLAPSE_WINDOWS_MAX: usize = 65_536;

/// Requests that may wait for the store's thread; senders wait for a place.
pub const REQUESTS_MAX: usize = 1_024;

/// Requests that share one fsync.
pub const COMMIT_REQUESTS_MAX: usize = 256;

/// How long a caller waits for its place and its answer.
pub const REQUEST_DEADLINE_MS: u64 = 30_000;

/// How long opening may take, recovery of a large store included.
pub const OPEN_DEADLINE_MS: u64 = 120_000;

/// A store that failed is not opened again sooner than this.
pub const REOPEN_PAUSE_MS: u64 = 1_000;

/// How long a closed store's lock may linger on sled's own threads.
pub const LOCK_LINGER_MS: u64 = 2_000;

/// sled's page cache; its default is 1 GiB. It counts bytes as they are on disk, and in memory a page takes two or three times as much.
/// The queue is read and written at its two ends, so a small one serves as well.
///
/// PERF: under a reference scan of 80,000 unresolved files queue and verdicts took 13 MiB of heap with 8 MiB here and 8 MiB with 2 MiB, and
/// the agent no more processor time.
pub const CACHE_BYTES: u64 = 2 << 20;

/// sled's background clean-up; durability does not depend on it, since every commit flushes.
pub const CLEAN_EVERY_MS: u64 = 500;

/// A value is cut into parts of this size. sled writes a tree node of up to 20 values that exceeds 128 KiB to a file of its
/// own, and never syncs that file.
pub const VALUE_PART_BYTES: usize = 4 << 10;

/// A store smaller than this on disk is never compacted.
pub const COMPACT_BYTES_MIN: u64 = 64 << 20;

/// A store is compacted when it takes this many times what lives in it.
pub const COMPACT_RATIO: u64 = 8;

/// How often a running store looks at its size on disk, and whether it should be compacted.
pub const COMPACT_CHECK_MS: u64 = 60_000;

/// Quarantined stores kept for inspection; older ones are deleted, so that a bad disk cannot fill itself with them.
pub const QUARANTINE_MAX: usize = 2;

/// The bounds an operator or a test can move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// See [`PENDING_RECORDS_MAX`].
    pub records_max: u64,
    /// See [`PENDING_BYTES_MAX`].
    pub bytes_max: u64,
    /// See [`FREE_BYTES_MIN`].
    pub free_bytes_min: u64,
    /// See [`COMPACT_BYTES_MIN`].
    pub compact_bytes_min: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records_max: PENDING_RECORDS_MAX,
            bytes_max: PENDING_BYTES_MAX,
            free_bytes_min: FREE_BYTES_MIN,
            compact_bytes_min: COMPACT_BYTES_MIN,
        }
    }
}
