//! Any bytes as a header or a database of rpm: no panic, every fact keeps its promises, and nothing is read for ever.

use std::io::Cursor;
use std::ops::ControlFlow;

use doorward_formats::rpm::{Bdb, Header, Ndb, Package};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::sample::{HeaderSample, Value};

const NDB: &[u8] = include_bytes!("sample/rpm/Packages.db");
const BDB: &[u8] = include_bytes!("sample/rpm/Packages");

fn look_at(blob: &[u8]) {
    let Ok(header) = Header::new(blob) else { return };
    let _ = (header.signatures().count(), header.encoded_signatures().count(), header.encoded_keys().count());
    if let Some(sealed) = header.sealed() {
        assert!(sealed.parts().iter().map(|part| part.len()).sum::<usize>() <= blob.len() + 8);
    }
    let Ok(package) = Package::of(header) else { return };
    let mut path = Vec::new();
    for file in package.files().into_iter().flatten().flatten() {
        if file.path_into(&mut path) {
            assert!(!path.starts_with(b"/") && !path.is_empty());
            assert!(path.split(|byte| *byte == b'/').all(|name| !matches!(name, b"" | b"." | b"..")));
        }
    }
}

fn read_all(bytes: &[u8]) {
    let look = |_: u32, blob: &[u8]| {
        look_at(blob);
        ControlFlow::Continue(())
    };
    let _ = Ndb::open(Cursor::new(bytes)).and_then(|mut ndb| ndb.each(0, look));
    let _ = Bdb::open(Cursor::new(bytes)).and_then(|mut bdb| bdb.each(0, look));
}

proptest! {
    #[test]
    fn any_bytes_are_a_header_or_none(bytes in vec(any::<u8>(), 0..600)) {
        look_at(&bytes);
        read_all(&bytes);
    }

    #[test]
    fn a_header_with_anything_in_any_place_of_it_is_read_or_refused(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut blob = HeaderSample::package("p", &["/bin/", "/usr/"], &[(0, "a"), (1, "b")])
            .with(1035, Value::Texts(vec!["0123456789abcdef0123456789abcdef", ""]))
            .with(1028, Value::Number(vec![1, 2]))
            .added(1029, Value::Bytes(vec![0, 0]))
            .blob();
        for (place, byte) in changes {
            let place = place.index(blob.len());
            blob[place] = byte;
        }
        look_at(&blob);
    }

    #[test]
    fn a_database_with_anything_in_any_place_of_it_is_read_or_refused(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
        is_ndb in any::<bool>(),
    ) {
        let mut bytes = if is_ndb { NDB } else { BDB }.to_vec();
        for (place, byte) in changes {
            // The first pages hold what leads to all others.
            let place = place.index(if byte % 2 == 0 { 256 } else { bytes.len() });
            bytes[place] = byte;
        }
        read_all(&bytes);
    }
}
