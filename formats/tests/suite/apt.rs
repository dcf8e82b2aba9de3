//! Repositories: this machine's own, which apt fetched and believes, and damaged ones.

use std::fs;
use std::io::BufReader;
use std::path::Path;

use doorward_formats::apt::{Packages, Release, ReleaseProblem, StrongDigest, index_file_name};
use doorward_formats::compression::Compression;
use doorward_formats::openpgp::{Keyring, verify_cleartext};
use doorward_policy::Sha256;
use sha2::Digest as _;

const LISTS: &str = "/var/lib/apt/lists";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

#[test]
fn the_machines_own_repositories_are_understood_and_their_indexes_are_the_signed_ones() {
    let releases: Vec<String> = fs::read_dir(LISTS)
        .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    let releases: Vec<&String> =
        releases.iter().filter(|name| name.starts_with("deb.debian.org_") && name.ends_with("_InRelease")).collect();
    let Ok(keys) = fs::read(KEYRING) else { return eprintln!("SKIPPED: no keyring of Debian on this machine") };
    if releases.is_empty() {
        return eprintln!("SKIPPED: this machine's apt has fetched nothing from Debian");
    }
    let mut keyring = Keyring::default();
    keyring.add(&keys).unwrap();
    let mut indexes = 0;
    for name in releases {
        let signed = fs::read(Path::new(LISTS).join(name)).unwrap();
        let made = Release::read(&doorward_formats::openpgp::split_cleartext(&signed).unwrap().0).unwrap().date;
        let (text, by) = verify_cleartext(&signed, &keyring, made + 3600).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        let release = Release::read(&text).unwrap();
        assert!(by.name.contains("Debian"), "{by:?}");
        let prefix = name.strip_suffix("InRelease").unwrap();
        for (path, listed) in release.package_indexes() {
            for (compression, suffix) in Compression::ALL {
                let file = Path::new(LISTS).join(format!("{}{suffix}", index_file_name(prefix, path)));
                let Ok(packed) = fs::File::open(&file) else { continue };
                let mut text = Vec::new();
                std::io::copy(&mut compression.unpack(BufReader::new(packed), 1 << 30).unwrap(), &mut text).unwrap();
                assert_eq!(text.len() as u64, listed.size, "{}", file.display());
                assert_eq!(StrongDigest::Sha256(Sha256::new(sha2::Sha256::digest(&text).into())), listed.digest);
                let mut packages = Packages::new(&*text);
                let mut count = 0;
                while packages.next_entry().unwrap().is_some() {
                    count += 1;
                }
                let stanzas = String::from_utf8_lossy(&text).lines().filter(|line| line.starts_with("Package: ")).count();
                assert_eq!(count, stanzas, "{}", file.display());
                indexes += 1;
            }
        }
    }
    assert!(indexes > 0, "releases without a single index");
}

#[test]
fn a_release_counts_by_strong_digests_alone() {
    let md5 = b"Suite: x\nDate: Sat, 17 May 2025 09:33:47 UTC\nMD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 main/binary-amd64/Packages\n";
    assert!(matches!(Release::read(md5), Err(ReleaseProblem::NoStrongDigests)));
    let digest = "ab".repeat(64);
    let sha512 = format!("Suite: x\nDate: Sat, 17 May 2025 09:33:47 UTC\nSHA512:\n {digest} 7 main/binary-amd64/Packages\n");
    let release = Release::read(sha512.as_bytes()).unwrap();
    assert_eq!(release.package_indexes().next().unwrap().1.digest, StrongDigest::Sha512([0xab; 64]));
}

#[test]
fn a_release_that_two_readers_could_understand_differently_is_refused() {
    let (one, other) = ("aa".repeat(32), "bb".repeat(32));
    let head = "Suite: x\nDate: Sat, 17 May 2025 09:33:47 UTC\n";
    for text in [
        String::new(),
        "Suite: x\n".to_owned(),
        format!("{head}SHA256:\n {one} 1 Packages\n {other} 1 Packages\n"),
        format!("{head}SHA256:\n {one} 1 Packages\nSHA256:\n {other} 1 Packages\n"),
        format!("{head}SHA256:\n {one} 1 Packages\n\n{head}SHA256:\n {other} 1 Packages\n"),
        format!("{head}SHA256:\n {one} Packages\n"),
        format!("{head}Valid-Until: some day\nSHA256:\n {one} 1 Packages\n"),
        format!("{head}no field\n"),
    ] {
        assert!(Release::read(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn stanzas_without_a_digest_that_counts_are_passed_over_and_damage_ends_an_index() {
    let digest = "cd".repeat(32);
    let stanza = |name: &str, digest: &str| {
        format!("Package: {name}\nVersion: 1\nArchitecture: all\nFilename: pool/{name}.deb\nSize: 5\n{digest}\n\n")
    };
    let text = stanza("weak", "MD5sum: d41d8cd98f00b204e9800998ecf8427e") + &stanza("good", &format!("SHA256: {digest}"));
    let mut packages = Packages::new(text.as_bytes());
    assert_eq!(packages.next_entry().unwrap().unwrap().package, "good");
    assert_eq!(packages.next_entry().unwrap(), None);
    let damaged = text.clone() + "\u{1}garbage without a colon\n";
    let mut packages = Packages::new(damaged.as_bytes());
    assert!(packages.next_entry().is_ok() && packages.next_entry().is_err());
    let endless = format!("Package: {}\n", "x".repeat(1 << 20));
    assert!(Packages::new(endless.as_bytes()).next_entry().is_err());
}
