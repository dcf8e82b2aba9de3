//! From a signer's certificate to an anchor.

use std::time::Duration;

use doorward_formats::signature::Certificate;
use doorward_policy::Flaw;
use doorward_policy::evidence::CHAIN_NAMES_MAX;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage};

use super::anchor::{Anchors, Set};

/// `id-kp-codeSigning` and `id-kp-timeStamping`, 1.3.6.1.5.5.7.3.3 and .8.
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
const TIME_STAMPING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08];

/// What a certificate is to be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Signing code.
    Code,
    /// As [`Self::Code`], for the kernel, which looks at no dates of the keys it was given.
    Module,
    /// Stamping time.
    Time,
}

/// A certificate with its encoding.
#[derive(Clone, Copy)]
pub(super) struct Signer<'a> {
    pub(super) der: &'a [u8],
    pub(super) certificate: &'a Certificate,
    /// Others that came along.
    pub(super) others: &'a [Vec<u8>],
}

/// A chain that ends at an anchor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) is_public: bool,
    /// Above the signer, the anchor's last.
    pub(super) names: Vec<String>,
}

/// Follows the chain as it stood at `at`, in seconds since 1970.
pub(super) fn follow(anchors: &Anchors, signer: Signer<'_>, purpose: Purpose, at: i64) -> Result<Chain, Flaw> {
    let Signer { der, certificate, .. } = signer;
    let is_meant = match purpose {
        Purpose::Code | Purpose::Module => certificate.signs_code,
        Purpose::Time => certificate.stamps_time,
    };
    if !is_meant {
        return Err(Flaw::WrongUse);
    }
    let is_set = |set: &Set| set.holds(der);
    if purpose == Purpose::Module && is_set(&anchors.site) {
        return Ok(Chain { is_public: false, names: Vec::new() });
    }
    if at < certificate.not_before {
        return Err(Flaw::NotYetValid);
    }
    if at > certificate.not_after {
        return Err(Flaw::Expired);
    }
    let sets: &[(&Set, bool)] = match purpose {
        Purpose::Code | Purpose::Module => &[(&anchors.site, false), (&anchors.public, true)],
        Purpose::Time => &[(&anchors.site, false), (&anchors.public, true), (&anchors.time, false)],
    };
    let mut flaw = Flaw::NoAnchor;
    for (set, is_public) in sets {
        if is_set(set) {
            return Ok(Chain { is_public: *is_public, names: Vec::new() });
        }
        match follow_to(set, signer, purpose, at) {
            Ok(names) => return Ok(Chain { is_public: *is_public, names }),
            Err(Flaw::NoAnchor) => {}
            Err(found) => flaw = found,
        }
    }
    Err(flaw)
}

fn follow_to(set: &Set, signer: Signer<'_>, purpose: Purpose, at: i64) -> Result<Vec<String>, Flaw> {
    let der = CertificateDer::from(signer.der);
    let certificate = EndEntityCert::try_from(&der).map_err(flaw)?;
    let others: Vec<_> = signer.others.iter().map(|other| CertificateDer::from(other.as_slice())).collect();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at).unwrap_or(0)));
    let usage = KeyUsage::required_if_present(if purpose == Purpose::Time { TIME_STAMPING } else { CODE_SIGNING });
    let path = certificate.verify_for_usage(ALL_VERIFICATION_ALGS, &set.trust, &others, at, usage, None, None).map_err(flaw)?;
    let between = path.intermediate_certificates().filter_map(|issuer| Certificate::read(&issuer.der()).ok()).map(|issuer| issuer.name);
    let mut names: Vec<_> = between.take(CHAIN_NAMES_MAX - 1).collect();
    names.extend(set.name(path.anchor()).map(str::to_owned));
    Ok(names)
}

#[expect(clippy::needless_pass_by_value, reason = "passed to map_err by name")]
fn flaw(error: Error) -> Flaw {
    match error {
        Error::UnknownIssuer => Flaw::NoAnchor,
        Error::RequiredEkuNotFoundContext(_) => Flaw::WrongUse,
        Error::UnsupportedSignatureAlgorithmContext(_) | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Flaw::Weak,
        _ => Flaw::BrokenChain,
    }
}
