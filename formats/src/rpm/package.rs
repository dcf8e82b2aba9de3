//! What a header says about its package.

use super::header::Place;
use super::{Fault, Files, Header, tag};

/// Files of one package at most; the largest there are have some hundred thousand.
pub const FILES_MAX: usize = 2_000_000;

/// The name under which rpm keeps the public keys of its keyring.
const KEY_NAME: &[u8] = b"gpg-pubkey";

/// An installed package. Texts are what the header holds, any bytes but NUL.
#[derive(Debug, Clone)]
pub struct Package<'a> {
    /// Without version and architecture.
    pub name: &'a [u8],
    /// Comes before the version where it is not 0.
    pub epoch: u32,
    /// The packaged software's own.
    pub version: &'a [u8],
    /// The packager's counting.
    pub release: &'a [u8],
    /// `x86_64`, `noarch` and so on; empty for keys.
    pub architecture: &'a [u8],
    /// Who built the distribution, as far as the package says; empty when it does not.
    pub vendor: &'a [u8],
    /// When it was installed, in seconds since 1970, UTC, as rpm noted it; 0 when it did not.
    pub installed_at: u64,
    /// Prefixes other than its own were chosen for its files when it was installed.
    pub is_relocated: bool,
    header: Header<'a>,
}

impl<'a> Package<'a> {
    /// Reads what describes the package as a whole.
    ///
    /// # Errors
    /// [`Fault::Tag`] when one of its names is missing or none.
    pub fn of(header: Header<'a>) -> Result<Self, Fault> {
        let text = |tag| header.text(Place::Sealed, tag);
        let needed = |tag| text(tag)?.filter(|text| !text.is_empty()).ok_or(Fault::Tag(tag));
        let epoch = header.numbers(Place::Sealed, tag::EPOCH)?.and_then(|epoch| epoch.at(0)).unwrap_or(0);
        Ok(Self {
            name: needed(tag::NAME)?,
            epoch: u32::try_from(epoch).map_err(|_| Fault::Tag(tag::EPOCH))?,
            version: needed(tag::VERSION)?,
            release: needed(tag::RELEASE)?,
            architecture: text(tag::ARCH)?.unwrap_or_default(),
            vendor: text(tag::VENDOR)?.unwrap_or_default(),
            installed_at: header.numbers(Place::Anywhere, tag::INSTALL_TIME)?.and_then(|time| time.at(0)).unwrap_or(0),
            is_relocated: header.texts(Place::Anywhere, tag::INSTALLED_PREFIXES)?.is_some() && header.is_moved(),
            header,
        })
    }

    /// Whether it is no package at all but a key of rpm's keyring.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.name == KEY_NAME
    }

    /// The header it was read from.
    #[must_use]
    pub const fn header(&self) -> &Header<'a> {
        &self.header
    }

    /// Its files, folders and links, in the header's order.
    ///
    /// # Errors
    /// [`Fault::Files`] when the lists of them do not fit each other, or [`Fault::Tag`].
    pub fn files(&self) -> Result<Files<'a>, Fault> {
        Files::of(&self.header)
    }
}

impl Header<'_> {
    /// Whether its files were given other places than it was sealed with.
    fn is_moved(&self) -> bool {
        let names = |place| self.texts(place, tag::DIR_NAMES).ok().flatten().map(Iterator::collect::<Vec<_>>);
        names(Place::Sealed) != names(Place::Anywhere)
    }
}
