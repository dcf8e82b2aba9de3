//! Windows images, signed by osslsigncode.

use doorward_policy::{Flaw, Sha256, Signing};
use doorward_tests::workshop::Purpose::{ClientAuth, CodeSigning, TimeStamping};
use sha2::Digest as _;

use crate::bench::Bench;
use doorward_tests::workshop::{ALWAYS, Signer, Workshop, image};

/// Signed on 2024-07-01T00:00:00Z.
const STAMPED: &str = "1719792000";

fn workshop() -> Option<Workshop> {
    Workshop::with(&["osslsigncode"])
}

#[test]
fn a_publisher_is_named_with_chain_and_dates() {
    let Some(workshop) = workshop() else { return };
    let authority = Signer::authority("Example Root");
    let signer = authority.certifies("Example Ltd", CodeSigning, ALWAYS);
    let signed = workshop.sign_image(&workshop.write("plain.exe", &image(b"program")), &signer, &["-h", "sha256"]);
    let bench = Bench::new().trusting("anchors.d", &authority);
    let evidence = bench.evidence("signed.exe", &signed);
    assert_eq!((evidence.signing, evidence.name.as_str()), (Signing::Authenticode, "Example Ltd"));
    assert_eq!(evidence.fingerprint, Sha256::new(sha2::Sha256::digest(&signer.der).into()));
    assert!(evidence.valid && evidence.chain_trusted && !evidence.public_authority, "{evidence:?}");
    assert_eq!((evidence.flaw, evidence.signed_at), (None, None));
    assert_eq!(evidence.chain, ["Example Root"]);
    assert_eq!(evidence.validity.unwrap().from, 946_684_800_000_000);
    for digest in ["sha384", "sha512"] {
        let signed = workshop.sign_image(&workshop.path("plain.exe"), &signer, &["-h", digest]);
        assert_eq!(bench.flaw("signed.exe", &signed), None, "{digest}");
    }
}

#[test]
fn every_byte_counts() {
    let Some(workshop) = workshop() else { return };
    let authority = Signer::authority("Example Root");
    let signer = authority.certifies("Example Ltd", CodeSigning, ALWAYS);
    let signed = workshop.sign_image(&workshop.write("plain.exe", &image(b"program")), &signer, &["-h", "sha256"]);
    let bench = Bench::new().trusting("anchors.d", &authority);
    for at in [2, 0x40, 0x97, 0x200, 0x3ff] {
        let mut changed = signed.clone();
        changed[at] ^= 1;
        assert_eq!(bench.flaw("changed.exe", &changed), Some(Flaw::Altered), "byte {at:#x}");
    }
    // Windows lets the checksum be, and so does the digest.
    let mut checksum = signed.clone();
    checksum[0x98 + 64] ^= 1;
    assert_eq!(bench.flaw("checksum.exe", &checksum), None);
    let behind = [&signed[..], b"more"].concat();
    assert!(bench.reason("behind.exe", &behind).contains("does not cover"));
    assert_eq!(bench.reason("plain.exe", &image(b"program")), "unsigned");
}

#[test]
fn an_archive_hidden_beside_the_signature_earns_nothing() {
    let Some(workshop) = workshop() else { return };
    let authority = Signer::authority("Example Root");
    let signer = authority.certifies("Example Ltd", CodeSigning, ALWAYS);
    let mut signed = workshop.sign_image(&workshop.write("plain.exe", &image(b"program")), &signer, &["-h", "sha256"]);
    // One more entry of the table, of no bytes but an archive's end.
    let entry = [&[32_u8, 0, 0, 0, 0, 2, 2, 0][..], b"PK\x05\x06", &[0; 20]].concat();
    signed.extend_from_slice(&entry);
    let size_at = 0x98 + 112 + 36;
    let size = u32::from_le_bytes(signed[size_at..size_at + 4].try_into().unwrap()) + entry.len() as u32;
    signed[size_at..size_at + 4].copy_from_slice(&size.to_le_bytes());
    let bench = Bench::new().trusting("anchors.d", &authority);
    assert!(bench.reason("hidden.exe", &signed).contains("can be taken for something"));
}

#[test]
fn a_certificate_that_ended_counts_only_with_a_stamp_from_before() {
    let Some(workshop) = workshop() else { return };
    let authority = Signer::authority("Example Root");
    let signer = authority.certifies("Example Ltd", CodeSigning, [2020, 2024]);
    let times = Signer::authority("Example Times");
    let stamper = times.certifies("Example Clock", TimeStamping, ALWAYS);
    let plain = workshop.write("plain.exe", &image(b"program"));
    let unstamped = workshop.sign_image(&plain, &signer, &["-h", "sha256"]);
    workshop.employ("clock", &stamper);
    let stamping = ["-h", "sha256", "-TSA-certs", "clock.pem", "-TSA-key", "clock.key", "-TSA-time", STAMPED];
    let stamped = workshop.sign_image(&plain, &signer, &stamping);
    let bench = Bench::new().trusting("anchors.d", &authority);
    assert_eq!(bench.flaw("unstamped.exe", &unstamped), Some(Flaw::Expired));
    assert_eq!(bench.flaw("stamped.exe", &stamped), Some(Flaw::Expired), "nobody vouches for that clock");
    let bench = bench.trusting("time.d", &times);
    let evidence = bench.evidence("stamped.exe", &stamped);
    assert_eq!((evidence.flaw, evidence.signed_at), (None, Some(1_719_792_000_000_000)));
    assert_eq!(bench.flaw("unstamped.exe", &unstamped), Some(Flaw::Expired));
    let late = ["-h", "sha256", "-TSA-certs", "clock.pem", "-TSA-key", "clock.key", "-TSA-time", "1760000000"];
    let late = workshop.sign_image(&plain, &signer, &late);
    assert_eq!(bench.flaw("late.exe", &late), Some(Flaw::Expired), "stamped after its end");
}

#[test]
fn who_may_stamp_time_may_not_sign_code_and_the_other_way_round() {
    let Some(workshop) = workshop() else { return };
    let authority = Signer::authority("Example Root");
    let times = Signer::authority("Example Times");
    let plain = workshop.write("plain.exe", &image(b"program"));
    let bench = Bench::new().trusting("anchors.d", &authority).trusting("time.d", &times);
    let by = |signer: &Signer| workshop.sign_image(&plain, signer, &["-h", "sha256"]);
    assert_eq!(bench.flaw("a.exe", &by(&authority.certifies("Clock", TimeStamping, ALWAYS))), Some(Flaw::WrongUse));
    assert_eq!(bench.flaw("b.exe", &by(&authority.certifies("Client", ClientAuth, ALWAYS))), Some(Flaw::WrongUse));
    assert_eq!(bench.flaw("c.exe", &by(&times.certifies("Stranger", CodeSigning, ALWAYS))), Some(Flaw::NoAnchor));
    assert_eq!(bench.flaw("d.exe", &by(&authority.certifies("Early", CodeSigning, [2090, 2099]))), Some(Flaw::NotYetValid));
}

#[test]
fn a_public_authority_vouches_for_a_name_only() {
    let Some(workshop) = workshop() else { return };
    let authority = Signer::authority("Public Root");
    let signer = authority.certifies("Anybody Ltd", CodeSigning, ALWAYS);
    let signed = workshop.sign_image(&workshop.write("plain.exe", &image(b"program")), &signer, &["-h", "sha256"]);
    let evidence = Bench::new().trusting("public.d", &authority).evidence("signed.exe", &signed);
    assert!(evidence.chain_trusted && evidence.public_authority, "{evidence:?}");
    // The same certificate, set by the site itself.
    let evidence = Bench::new().trusting("public.d", &authority).trusting("anchors.d", &signer).evidence("signed.exe", &signed);
    assert!(evidence.chain_trusted && !evidence.public_authority, "{evidence:?}");
    let evidence = Bench::new().evidence("signed.exe", &signed);
    assert_eq!((evidence.valid, evidence.chain_trusted, evidence.flaw), (true, false, Some(Flaw::NoAnchor)));
}

#[test]
fn of_two_signatures_the_one_that_counts_more_is_told() {
    let Some(workshop) = workshop() else { return };
    let (authority, stranger) = (Signer::authority("Example Root"), Signer::authority("Strange Root"));
    let first = stranger.certifies("Stranger", CodeSigning, ALWAYS);
    let second = authority.certifies("Example Ltd", CodeSigning, ALWAYS);
    let plain = workshop.write("plain.exe", &image(b"program"));
    let once = workshop.sign_image(&plain, &first, &["-h", "sha256"]);
    let once = workshop.write("once.exe", &once);
    let twice = workshop.sign_image(&once, &second, &["-h", "sha256", "-nest"]);
    let bench = Bench::new().trusting("anchors.d", &authority);
    assert_eq!(bench.evidence("twice.exe", &twice).name, "Example Ltd");
    // What proves nothing any more proves nothing beside what does, and nothing alone.
    let weak = workshop.sign_image(&plain, &second, &["-h", "sha1"]);
    assert!(bench.reason("weak.exe", &weak).contains("SHA-1"));
    let both = workshop.write("weak.exe", &weak);
    let both = workshop.sign_image(&both, &second, &["-h", "sha256", "-nest"]);
    assert_eq!(bench.flaw("both.exe", &both), None);
}
