//! Windows images down to the file header.

/// An image whose `PE` signature stands at `signature_at`, at least behind the DOS header (64).
pub(crate) fn pe(signature_at: u32, characteristics: u16) -> Vec<u8> {
    let mut image = b"MZ".to_vec();
    image.resize(0x3c, 0);
    image.extend(signature_at.to_le_bytes());
    image.resize(signature_at as usize, 0);
    image.extend(b"PE\0\0\x64\x86");
    image.resize(signature_at as usize + 22, 0);
    image.extend(characteristics.to_le_bytes());
    image.resize(image.len() + 240, 0);
    image
}
