//! One name for files that a merged `/usr` gives two: where `/bin` is a symbolic link to `usr/bin`, dpkg may know
//! `/bin/ls` while the kernel reports `/usr/bin/ls`, and the other way round.

use std::borrow::Cow;

/// The top directories that Debian and its relatives merge.
const TOPS: [&[u8]; 7] = [b"bin", b"sbin", b"lib", b"lib32", b"lib64", b"libo32", b"libx32"];

/// Which top directories of a root are symbolic links to the one of the same name under `usr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UsrMerge {
    merged: [bool; TOPS.len()],
}

impl UsrMerge {
    /// Top directories that may be merged, for a caller that looks at its root.
    #[must_use]
    pub const fn tops() -> &'static [&'static [u8]] {
        &TOPS
    }

    /// Takes the merged ones by name (`bin`, not `/bin`); names outside [`Self::tops`] change nothing.
    #[must_use]
    pub fn of<'a>(merged: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut merge = Self::default();
        for top in merged {
            if let Some(index) = TOPS.iter().position(|known| *known == top) {
                merge.merged[index] = true;
            }
        }
        merge
    }

    /// The name under `usr` of a path relative to the root; paths that have but one name stay as they are, the link
    /// itself (`bin`) among them. Applying it twice changes nothing more.
    #[must_use]
    pub fn canonical<'a>(&self, path: &'a [u8]) -> Cow<'a, [u8]> {
        let top = path.iter().position(|byte| *byte == b'/').map(|end| &path[..end]);
        let is_merged = TOPS.iter().zip(self.merged).any(|(known, merged)| merged && top == Some(*known));
        if is_merged { Cow::Owned([b"usr/", path].concat()) } else { Cow::Borrowed(path) }
    }
}
