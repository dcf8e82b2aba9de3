//! A file system that somebody made and mounts: its inodes say whatever he wants them to say.

use std::fs::{self, File};
use std::sync::Arc;

use doorward_agent::identify::{Identifier, IdentityStore, Limits};
use doorward_service::clock::Clock;

use crate::namespace::{Image, entered};

/// Some day after every file of the story was made.
const LATER_MICROS: i64 = 4_000_000_000_000_000;

#[test]
fn nothing_is_remembered_of_a_file_system_in_a_file() {
    if !entered("image::nothing_is_remembered_of_a_file_system_in_a_file") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let identifier =
        Identifier::new(Arc::new(IdentityStore::in_memory(|key| key.fill(1))), Clock::standing(LATER_MICROS), Limits::default());
    let identify = |file: &std::path::Path| identifier.file(&File::open(file).unwrap(), b"run", None, &|| false).unwrap().unwrap();
    let original = Image::make(&folder.path().join("original"), 16);
    {
        let disk = original.mount(&folder.path().join("first"));
        fs::write(disk.at.join("run"), "#!/bin/sh\nexit 0 # good").unwrap();
    }
    let copy = original.copy(&folder.path().join("copy"));
    // The copy's maker edits its content where no kernel sees it; inode, change time, size and UUID stay what they are.
    let mut bytes = fs::read(folder.path().join("copy")).unwrap();
    let mut edited = 0;
    for at in 0..bytes.len() - 6 {
        if bytes[at..].starts_with(b"# good") {
            bytes[at..at + 6].copy_from_slice(b"# evil");
            edited += 1;
        }
    }
    assert!(edited > 0);
    fs::write(folder.path().join("copy"), bytes).unwrap();
    let (original, copy) = (original.mount(&folder.path().join("second")), copy.mount(&folder.path().join("third")));
    let good = identify(&original.at.join("run"));
    let evil = identify(&copy.at.join("run"));
    assert_eq!((good.identity.inode, good.identity.changed_ns), (evil.identity.inode, evil.identity.changed_ns), "one inode by all signs");
    assert_ne!(good.identity, evil.identity);
    assert_ne!(good.digests.sha256, evil.digests.sha256);
    assert_eq!(identifier.store().gauges().candidates, 0);
}
