//! Authenticode: the table of certificates at the end of a Windows image, and the digest of all that stands before it.
//!
//! Windows leaves out of the digest what changes when an image is signed: the checksum, the directory entry of the table, and the
//! table. Here the table must be the last thing in the file and hold nothing but signatures, so that no other byte is left out.

use x509_parser::asn1_rs::Tag;

use super::cms::{Content, Signed, SignedData};
use super::der::{self, Reader};
use super::digest::{self, DigestAlgorithm, DigestSet, Digester};
use super::fault::{Fault, Part};
use super::{SIGNED_DATA_BYTES_MAX, SIGNERS_MAX, holds_archive_end, oid};
use crate::source::Source;

/// Bytes of the whole table.
const TABLE_BYTES_MAX: u64 = SIGNED_DATA_BYTES_MAX as u64;

/// Bytes digested at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Length, revision and type of one entry.
const ENTRY_HEADER_BYTES: usize = 8;

/// Entries begin at multiples of this.
const ALIGNMENT: usize = 8;

/// What lies where, as far as the digest cares.
struct Layout {
    checksum_at: u64,
    directory_at: u64,
    table_at: u64,
    table_bytes: u64,
}

pub(super) fn read(source: &mut impl Source) -> Result<Vec<Signed>, Fault> {
    let layout = Layout::read(source)?;
    let table = layout.table(source)?;
    let structures = structures(&table)?;
    let mut all = Vec::new();
    for structure in structures {
        let (data, rest) = SignedData::read(structure)?;
        if !is_padding(rest) {
            return Err(Fault::Incomplete(Part::CertificateTable));
        }
        let nested = data.nested()?;
        all.push(data);
        for structure in nested {
            all.push(SignedData::read(structure)?.0);
        }
        if all.len() > SIGNERS_MAX {
            return Err(Fault::TooLarge(Part::CertificateTable));
        }
    }
    let images: Vec<_> = all.iter().map(Image::read).collect();
    let digests = layout.digest(source, images.iter().filter_map(|image| image.as_ref().ok().map(|image| image.algorithm)))?;
    let facts: Vec<_> = all.iter().zip(images).map(|(data, image)| image?.facts(data, &digests)).collect();
    // One signature that counts is enough: the first fault is told only when there is none.
    let fault = facts.iter().find_map(|facts| facts.as_ref().err().copied());
    let facts: Vec<_> = facts.into_iter().flatten().collect();
    match fault {
        Some(fault) if facts.is_empty() => Err(fault),
        _ => Ok(facts),
    }
}

impl Layout {
    fn read(source: &mut impl Source) -> Result<Self, Fault> {
        let malformed = Fault::Malformed(Part::ImageHeaders);
        let signature_at = u64::from(u32::from_le_bytes(source.array(0x3c)?.ok_or(malformed)?));
        let header = source.array::<26>(signature_at)?.ok_or(malformed)?;
        if !header.starts_with(b"PE\0\0") {
            return Err(malformed);
        }
        let optional_bytes = u64::from(u16::from_le_bytes([header[20], header[21]]));
        let optional_at = signature_at + 24;
        // Offsets of the number of directories and of the directories themselves.
        let (count_at, directories_at) = match u16::from_le_bytes([header[24], header[25]]) {
            0x10b => (92, 96),
            0x20b => (108, 112),
            _ => return Err(malformed),
        };
        let count = u32::from_le_bytes(source.array(optional_at + count_at)?.ok_or(malformed)?);
        if count <= 4 || optional_bytes < directories_at + 40 {
            return Err(Fault::Unsigned);
        }
        let directory_at = optional_at + directories_at + 32;
        let directory = source.array::<8>(directory_at)?.ok_or(malformed)?;
        let [table_at, table_bytes] = [0, 4].map(|at| u64::from(u32::from_le_bytes([0, 1, 2, 3].map(|byte| directory[at + byte]))));
        if table_at == 0 && table_bytes == 0 {
            return Err(Fault::Unsigned);
        }
        let layout = Self { checksum_at: optional_at + 64, directory_at, table_at, table_bytes };
        let size = source.size()?;
        if table_at < directory_at + 8 || table_at + table_bytes > size {
            return Err(Fault::Malformed(Part::CertificateTable));
        }
        // SECURITY: what stands behind the table is in no digest.
        if table_at + table_bytes < size {
            return Err(Fault::Incomplete(Part::CertificateTable));
        }
        Ok(layout)
    }

    fn table(&self, source: &mut impl Source) -> Result<Vec<u8>, Fault> {
        if self.table_bytes > TABLE_BYTES_MAX {
            return Err(Fault::TooLarge(Part::CertificateTable));
        }
        let mut table = vec![0; self.table_bytes as usize];
        if source.read_at(self.table_at, &mut table)? < table.len() {
            return Err(Fault::Unread);
        }
        // SECURITY: Java finds an archive from its end, so one hidden in what the signature does not cover would be run by a signed
        // image's name.
        if holds_archive_end(&table) {
            return Err(Fault::Ambiguous(Part::CertificateTable));
        }
        Ok(table)
    }

    fn digest(&self, source: &mut impl Source, algorithms: impl Iterator<Item = DigestAlgorithm>) -> Result<DigestSet, Fault> {
        let mut digester = Digester::new(algorithms);
        let mut chunk = vec![0; CHUNK_BYTES];
        let parts = [(0, self.checksum_at), (self.checksum_at + 4, self.directory_at), (self.directory_at + 8, self.table_at)];
        for (mut at, end) in parts {
            while at < end {
                let wanted = usize::try_from(end - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
                if source.read_at(at, &mut chunk[..wanted])? < wanted {
                    return Err(Fault::Unread);
                }
                digester.update(&chunk[..wanted]);
                at += wanted as u64;
            }
        }
        Ok(digester.finish())
    }
}

/// The PKCS#7 structures of a table, each with its padding; entries of other kinds are passed over.
fn structures(mut table: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    const PKCS_SIGNED_DATA: u16 = 2;
    let malformed = Fault::Malformed(Part::CertificateTable);
    let mut found = Vec::new();
    while !table.is_empty() {
        let header = table.first_chunk::<ENTRY_HEADER_BYTES>().ok_or(malformed)?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let content = table.get(ENTRY_HEADER_BYTES..length).ok_or(malformed)?;
        if u16::from_le_bytes([header[6], header[7]]) != PKCS_SIGNED_DATA {
            return Err(Fault::Unsupported(Part::CertificateTable));
        }
        if found.len() == SIGNERS_MAX {
            return Err(Fault::TooLarge(Part::CertificateTable));
        }
        found.push(content);
        let next = length.checked_next_multiple_of(ALIGNMENT).ok_or(malformed)?;
        let rest = table.get(length..).unwrap_or_default();
        let (padding, rest) = rest.split_at_checked(next - length).unwrap_or((rest, &[]));
        if !is_padding(padding) {
            return Err(Fault::Incomplete(Part::CertificateTable));
        }
        table = rest;
    }
    if found.is_empty() { Err(Fault::Unsigned) } else { Ok(found) }
}

fn is_padding(bytes: &[u8]) -> bool {
    bytes.len() < ALIGNMENT && bytes.iter().all(|byte| *byte == 0)
}

/// `SpcIndirectDataContent`: what an image's signature says of it. Page hashes beside the digest are passed over.
struct Image<'a> {
    /// What the signature is over: the content of the structure.
    content: &'a [u8],
    algorithm: DigestAlgorithm,
    digest: &'a [u8],
}

impl<'a> Image<'a> {
    fn read(data: &SignedData<'a>) -> Result<Self, Fault> {
        let malformed = Fault::Malformed(Part::SignedData);
        if data.content_type != oid::SPC_INDIRECT_DATA {
            return Err(Fault::Unsupported(Part::SignedData));
        }
        let content = data.content.filter(|content| content.is(Tag::Sequence)).ok_or(malformed)?;
        let mut body = content.inside(Part::SignedData);
        if body.sequence()?.oid()? != oid::SPC_PE_IMAGE {
            return Err(Fault::Unsupported(Part::SignedData));
        }
        let mut digest: Reader<'a> = body.sequence()?;
        let (algorithm, _) = der::algorithm(&mut digest)?;
        let unusable = if digest::is_weak(algorithm) { Fault::Weak(Part::File) } else { Fault::Unsupported(Part::SignedData) };
        let algorithm = DigestAlgorithm::of(algorithm).ok_or(unusable)?;
        Ok(Self { content: content.content, algorithm, digest: digest.expect(Tag::OctetString)?.content })
    }

    fn facts(&self, data: &SignedData<'a>, digests: &DigestSet) -> Result<Signed, Fault> {
        let content = Content {
            content_type: Some(oid::SPC_INDIRECT_DATA),
            digest: &|algorithm| Some(algorithm.digest(self.content)),
            part: Part::SignedData,
        };
        let mut signed = data.facts(&content)?;
        if digests.of(self.algorithm) != Some(self.digest) {
            signed.signers.iter_mut().for_each(|signer| signer.fault = Some(Fault::Altered(Part::File)));
        }
        Ok(signed)
    }
}
