//! Java archives, signed by jarsigner.

use std::fs;
use std::path::PathBuf;

use doorward_policy::{Flaw, Signing};
use doorward_tests::workshop::Purpose::CodeSigning;

use crate::bench::Bench;
use doorward_tests::workshop::{ALWAYS, Signer, Workshop};

fn workshop() -> Option<Workshop> {
    Workshop::with(&["jar", "jarsigner", "openssl", "python3"])
}

/// A JAR with a class, a resource with a name that has to be folded, and a folder.
fn plain(workshop: &Workshop) -> PathBuf {
    workshop.write("in/org/example/Main.class", b"\xca\xfe\xba\xbe main");
    workshop.write(&format!("in/resources/{}.txt", "long".repeat(30)), &vec![b'x'; 200_000]);
    workshop.run("jar", &["--create", "--file", "app.jar", "-C", "in", "."]);
    workshop.path("app.jar")
}

/// Changes an archive with Python's reader and writer of zip files.
fn rewrite(workshop: &Workshop, jar: &str, script: &str) {
    workshop.run("python3", &["-c", &format!("import zipfile, sys\njar = {jar:?}\n{script}")]);
}

#[test]
fn a_jar_counts_when_all_of_it_is_signed() {
    let Some(workshop) = workshop() else { return };
    let authority = Signer::authority("Example Root");
    let signer = authority.certifies("Example Ltd", CodeSigning, ALWAYS);
    let jar = plain(&workshop);
    let bench = Bench::new().trusting("anchors.d", &authority);
    assert_eq!(bench.reason("plain.jar", &fs::read(&jar).unwrap()), "unsigned");
    for digest in ["SHA-256", "SHA-384", "SHA-512"] {
        let jar = plain(&workshop);
        workshop.sign_jar(&jar, &signer, &["-digestalg", digest]);
        let evidence = bench.evidence("signed.jar", &fs::read(&jar).unwrap());
        assert_eq!((evidence.signing, evidence.name.as_str(), evidence.flaw), (Signing::Jar, "Example Ltd", None), "{digest}");
    }
    let jar = plain(&workshop);
    workshop.sign_jar(&jar, &signer, &["-digestalg", "SHA-1"]);
    assert_eq!(bench.flaw("weak.jar", &fs::read(&jar).unwrap()), Some(Flaw::Weak));
}

#[test]
fn what_was_added_changed_or_hidden_afterwards_is_noticed() {
    let Some(workshop) = workshop() else { return };
    let authority = Signer::authority("Example Root");
    let signer = authority.certifies("Example Ltd", CodeSigning, ALWAYS);
    let jar = plain(&workshop);
    workshop.sign_jar(&jar, &signer, &[]);
    let signed = fs::read(&jar).unwrap();
    let bench = Bench::new().trusting("anchors.d", &authority);
    let changed = |name: &str, script: &str| {
        workshop.write(name, &signed);
        rewrite(&workshop, name, script);
        fs::read(workshop.path(name)).unwrap()
    };
    let added = changed("added.jar", "with zipfile.ZipFile(jar, 'a') as z: z.writestr('Evil.class', b'evil')");
    assert_eq!(bench.flaw("added.jar", &added), Some(Flaw::Incomplete));
    let in_folder = changed("folder.jar", "with zipfile.ZipFile(jar, 'a') as z: z.writestr('META-INF/services/x', b'evil')");
    assert_eq!(bench.flaw("folder.jar", &in_folder), Some(Flaw::Incomplete));
    let twice = changed("twice.jar", "with zipfile.ZipFile(jar, 'a') as z: z.writestr('org/example/Main.class', b'evil')");
    assert!(bench.reason("twice.jar", &twice).contains("can be taken for something"));
    let replace = "old = zipfile.ZipFile(jar)\nitems = [(i, old.read(i)) for i in old.infolist()]\nold.close()\n\
                   with zipfile.ZipFile(jar, 'w') as z:\n  for i, data in items: z.writestr(i, EVIL)";
    let entry = changed("entry.jar", &replace.replace("EVIL", "b'evil' if i.filename.endswith('Main.class') else data"));
    assert_eq!(bench.flaw("entry.jar", &entry), Some(Flaw::Altered));
    let manifest = changed(
        "manifest.jar",
        &replace.replace("EVIL", "data.replace(b'Created-By', b'Created-In') if i.filename.endswith('.MF') else data"),
    );
    assert_eq!(bench.flaw("manifest.jar", &manifest), Some(Flaw::Altered));
    let before = [b"PK\x03\x04before", &signed[..]].concat();
    assert_ne!(bench.reason("before.jar", &before), "unsigned");
    let behind = [&signed[..], b"behind"].concat();
    assert!(bench.reason("behind.jar", &behind).contains("can be taken for something"));
}

#[test]
fn a_second_directory_that_only_some_readers_find_is_noticed() {
    let Some(workshop) = workshop() else { return };
    let authority = Signer::authority("Example Root");
    let signer = authority.certifies("Example Ltd", CodeSigning, ALWAYS);
    let jar = plain(&workshop);
    workshop.sign_jar(&jar, &signer, &[]);
    let signed = fs::read(&jar).unwrap();
    let bench = Bench::new().trusting("anchors.d", &authority);
    let number = |at: usize| u32::from_le_bytes(signed[at..at + 4].try_into().unwrap()) as usize;
    let end = signed.windows(4).rposition(|window| window == b"PK\x05\x06").unwrap();
    let last = signed[..end].windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    // In the last entry's comment, which nobody signed, right before the end record: the JDK follows a locator to wherever it says.
    let with_comment = |comment: &[u8; 20]| {
        let mut forged = signed.clone();
        forged[last + 32] = 20;
        forged[end + 12..end + 16].copy_from_slice(&u32::try_from(number(end + 12) + 20).unwrap().to_le_bytes());
        forged.splice(end..end, *comment);
        forged
    };
    assert_eq!(bench.flaw("comment.jar", &with_comment(b"only a comment......")), None, "a comment as such is none of anybody's business");
    let locator = with_comment(b"PK\x06\x07\0\0\0\0........\x01\0\0\0");
    assert!(bench.reason("locator.jar", &locator).contains("can be taken for something"));
}

#[test]
fn an_archive_of_signatures_without_end_is_not_gone_through_again_and_again() {
    let Some(workshop) = workshop() else { return };
    workshop.write("many.jar", b"");
    rewrite(
        &workshop,
        "many.jar",
        "with zipfile.ZipFile(jar, 'w') as z:\n  z.writestr('META-INF/MANIFEST.MF', b'')\n  for i in range(60000): z.writestr('META-INF/%d.RSA' % i, b'')",
    );
    let many = fs::read(workshop.path("many.jar")).unwrap();
    let reason = Bench::new().reason("many.jar", &many);
    assert!(reason.contains("larger than this program reads"), "{reason}");
}

#[test]
fn a_script_with_a_signed_jar_behind_it_is_a_script() {
    let Some(workshop) = workshop() else { return };
    let authority = Signer::authority("Example Root");
    let signer = authority.certifies("Example Ltd", CodeSigning, ALWAYS);
    let jar = plain(&workshop);
    workshop.sign_jar(&jar, &signer, &[]);
    let script = [&b"#!/bin/sh\nrm -rf /\nexit\n"[..], &fs::read(&jar).unwrap()].concat();
    let bench = Bench::new().trusting("anchors.d", &authority);
    assert_eq!(bench.reason("app.jar", &script), "unsigned");
}
