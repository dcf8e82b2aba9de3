//! A disk that fills up under the store, with and without room kept in reserve, and that gets room again.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use doorward_agent::pending::PendingError;

use crate::namespace::{Image, entered};
use crate::story::{found, numbers, open};

const IMAGE_MEBIBYTES: u64 = 64;

/// Keeps adding until it works again, as a caller would.
async fn add_with_patience(pending: &doorward_agent::pending::Pending, number: u32) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = pending.add(found(number)).await {
        assert!(Instant::now() < deadline, "still refused: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Takes up everything that is left.
fn fill(at: &Path) {
    let mut filler = File::create(at.join("filler")).unwrap();
    for size in [1 << 20, 1 << 12] {
        while filler.write_all(&vec![0xaa; size]).and_then(|()| filler.sync_data()).is_ok() {}
    }
}

#[tokio::test]
async fn below_the_reserve_reports_are_refused_and_acknowledgements_are_not() {
    if !entered("full_disk::below_the_reserve_reports_are_refused_and_acknowledgements_are_not") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = Image::make(&folder.path().join("image"), IMAGE_MEBIBYTES).mount(&folder.path().join("disk"));
    let pending = open(&disk.at.join("pending"), 16 << 20).pending;
    pending.add_many((1..=100).map(found).collect()).await.unwrap();
    let filler = disk.at.join("filler");
    let file = File::create(&filler).unwrap();
    let usage = nix::sys::statvfs::statvfs(&disk.at).unwrap();
    let free = usage.blocks_available() * usage.fragment_size();
    nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::empty(), 0, i64::try_from(free - (8 << 20)).unwrap()).unwrap();
    let error = pending.add(found(101)).await.unwrap_err();
    assert!(matches!(error, PendingError::DiskFull { needed, .. } if needed == 16 << 20), "{error}");
    assert_eq!((pending.gauges().refused, pending.gauges().is_healthy), (1, true));
    assert_eq!(numbers(&pending).await.len(), 100);
    let sequence = pending.batch(0, 40, usize::MAX).await.unwrap()[39].sequence;
    pending.acknowledge(sequence).await.unwrap();
    fs::remove_file(&filler).unwrap();
    drop(file);
    add_with_patience(&pending, 101).await;
    assert_eq!(numbers(&pending).await.into_iter().collect::<Vec<_>>(), (41..=101).collect::<Vec<_>>());
    pending.close().await;
}

#[tokio::test]
async fn a_disk_that_is_really_full_loses_nothing_kept_and_the_store_goes_on_when_there_is_room() {
    if !entered("full_disk::a_disk_that_is_really_full_loses_nothing_kept_and_the_store_goes_on_when_there_is_room") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = Image::make(&folder.path().join("image"), IMAGE_MEBIBYTES).mount(&folder.path().join("disk"));
    let pending = open(&disk.at.join("pending"), 0).pending;
    let mut number = 0;
    for round in 0..3 {
        for _ in 0..200 {
            number += 1;
            pending.add(found(number)).await.unwrap();
        }
        fill(&disk.at);
        // sled writes into segments it has already; sooner or later it needs another one.
        let deadline = Instant::now() + Duration::from_secs(120);
        let error = loop {
            assert!(Instant::now() < deadline, "the disk never filled up");
            match pending.add_many((number + 1..=number + 50).map(found).collect()).await {
                Ok(()) => number += 50,
                Err(error) => break error,
            }
        };
        assert_eq!(error.reason(), "pending_broken", "{error}");
        for _ in 0..20 {
            // Whoever asks meanwhile gets an answer, and perhaps even a place.
            if pending.add(found(number + 1)).await.is_ok() {
                number += 1;
            }
        }
        fs::remove_file(disk.at.join("filler")).unwrap();
        add_with_patience(&pending, number + 1).await;
        number += 1;
        let there = numbers_at_least_once(&pending).await;
        let lost: Vec<u32> = (1..=number).filter(|number| !there.contains(number)).collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
        assert_eq!(pending.take_recoveries(), [], "round {round}: a full disk is no damage");
        // What was refused and is there all the same was never promised; count on from behind it.
        number = there.last().copied().unwrap().max(number);
    }
    pending.close().await;
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_is_waited_for_and_nothing_kept_before_is_lost() {
    if !entered("full_disk::a_disk_that_is_full_at_the_start_is_waited_for_and_nothing_kept_before_is_lost") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = Image::make(&folder.path().join("image"), IMAGE_MEBIBYTES).mount(&folder.path().join("disk"));
    let pending = open(&disk.at.join("pending"), 0).pending;
    pending.add_many((1..=100).map(found).collect()).await.unwrap();
    let epoch = pending.epoch();
    pending.close().await;
    fill(&disk.at);
    let opened = open(&disk.at.join("pending"), 0);
    assert_eq!(opened.closed.as_ref().map(PendingError::reason), Some("pending_broken"));
    let pending = opened.pending;
    assert!(pending.ready().await.is_err() && pending.add(found(101)).await.is_err());
    assert!(!pending.gauges().is_healthy);
    fs::remove_file(disk.at.join("filler")).unwrap();
    add_with_patience(&pending, 101).await;
    assert_eq!(pending.epoch(), epoch);
    assert_eq!((pending.take_recoveries(), opened.recovered), (vec![], vec![]), "a full disk is no damage");
    assert_eq!(numbers(&pending).await.into_iter().collect::<Vec<_>>(), (1..=101).collect::<Vec<_>>());
    pending.close().await;
}

#[tokio::test]
async fn a_store_can_be_begun_on_a_disk_that_was_full_at_the_first_start() {
    if !entered("full_disk::a_store_can_be_begun_on_a_disk_that_was_full_at_the_first_start") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = Image::make(&folder.path().join("image"), IMAGE_MEBIBYTES).mount(&folder.path().join("disk"));
    fill(&disk.at);
    let pending = open(&disk.at.join("pending"), 0).pending;
    assert!(pending.ready().await.is_err());
    assert_eq!(pending.epoch(), [0; 16]);
    fs::remove_file(disk.at.join("filler")).unwrap();
    add_with_patience(&pending, 1).await;
    assert_ne!(pending.epoch(), [0; 16]);
    assert_eq!(numbers(&pending).await.len(), 1);
    pending.close().await;
}

/// A report that was refused may be there, and then once more when it was added again.
async fn numbers_at_least_once(pending: &doorward_agent::pending::Pending) -> std::collections::BTreeSet<u32> {
    let reports = pending.batch(0, usize::MAX, usize::MAX).await.unwrap();
    reports.iter().map(crate::story::number).collect()
}
