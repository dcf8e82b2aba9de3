//! Everything a header can be asked.

use doorward_formats::rpm::{Header, Package};

#[path = "path.rs"]
mod path;

pub(crate) fn look_at(blob: &[u8]) {
    let Ok(header) = Header::new(blob) else { return };
    let _ = (header.signatures().count(), header.encoded_signatures().count(), header.encoded_keys().count());
    if let Some(sealed) = header.sealed() {
        assert!(sealed.parts().iter().map(|part| part.len()).sum::<usize>() <= blob.len() + 8);
    }
    let Ok(package) = Package::of(header) else { return };
    let mut path = Vec::new();
    for file in package.files().into_iter().flatten().flatten() {
        if file.path_into(&mut path) {
            path::assert_plain(&path);
        }
    }
}
