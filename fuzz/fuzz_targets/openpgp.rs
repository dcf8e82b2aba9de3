//! Keyrings and signatures of any bytes: nothing that was not signed by the key that is there is ever believed.
#![no_main]

use doorward_formats::openpgp::{Keyring, verify_cleartext, verify_detached};
use libfuzzer_sys::fuzz_target;

/// A real key; nobody who fuzzes has its secret part.
const KEY: &[u8] = include_bytes!("../samples/key.pgp");
const NOW: i64 = 1_800_000_000;

fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let mut keyring = Keyring::default();
    if how % 2 == 0 {
        let _ = keyring.add(bytes);
        let _ = keyring.summary(NOW);
    } else {
        let _ = keyring.add(KEY);
        assert!(verify_detached(b"never signed", bytes, &keyring, NOW).is_err());
        let _ = verify_cleartext(bytes, &keyring, NOW);
    }
});
