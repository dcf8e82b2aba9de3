//! Certificates: what the CA signs, what it never signs, and whom a certificate names.

use doorward_proto::certificate::{
    Authority, AuthorityPem, CA_DAYS, CertificateError, HOST_DAYS, HostKey, SERVER_DAYS, Validity, ca_key_hash, chain_from_pem,
    chain_to_pem, host_id_of,
};
use doorward_proto::limit::{CERTIFICATE_BYTES_MAX, CERTIFICATE_REQUEST_BYTES_MAX, CHAIN_CERTIFICATES_MAX};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::sample::{DAY, NEW_YEAR, host};

pub(crate) fn authority() -> Authority {
    Authority::load(&Authority::create("Doorward test CA", NEW_YEAR).unwrap()).unwrap()
}

pub(crate) fn host_validity() -> Validity {
    Validity::days(NEW_YEAR, HOST_DAYS)
}

fn request(params: CertificateParams, key: &KeyPair) -> Vec<u8> {
    params.serialize_request(key).unwrap().der().to_vec()
}

#[test]
fn a_hosts_certificate_names_the_host_the_cms_chose() {
    let authority = authority();
    let chain = authority.sign_host(HostKey::generate().unwrap().request_der(), &host(7), host_validity()).unwrap();
    assert_eq!(host_id_of(&chain[0]), Ok(host(7)));
    assert_eq!(chain[1..], [authority.certificate().to_vec()]);
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    assert!(!leaf.is_ca());
    assert_eq!(Validity::of(&chain[0]).unwrap(), host_validity());
}

#[test]
fn nothing_a_request_asks_for_is_granted_but_its_key() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["cms.example".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "root");
    params.subject_alt_names.push(SanType::URI("urn:uuid:01010101-0101-0101-0101-010101010101".try_into().unwrap()));
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::CodeSigning];
    let chain = authority().sign_host(&request(params, &key), &host(7), host_validity()).unwrap();
    assert_eq!(host_id_of(&chain[0]), Ok(host(7)));
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    assert!(!leaf.is_ca());
    assert_eq!(leaf.subject().to_string(), format!("CN={}", host(7)));
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.code_signing);
    assert_eq!(leaf.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 1);
}

#[test]
fn a_request_that_proves_nothing_is_refused() {
    let authority = authority();
    let sign = |request: &[u8]| authority.sign_host(request, &host(7), host_validity()).unwrap_err();
    let good = HostKey::generate().unwrap().request_der().to_vec();
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(sign(&forged), CertificateError::RequestSignature);
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(sign(&longer), CertificateError::Malformed("certificate request"));
    for end in 0..good.len() {
        sign(&good[..end]);
    }
    for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        assert_eq!(sign(&request(CertificateParams::default(), &key)), CertificateError::KeyAlgorithm);
    }
}

#[test]
fn only_a_hosts_certificate_names_a_host() {
    let authority = authority();
    let server = authority.issue_server(&["cms.example".into()], host_validity()).unwrap();
    assert_eq!(host_id_of(&server.chain[0]), Err(CertificateError::NotAHost));
    assert_eq!(host_id_of(authority.certificate()), Err(CertificateError::NotAHost));
    assert_eq!(host_id_of(b""), Err(CertificateError::Malformed("certificate")));
    let chain = authority.sign_host(HostKey::generate().unwrap().request_der(), &host(7), host_validity()).unwrap();
    let mut longer = chain[0].clone();
    longer.push(0);
    assert_eq!(host_id_of(&longer), Err(CertificateError::Malformed("certificate")));
}

#[test]
fn a_name_that_is_not_exactly_one_hosts_is_nobodys() {
    let id = "urn:uuid:07070707-0707-0707-0707-070707070707";
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let dns = || SanType::DnsName("cms.example".try_into().unwrap());
    let named = |names: Vec<SanType>, usages: &[ExtendedKeyUsagePurpose]| {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.extended_key_usages = usages.to_vec();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        host_id_of(certificate.der())
    };
    let client = [ExtendedKeyUsagePurpose::ClientAuth];
    assert_eq!(named(vec![uri(id)], &client), Ok(host(7)), "the shape itself is right");
    let wrong = [
        named(vec![], &client),
        named(vec![dns()], &client),
        named(vec![uri(id), dns()], &client),
        named(vec![uri(id), uri(id)], &client),
        named(vec![uri("urn:uuid:07070707070707070707070707070707")], &client),
        named(vec![uri("urn:uuid:{07070707-0707-0707-0707-070707070707}")], &client),
        named(vec![uri("urn:uuid:0A070707-0707-0707-0707-070707070707")], &client),
        named(vec![uri("URN:UUID:07070707-0707-0707-0707-070707070707")], &client),
        named(vec![uri("07070707-0707-0707-0707-070707070707")], &client),
        named(vec![uri(id)], &[]),
        named(vec![uri(id)], &[ExtendedKeyUsagePurpose::ServerAuth]),
        named(vec![uri(id)], &[ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth]),
        named(vec![uri(id)], &[ExtendedKeyUsagePurpose::Any]),
    ];
    for (number, result) in wrong.into_iter().enumerate() {
        assert_eq!(result, Err(CertificateError::NotAHost), "case {number}");
    }
}

#[test]
fn a_ca_is_read_back_from_its_files_and_signs_as_before() {
    let pem = Authority::create("Doorward test CA", NEW_YEAR).unwrap();
    let (one, two) = (Authority::load(&pem).unwrap(), Authority::load(&pem).unwrap());
    assert_eq!(one.key_hash(), two.key_hash());
    assert_eq!(one.key_hash(), ca_key_hash(one.certificate()).unwrap());
    let (_, certificate) = X509Certificate::from_der(one.certificate()).unwrap();
    assert!(certificate.is_ca());
    assert_eq!(certificate.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));
    assert_eq!(Validity::of(one.certificate()).unwrap(), Validity::days(NEW_YEAR, CA_DAYS));
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (one, other) = (Authority::create("CA", NEW_YEAR).unwrap(), Authority::create("CA", NEW_YEAR).unwrap());
    let load = |certificate: &str, key: &str| {
        Authority::load(&AuthorityPem { certificate: certificate.to_owned(), key: key.to_owned() }).unwrap_err()
    };
    assert_eq!(load(&one.certificate, &other.key), CertificateError::KeyMismatch);
    assert_eq!(load("", &one.key), CertificateError::Malformed("CA certificate"));
    assert_eq!(load(&one.certificate, "nothing"), CertificateError::Malformed("CA key"));
}

#[test]
fn serial_numbers_differ_from_certificate_to_certificate() {
    let authority = authority();
    let request = HostKey::generate().unwrap();
    let serial = |validity| {
        let chain = authority.sign_host(request.request_der(), &host(7), validity).unwrap();
        X509Certificate::from_der(&chain[0]).unwrap().1.tbs_certificate.raw_serial().to_vec()
    };
    let first = serial(host_validity());
    assert_eq!(first.len(), 16);
    assert_eq!(first, serial(host_validity()), "the same certificate has the same number");
    assert_ne!(first, serial(Validity::days(NEW_YEAR + DAY, HOST_DAYS)));
}

#[test]
fn a_server_certificate_carries_names_and_addresses() {
    let names = ["cms.example", "localhost", "127.0.0.1", "::1"].map(String::from);
    let credential = authority().issue_server(&names, host_validity()).unwrap();
    let (_, leaf) = X509Certificate::from_der(&credential.chain[0]).unwrap();
    assert_eq!(leaf.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 4);
    for wrong in ["", "two words", "*.example", "https://cms.example", "cms.example:8443", "cms\n.example"] {
        let error = authority().issue_server(&[wrong.to_owned()], host_validity()).map(drop).unwrap_err();
        assert_eq!(error, CertificateError::ServerName(wrong.to_owned()));
    }
    assert_eq!(authority().issue_server(&[], host_validity()).map(drop), Err(CertificateError::NoServerName));
}

#[test]
fn whatever_is_made_here_fits_the_wire() {
    let pem = Authority::create(&"ä".repeat(400), NEW_YEAR).unwrap();
    let authority = Authority::load(&pem).unwrap();
    let key = HostKey::generate().unwrap();
    assert!(key.request_der().len() <= CERTIFICATE_REQUEST_BYTES_MAX);
    let chain = authority.sign_host(key.request_der(), &host(7), host_validity()).unwrap();
    assert!(chain.len() <= CHAIN_CERTIFICATES_MAX);
    assert!(chain.iter().all(|certificate| certificate.len() <= CERTIFICATE_BYTES_MAX));
}

#[test]
fn half_of_a_validity_is_when_to_renew() {
    let validity = Validity::days(NEW_YEAR, SERVER_DAYS);
    assert!(validity.contains(NEW_YEAR) && validity.contains(NEW_YEAR - DAY / 48) && validity.contains(NEW_YEAR + 90 * DAY));
    assert!(!validity.contains(NEW_YEAR - DAY) && !validity.contains(NEW_YEAR + 91 * DAY));
    assert!((44..46).contains(&((validity.half() - NEW_YEAR) / DAY)));
}

#[test]
fn chains_read_back_from_their_text() {
    let chain = authority().sign_host(HostKey::generate().unwrap().request_der(), &host(7), host_validity()).unwrap();
    let text = chain_to_pem(&chain);
    assert_eq!(chain_from_pem(&text), Ok(chain.clone()));
    assert!(text.lines().all(|line| line.len() <= 64));
    let malformed = Err(CertificateError::Malformed("certificate file"));
    assert_eq!(chain_from_pem(""), malformed);
    assert_eq!(chain_from_pem("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"), malformed);
    assert_eq!(chain_from_pem(&chain_to_pem(vec![chain[0].clone(); 5])), malformed);
}

#[test]
fn no_debug_shows_a_key() {
    let key = HostKey::generate().unwrap();
    let line = key.key_pem().lines().nth(1).unwrap().to_owned();
    assert!(!format!("{key:?}").contains(&line));
}
