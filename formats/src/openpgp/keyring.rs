//! Files of public keys, binary or armoured, as apt and rpm keep them.

use std::io::{BufReader, Read};

use doorward_policy::KeyFingerprint;
use pgp::armor::{BlockType, Dearmor, DearmorOptions};
use pgp::composed::{Deserializable, SignedPublicKey};
use pgp::packet::{Packet, PacketParser, PacketTrait};
use pgp::types::{KeyDetails, Tag};

use super::certificate;

/// Bytes of one file; distributions' keyrings have some hundred kilobytes.
pub const KEYRING_BYTES_MAX: usize = 4 << 20;

/// Keys of all files together.
pub const CERTIFICATES_MAX: usize = 1024;

/// Armoured blocks of one file.
const BLOCKS_MAX: usize = 256;

/// Packets of one file.
const PACKETS_MAX: usize = 100_000;

const ARMOUR: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// Keys whose signatures may count.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    pub(super) certificates: Vec<SignedPublicKey>,
}

/// What people want to know of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySummary {
    /// Of the primary key.
    pub fingerprint: KeyFingerprint,
    /// The owner's name, by the key's own word.
    pub name: String,
    /// Why it does not count at the moment that was asked about.
    pub fault: Option<super::Fault>,
}

/// Why a file gave no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringProblem {
    /// Larger than any keyring.
    #[error("more than {KEYRING_BYTES_MAX} bytes")]
    TooLarge,
    /// Neither a binary nor an armoured file of keys.
    #[error("no keyring")]
    Damaged,
    /// More than apt could make sense of.
    #[error("more than {CERTIFICATES_MAX} keys, {BLOCKS_MAX} blocks or {PACKETS_MAX} packets")]
    TooMany,
}

impl Keyring {
    /// Adds the keys of one file. A key that cannot be read costs itself alone.
    ///
    /// # Errors
    /// When the file is no keyring at all; the keys of other files stay.
    pub fn add(&mut self, file: &[u8]) -> Result<(), KeyringProblem> {
        if file.len() > KEYRING_BYTES_MAX {
            return Err(KeyringProblem::TooLarge);
        }
        if file.first().is_some_and(|byte| byte & 0x80 != 0) {
            return self.add_binary(file);
        }
        let starts: Vec<usize> = starts_of_blocks(file).take(BLOCKS_MAX + 1).collect();
        if starts.len() > BLOCKS_MAX {
            return Err(KeyringProblem::TooMany);
        }
        if starts.is_empty() {
            return Err(KeyringProblem::Damaged);
        }
        for (at, start) in starts.iter().enumerate() {
            let end = starts.get(at + 1).copied().unwrap_or(file.len());
            self.add_binary(&dearmour(&file[*start..end], BlockType::PublicKey).ok_or(KeyringProblem::Damaged)?)?;
        }
        Ok(())
    }

    fn add_binary(&mut self, bytes: &[u8]) -> Result<(), KeyringProblem> {
        let mut packets: Vec<Packet> = Vec::new();
        for packet in PacketParser::new(bytes).take(PACKETS_MAX) {
            // A packet of a kind that is not known costs itself alone; what hangs together is checked by its signatures.
            let Ok(packet) = packet else { continue };
            if packet.tag() == Tag::PublicKey {
                self.add_certificate(std::mem::take(&mut packets))?;
            }
            packets.push(packet);
        }
        self.add_certificate(packets)
    }

    fn add_certificate(&mut self, packets: Vec<Packet>) -> Result<(), KeyringProblem> {
        if packets.is_empty() {
            return Ok(());
        }
        let Some(Ok(certificate)) = SignedPublicKey::from_packets(packets.into_iter().map(Ok).peekable()).next() else { return Ok(()) };
        if KeyFingerprint::from_slice(certificate.fingerprint().as_bytes()).is_none() {
            return Ok(());
        }
        // The same key may come from several files, each with signatures the others have not.
        if self.certificates.contains(&certificate) {
            return Ok(());
        }
        if self.certificates.len() == CERTIFICATES_MAX {
            return Err(KeyringProblem::TooMany);
        }
        self.certificates.push(certificate);
        Ok(())
    }

    /// Only the keys that pass.
    #[must_use]
    pub fn filtered(&self, passes: impl Fn(&KeyFingerprint) -> bool) -> Self {
        let passes = |certificate: &&SignedPublicKey| {
            KeyFingerprint::from_slice(certificate.fingerprint().as_bytes()).is_some_and(|key| passes(&key))
        };
        Self { certificates: self.certificates.iter().filter(passes).cloned().collect() }
    }

    /// Takes in the keys of another.
    pub fn extend(&mut self, other: &Self) {
        for certificate in &other.certificates {
            if self.certificates.len() < CERTIFICATES_MAX && !self.certificates.contains(certificate) {
                self.certificates.push(certificate.clone());
            }
        }
    }

    /// The keys and how they stand at `now`, in seconds since 1970, UTC.
    #[must_use]
    pub fn summary(&self, now: i64) -> Vec<KeySummary> {
        let summary = |certificate: &SignedPublicKey| {
            let fingerprint = KeyFingerprint::from_slice(certificate.fingerprint().as_bytes())?;
            let fault = certificate::standing(certificate, now).err();
            Some(KeySummary { fingerprint, name: certificate::name(certificate), fault })
        };
        self.certificates.iter().filter_map(summary).collect()
    }
}

fn starts_of_blocks(file: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = file.get(at..)?;
        let found = rest.windows(ARMOUR.len()).position(|window| window == ARMOUR)?;
        at += found + ARMOUR.len();
        Some(at - ARMOUR.len())
    })
}

/// The bytes inside an armoured block of this kind.
pub(super) fn dearmour(block: &[u8], kind: BlockType) -> Option<Vec<u8>> {
    let mut armour = Dearmor::with_options(BufReader::new(block), DearmorOptions::new().set_limit(KEYRING_BYTES_MAX));
    armour.read_header().ok()?;
    let mut bytes = Vec::new();
    (armour.typ == Some(kind)).then_some(())?;
    armour.take(KEYRING_BYTES_MAX as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
