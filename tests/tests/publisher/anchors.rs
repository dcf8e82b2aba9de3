//! Files of anchors: read anew when they change, and never believed when others may write them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use doorward_policy::Flaw;
use doorward_tests::workshop::Purpose::CodeSigning;

use crate::bench::Bench;
use doorward_tests::workshop::{ALWAYS, Signer, Workshop, image};

#[test]
fn a_change_of_the_files_changes_what_is_found() {
    let Some(workshop) = Workshop::with(&["osslsigncode"]) else { return };
    let authority = Signer::authority("Example Root");
    let signer = authority.certifies("Example Ltd", CodeSigning, ALWAYS);
    let signed = workshop.sign_image(&workshop.write("plain.exe", &image(b"program")), &signer, &["-h", "sha256"]);
    let bench = Bench::new();
    assert_eq!(bench.flaw("signed.exe", &signed), Some(Flaw::NoAnchor));
    let before = bench.publishers().generation();
    assert!(bench.publishers().renew().is_none(), "nothing changed");
    let bench = bench.trusting("anchors.d", &authority);
    assert!(bench.publishers().generation() > before);
    assert_eq!(bench.flaw("signed.exe", &signed), None);
    fs::remove_dir_all(bench.anchors().join("anchors.d")).unwrap();
    assert!(bench.publishers().renew().is_some());
    assert_eq!(bench.flaw("signed.exe", &signed), Some(Flaw::NoAnchor));
}

#[test]
fn what_is_no_anchor_is_named_and_the_others_count() {
    let bench = Bench::new().trusting("anchors.d", &Signer::authority("Example Root"));
    let problems = bench.set("anchors.d", b"not an anchor");
    assert!(problems[0].to_string().contains("1.pem: holds something"), "{problems:?}");
    assert_eq!(bench.publishers().anchors().len(), 1);
    let open = bench.anchors().join("anchors.d/0.pem");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).unwrap();
    let problems = bench.publishers().renew().unwrap();
    assert!(problems.iter().any(|problem| problem.to_string().contains("written by somebody other than root")), "{problems:?}");
    assert!(bench.publishers().anchors().is_empty());
}
