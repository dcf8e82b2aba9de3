//! One read of a file, all digests of it, a bounded buffer, holes included without reading them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use doorward_formats::{HEAD_BYTES, Kind};
use doorward_policy::{Blake3, DigestAlgorithm, FileKind, ListedDigest, Md5, Sha256};
use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::unistd::{Whence, lseek};
use sha2::Digest as _;

use super::{NameClaim, SkipReason, WantedDigest};

/// Bytes read at a time.
///
/// PERF: BLAKE3 alone gets through 4.2 GB/s in pieces of 16 KiB and more, 2.5 GB/s in pieces of 4 KiB; beyond 256 KiB the
/// buffer leaves the second-level cache and nothing is gained.
pub(crate) const BUFFER_BYTES: usize = 256 * 1024;

/// Fed to the digests in place of a hole.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Digests of one content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// The file's name everywhere.
    pub sha256: Sha256,
    /// Proves "unchanged" cheaply.
    pub blake3: Blake3,
    /// Of another algorithm, only where it was asked for: for a path of which a package lists one.
    pub listed: Option<ListedDigest>,
}

impl Digests {
    /// The digest of this algorithm, if it was taken.
    #[must_use]
    pub fn of(&self, algorithm: DigestAlgorithm) -> Option<ListedDigest> {
        match algorithm {
            DigestAlgorithm::Sha256 => Some(self.sha256.into()),
            _ => self.listed.filter(|listed| listed.algorithm() == algorithm),
        }
    }

    /// The MD5, if it was taken.
    #[must_use]
    pub fn md5(&self) -> Option<Md5> {
        self.listed.and_then(|listed| listed.md5())
    }

    /// Whether what is wanted was taken.
    #[must_use]
    pub fn suffice(&self, wanted: Option<DigestAlgorithm>) -> bool {
        wanted.is_none_or(|algorithm| self.of(algorithm).is_some())
    }
}

/// Digests in the making.
///
/// PERF: per core, on a Zen 3 with SHA-NI and AVX2: SHA-256 1.6 GB/s, BLAKE3 4.2, MD5 0.55 (`md-5`) or 0.69 (`fast-md5`,
/// `md5-simd`). Eight MD5 streams in AVX2 lanes reach 3 GB/s, but no well-kept crate feeds lanes piece by piece from files
/// of different lengths, and MD5 is asked for only where dpkg lists one. What rpm lists is SHA-256 on every host of this decade.
struct Digesting {
    sha256: sha2::Sha256,
    blake3: Box<blake3::Hasher>,
    listed: Option<WantedDigest>,
}

impl Digesting {
    fn new(wanted: Option<DigestAlgorithm>) -> Self {
        let listed = wanted.filter(|algorithm| *algorithm != DigestAlgorithm::Sha256).map(WantedDigest::new);
        Self { sha256: sha2::Sha256::new(), blake3: Box::default(), listed }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.blake3.update(bytes);
        if let Some(listed) = &mut self.listed {
            listed.update(bytes);
        }
    }

    fn finish(self) -> Digests {
        Digests {
            sha256: Sha256::new(self.sha256.finalize().into()),
            blake3: Blake3::new(*self.blake3.finalize().as_bytes()),
            listed: self.listed.map(WantedDigest::finish),
        }
    }
}

/// One thread's buffer, used for one file after another. First [`Self::kind`], then for a candidate [`Self::digest`].
#[derive(Debug)]
pub struct Reader {
    buffer: Box<[u8]>,
    /// Bytes of the file's beginning that stand in the buffer.
    head_bytes: usize,
}

impl Default for Reader {
    fn default() -> Self {
        Self { buffer: vec![0; BUFFER_BYTES].into(), head_bytes: 0 }
    }
}

impl Reader {
    /// What the file is by its content; `None` when it is no candidate. Does not move the descriptor's position.
    ///
    /// # Errors
    /// The file's own.
    pub fn kind(&mut self, file: &File, claim: NameClaim) -> io::Result<Option<FileKind>> {
        self.head_bytes = 0;
        self.head_bytes = read_full(file, &mut self.buffer[..HEAD_BYTES], 0)?;
        kind_of(&self.buffer[..self.head_bytes], file, claim)
    }

    /// Digests the whole of the file whose kind was told last. `size` and `blocks` are its `stat`'s; `stop` is asked at
    /// every buffer, and `read` told the bytes of each.
    ///
    /// # Errors
    /// [`SkipReason::ChangedWhileRead`] when it does not end at `size`, [`SkipReason::Stopped`], or the file's own reason.
    pub fn digest(
        &mut self,
        file: &File,
        size: u64,
        blocks: u64,
        wanted: Option<DigestAlgorithm>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Digests, SkipReason> {
        let mut digesting = Digesting::new(wanted);
        if size > BUFFER_BYTES as u64 {
            // Read once and not again: it shall not push out what the host works with. Dropping its pages afterwards would
            // also drop those that were there before, so that is left alone.
            let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_NOREUSE);
        }
        let has_holes = blocks.saturating_mul(512) < size;
        let mut at = 0;
        while at < size {
            if stop() {
                return Err(SkipReason::Stopped);
            }
            let data_at = if has_holes { next_data(file, at, size)? } else { at };
            feed_zeros(&mut digesting, data_at - at, stop)?;
            at = data_at;
            let bytes = self.fill(file, at, size)?;
            if bytes == 0 && at < size {
                return Err(SkipReason::ChangedWhileRead);
            }
            digesting.update(&self.buffer[..bytes]);
            at += bytes as u64;
        }
        Ok(digesting.finish())
    }

    /// Reads what comes at `at`, at most to `size`; keeps the head that is already there.
    fn fill(&mut self, file: &File, at: u64, size: u64) -> io::Result<usize> {
        let kept = if at == 0 { std::mem::take(&mut self.head_bytes) } else { 0 };
        let want = usize::try_from(size - at).unwrap_or(usize::MAX).min(BUFFER_BYTES);
        if kept >= want {
            return Ok(want);
        }
        self.head_bytes = 0;
        Ok(kept + read_full(file, &mut self.buffer[kept..want], at + kept as u64)?)
    }
}

/// As [`Reader::kind`], for a look without a reader.
pub(super) fn kind(file: &File, claim: NameClaim) -> io::Result<Option<FileKind>> {
    let mut head = [0; HEAD_BYTES];
    let head_bytes = read_full(file, &mut head, 0)?;
    kind_of(&head[..head_bytes], file, claim)
}

fn kind_of(head: &[u8], file: &File, claim: NameClaim) -> io::Result<Option<FileKind>> {
    let format = match (Kind::of_head(head), claim) {
        (doorward_formats::Guess::Certain(kind), _) => return Ok(Some(kind.file_kind())),
        (doorward_formats::Guess::NeedsMore(format), _) => format,
        (doorward_formats::Guess::Not, NameClaim::Jar) => doorward_formats::Format::Zip,
        (doorward_formats::Guess::Not, NameClaim::CompressedModule) => return Ok(Some(FileKind::KernelModule)),
        (doorward_formats::Guess::Not, NameClaim::Source) => return Ok(Some(FileKind::Script)),
        (doorward_formats::Guess::Not, NameClaim::None) => return Ok(None),
    };
    let confirmed = format.confirm(&mut Positioned { file, at: 0 })?.map(|kind| kind.file_kind());
    Ok(confirmed.or((claim == NameClaim::Source).then_some(FileKind::Script)))
}

/// Fills `into` unless the file ends before.
fn read_full(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Where data begins again at or after `at`; `size` when only a hole is left.
fn next_data(file: &File, at: u64, size: u64) -> Result<u64, SkipReason> {
    let offset = i64::try_from(at).map_err(|_| SkipReason::Io)?;
    match lseek(file, offset, Whence::SeekData) {
        Ok(data_at) => Ok(data_at.cast_unsigned().clamp(at, size)),
        Err(Errno::ENXIO) => Ok(size),
        // The file system keeps no account of holes.
        Err(Errno::EINVAL) => Ok(at),
        Err(error) => Err(error.into()),
    }
}

fn feed_zeros(digesting: &mut Digesting, bytes: u64, stop: &dyn Fn() -> bool) -> Result<(), SkipReason> {
    let mut left = bytes;
    while left > 0 {
        if stop() {
            return Err(SkipReason::Stopped);
        }
        let piece = left.min(ZEROS.len() as u64);
        digesting.update(&ZEROS[..piece as usize]);
        left -= piece;
    }
    Ok(())
}

/// Reading and seeking without moving the position of a descriptor that others may share.
struct Positioned<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Positioned<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read_at(into, self.at)?;
        self.at += bytes as u64;
        Ok(bytes)
    }
}

impl Seek for Positioned<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn digests(file: &File, wanted: Option<DigestAlgorithm>) -> Digests {
        use std::os::unix::fs::MetadataExt;
        let metadata = file.metadata().unwrap();
        let mut reader = Reader::default();
        reader.kind(file, NameClaim::None).unwrap();
        reader.digest(file, metadata.size(), metadata.blocks(), wanted, &|| false).unwrap()
    }

    #[test]
    fn digests_are_those_of_the_plain_crates_at_every_length_that_matters() {
        let lengths = [0, 1, 63, 64, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, BUFFER_BYTES, BUFFER_BYTES + 1, 3 * BUFFER_BYTES + 17];
        for length in lengths {
            let content: Vec<u8> = (0..length).map(|at| (at * 7 + at / 251) as u8).collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&content).unwrap();
            let digests = digests(&file, Some(DigestAlgorithm::Md5));
            assert_eq!(digests.sha256.as_bytes()[..], sha2::Sha256::digest(&content)[..], "{length}");
            assert_eq!(digests.blake3.as_bytes(), blake3::hash(&content).as_bytes(), "{length}");
            assert_eq!(digests.md5().unwrap().as_bytes()[..], md5::Md5::digest(&content)[..], "{length}");
        }
    }

    #[test]
    fn holes_count_as_the_zeros_they_are() {
        let mut content = vec![0; 3 * BUFFER_BYTES];
        content[..4].copy_from_slice(b"head");
        content[BUFFER_BYTES + 4096] = 1;
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"head", 0).unwrap();
        file.write_all_at(&[1], BUFFER_BYTES as u64 + 4096).unwrap();
        file.set_len(content.len() as u64).unwrap();
        let digests = digests(&file, None);
        assert_eq!(digests.sha256.as_bytes()[..], sha2::Sha256::digest(&content)[..]);
        assert_eq!(digests.listed, None);
    }

    #[test]
    fn a_file_cut_short_has_no_digest() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10).unwrap();
        assert_eq!(Reader::default().digest(&file, 11, 8, None, &|| false), Err(SkipReason::ChangedWhileRead));
    }

    #[test]
    fn digesting_stops_when_told_even_inside_a_hole() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        let asked = std::cell::Cell::new(0);
        let stop = || asked.replace(asked.get() + 1) == 100;
        assert_eq!(Reader::default().digest(&file, 1 << 40, 0, None, &stop), Err(SkipReason::Stopped));
    }
}
