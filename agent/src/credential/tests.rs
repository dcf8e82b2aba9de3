//! A credential appears whole, reads back as it was, and never as something else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use doorward_policy::{HostId, ProfileId};
use doorward_proto::certificate::{Authority, HOST_DAYS, HostKey, Validity, host_id_of};
use doorward_proto::tls::Now;
use tempfile::TempDir;

use super::file::identity_pem;
use super::{Credential, CredentialError, load};

const NOW: i64 = 1_800_000_000_000_000;

fn host() -> HostId {
    HostId::from_slice(&[7; 16]).unwrap()
}

fn enrolled() -> (TempDir, PathBuf, Credential, Authority) {
    let authority = Authority::load(&Authority::create("test", NOW).unwrap()).unwrap();
    let key = HostKey::generate().unwrap();
    let chain = authority.sign_host(key.request_der(), &host(), Validity::days(NOW, HOST_DAYS)).unwrap();
    let credential = Credential {
        host_id: host(),
        profile_id: ProfileId::from_slice(&[9; 16]).unwrap(),
        profile: "default".into(),
        cms: "https://cms.example.org:8443".parse().unwrap(),
        ca_key_hash: authority.key_hash(),
        policy_key: [3; 32],
        enrolled_at: NOW,
        ca: authority.certificate().to_vec(),
        identity: identity_pem(key.key_pem(), &chain),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential");
    credential.store(&path).unwrap();
    (folder, path, credential, authority)
}

#[test]
fn a_host_that_was_never_enrolled_has_none() {
    let folder = tempfile::tempdir().unwrap();
    assert!(load(&folder.path().join("credential")).unwrap().is_none());
}

#[test]
fn what_was_stored_reads_back_and_connects() {
    let (_folder, path, stored, _) = enrolled();
    let loaded = load(&path).unwrap().unwrap();
    assert_eq!((loaded.host_id, loaded.profile_id, loaded.profile.as_str()), (stored.host_id, stored.profile_id, "default"));
    assert_eq!((loaded.ca_key_hash, loaded.policy_key, loaded.enrolled_at), (stored.ca_key_hash, stored.policy_key, NOW));
    assert_eq!(loaded.cms, stored.cms);
    loaded.tls(Now::new(|| NOW)).unwrap();
    assert!(loaded.validity().unwrap().contains(NOW));
}

#[test]
fn only_its_owner_can_read_it() {
    let (_folder, path, ..) = enrolled();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    for file in fs::read_dir(&path).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.path().display());
    }
}

#[test]
fn renewal_replaces_key_and_certificate_together() {
    let (_folder, path, stored, authority) = enrolled();
    let key = HostKey::generate().unwrap();
    let later = NOW + 45 * 86_400_000_000;
    let chain = authority.sign_host(key.request_der(), &host(), Validity::days(later, HOST_DAYS)).unwrap();
    assert_eq!(host_id_of(&chain[0]).unwrap(), host());
    stored.renew(&path, key.key_pem(), &chain).unwrap();
    let renewed = load(&path).unwrap().unwrap();
    assert!(renewed.validity().unwrap().contains(later + 80 * 86_400_000_000));
    renewed.tls(Now::new(move || later)).unwrap();
}

#[test]
fn what_is_no_certificate_of_this_host_and_key_never_replaces_one() {
    let (_folder, path, stored, authority) = enrolled();
    let (key, other) = (HostKey::generate().unwrap(), HostKey::generate().unwrap());
    let stranger = HostId::from_slice(&[8; 16]).unwrap();
    let anothers = authority.sign_host(key.request_der(), &stranger, Validity::days(NOW, HOST_DAYS)).unwrap();
    let own = authority.sign_host(key.request_der(), &host(), Validity::days(NOW, HOST_DAYS)).unwrap();
    assert!(stored.renew(&path, "no key", &[b"no certificate"]).is_err());
    assert!(stored.renew(&path, key.key_pem(), &anothers).is_err());
    assert!(stored.renew(&path, other.key_pem(), &own).is_err());
    assert!(stored.renew(&path, key.key_pem(), &own[..0]).is_err());
    load(&path).unwrap().expect("the old one is still there").tls(Now::new(|| NOW)).unwrap();
}

#[test]
fn damage_is_told_with_the_file_and_the_way_out() {
    for file in ["identity.pem", "ca.pem", "host.json"] {
        let (_folder, path, ..) = enrolled();
        fs::write(path.join(file), "damaged").unwrap();
        let Err(error @ CredentialError::Damaged { .. }) = load(&path) else { panic!("{file}") };
        let text = error.to_string();
        assert!(text.contains(file) && text.contains("enroll again"), "{text}");
    }
    let (_folder, path, ..) = enrolled();
    fs::remove_file(path.join("ca.pem")).unwrap();
    assert!(matches!(load(&path), Err(CredentialError::Read { .. })));
}
