//! Everything the CMS knows, in one SQL database. Rows never leave this room: domain structs go in and come out, and every method is
//! one transaction. One noun a file; the two transactions that touch many nouns at once are [`ingest`] (what a host reported) and
//! [`mark`] (what follows from it). No other room holds a line of SQL.

use std::path::Path;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};

mod admission;
mod alarm;
mod audit;
mod batch;
mod column;
mod command;
mod decision;
mod detail;
mod entry;
mod epoch;
mod error;
mod evidence;
mod execution;
mod file;
mod host;
mod incident;
mod ingest;
mod inventory;
mod listing;
mod lookup;
mod mark;
mod mint;
mod observation;
mod page;
mod profile;
mod publication;
mod publish;
mod record;
mod remark;
mod reputation;
mod scan;
mod sighting;
mod source;
mod source_detail;
mod source_entry;
mod source_list;
mod staged;
mod stats;
mod token;
mod turn;
mod verdict;

pub use admission::Applicant;
pub use audit::AuditRow;
pub use decision::{Decided, FileDecision, FileDecisions};
pub use detail::{CurrentReputation, Digests, FileDetail, LookupView, ObservationView, ProfileStanding, Reputations};
pub use entry::DecisionView;
pub use epoch::Ahead;
pub use error::{Result, StoreError};
pub use execution::ExecutionView;
pub use host::{Certificate, Host, InForce, NewHost};
pub use incident::{IncidentFilter, IncidentView, NewIncident};
pub use ingest::Ingested;
pub use listing::{ListingFilter, ListingRow};
pub use lookup::{Due, Failed, Priority, Recheck, Taken};
pub use mint::mint;
pub use page::{Cursor, CursorError, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, Page, PageRequest};
pub use profile::Profile;
pub use publication::Published;
pub use publish::{Difference, FILES_NAMED_MAX, FileChange, NewSources, SOURCES_FORESEEN_MAX};
pub use record::{ChangeRow, PolicyRow, PolicyRows, RowChange};
pub use reputation::{Answered, ReputationView};
pub use scan::{ScanView, StoredScanState};
pub use source::{NamedSource, SourceKind};
pub use source_detail::{AskedHosts, Extent, SourceDetail, SourceHost, SourcePreview};
pub use source_entry::{SourceChange, SourceDecision, VERSION_ENTRIES_MAX};
pub use source_list::{Seen, SourceEntryView, SourceFilter, SourceRow, SourceState};
pub use stats::Stats;
pub use token::{NewToken, SpentToken, TokenView};
pub use verdict::{VerdictCursor, VerdictPage};

/// Connections that only read. Readers never wait for the writer (WAL), so a few are enough.
const READERS_MAX: u32 = 4;

/// Longest wait for a connection before an operation fails.
const CONNECTION_WAIT_S: u64 = 30;

/// Longest wait for another process that holds the database, such as a backup.
const BUSY_WAIT_S: u64 = 10;

/// Prepared statements a connection keeps; batches add a few per width.
const STATEMENTS_KEPT_MAX: usize = 256;

/// Memory the writing connection may keep pages in: 64 MiB, in the negative kibibytes SQLite counts by.
///
/// PERF: digests scatter over every index, so with SQLite's own 2 MiB a batch reads and writes each page many times over.
const PAGE_CACHE: &str = "-65536";

/// Pages (of 4 KiB) the log may grow to before it is written back: 64 MiB.
///
/// PERF: the default of 1000 is one batch, so that every commit would be followed by two more syncs.
const WAL_PAGES: &str = "16384";

type Row = sqlx::sqlite::SqliteRow;
type Connection = SqliteConnection;
type Work = Transaction<'static, Sqlite>;

/// The database; clones share its connections. One connection writes, so transactions never meet each other half-way.
#[derive(Debug, Clone)]
pub struct Store {
    writer: SqlitePool,
    reader: SqlitePool,
}

impl Store {
    /// Makes a new database at `path`, with the global scope in it.
    ///
    /// # Errors
    /// [`StoreError::Place`] when something is there already.
    pub async fn create(path: &Path, now: i64) -> Result<Self> {
        if path.exists() {
            return Err(StoreError::Place {
                path: path.display().to_string(),
                what: "a database is there already; move it away first if it is to be replaced",
            });
        }
        reserve(path)?;
        let store = Self::connect(path).await?;
        store.create_global_scope(now).await?;
        Ok(store)
    }

    /// Opens an existing database and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Place`] when there is none.
    pub async fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(StoreError::Place { path: path.display().to_string(), what: "no database here; run `doorward-cms init` first" });
        }
        Self::connect(path).await
    }

    async fn connect(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // What was acknowledged must survive a power cut, so every commit is synced.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(BUSY_WAIT_S))
            .statement_cache_capacity(STATEMENTS_KEPT_MAX);
        let writing = options.clone().pragma("cache_size", PAGE_CACHE).pragma("wal_autocheckpoint", WAL_PAGES);
        let wait = Duration::from_secs(CONNECTION_WAIT_S);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(wait)
            // SQLite ends a transaction by itself when the disk is full, which sqlx does not notice: it would refuse to begin another
            // one on that connection for ever.
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(writing)
            .await?;
        sqlx::migrate!("migrations/sqlite").run(&writer).await?;
        let reader =
            SqlitePoolOptions::new().max_connections(READERS_MAX).acquire_timeout(wait).connect_with(options.read_only(true)).await?;
        Ok(Self { writer, reader })
    }

    /// Writes everything back into the one database file and lets go of it.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Starts a transaction that will write. It takes the write lock at once, so it never fails half-way for want of it.
    async fn begin(&self) -> Result<Work> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }
}

/// Makes the file readable by its owner alone before the database writes into it.
fn reserve(path: &Path) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|source| StoreError::File { path: path.display().to_string(), source })
}
