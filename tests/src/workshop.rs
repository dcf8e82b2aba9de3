//! Authorities and signers of a test, and the tools that sign files with their keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
    date_time_ymd,
};
use tempfile::TempDir;

/// A folder with keys and what they signed.
pub struct Workshop {
    folder: TempDir,
}

/// A certificate with its key.
pub struct Signer {
    /// The certificate.
    pub der: Vec<u8>,
    pem: String,
    key: KeyPair,
    params: CertificateParams,
}

/// What a certificate says it is for.
#[derive(Clone, Copy)]
pub enum Purpose {
    /// Being a client; nothing here is.
    ClientAuth,
    /// Signing code.
    CodeSigning,
    /// Stamping time.
    TimeStamping,
}

impl Purpose {
    /// The last number of its identifier.
    const fn last(self) -> u8 {
        match self {
            Self::ClientAuth => 2,
            Self::CodeSigning => 3,
            Self::TimeStamping => 8,
        }
    }
}

/// Key identifier of everybody an authority certified.
pub const KEY_ID: [u8; 20] = [7; 20];

/// Years between which a certificate holds.
pub const ALWAYS: [i32; 2] = [2000, 2099];

impl Signer {
    /// An authority of its own.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn authority(name: &str) -> Self {
        let mut params = named(name, ALWAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = rsa();
        let certificate = params.self_signed(&key).expect("a workshop works");
        Self { der: certificate.der().to_vec(), pem: certificate.pem(), key, params }
    }

    /// Somebody this authority vouches for.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn certifies(&self, name: &str, purpose: Purpose, years: [i32; 2]) -> Self {
        let mut params = named(name, years);
        // Time-stamping certificates must say so critically, and some tools name signers by a key identifier.
        let purposes = [&[0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03][..], &[purpose.last()]].concat();
        let mut purposes = CustomExtension::from_oid_content(&[2, 5, 29, 37], purposes);
        purposes.set_criticality(true);
        let key_id = [&[0x04, 0x14][..], &KEY_ID].concat();
        params.custom_extensions = vec![purposes, CustomExtension::from_oid_content(&[2, 5, 29, 14], key_id)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = rsa();
        let certificate = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).expect("a workshop works");
        Self { der: certificate.der().to_vec(), pem: certificate.pem(), key, params }
    }
}

fn named(name: &str, [from, until]: [i32; 2]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 12, 31);
    params
}

fn rsa() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a workshop works")
}

impl Workshop {
    /// A folder where these programs can be run; `None`, said loudly, when a tool is missing.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn with(tools: &[&str]) -> Option<Self> {
        let is_there =
            |tool: &&str| std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(tool).exists()));
        if let Some(missing) = tools.iter().find(|tool| !is_there(tool)) {
            eprintln!("SKIPPED: {missing} is not installed");
            return None;
        }
        Some(Self { folder: tempfile::tempdir().expect("a workshop works") })
    }

    /// Where a file of this name is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file there.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a workshop works")).expect("a workshop works");
        fs::write(&path, content).expect("a workshop works");
        path
    }

    /// Runs a tool in the folder, which has to succeed.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn run(&self, tool: &str, arguments: &[&str]) {
        let output = Command::new(tool).args(arguments).current_dir(self.folder.path()).output().expect("a workshop works");
        assert!(output.status.success(), "{tool} {arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    }

    /// Puts certificate and key where tools find them, as `NAME.pem` and `NAME.key`.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn employ(&self, name: &str, signer: &Signer) {
        self.write(&format!("{name}.pem"), signer.pem.as_bytes());
        self.write(&format!("{name}.key"), signer.key.serialize_pem().as_bytes());
    }

    /// Signs an image, with more options of osslsigncode.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn sign_image(&self, image: &Path, signer: &Signer, options: &[&str]) -> Vec<u8> {
        self.employ("signer", signer);
        let signed = self.path("signed.exe");
        let _ = fs::remove_file(&signed);
        let image = image.to_str().expect("a workshop works");
        let plain = ["sign", "-certs", "signer.pem", "-key", "signer.key", "-in", image, "-out", "signed.exe"];
        self.run("osslsigncode", &[&plain[..], options].concat());
        fs::read(signed).expect("a workshop works")
    }

    /// The IMA attribute of a file with this content. The signer is one that somebody certified, and named by [`KEY_ID`].
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn sign_ima(&self, content: &[u8], signer: &Signer) -> Vec<u8> {
        self.employ("signer", signer);
        self.write("content", content);
        self.run("openssl", &["dgst", "-sha256", "-sign", "signer.key", "-out", "signature", "content"]);
        let signature = fs::read(self.path("signature")).expect("a workshop works");
        // A signature, of the second version, over SHA-256.
        let header = [&[3, 2, 4][..], &KEY_ID[16..], &u16::try_from(signature.len()).expect("it is short").to_be_bytes()].concat();
        [header, signature].concat()
    }

    /// Signs a JAR in its place.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn sign_jar(&self, jar: &Path, signer: &Signer, options: &[&str]) {
        self.employ("signer", signer);
        let export = ["pkcs12", "-export", "-in", "signer.pem", "-inkey", "signer.key", "-out", "store.p12", "-name", "site", "-passout"];
        self.run("openssl", &[&export[..], &["pass:secret"]].concat());
        let store = ["-keystore", "store.p12", "-storetype", "PKCS12", "-storepass", "secret"];
        self.run("jarsigner", &[&store[..], options, &[jar.to_str().expect("a workshop works"), "site"]].concat());
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A small image of 64 bits that tools take for one.
#[must_use]
pub fn image(content: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 0x400];
    image[..2].copy_from_slice(b"MZ");
    image[0x3c..0x40].copy_from_slice(&0x80_u32.to_le_bytes());
    image[0x80..0x84].copy_from_slice(b"PE\0\0");
    image[0x84..0x86].copy_from_slice(&0x8664_u16.to_le_bytes());
    image[0x86..0x88].copy_from_slice(&1_u16.to_le_bytes());
    image[0x94..0x96].copy_from_slice(&240_u16.to_le_bytes());
    image[0x96..0x98].copy_from_slice(&0x22_u16.to_le_bytes());
    let optional = 0x98;
    image[optional..optional + 2].copy_from_slice(&0x20b_u16.to_le_bytes());
    image[optional + 32..optional + 36].copy_from_slice(&0x1000_u32.to_le_bytes());
    image[optional + 36..optional + 40].copy_from_slice(&0x200_u32.to_le_bytes());
    image[optional + 56..optional + 60].copy_from_slice(&0x2000_u32.to_le_bytes());
    image[optional + 60..optional + 64].copy_from_slice(&0x200_u32.to_le_bytes());
    image[optional + 68..optional + 70].copy_from_slice(&3_u16.to_le_bytes());
    image[optional + 108..optional + 112].copy_from_slice(&16_u32.to_le_bytes());
    let section = optional + 240;
    image[section..section + 5].copy_from_slice(b".text");
    image[section + 8..section + 12].copy_from_slice(&0x200_u32.to_le_bytes());
    image[section + 12..section + 16].copy_from_slice(&0x1000_u32.to_le_bytes());
    image[section + 16..section + 20].copy_from_slice(&0x200_u32.to_le_bytes());
    image[section + 20..section + 24].copy_from_slice(&0x200_u32.to_le_bytes());
    image[0x200..0x200 + content.len()].copy_from_slice(content);
    image
}
