//! What every path out of dpkg's database keeps.

/// Joined to any root it stays below it.
pub fn assert_plain(path: &[u8]) {
    assert!(path.len() <= doorward_formats::dpkg::PATH_BYTES_MAX);
    for name in path.split(|byte| *byte == b'/') {
        assert!(!matches!(name, b"" | b"." | b"..") && !name.contains(&0), "{}", path.escape_ascii());
    }
}
