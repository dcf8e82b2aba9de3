//! Enrollment tokens: one text for one token, and no word of a secret where it does not belong.

use doorward_proto::token::{Token, TokenError, secret_hash};
use proptest::prelude::*;

fn token() -> Token {
    Token::new([0xa5; 16], [0x5a; 32])
}

#[test]
fn a_token_has_the_shape_that_was_promised() {
    let text = token().to_string();
    let parts: Vec<&str> = text.split('.').collect();
    assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("dw1", 26, 52));
    assert_eq!(text, text.to_ascii_lowercase());
    assert_eq!(parts[1], token().secret());
}

#[test]
fn malformed_tokens_are_refused_with_what_is_wrong() {
    let good = token().to_string();
    let (secret, hash) = (token().secret().to_owned(), good.rsplit('.').next().unwrap().to_owned());
    let table = [
        (String::new(), TokenError::Shape),
        (secret.clone(), TokenError::Shape),
        (format!("{good}."), TokenError::Shape),
        (format!("{good}.x"), TokenError::Shape),
        (format!("dw2.{secret}.{hash}"), TokenError::Version),
        (format!("DW1.{secret}.{hash}"), TokenError::Version),
        (format!(" {good}"), TokenError::Version),
        (format!("dw1..{hash}"), TokenError::Secret),
        (format!("dw1.{}.{hash}", &secret[1..]), TokenError::Secret),
        (format!("dw1.{secret}a.{hash}"), TokenError::Secret),
        (format!("dw1.{}.{hash}", secret.to_uppercase()), TokenError::Secret),
        (format!("dw1.{}1.{hash}", &secret[..25]), TokenError::Secret),
        (format!("dw1.{}b.{hash}", &secret[..25]), TokenError::Secret),
        (format!("dw1.{secret}."), TokenError::CaKeyHash),
        (format!("dw1.{secret}.{}", &hash[1..]), TokenError::CaKeyHash),
        (format!("dw1.{secret}.{hash}\n"), TokenError::CaKeyHash),
        (format!("dw1.{secret}.{}ä", &hash[..50]), TokenError::CaKeyHash),
        (format!("dw1.{secret}.{}", hash.to_uppercase()), TokenError::CaKeyHash),
        // Stray bits at the end are not another way to write the same hash.
        (format!("dw1.{secret}.{}b", &hash[..51]), TokenError::CaKeyHash),
    ];
    for (text, error) in table {
        assert_eq!(text.parse::<Token>(), Err(error), "{text:?}");
    }
}

#[test]
fn neither_debug_nor_an_error_tells_the_secret() {
    let token = token();
    assert!(!format!("{token:?}").contains(token.secret()));
    let error = format!("dw1.{}.short", token.secret()).parse::<Token>().unwrap_err();
    assert!(!format!("{error:?} {error}").contains(token.secret()));
}

#[test]
fn the_cms_keeps_the_sha256_of_the_secrets_text() {
    let hash = secret_hash("abc").to_string();
    assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

proptest! {
    #[test]
    fn every_token_reads_back(random in any::<[u8; 16]>(), hash in any::<[u8; 32]>()) {
        let token = Token::new(random, hash);
        let back: Token = token.to_string().parse().unwrap();
        prop_assert_eq!(&back, &token);
        prop_assert_eq!(back.ca_key_hash(), &hash);
    }

    #[test]
    fn any_text_is_a_token_or_a_refusal(text in ".{0,100}", parts in "dw1\\.[a-z2-7]{24,28}\\.[a-z2-7]{50,54}") {
        for text in [text, parts] {
            if let Ok(token) = text.parse::<Token>() {
                prop_assert_eq!(token.to_string(), text);
            }
        }
    }
}
