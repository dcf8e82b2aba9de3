//! Power cuts, as far as they can be had without pulling plugs: the store lies on an ext4 image, the writer is stopped in the middle of
//! what it does, and the image is copied. The copy holds what reached the disk and nothing else; it is mounted and opened elsewhere.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};

use crate::kill::spin;
use crate::namespace::{Image, entered};
use crate::story::{Dice, Promises, numbers, open, rounds};
use crate::writer::Writer;

const IMAGE_MEBIBYTES: u64 = 128;

#[tokio::test]
async fn nothing_kept_is_lost_when_the_power_is_cut_at_any_moment() {
    if !entered("power_cut::nothing_kept_is_lost_when_the_power_is_cut_at_any_moment") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut image = Image::make(&folder.path().join("image-0"), IMAGE_MEBIBYTES);
    let (mut dice, mut promises, began) = (Dice::new(7), Promises::default(), Instant::now());
    let rounds = rounds(3, 60);
    for round in 1..=rounds {
        let disk = image.mount(&folder.path().join("running"));
        let mut writer = Writer::start(&disk.at.join("pending"), promises);
        writer.hear(1 + dice.below(60));
        spin(Duration::from_micros(dice.below(20_000)));
        kill(writer.pid(), Signal::SIGSTOP).unwrap();
        waitid(Id::Pid(writer.pid()), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT).unwrap();
        let cut = image.copy(&folder.path().join(format!("image-{round}")));
        promises = writer.kill();
        drop(disk);
        std::fs::remove_file(&image.file).unwrap();
        image = cut;

        let disk = image.mount(&folder.path().join("after"));
        let opened = open(&disk.at.join("pending"), 0);
        assert_eq!(opened.recovered, [], "round {round}");
        let there = numbers(&opened.pending).await;
        promises.check(&there);
        promises.kept = promises.kept.max(there.last().copied().unwrap_or(0));
        opened.pending.close().await;
    }
    let (kept, released) = (promises.kept, promises.released);
    eprintln!("{rounds} power cuts in {:?}: {kept} reports kept and {released} released, none lost", began.elapsed());
}
