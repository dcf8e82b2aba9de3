//! The ways in which a file is changed under those who judge it.

use clap::ValueEnum;

/// How a file is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// The same inode gets other bytes, none missing at any moment
    Rewrite,
    /// The same inode is emptied and filled again
    Truncate,
    /// Another inode takes the name
    Rename,
    /// Other bytes are stored through a mapping once it ran, and it is started again as soon as the mapping is gone
    Mapped,
    /// Likewise, while the mapping stands
    Mapping,
    /// It is written under a write lease, which keeps everybody from looking at it
    WriteLease,
    /// It is rewritten while read leases on it come and go
    ReadLease,
}

impl Way {
    /// Every way that succeeds where nobody protects.
    pub const ALL: [Self; 6] = [Self::Rewrite, Self::Truncate, Self::Rename, Self::Mapped, Self::WriteLease, Self::ReadLease];

    /// The word of the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::Truncate => "truncate",
            Self::Rename => "rename",
            Self::Mapped => "mapped",
            Self::Mapping => "mapping",
            Self::WriteLease => "write-lease",
            Self::ReadLease => "read-lease",
        }
    }

    /// How often a round starts the program.
    #[must_use]
    pub const fn starts(self) -> u32 {
        match self {
            Self::Mapped | Self::Mapping => 2,
            _ => 1,
        }
    }
}
