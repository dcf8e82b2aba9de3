//! What the kernel reads: signatures behind modules, and the IMA attribute.

use std::fs;

use doorward_policy::{Flaw, Signing};
use doorward_tests::workshop::Purpose::CodeSigning;

use crate::bench::Bench;
use doorward_tests::workshop::{ALWAYS, Signer, Workshop};

/// An object that the kernel would take for a module because of what stands behind it.
fn object() -> Vec<u8> {
    let mut object = b"\x7fELF\x02\x01\x01".to_vec();
    object.resize(16, 0);
    object.extend(1_u16.to_le_bytes());
    object.resize(4096, 7);
    object
}

/// As the kernel's `sign-file` does it.
fn sign_module(workshop: &Workshop, object: &[u8], signer: &Signer, options: &[&str]) -> Vec<u8> {
    workshop.employ("signer", signer);
    workshop.write("object.ko", object);
    let sign = ["cms", "-sign", "-binary", "-noattr", "-nocerts", "-outform", "DER", "-in", "object.ko", "-out", "object.p7s"];
    workshop.run("openssl", &[&sign[..], &["-signer", "signer.pem", "-inkey", "signer.key"], options].concat());
    let signature = fs::read(workshop.path("object.p7s")).unwrap();
    let mut trailer = [0, 0, 2, 0, 0, 0, 0, 0].to_vec();
    trailer.extend((signature.len() as u32).to_be_bytes());
    [object, &signature, &trailer, b"~Module signature appended~\n"].concat()
}

#[test]
fn a_module_counts_by_a_key_the_site_set() {
    let Some(workshop) = Workshop::with(&["openssl"]) else { return };
    let signer = Signer::authority("Elsewhere").certifies("Kernel signer", CodeSigning, [2020, 2021]);
    let bench = Bench::new().trusting("anchors.d", &signer);
    for options in [&["-md", "sha256"][..], &["-md", "sha512"], &["-md", "sha256", "-keyid"]] {
        let module = sign_module(&workshop, &object(), &signer, options);
        let evidence = bench.evidence("m.ko", &module);
        assert_eq!((evidence.signing, evidence.flaw), (Signing::KernelModule, None), "the kernel looks at no dates");
        assert!(evidence.chain_trusted);
        let mut changed = module.clone();
        changed[2000] ^= 1;
        assert_eq!(bench.flaw("changed.ko", &changed), Some(Flaw::BadSignature));
    }
    let module = sign_module(&workshop, &object(), &signer, &["-md", "sha256"]);
    assert!(Bench::new().reason("m.ko", &module).contains("no file on this host names"));
    let weak = sign_module(&workshop, &object(), &signer, &["-md", "sha1"]);
    assert!(bench.reason("weak.ko", &weak).contains("SHA-1"));
    let stranger = Signer::authority("Elsewhere").certifies("Stranger", CodeSigning, ALWAYS);
    let foreign = sign_module(&workshop, &object(), &stranger, &["-md", "sha256"]);
    assert!(bench.reason("foreign.ko", &foreign).contains("no file on this host names"));
}

#[test]
fn an_ima_signature_counts_for_any_file_and_by_a_key_the_site_set() {
    let Some(workshop) = Workshop::with(&["evmctl", "openssl"]) else { return };
    let signer = Signer::authority("Site");
    workshop.employ("signer", &signer);
    workshop.run("openssl", &["x509", "-in", "signer.pem", "-noout", "-pubkey", "-out", "signer.pub"]);
    for (anchor, hash) in [(signer.der.clone(), "sha256"), (fs::read(workshop.path("signer.pub")).unwrap(), "sha512")] {
        let bench = Bench::new().trusting_file("anchors.d", &anchor);
        let _ = fs::remove_file(workshop.path("tool"));
        let path = workshop.write("tool", b"#!/bin/sh\nexit 0\n");
        assert_eq!(*bench.look_at(&path), doorward_agent::trust::publisher::Finding::unsigned());
        if let Err(error) = sign_ima(&workshop, hash) {
            eprintln!("SKIPPED: this file system takes no security.ima: {error}");
            return;
        }
        let evidence = bench.look_at(&path).evidence.clone().expect("somebody signed it");
        assert_eq!((evidence.signing, evidence.flaw, evidence.chain_trusted), (Signing::Ima, None, true), "{hash}");
        // The attribute stays when the content is changed in its place.
        fs::write(&path, b"#!/bin/sh\nexit 1\n").unwrap();
        assert_eq!(bench.look_at(&path).evidence.clone().unwrap().flaw, Some(Flaw::BadSignature), "{hash}");
        let stranger = Bench::new().trusting("anchors.d", &Signer::authority("Stranger"));
        assert!(stranger.look_at(&path).reason.clone().unwrap().contains("no file on this host names"));
    }
}

fn sign_ima(workshop: &Workshop, hash: &str) -> Result<(), String> {
    let mut sign = std::process::Command::new("evmctl");
    sign.args(["ima_sign", "--hashalgo", hash, "--key"]).arg(workshop.path("signer.key")).arg(workshop.path("tool"));
    let output = sign.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
