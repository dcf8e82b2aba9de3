//! A file of any bytes, asked for its signatures as every format: facts or a reason, within the limits.
#![no_main]

use std::io::Cursor;

use doorward_formats::signature::{CERTIFICATES_MAX, Certificate, Container, SIGNERS_MAX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let container = if content.starts_with(b"MZ") {
        Container::Pe
    } else if content.starts_with(b"PK") {
        Container::Jar
    } else {
        Container::KernelModule
    };
    let Ok(signatures) = container.signatures(&mut Cursor::new(content)) else { return };
    assert!(!signatures.is_empty() && signatures.len() <= 2 * SIGNERS_MAX);
    for signed in signatures {
        assert!(!signed.signers.is_empty() && signed.signers.len() <= SIGNERS_MAX);
        assert!(signed.certificates.len() <= CERTIFICATES_MAX);
        for certificate in &signed.certificates {
            let _ = Certificate::read(certificate);
        }
    }
});
