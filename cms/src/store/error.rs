//! What can go wrong between the CMS and its database.

/// A store operation that did not happen. Nothing of it was kept: every method is one transaction.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be reached: full disk, broken file, wrong permissions. The operator's to mend.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date: a newer program wrote it, or a migration was cut.
    #[error("the database's schema cannot be used: {0}; start the newest doorward-cms that ever used this database")]
    Schema(#[from] sqlx::migrate::MigrateError),
    /// A row holds what this program never writes: the database was edited or is damaged.
    #[error("the database holds a value this program never writes, in column {column}: {what}; restore it from a backup")]
    Corrupt {
        /// Column as the query names it.
        column: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A name that must be unique is taken.
    #[error("{what} {name:?} already exists; choose another name")]
    Taken {
        /// The noun.
        what: &'static str,
        /// The name asked for.
        name: String,
    },
    /// There are as many as there may be.
    #[error("there are {max} {what} already, and no more may be; take others back first")]
    TooMany {
        /// The noun.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// The caller's cursor is not one this list gave out.
    #[error(transparent)]
    Cursor(#[from] super::page::CursorError),
    /// A database is there already, or is missing, contrary to what was asked.
    #[error("{path}: {what}")]
    Place {
        /// Where the database was looked for.
        path: String,
        /// What was found instead, and what to do.
        what: &'static str,
    },
    /// The database file could not be touched.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
}

/// What store methods give back.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
