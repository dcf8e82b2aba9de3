//! The text of a dpkg database for files whose content is known, so that their package vouches for them.

use std::fmt::Write as _;

/// What dpkg keeps about one installed package: the paragraph of `status`, `NAME.list` and `NAME.md5sums`.
pub(super) struct Record {
    pub(super) status: String,
    pub(super) list: String,
    pub(super) md5sums: String,
}

/// Records a package. Paths do not start with a slash.
pub(super) fn record<'a>(name: &str, files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Record {
    let status = format!(
        "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0-1\nMaintainer: Test <test@example.org>\n\
         Description: test\n\n"
    );
    let (mut list, mut md5sums) = (String::from("/.\n"), String::new());
    for (path, content) in files {
        let _ = writeln!(list, "/{path}");
        let _ = writeln!(md5sums, "{}  {path}", md5(content));
    }
    Record { status, list, md5sums }
}

fn md5(content: &[u8]) -> String {
    use md5::Digest as _;
    doorward_policy::Md5::new(md5::Md5::digest(content).into()).to_string()
}
