//! Files that dpkg put in place since the database was last read. dpkg writes a package's digests when it has unpacked it, and the
//! package's own scripts run its programs a moment later, long before the whole database is at rest and read again.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use doorward_policy::{Md5, PathBytes};

use super::database::FOLDER;

/// Bytes read of one list at most; the longest there are have some ten thousand lines of a hundred bytes.
const LIST_BYTES_MAX: u64 = 16 << 20;
/// Lists looked into at most: packages unpacked within one transaction.
const LISTS_MAX: usize = 256;
/// How much older than the last reading a list may be and still count as new, in seconds: a file's time has coarse grains.
const OVERLAP_S: i64 = 2;

/// The time of the last change of dpkg's lists, as the file system tells it; `None` where there are none.
pub(super) fn lists_changed(root: &Path) -> Option<(i64, i64)> {
    fs::metadata(lists(root)).ok().map(|folder| (folder.mtime(), folder.mtime_nsec()))
}

/// Whether a list newer than `read` names this content at this path below the root.
pub(super) fn lists_content(root: &Path, read: Option<(i64, i64)>, path: &PathBytes, md5: &Md5) -> bool {
    let since = read.map_or(i64::MIN, |(seconds, _)| seconds.saturating_sub(OVERLAP_S));
    let path = path.as_bytes().strip_prefix(b"/").unwrap_or(path.as_bytes());
    let wanted = md5.to_string();
    let Ok(entries) = fs::read_dir(lists(root)) else { return false };
    // By change time: dpkg gives its lists the modification times of the archive.
    entries
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "md5sums"))
        .filter(|entry| entry.metadata().is_ok_and(|list| list.is_file() && list.uid() == 0 && list.ctime() >= since))
        .take(LISTS_MAX)
        .any(|entry| list_names(&entry.path(), path, wanted.as_bytes()))
}

fn lists(root: &Path) -> PathBuf {
    root.join(FOLDER).join("info")
}

/// Lines are `MD5  usr/bin/name`; packages may leave out `usr/`, which leads to the same folder.
fn list_names(list: &Path, path: &[u8], md5: &[u8]) -> bool {
    let Ok(list) = File::open(list) else { return false };
    let without_usr = path.strip_prefix(b"usr/").unwrap_or(path);
    BufReader::new(list.take(LIST_BYTES_MAX)).split(b'\n').map_while(Result::ok).any(|line| {
        let Some((digest, named)) = line.split_at_checked(md5.len()) else { return false };
        let named = named.trim_ascii_start();
        digest == md5 && (named == path || named == without_usr)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

    #[test]
    fn only_new_lists_and_only_this_content_at_this_path_count() {
        let root = tempfile::tempdir().unwrap();
        let info = lists(root.path());
        fs::create_dir_all(&info).unwrap();
        fs::write(info.join("tool.md5sums"), format!("{MD5}  usr/bin/tool\n{MD5}  bin/other\n")).unwrap();
        fs::write(info.join("tool.list"), format!("{MD5}  usr/bin/elsewhere\n")).unwrap();
        let (md5, other): (Md5, Md5) = (MD5.parse().unwrap(), "00000000000000000000000000000000".parse().unwrap());
        let named = |read, path: &str, md5: &Md5| lists_content(root.path(), read, &PathBytes::new(path.as_bytes()), md5);
        let changed = lists_changed(root.path());
        assert!(named(changed, "/usr/bin/tool", &md5) && named(None, "/usr/bin/other", &md5));
        assert!(!named(changed, "/usr/bin/tool", &other) && !named(changed, "/usr/bin/too", &md5));
        assert!(!named(changed, "/usr/bin/elsewhere", &md5), "a list of names is none of digests");
        let later = changed.map(|(seconds, nanoseconds)| (seconds + OVERLAP_S + 1, nanoseconds));
        assert!(!named(later, "/usr/bin/tool", &md5), "read already");
    }
}
