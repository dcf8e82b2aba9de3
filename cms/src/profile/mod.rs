//! A profile's settings: what they are, what they start as, and how a person's changes to them are checked. Where they are kept is
//! the store's business; what they mean is `policy`'s.

mod patch;
mod settings;

use doorward_policy::ProfileId;

pub use patch::{PatchError, SettingsPatch};
pub use settings::{SettingChange, Settings};

/// The scope above all profiles. It is kept like a profile so that it can be named, edited and published like one.
pub const GLOBAL: ProfileId = ProfileId::new(uuid::Uuid::nil());

/// The global scope's name.
pub const GLOBAL_NAME: &str = "global";

/// The profile every new database has, and its tag.
pub const DEFAULT_NAME: &str = "default";

/// Longest profile name and tag, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Whether a text can name a profile or be its tag: letters, digits, `-`, `_` and `.`, starting with a letter or digit, and not the
/// global scope's name.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= NAME_BYTES_MAX
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && text.bytes().all(word)
        && text != GLOBAL_NAME
}
