//! What apt's repositories on this host vouch for, checked again from the key up: sources, keyrings, Release files with their signatures,
//! and the indexes they list. The result is a sorted list of archives' digests, each with its index; no name in it is believed.
//!
//! Read when an archive is to be judged and thrown away soon after: a distribution has some 60,000 archives.

mod keys;

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use doorward_formats::apt::{Packages, Release, Source, Sources, StrongDigest, Trusted, index_file_name, release_file_name};
use doorward_formats::compression::Compression;
use doorward_formats::openpgp::{Signed, verify_cleartext, verify_detached};
use doorward_policy::{KeyFingerprint, Sha256};
use sha2::Digest as _;

use super::read;
use keys::Keys;

/// Where apt keeps what it fetched, below the root.
const LISTS: &str = "var/lib/apt/lists";

/// Bytes of a Release file; Debian's has some hundred kilobytes.
const RELEASE_BYTES_MAX: u64 = 32 << 20;

/// Bytes of a file of sources.
const SOURCES_BYTES_MAX: u64 = 4 << 20;

/// Files of sources, and suites of all of them.
const FILES_MAX: usize = 1000;

/// Bytes of an index when it is unpacked.
const INDEX_BYTES_MAX: u64 = 1 << 30;

/// Archives of all indexes together; at 36 bytes each this stays below 72 MB.
const ENTRIES_MAX: usize = 2_000_000;

/// Faults that are told.
const PROBLEMS_MAX: usize = 64;

/// An index that a signature leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIndex {
    /// Its path below the suite.
    pub path: String,
    /// The Release file as apt names it.
    pub release: String,
    /// The suite by its own word.
    pub suite: String,
    /// When the Release file was made, in seconds since 1970, UTC.
    pub released_at: i64,
    /// Who signed it.
    pub signed: Signed,
}

/// Everything that signatures lead to.
#[derive(Debug, Default)]
pub struct SignedIndexes {
    indexes: Vec<SignedIndex>,
    /// Digests of archives, ascending, each with the number of its index.
    entries: Vec<([u8; 32], u32)>,
    /// What does not count, and why; for people.
    pub problems: Vec<String>,
}

/// How apt's files looked at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryStamp(Vec<Option<(u64, i64, i64)>>);

impl RepositoryStamp {
    /// Of the host below `root`.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let parts = [LISTS, "etc/apt/sources.list", "etc/apt/sources.list.d", "etc/apt/trusted.gpg", "etc/apt/trusted.gpg.d"];
        let state = |part: &&str| fs::metadata(root.join(part)).ok().map(|state| (state.ino(), state.ctime(), state.ctime_nsec()));
        Self(parts.iter().map(state).collect())
    }
}

impl SignedIndexes {
    /// Reads and checks all repositories below `root`. `pinned` are the keys that count; those apt itself takes when there are none.
    /// `now` in seconds since 1970, UTC.
    #[must_use]
    pub fn read(root: &Path, pinned: &[KeyFingerprint], now: i64) -> Self {
        let mut found = Self::default();
        let mut keys = Keys::new(root, pinned);
        let mut seen: Vec<(String, Source)> = Vec::new();
        for source in found.sources(root) {
            let release = release_file_name(&source.uri, &source.suite);
            if source.trusted == Trusted::Always {
                found.note(format!("{} {}: marked trusted=yes, which never counts", source.uri, source.suite));
            } else if seen.len() < FILES_MAX && !seen.iter().any(|(known, other)| *known == release && other.signed_by == source.signed_by)
            {
                seen.push((release, source));
            }
        }
        for (release, source) in seen {
            if let Err(problem) = found.suite(root, &release, &source, &mut keys, now) {
                found.note(format!("{} {}: {problem}", source.uri, source.suite));
            }
        }
        keys.problems.drain(..).for_each(|problem| found.note(problem));
        found.entries.sort_unstable();
        found
    }

    /// The index that lists an archive of this digest.
    #[must_use]
    pub fn find(&self, archive: &Sha256) -> Option<&SignedIndex> {
        let at = self.entries.binary_search_by(|(digest, _)| digest.cmp(archive.as_bytes())).ok()?;
        self.indexes.get(self.entries[at].1 as usize)
    }

    /// The indexes that count.
    #[must_use]
    pub fn indexes(&self) -> &[SignedIndex] {
        &self.indexes
    }

    /// Archives of all of them.
    #[must_use]
    pub fn archives(&self) -> usize {
        self.entries.len()
    }

    fn note(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    fn sources(&mut self, root: &Path) -> Vec<Source> {
        let mut files = vec![root.join("etc/apt/sources.list")];
        files.extend(names_in(&root.join("etc/apt/sources.list.d"), &["list", "sources"]));
        let mut sources = Vec::new();
        let mut text = Vec::new();
        for file in files {
            match read::whole(&file, SOURCES_BYTES_MAX, &mut text) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    self.note(error.to_string());
                    continue;
                }
            }
            let is_stanzas = file.extension().is_some_and(|extension| extension == "sources");
            let found = if is_stanzas { Sources::of_stanzas(&text) } else { Sources::of_lines(&text) };
            for problem in found.problems {
                self.note(format!("{}: {problem}", file.display()));
            }
            sources.extend(found.sources);
        }
        sources
    }

    /// Takes in the indexes of one suite.
    fn suite(&mut self, root: &Path, release_name: &str, source: &Source, keys: &mut Keys, now: i64) -> Result<(), String> {
        let lists = root.join(LISTS);
        let keyring = keys.of(&source.signed_by)?;
        let mut message = Vec::new();
        let unreadable = |error: super::TrustError| error.to_string();
        let (text, signed, release_file) =
            if read::whole(&lists.join(format!("{release_name}InRelease")), RELEASE_BYTES_MAX, &mut message).map_err(unreadable)? {
                let (text, signed) = verify_cleartext(&message, &keyring, now).map_err(|refusal| format!("InRelease: {refusal}"))?;
                (text, signed, format!("{release_name}InRelease"))
            } else if read::whole(&lists.join(format!("{release_name}Release")), RELEASE_BYTES_MAX, &mut message).map_err(unreadable)? {
                let mut signature = Vec::new();
                read::whole(&lists.join(format!("{release_name}Release.gpg")), RELEASE_BYTES_MAX, &mut signature).map_err(unreadable)?;
                let signed = verify_detached(&message, &signature, &keyring, now).map_err(|refusal| format!("Release.gpg: {refusal}"))?;
                (message, signed, format!("{release_name}Release"))
            } else {
                return Err("nothing was fetched from it; run apt-get update".to_owned());
            };
        let release = Release::read(&text).map_err(|problem| format!("Release: {problem}"))?;
        if release.valid_until.is_some_and(|until| until < now) {
            return Err("its Release file is no longer valid; run apt-get update".to_owned());
        }
        for (path, listed) in release.package_indexes() {
            let name = index_file_name(release_name, path);
            for (compression, suffix) in Compression::ALL {
                let Ok(packed) = File::open(lists.join(format!("{name}{suffix}"))) else { continue };
                let number = u32::try_from(self.indexes.len()).map_err(|_| "too many indexes".to_owned())?;
                let room = ENTRIES_MAX - self.entries.len();
                match entries(packed, compression, listed.digest, number, room) {
                    Ok(entries) => {
                        self.entries.extend(entries);
                        self.indexes.push(SignedIndex {
                            path: path.to_owned(),
                            release: release_file.clone(),
                            suite: release.suite.clone(),
                            released_at: release.date,
                            signed: signed.clone(),
                        });
                    }
                    Err(problem) => self.note(format!("{name}{suffix}: {problem}")),
                }
                break;
            }
        }
        Ok(())
    }
}

/// The archives of an index, once its digest has proven to be the listed one.
fn entries(packed: File, compression: Compression, listed: StrongDigest, number: u32, room: usize) -> Result<Vec<([u8; 32], u32)>, String> {
    let text = compression.unpack(BufReader::new(packed), INDEX_BYTES_MAX).map_err(|problem| problem.to_string())?;
    let mut digesting = BufReader::with_capacity(256 * 1024, Digesting::new(text, listed));
    let mut entries = Vec::new();
    {
        let mut packages = Packages::new(&mut digesting);
        while let Some(entry) = packages.next_entry().map_err(|problem| problem.to_string())? {
            if entries.len() >= room {
                return Err(format!("more than {ENTRIES_MAX} archives in all indexes"));
            }
            entries.push((*entry.sha256.as_bytes(), number));
        }
    }
    io::copy(&mut digesting, &mut io::sink()).map_err(|error| error.to_string())?;
    if digesting.into_inner().into_verdict() { Ok(entries) } else { Err("its digest is not the one its Release file lists".to_owned()) }
}

/// Digests what passes, in the algorithm that was listed.
struct Digesting<R> {
    reader: R,
    listed: StrongDigest,
    sha256: sha2::Sha256,
    sha512: sha2::Sha512,
}

impl<R: Read> Digesting<R> {
    fn new(reader: R, listed: StrongDigest) -> Self {
        Self { reader, listed, sha256: sha2::Sha256::new(), sha512: sha2::Sha512::new() }
    }

    fn into_verdict(self) -> bool {
        match self.listed {
            StrongDigest::Sha256(listed) => Sha256::new(self.sha256.finalize().into()) == listed,
            StrongDigest::Sha512(listed) => self.sha512.finalize()[..] == listed,
        }
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(into)?;
        match self.listed {
            StrongDigest::Sha256(_) => self.sha256.update(&into[..count]),
            StrongDigest::Sha512(_) => self.sha512.update(&into[..count]),
        }
        Ok(count)
    }
}

/// Files of a folder whose names apt would take, in its order.
fn names_in(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_taken = |path: &PathBuf| path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known));
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_taken).take(FILES_MAX).collect();
    files.sort_unstable();
    files
}
