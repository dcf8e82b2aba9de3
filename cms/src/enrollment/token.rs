//! Making enrollment tokens. The token itself is shown once; what is kept cannot be turned back into it.

use doorward_proto::token::Token;

/// A new token and what to keep of it.
#[derive(Debug)]
pub struct MintedToken {
    /// To be shown to the person who asked, once.
    pub token: Token,
    /// To be kept.
    pub secret_hash: [u8; 32],
}

/// Makes a token with 128 random bits that pins this CA.
///
/// # Panics
/// When the kernel has no randomness to give, which it never refuses once booted.
#[must_use]
pub fn mint_token(ca_key_hash: [u8; 32]) -> MintedToken {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the kernel gives randomness once booted");
    let token = Token::new(random, ca_key_hash);
    let secret_hash = secret_hash(token.secret());
    MintedToken { token, secret_hash }
}

/// What is kept and compared of a token's secret part.
#[must_use]
pub fn secret_hash(secret: &str) -> [u8; 32] {
    *doorward_proto::token::secret_hash(secret).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_pin_the_ca_and_are_found_by_their_secret() {
        let (one, other) = (mint_token([7; 32]), mint_token([7; 32]));
        assert_ne!(one.secret_hash, other.secret_hash);
        let parsed: Token = one.token.to_string().parse().unwrap();
        assert_eq!((secret_hash(parsed.secret()), parsed.ca_key_hash()), (one.secret_hash, &[7; 32]));
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let minted = mint_token([7; 32]);
        assert!(!format!("{minted:?}").contains(minted.token.secret()));
    }
}
