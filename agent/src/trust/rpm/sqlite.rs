//! `rpmdb.sqlite`, through SQLite itself.
//!
//! A reader that joins in the usual way writes a shared-memory file beside the database and holds a lock in it for as long
//! as it reads. This one does neither: a database at rest, with nothing in its write-ahead log, is opened as a file that
//! nobody changes; one with a log is copied with it first, and SQLite applies the log to the copy.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

use doorward_formats::rpm::HEADER_BYTES_MAX;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use super::super::TrustError;
use super::folder::Place;

/// Endings of the files beside a database that hold what is not in it yet, or what is to be undone in it.
pub(super) const WAL: &str = "-wal";
pub(super) const JOURNAL: &str = "-journal";

/// Longest that reading may take; a large database takes a second.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Instructions of SQLite's machine between two looks at the clock.
const INSTRUCTIONS_A_LOOK: i32 = 100_000;
const TEXT_BYTES_MAX: i32 = 64 * 1024;

/// Gives out every package newer than `newer_than`, by its number and its header, until told to stop.
pub(super) fn each(place: &Place, newer_than: u32, give: impl FnMut(u32, &[u8]) -> ControlFlow<()>) -> Result<(), TrustError> {
    let unusable = |error: rusqlite::Error| TrustError::Unusable { path: place.file.clone(), fault: error.to_string() };
    drop(Place::open(&place.file)?);
    if [WAL, JOURNAL].iter().all(|ending| is_empty(&place.beside(ending))) {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(uri(&place.file), flags).map_err(unusable)?;
        return headers(&connection, newer_than, give).map_err(unusable);
    }
    let folder = folder().map_err(|source| TrustError::Unreadable { path: place.file.clone(), source })?;
    let copy = folder.path().join("rpmdb.sqlite");
    for ending in ["", WAL, JOURNAL] {
        copy_file(&place.beside(ending), &folder.path().join(format!("rpmdb.sqlite{ending}")))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags).map_err(unusable)?;
    headers(&connection, newer_than, give).map_err(unusable)
}

fn headers(connection: &Connection, newer_than: u32, mut give: impl FnMut(u32, &[u8]) -> ControlFlow<()>) -> Result<(), rusqlite::Error> {
    harden(connection)?;
    let kind: String = connection.query_row("SELECT type FROM sqlite_schema WHERE name = 'Packages'", [], |row| row.get(0))?;
    if kind != "table" {
        return Err(rusqlite::Error::InvalidColumnType(0, "Packages is no table".into(), rusqlite::types::Type::Text));
    }
    let mut statement = connection.prepare("SELECT hnum, blob FROM Packages WHERE hnum > ?1 ORDER BY hnum")?;
    let mut rows = statement.query([newer_than])?;
    while let Some(row) = rows.next()? {
        let number: u32 = row.get(0)?;
        let blob = row.get_ref(1)?.as_blob()?;
        if give(number, blob).is_break() {
            break;
        }
    }
    Ok(())
}

/// SECURITY: the file is root's own, but a damaged one must cost no more than an error, in bounded time and memory.
fn harden(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, HEADER_BYTES_MAX as i32)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, TEXT_BYTES_MAX)?;
    let deadline = Instant::now() + READ_TIMEOUT;
    connection.progress_handler(INSTRUCTIONS_A_LOOK, Some(move || Instant::now() > deadline))?;
    // Exclusive locking keeps the index of a copied log in memory instead of in a file.
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;")
}

/// A folder of root's own, removed with what is in it: where files lie on a disk, or else wherever this host has room.
fn folder() -> io::Result<tempfile::TempDir> {
    let mut named = tempfile::Builder::new();
    named.prefix("doorward-rpm-").tempdir_in("/var/tmp").or_else(|_| named.tempdir())
}

/// Whether there is nothing in it.
fn is_empty(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |file| file.len() == 0)
}

fn copy_file(from: &Path, to: &Path) -> Result<(), TrustError> {
    let unreadable = |source| TrustError::Unreadable { path: from.to_owned(), source };
    let mut source = match Place::open(from) {
        Ok(source) => source,
        Err(TrustError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut copy = fs::File::create_new(to).map_err(unreadable)?;
    io::copy(&mut source, &mut copy).map_err(unreadable)?;
    Ok(())
}

/// The file's name as SQLite takes it, said to be changed by nobody.
fn uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?immutable=1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_marks_of_an_address_in_it_stays_one_name() {
        assert_eq!(uri(Path::new("/a b/c?d#e%")), "file:/a%20b/c%3Fd%23e%25?immutable=1");
    }
}
