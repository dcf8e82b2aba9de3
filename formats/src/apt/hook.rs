//! What apt tells the programs of `DPkg::Pre-Install-Pkgs`: in version 1 the paths of archives alone; from version 2 on its whole
//! configuration, an empty line, and a line for each package: name, versions, direction and what is done, which is the archive's path
//! when it is to be unpacked.

/// Bytes taken of it; the configuration has some ten kilobytes, a line for a package some hundred bytes.
pub const HOOK_BYTES_MAX: u64 = 16 << 20;

/// Paths of the archives that are about to be unpacked, in apt's order. `None` when it is not what apt tells.
#[must_use]
pub fn archives_to_install(told: &[u8]) -> Option<Vec<&[u8]>> {
    let mut lines = told.split(|byte| *byte == b'\n');
    let version = match told.strip_prefix(b"VERSION ") {
        None => 1,
        Some(_) => str::from_utf8(lines.next()?).ok()?.strip_prefix("VERSION ")?.trim().parse().ok()?,
    };
    // Words before the last one.
    let words = match version {
        1 => 0,
        2 => 4,
        3 => 8,
        _ => return None,
    };
    if version > 1 {
        lines.by_ref().find(|line| line.is_empty())?;
    }
    let archive = |line| nth_rest(line, words).filter(|path| path.starts_with(b"/"));
    Some(lines.filter_map(archive).collect())
}

/// What follows `words` words and the blanks behind each.
fn nth_rest(line: &[u8], words: usize) -> Option<&[u8]> {
    let mut rest = line;
    for _ in 0..words {
        let blank = rest.iter().position(|byte| *byte == b' ')?;
        rest = &rest[blank + 1..];
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_names_its_archives() {
        let paths = [b"/var/cache/apt/archives/hello_2.10-3_amd64.deb".as_slice()];
        assert_eq!(archives_to_install(b"/var/cache/apt/archives/hello_2.10-3_amd64.deb\n").unwrap(), paths);
        let second = b"VERSION 2\nAPT::Architecture=amd64\nDir=/\n\nhello - < 2.10-3 /var/cache/apt/archives/hello_2.10-3_amd64.deb\nhello - < 2.10-3 **CONFIGURE**\nold 1 > - **REMOVE**\n";
        assert_eq!(archives_to_install(second).unwrap(), paths);
        let third = b"VERSION 3\nDir=/\n\nhello - - none < 2.10-3 amd64 none /var/cache/apt/archives/hello_2.10-3_amd64.deb\nhello - - none < 2.10-3 amd64 none **CONFIGURE**\n";
        assert_eq!(archives_to_install(third).unwrap(), paths);
    }

    #[test]
    fn a_run_that_only_removes_names_none_and_nonsense_is_told() {
        assert_eq!(archives_to_install(b"").unwrap(), [b""; 0]);
        assert_eq!(archives_to_install(b"VERSION 3\nDir=/\n\nold 1 amd64 none > - - none **REMOVE**\n").unwrap(), [b""; 0]);
        assert_eq!(archives_to_install(b"VERSION 9\n\n"), None);
        assert_eq!(archives_to_install(b"VERSION 3\nno end of the configuration"), None);
    }
}
