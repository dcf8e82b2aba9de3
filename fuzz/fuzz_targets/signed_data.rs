//! A PKCS#7 structure of any bytes, behind a module that is all zeros.
#![no_main]

use std::io::Cursor;

use doorward_formats::signature::{Certificate, Container, PublicKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|structure: &[u8]| {
    let mut module = vec![0; 64];
    module.extend_from_slice(structure);
    module.extend_from_slice(&[0, 0, 2, 0, 0, 0, 0, 0]);
    module.extend_from_slice(&(structure.len() as u32).to_be_bytes());
    module.extend_from_slice(b"~Module signature appended~\n");
    if let Ok(signatures) = Container::KernelModule.signatures(&mut Cursor::new(module)) {
        for certificate in signatures.iter().flat_map(|signed| &signed.certificates) {
            let _ = Certificate::read(certificate);
        }
    }
    let _ = (Certificate::read(structure), PublicKey::read(structure));
});
