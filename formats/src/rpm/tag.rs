//! The tags that are read, by rpm's numbers, and the types of their values.

pub(super) const IMMUTABLE: u32 = 63;
pub(super) const PUBKEYS: u32 = 266;
pub(super) const DSA_HEADER: u32 = 267;
pub(super) const RSA_HEADER: u32 = 268;
pub(super) const OPENPGP: u32 = 278;
pub(super) const NAME: u32 = 1000;
pub(super) const VERSION: u32 = 1001;
pub(super) const RELEASE: u32 = 1002;
pub(super) const EPOCH: u32 = 1003;
pub(super) const INSTALL_TIME: u32 = 1008;
pub(super) const VENDOR: u32 = 1011;
pub(super) const ARCH: u32 = 1022;
pub(super) const FILE_SIZES: u32 = 1028;
pub(super) const FILE_STATES: u32 = 1029;
pub(super) const FILE_MODES: u32 = 1030;
pub(super) const FILE_DIGESTS: u32 = 1035;
pub(super) const FILE_FLAGS: u32 = 1037;
pub(super) const FILE_VERIFY_FLAGS: u32 = 1045;
pub(super) const FILE_DEVICES: u32 = 1095;
pub(super) const FILE_INODES: u32 = 1096;
pub(super) const INSTALLED_PREFIXES: u32 = 1099;
pub(super) const DIR_INDEXES: u32 = 1116;
pub(super) const BASE_NAMES: u32 = 1117;
pub(super) const DIR_NAMES: u32 = 1118;
pub(super) const LONG_FILE_SIZES: u32 = 5008;
pub(super) const FILE_DIGEST_ALGORITHM: u32 = 5011;

/// How a value is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// `CHAR`, `INT8` and `BIN`: single bytes.
    Bytes,
    /// Big-endian numbers of so many bytes.
    Numbers(usize),
    /// One text, NUL at its end.
    Text,
    /// Texts one after the other; translated texts too.
    Texts,
}

impl Type {
    pub(super) const fn of(code: u32) -> Option<Self> {
        match code {
            1 | 2 | 7 => Some(Self::Bytes),
            3 => Some(Self::Numbers(2)),
            4 => Some(Self::Numbers(4)),
            5 => Some(Self::Numbers(8)),
            6 => Some(Self::Text),
            8 | 9 => Some(Self::Texts),
            _ => None,
        }
    }
}
