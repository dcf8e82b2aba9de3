//! rpm's keyring, which lies in its database as headers called `gpg-pubkey`, and what its keys have signed. Key files under
//! `etc/pki/rpm-gpg` are not in it: they are what an administrator may import one day.

use data_encoding::BASE64;
use doorward_formats::openpgp::{self, Signed};
use doorward_formats::rpm::{Header, Package};

/// Signatures of one header looked at.
const SIGNATURES_MAX: usize = 8;

/// Keys whose signatures on headers count.
#[derive(Debug, Default)]
pub(super) struct Keyring(openpgp::Keyring);

impl Keyring {
    /// Takes in a header if it is a key's.
    pub(super) fn take(&mut self, blob: &[u8]) {
        if let Ok(package) = Header::new(blob).and_then(Package::of)
            && package.is_key()
        {
            self.take_key(&package);
        }
    }

    /// Takes in the keys of a key's header. One that cannot be read signs nothing.
    pub(super) fn take_key(&mut self, package: &Package<'_>) {
        for key in package.header().encoded_keys().filter_map(decode) {
            let _ = self.0.add(&key);
        }
    }

    /// Who signed a package's sealed header, if a signature on it counted when the package was installed. Signatures over header
    /// and content together cannot be checked any more, so they count for nothing.
    pub(super) fn signer(&self, package: &Package<'_>) -> Option<Signed> {
        let header = package.header();
        let sealed = header.sealed()?.parts().concat();
        let encoded = header.encoded_signatures().take(SIGNATURES_MAX).filter_map(decode);
        let signatures = header.signatures().map(<[u8]>::to_vec).chain(encoded);
        let installed_at = i64::try_from(package.installed_at).unwrap_or(0);
        let mut checked = signatures.map(|signature| openpgp::verify_detached(&sealed, &signature, &self.0, installed_at));
        checked.find_map(Result::ok)
    }
}

/// Base64 as rpm writes it, in lines.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(&text).ok()
}
