//! An IMA attribute of any bytes.
#![no_main]

use doorward_formats::signature::ImaSignature;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|attribute: &[u8]| {
    if let Ok(found) = ImaSignature::read(attribute) {
        assert!(found.signature.len() + 9 == attribute.len());
    }
});
