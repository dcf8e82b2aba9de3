//! A database of any bytes, and every header that comes out of it.
#![no_main]

use std::io::Cursor;
use std::ops::ControlFlow;

use doorward_formats::rpm::Ndb;
use libfuzzer_sys::fuzz_target;

mod package;

fuzz_target!(|bytes: &[u8]| {
    let look = |_: u32, blob: &[u8]| {
        package::look_at(blob);
        ControlFlow::Continue(())
    };
    let _ = Ndb::open(Cursor::new(bytes)).and_then(|mut database| database.each(0, look));
});
