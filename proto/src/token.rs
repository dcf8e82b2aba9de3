//! Enrollment tokens: `dw1.<secret>.<CA key hash>`, both in lower-case base32 without padding. The hash lets a host know the right CMS
//! before it tells the secret; the CMS keeps only [`secret_hash`].

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use doorward_policy::Sha256;
use sha2::Digest;

const VERSION: &str = "dw1";
const SECRET_BYTES: usize = 16;
const SECRET_CHARS: usize = 26;

/// What an administrator hands to a host. `Debug` hides the secret, `Display` is the token itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    secret: String,
    ca_key_hash: [u8; 32],
}

/// Why a text is no token. Never repeats the text, which may hold most of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts with dots between them.
    #[error("not an enrollment token: expected dw1.<secret>.<CA key hash>; copy the whole line that `doorward-cms token create` printed")]
    Shape,
    /// Made by another version.
    #[error("an enrollment token of another version: it does not start with dw1")]
    Version,
    /// The second part.
    #[error("the enrollment token's secret is damaged: expected 26 characters a-z and 2-7")]
    Secret,
    /// The third part.
    #[error("the enrollment token's CA key hash is damaged: expected 52 characters a-z and 2-7")]
    CaKeyHash,
}

impl Token {
    /// Makes a token from 128 random bits.
    #[must_use]
    pub fn new(random: [u8; SECRET_BYTES], ca_key_hash: [u8; 32]) -> Self {
        Self { secret: encode(&random), ca_key_hash }
    }

    /// What goes into `EnrollRequest.token_secret`.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// SHA-256 of the CA's `SubjectPublicKeyInfo`; see [`crate::certificate::ca_key_hash`].
    #[must_use]
    pub const fn ca_key_hash(&self) -> &[u8; 32] {
        &self.ca_key_hash
    }
}

/// What the CMS keeps and compares of a secret: with 128 random bits in it a plain digest cannot be guessed back.
#[must_use]
pub fn secret_hash(secret: &str) -> Sha256 {
    Sha256::new(sha2::Sha256::digest(secret).into())
}

fn encode(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// Only the one text that [`encode`] writes is read back.
fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok()?.try_into().ok()
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}.{}.{}", self.secret, encode(&self.ca_key_hash))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({VERSION}.….{})", encode(&self.ca_key_hash))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let mut parts = text.split('.');
        let (Some(version), Some(secret), Some(hash), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(TokenError::Shape);
        };
        if version != VERSION {
            return Err(TokenError::Version);
        }
        if secret.len() != SECRET_CHARS || decode::<SECRET_BYTES>(secret).is_none() {
            return Err(TokenError::Secret);
        }
        Ok(Self { secret: secret.to_owned(), ca_key_hash: decode(hash).ok_or(TokenError::CaKeyHash)? })
    }
}
