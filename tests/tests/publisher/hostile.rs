//! Damaged signatures: whatever the bytes, a reason and never a trusted publisher.

use doorward_agent::trust::Haste;
use doorward_policy::Flaw;
use doorward_tests::workshop::Purpose::CodeSigning;
use proptest::prelude::*;

use crate::bench::Bench;
use doorward_tests::workshop::{ALWAYS, Signer, Workshop, image};

/// Damaged copies looked at.
const ROUNDS: u32 = 400;

#[test]
fn a_damaged_signature_never_counts() {
    let Some(workshop) = Workshop::with(&["osslsigncode"]) else { return };
    let authority = Signer::authority("Example Root");
    let signer = authority.certifies("Example Ltd", CodeSigning, ALWAYS);
    let signed = workshop.sign_image(&workshop.write("plain.exe", &image(b"program")), &signer, &["-h", "sha256"]);
    let bench = Bench::new().trusting("anchors.d", &authority);
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { cases: ROUNDS, failure_persistence: None, ..ProptestConfig::default() });
    let damage = (0x400..signed.len(), 1..=255_u8);
    let outcome = runner.run(&damage, |(at, bits)| {
        let mut damaged = signed.clone();
        damaged[at] ^= bits;
        let finding = bench.look("damaged.exe", &damaged);
        // Only what stands in no digest may change: the entry's revision, the padding, and unsigned words of the structure.
        if let Some(evidence) = &finding.evidence
            && evidence.flaw.is_none()
        {
            prop_assert_eq!(&evidence.name, "Example Ltd");
            prop_assert!(evidence.valid);
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_file_that_is_no_longer_what_was_named_gives_nothing() {
    let Some(workshop) = Workshop::with(&["osslsigncode"]) else { return };
    let authority = Signer::authority("Example Root");
    let signer = authority.certifies("Example Ltd", CodeSigning, ALWAYS);
    let signed = workshop.sign_image(&workshop.write("plain.exe", &image(b"program")), &signer, &["-h", "sha256"]);
    let mut evil = signed.clone();
    evil[0x200] ^= 1;
    let bench = Bench::new().trusting("anchors.d", &authority);
    let path = workshop.write("swapped.exe", &evil);
    let file = std::fs::File::open(&path).unwrap();
    let named = crate::bench::identified(&path, &file);
    // Between naming and looking, the genuine content takes its place.
    std::fs::write(&path, &signed).unwrap();
    bench.publishers().examine(&file, &named, Haste::None, &|| false);
    assert_eq!(bench.publishers().evidence(&named), None);
    assert!(bench.publishers().is_open_about(&named), "nothing is remembered");
    assert_eq!(bench.flaw("evil.exe", &evil), Some(Flaw::Altered));
}
