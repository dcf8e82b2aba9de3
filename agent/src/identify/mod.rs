//! What a file is: its kind by content, its digests from one read, and the identity under which both may be remembered.
//!
//! The way in is [`Identifier`]; [`store`] remembers; `scan` and `exec` call. Judged files are read into a bounded buffer and
//! never mapped (whoever may write one could cut it short under our feet, and the signal would end a root daemon). Nothing
//! here knows packages, lists or the wire.
//!
//! # When an identity may stand for content
//! An identity is (file system, inode, change time, size). Digests are kept under it only if, before the first byte was
//! read, its change time was at least two clock ticks old and nobody had the file open or mapped for writing (a read lease
//! was granted), and if the identity was the same after the last byte. Any later change must begin with an open for
//! writing, and its first store moves the change time to another value. Without the lease a store through a mapping made
//! earlier could go unseen; without the two ticks a second change within one tick could. Where change times come in whole
//! seconds, two of those take the place of the two ticks.
//!
//! All of that is worth what the file system's change times are worth: nothing is kept of file systems that show another
//! time in their place (FAT), or whose inodes somebody else may write (`disk`): loop devices, sticks, FUSE, the network.

mod digest;
mod disk;
mod facts;
mod filesystem;
mod identifier;
mod identity;
mod open;
mod skip;
pub mod store;
mod wanted;

pub use digest::{Digests, Reader};
pub use facts::{Attributes, Identified};
pub use filesystem::{Filesystem, Filesystems};
pub use identifier::{Examined, Identifier, Inode, Limits};
pub use identity::{FilesystemId, Identity, NameClaim};
pub use open::open_at;
pub use skip::SkipReason;
pub use store::IdentityStore;
pub(crate) use wanted::WantedDigest;
