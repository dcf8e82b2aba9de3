//! Signatures by the real GnuPG, and what is done to them.

use doorward_formats::openpgp::{Fault, Keyring, Refusal, verify_cleartext, verify_detached};

use crate::sample::gpg::Gpg;

const TEXT: &[u8] = b"Suite: test\n- a dash\ntrailing blanks  \n\nlast line\n";
const DAY_S: i64 = 86_400;

#[expect(clippy::disallowed_methods, reason = "GnuPG signs by the machine's clock")]
fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

fn ring(files: &[Vec<u8>]) -> Keyring {
    let mut keyring = Keyring::default();
    for file in files {
        keyring.add(file).unwrap();
    }
    keyring
}

#[track_caller]
fn fault(outcome: Result<impl std::fmt::Debug, Refusal>) -> Fault {
    match outcome {
        Err(Refusal::Faulty { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn signatures_of_every_kind_of_key_that_counts_are_believed_and_only_what_is_inside_counts() {
    let Some(gpg) = Gpg::new() else { return };
    for algorithm in ["ed25519", "rsa3072", "nistp256", "brainpoolP256r1"] {
        let key = gpg.key(algorithm, algorithm, "0", &[]);
        let signed = gpg.clearsign(&key, TEXT, &[]);
        let outcome = verify_cleartext(&signed, &ring(&[gpg.armoured(&key)]), now());
        if algorithm == "brainpoolP256r1" {
            assert!(outcome.is_err(), "a curve that is not read");
            continue;
        }
        let (text, by) = outcome.unwrap();
        assert_eq!(text, b"Suite: test\r\n- a dash\r\ntrailing blanks\r\n\r\nlast line");
        assert_eq!((by.key.to_string(), by.name.as_str()), (key.clone(), algorithm));
        let detached = gpg.detach(&key, TEXT, &[]);
        assert_eq!(verify_detached(TEXT, &detached, &ring(&[gpg.public(&key)]), now()).unwrap().key, by.key);
        let armoured = gpg.detach(&key, TEXT, &["--armor"]);
        verify_detached(TEXT, &armoured, &ring(&[gpg.public(&key)]), now()).unwrap();
        assert_eq!(fault(verify_detached(b"other", &armoured, &ring(&[gpg.public(&key)]), now())), Fault::Mismatch);
    }
}

#[test]
fn a_signed_text_with_anything_outside_or_changed_inside_is_none() {
    let Some(gpg) = Gpg::new() else { return };
    let key = gpg.key("one", "ed25519", "0", &[]);
    let keyring = ring(&[gpg.public(&key)]);
    let signed = String::from_utf8(gpg.clearsign(&key, TEXT, &[])).unwrap();
    let check = |text: &str| verify_cleartext(text.as_bytes(), &keyring, now());
    check(&signed).unwrap();
    check(&format!("{signed}\n \n")).unwrap();
    assert_eq!(fault(check(&signed.replace("test", "evil"))), Fault::Mismatch);
    for outside in [
        format!("Suite: evil\n{signed}"),
        format!("{signed}Suite: evil\n"),
        format!("{signed}{signed}"),
        signed.replace("Hash: ", "Comment: x\nHash: "),
        signed.replace("- - a dash", "-a dash"),
        signed.replace("-----BEGIN PGP SIGNATURE-----", ""),
        signed[..signed.len() / 2].to_owned(),
        String::new(),
    ] {
        assert!(matches!(check(&outside), Err(Refusal::NotSigned(_))), "{outside}");
    }
}

#[test]
fn keys_that_are_unknown_expired_revoked_or_weak_sign_nothing() {
    let Some(gpg) = Gpg::new() else { return };
    let key = gpg.key("short-lived", "ed25519", "2d", &[]);
    let stranger = gpg.key("stranger", "ed25519", "0", &[]);
    let signed = gpg.clearsign(&key, TEXT, &[]);
    let keyring = ring(&[gpg.public(&key)]);
    verify_cleartext(&signed, &keyring, now()).unwrap();
    assert_eq!(fault(verify_cleartext(&signed, &keyring, now() + 3 * DAY_S)), Fault::KeyExpired);
    assert_eq!(fault(verify_cleartext(&signed, &keyring, now() - 3 * DAY_S)), Fault::Unbound, "nothing of the key was made by then");
    let unknown = verify_cleartext(&signed, &ring(&[gpg.public(&stranger)]), now());
    assert!(matches!(unknown, Err(Refusal::UnknownKey(_))), "{unknown:?}");
    gpg.revoke(&key);
    assert_eq!(fault(verify_cleartext(&signed, &ring(&[gpg.public(&key)]), now())), Fault::Revoked);
    assert_eq!(ring(&[gpg.public(&key)]).summary(now())[0].fault, Some(Fault::Revoked));
    let weak = gpg.clearsign(&stranger, TEXT, &["--digest-algo", "SHA1"]);
    assert_eq!(fault(verify_cleartext(&weak, &ring(&[gpg.public(&stranger)]), now())), Fault::WeakHash);
    let short = gpg.key("tiny", "rsa1024", "0", &["--compliance", "gnupg"]);
    let signed = gpg.clearsign(&short, TEXT, &[]);
    assert_eq!(fault(verify_cleartext(&signed, &ring(&[gpg.public(&short)]), now())), Fault::WeakKey);
}

#[test]
fn a_subkey_counts_while_it_is_bound_and_may_sign() {
    let Some(gpg) = Gpg::new() else { return };
    let key = gpg.key("with subkey", "ed25519", "0", &[]);
    gpg.run(&["--quick-add-key", &key, "ed25519", "sign", "2d"], b"");
    let signed = gpg.clearsign(&key, TEXT, &[]);
    let keyring = ring(&[gpg.public(&key)]);
    let (_, by) = verify_cleartext(&signed, &keyring, now()).unwrap();
    assert_ne!(by.key, by.signer, "GnuPG prefers the newest key that signs");
    assert_eq!(fault(verify_cleartext(&signed, &keyring, now() + 3 * DAY_S)), Fault::KeyExpired);
    // Without its binding the subkey is nobody's.
    let bare = gpg.run(&["--export-options", "export-minimal", "--export-filter", "drop-subkey=usage=~s", "--export", &key], b"");
    assert!(verify_cleartext(&signed, &ring(&[bare]), now()).is_err());
}

#[test]
fn any_bytes_are_a_keyring_or_none() {
    for bytes in [&b""[..], b"text", b"-----BEGIN PGP PUBLIC KEY BLOCK-----", &[0x99, 0xff, 0xff], &[0xff; 300]] {
        let _ = Keyring::default().add(bytes);
        assert!(verify_detached(b"x", bytes, &Keyring::default(), 0).is_err());
    }
}
