//! Signatures in files of any bytes: a reason, never a panic. What real tools make is tested where keys are at hand.

use std::io::Cursor;

use doorward_formats::signature::{Certificate, Container, Fault, ImaSignature, Part};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::sample::{ZipSample, pe};

fn signatures(container: Container, content: &[u8]) -> Result<usize, Fault> {
    container.signatures(&mut Cursor::new(content)).map(|all| all.len())
}

/// A module with this structure behind it.
fn module(structure: &[u8]) -> Vec<u8> {
    let length = (structure.len() as u32).to_be_bytes();
    [&[7; 64], structure, &[0, 0, 2, 0, 0, 0, 0, 0], &length, b"~Module signature appended~\n"].concat()
}

#[test]
fn what_carries_no_signature_is_unsigned() {
    assert_eq!(signatures(Container::Pe, &pe(0x80, 0)), Err(Fault::Malformed(Part::ImageHeaders)));
    assert_eq!(signatures(Container::Jar, &ZipSample::of(&["META-INF/MANIFEST.MF"]).bytes()), Err(Fault::Unsigned));
    assert_eq!(signatures(Container::KernelModule, &[7; 4096]), Err(Fault::Unsigned));
    assert_eq!(ImaSignature::read(&[4, 4, 1, 2, 3]), Err(Fault::Unsigned), "a plain digest is nobody's word");
}

#[test]
fn archives_that_two_readers_read_differently_are_refused() {
    let jar = ZipSample::of(&["META-INF/MANIFEST.MF", "META-INF/A.SF", "META-INF/A.RSA", "Main.class"]);
    let twice = ZipSample::of(&["META-INF/MANIFEST.MF", "META-INF/MANIFEST.MF"]);
    assert_eq!(signatures(Container::Jar, &twice.bytes()), Err(Fault::Ambiguous(Part::Archive)));
    let before = ZipSample { before: b"PK\x03\x04 something else, long enough to hold an entry".to_vec(), ..jar.clone() };
    assert!(signatures(Container::Jar, &before.bytes()).is_err_and(|fault| fault != Fault::Unsigned));
    let behind = [jar.bytes(), b"behind".to_vec()].concat();
    assert_eq!(signatures(Container::Jar, &behind), Err(Fault::Ambiguous(Part::Archive)));
    assert_eq!(signatures(Container::Jar, &ZipSample { zip64: true, ..jar }.bytes()), Err(Fault::Unsupported(Part::Archive)));
}

#[test]
fn trailers_of_modules_are_read_as_the_kernel_reads_them() {
    assert_eq!(signatures(Container::KernelModule, &module(b"")), Err(Fault::Malformed(Part::SignedData)));
    assert_eq!(signatures(Container::KernelModule, &module(b"0\x00PK\x05\x06")), Err(Fault::Ambiguous(Part::ModuleTrailer)));
    let mut long = module(b"0\x00");
    let length_at = long.len() - 32;
    long[length_at..length_at + 4].copy_from_slice(&200_u32.to_be_bytes());
    assert_eq!(signatures(Container::KernelModule, &long), Err(Fault::Malformed(Part::ModuleTrailer)));
    assert_eq!(signatures(Container::KernelModule, b"~Module signature appended~\n"), Err(Fault::Malformed(Part::ModuleTrailer)));
}

#[test]
fn attributes_are_read_as_the_kernel_reads_them() {
    let attribute = [3, 2, 4, 1, 2, 3, 4, 0, 2, 8, 9];
    let read = ImaSignature::read(&attribute).unwrap();
    assert_eq!((read.key, read.signature), ([1, 2, 3, 4], vec![8, 9]));
    for end in 1..attribute.len() {
        assert!(ImaSignature::read(&attribute[..end]).is_err(), "cut to {end} bytes");
    }
    assert_eq!(ImaSignature::read(&[3, 2, 2, 1, 2, 3, 4, 0, 2, 8, 9]), Err(Fault::Weak(Part::ImaAttribute)));
    assert_eq!(ImaSignature::read(&[3, 3, 4, 1, 2, 3, 4, 0, 2, 8, 9]), Err(Fault::Unsupported(Part::ImaAttribute)));
}

proptest! {
    #[test]
    fn any_bytes_are_a_reason(content in vec(any::<u8>(), 0..600)) {
        for container in [Container::Pe, Container::Jar, Container::KernelModule] {
            prop_assert!(signatures(container, &content).is_err());
        }
        prop_assert!(signatures(Container::KernelModule, &module(&content)).is_err());
        let _ = (Certificate::read(&content), ImaSignature::read(&content));
    }
}
