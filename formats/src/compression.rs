//! Unpacking what packages and indexes are compressed with, byte by byte as it is asked for and never beyond a limit.
//!
//! All four decoders are written in safe Rust and maintained (`flate2` on miniz, `lzma-rust2`, `ruzstd`, `lz4_flex`): they are the
//! first to meet hostile bytes. bzip2 and the old lzma are left out, no distribution has packed with either for ten years; what is
//! packed so is told as [`Unpacking::Unknown`] and earns nothing.

use std::io::{self, Read};

/// Memory an xz stream may ask for, in KiB; `xz -9e`, the most that packages use, needs 65 MiB.
const XZ_MEMORY_KIB_MAX: u32 = 100 * 1024;

/// How something is packed, by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `.gz`
    Gzip,
    /// `.xz`
    Xz,
    /// `.zst`
    Zstd,
    /// `.lz4`, with which apt keeps indexes.
    Lz4,
}

/// Why bytes could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Unpacking {
    /// The name ends in a compression that is not read.
    #[error("packed in a way that is not read")]
    Unknown,
    /// Not what its name says, or damaged.
    #[error("cannot be unpacked: {0}")]
    Damaged(#[from] io::Error),
}

impl Compression {
    /// Every one, with the end its names have.
    pub const ALL: [(Self, &'static str); 5] =
        [(Self::None, ""), (Self::Gzip, ".gz"), (Self::Xz, ".xz"), (Self::Zstd, ".zst"), (Self::Lz4, ".lz4")];

    /// The compression whose names end so.
    #[must_use]
    pub fn of_suffix(suffix: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| known.as_bytes() == suffix).map(|(compression, _)| compression)
    }

    /// Unpacks at most `bytes_max` bytes; what is longer ends in an error.
    ///
    /// # Errors
    /// When the packed bytes do not even begin as they should.
    pub fn unpack<'a>(self, packed: impl Read + 'a, bytes_max: u64) -> Result<Unpacked<'a>, Unpacking> {
        let inner: Box<dyn Read + 'a> = match self {
            Self::None => Box::new(packed),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_MEMORY_KIB_MAX)),
            Self::Zstd => Box::new(ruzstd::decoding::StreamingDecoder::new(packed).map_err(io::Error::other)?),
            Self::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(packed)),
        };
        Ok(Unpacked { inner: Some(inner), left: bytes_max })
    }
}

/// Unpacked bytes. After an error nothing is asked of the decoder any more: none of them promises to bear that.
pub struct Unpacked<'a> {
    inner: Option<Box<dyn Read + 'a>>,
    left: u64,
}

impl Read for Unpacked<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(inner) = &mut self.inner else { return Err(io::Error::other("read on after an error")) };
        // One byte more than is allowed is asked for, to tell the end from the limit.
        let wanted = into.len().min(usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX));
        let outcome = inner.read(&mut into[..wanted]);
        match outcome {
            Ok(count) if count as u64 > self.left => {
                self.inner = None;
                Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than its limit when unpacked"))
            }
            Ok(count) => {
                self.left -= count as u64;
                Ok(count)
            }
            Err(error) => {
                self.inner = None;
                Err(error)
            }
        }
    }
}
