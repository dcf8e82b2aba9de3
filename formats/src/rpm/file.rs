//! What a header says about its files, in arrays that run side by side.

use doorward_policy::{DigestAlgorithm, ListedDigest};

use super::header::{Numbers, Place};
use super::{FILES_MAX, Fault, Header, Strings, tag};

/// Type bits of a mode, and what they are for a regular file.
const TYPE_MASK: u64 = 0o170_000;
const REGULAR: u64 = 0o100_000;

const FLAG_CONFIG: u64 = 1 << 0;
const FLAG_DOC: u64 = 1 << 1;
const FLAG_MISSING_OK: u64 = 1 << 3;
const FLAG_GHOST: u64 = 1 << 6;

/// `%verify`: this bit stands for the digest. All are set unless the package takes some away.
const VERIFY_DIGEST: u64 = 1 << 0;

/// What became of a file at installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileState {
    /// In place, and this package's.
    Normal,
    /// Another package put its own there since.
    Replaced,
    /// Left out: documentation nobody wanted, or a folder that was excluded.
    NotInstalled,
    /// On a share of the network; not touched.
    NetShared,
    /// Another architecture's file lies there instead.
    WrongColor,
}

impl FileState {
    /// A number that rpm may give one day says at least that the file is not simply in place.
    const fn of(code: u64) -> Self {
        match code {
            0 => Self::Normal,
            1 => Self::Replaced,
            3 => Self::NetShared,
            4 => Self::WrongColor,
            _ => Self::NotInstalled,
        }
    }
}

/// One file, folder or link of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagedFile<'a> {
    folder: &'a [u8],
    name: &'a [u8],
    /// A file as such; folders, links and devices are not.
    pub is_regular: bool,
    /// Bytes it has as packaged.
    pub size: u64,
    /// Its administrator may change it.
    pub is_config: bool,
    /// It is documentation.
    pub is_doc: bool,
    /// It may be missing.
    pub may_be_missing: bool,
    /// The package owns the path and brings no content.
    pub is_ghost: bool,
    /// The package asks for its content to be verified; one that expects it to change does not.
    pub is_verified: bool,
    /// What became of it.
    pub state: FileState,
    /// As packaged; `None` where the package lists none, or one of an algorithm unknown here.
    pub digest: Option<ListedDigest>,
    /// Device and inode when it was packaged: equal ones in one package are names of one file.
    pub link: Option<(u64, u64)>,
}

impl PackagedFile<'_> {
    /// Writes the path relative to the root (`usr/bin/ls`) into `path`, replacing what is there; false when it is no plain
    /// path: names between slashes, without `.`, `..`, empty ones and newlines.
    #[must_use]
    pub fn path_into(&self, path: &mut Vec<u8>) -> bool {
        path.clear();
        let is_plain = |name: &[u8]| !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'\n');
        let Some(folder) = self.folder.strip_prefix(b"/") else { return false };
        let folder = folder.strip_suffix(b"/").unwrap_or(folder);
        if !is_plain(self.name) || self.name.contains(&b'/') || !(folder.is_empty() || folder.split(|byte| *byte == b'/').all(is_plain)) {
            return false;
        }
        if !folder.is_empty() {
            path.extend_from_slice(folder);
            path.push(b'/');
        }
        path.extend_from_slice(self.name);
        path.len() <= crate::dpkg::PATH_BYTES_MAX
    }
}

/// All files of a package.
#[derive(Debug, Clone)]
pub struct Files<'a> {
    at: usize,
    count: usize,
    folders: Vec<&'a [u8]>,
    folder_of: Option<Numbers<'a>>,
    names: Strings<'a>,
    modes: Option<Numbers<'a>>,
    sizes: Option<Numbers<'a>>,
    flags: Option<Numbers<'a>>,
    verified: Option<Numbers<'a>>,
    states: Option<Numbers<'a>>,
    devices: Option<Numbers<'a>>,
    inodes: Option<Numbers<'a>>,
    digests: Option<Strings<'a>>,
    algorithm: Option<DigestAlgorithm>,
}

impl<'a> Files<'a> {
    pub(super) fn of(header: &Header<'a>) -> Result<Self, Fault> {
        // A relocation gives files other folders and leaves everything else, also their order, as it was sealed.
        let names = header.texts(Place::Anywhere, tag::BASE_NAMES)?.unwrap_or_default();
        let count = names.expected();
        if count > FILES_MAX {
            return Err(Fault::Files);
        }
        let fitting = |numbers: Option<Numbers<'a>>| match numbers {
            Some(numbers) if numbers.len() != count => Err(Fault::Files),
            numbers => Ok(numbers),
        };
        let sealed = |tag| header.numbers(Place::Sealed, tag).and_then(fitting);
        let digests = header.texts(Place::Sealed, tag::FILE_DIGESTS)?;
        let folders = header.texts(Place::Anywhere, tag::DIR_NAMES)?.unwrap_or_default();
        if folders.expected() > count || digests.as_ref().is_some_and(|digests| digests.expected() != count) {
            return Err(Fault::Files);
        }
        let sealed_names = header.texts(Place::Sealed, tag::BASE_NAMES)?.unwrap_or_default();
        if sealed_names.expected() != count {
            return Err(Fault::Files);
        }
        let algorithm = match header.numbers(Place::Sealed, tag::FILE_DIGEST_ALGORITHM)? {
            None => Some(DigestAlgorithm::Md5),
            Some(code) => code.at(0).and_then(algorithm),
        };
        Ok(Self {
            at: 0,
            count,
            folders: folders.collect(),
            folder_of: header.numbers(Place::Anywhere, tag::DIR_INDEXES).and_then(fitting)?,
            names,
            modes: sealed(tag::FILE_MODES)?,
            sizes: match sealed(tag::LONG_FILE_SIZES)? {
                Some(sizes) => Some(sizes),
                None => sealed(tag::FILE_SIZES)?,
            },
            flags: sealed(tag::FILE_FLAGS)?,
            verified: sealed(tag::FILE_VERIFY_FLAGS)?,
            states: header.numbers(Place::Anywhere, tag::FILE_STATES).and_then(fitting)?,
            devices: sealed(tag::FILE_DEVICES)?,
            inodes: sealed(tag::FILE_INODES)?,
            digests,
            algorithm,
        })
    }

    fn one(&mut self) -> Option<PackagedFile<'a>> {
        let at = self.at;
        self.at += 1;
        let name = self.names.next();
        let digest = self.digests.as_mut().and_then(Iterator::next).filter(|digits| !digits.is_empty());
        let number = |numbers: Option<Numbers<'a>>| numbers.and_then(|numbers| numbers.at(at));
        let folder = *self.folders.get(usize::try_from(number(self.folder_of)?).ok()?)?;
        let flags = number(self.flags).unwrap_or(0);
        Some(PackagedFile {
            folder,
            name: name?,
            is_regular: number(self.modes)? & TYPE_MASK == REGULAR,
            size: number(self.sizes).unwrap_or(0),
            is_config: flags & FLAG_CONFIG != 0,
            is_doc: flags & FLAG_DOC != 0,
            may_be_missing: flags & FLAG_MISSING_OK != 0,
            is_ghost: flags & FLAG_GHOST != 0,
            is_verified: number(self.verified).is_none_or(|verified| verified & VERIFY_DIGEST != 0),
            state: match self.states {
                None => FileState::Normal,
                Some(_) => FileState::of(number(self.states)?),
            },
            digest: self.algorithm.zip(digest).and_then(|(algorithm, digits)| ListedDigest::from_hex(algorithm, digits)),
            link: number(self.devices).zip(number(self.inodes)),
        })
    }
}

impl<'a> Iterator for Files<'a> {
    type Item = Result<PackagedFile<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.count {
            return None;
        }
        let at = self.at;
        let file = self.one().ok_or(Fault::Path(at));
        if file.is_err() {
            // What lies behind cannot be told apart any more.
            self.at = self.count;
        }
        Some(file)
    }
}

/// OpenPGP's numbers, which rpm uses.
const fn algorithm(code: u64) -> Option<DigestAlgorithm> {
    match code {
        1 => Some(DigestAlgorithm::Md5),
        2 => Some(DigestAlgorithm::Sha1),
        8 => Some(DigestAlgorithm::Sha256),
        9 => Some(DigestAlgorithm::Sha384),
        10 => Some(DigestAlgorithm::Sha512),
        11 => Some(DigestAlgorithm::Sha224),
        12 => Some(DigestAlgorithm::Sha3_256),
        14 => Some(DigestAlgorithm::Sha3_512),
        _ => None,
    }
}
