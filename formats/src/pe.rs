//! Windows and EFI images, which wine, Mono, .NET and the firmware load: `MZ`, then at the offset in its last word the
//! `PE` signature and the file header. Signatures inside (Authenticode) are read elsewhere.

use crate::Kind;
use crate::source::{Source, Stop};

/// What every image starts with; DOS programs too.
pub(crate) const MAGIC: &[u8] = b"MZ";

/// Offset of the DOS header's word that says where the `PE` signature stands.
const SIGNATURE_OFFSET_AT: u64 = 0x3c;

/// Bit of the file header's `Characteristics` that marks a library (`IMAGE_FILE_DLL`).
const CHARACTERISTIC_DLL: u16 = 0x2000;

/// `None` for DOS programs and for anything cut short.
pub(crate) fn read(source: &mut impl Source) -> Result<Option<Kind>, Stop> {
    if source.array(0)? != Some(*b"MZ") {
        return Ok(None);
    }
    let Some(signature_at) = source.array(SIGNATURE_OFFSET_AT)?.map(u32::from_le_bytes) else { return Ok(None) };
    // Signature (4), then machine, section count, three words of 4, size of the optional header, characteristics.
    let Some(header) = source.array::<24>(u64::from(signature_at))? else { return Ok(None) };
    let characteristics = u16::from_le_bytes([header[22], header[23]]);
    Ok(header.starts_with(b"PE\0\0").then_some(Kind::Pe { dll: characteristics & CHARACTERISTIC_DLL != 0 }))
}
