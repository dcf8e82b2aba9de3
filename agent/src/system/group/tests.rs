//! Events made by hand, whole and broken, and one real group on a filesystem of its own.

use std::os::fd::{AsRawFd, IntoRawFd};

use super::*;

/// An event of the kernel's layout; `records` are appended as they are.
fn event(mask: u64, fd: i32, pid: i32, records: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(u32::try_from(METADATA_BYTES + records.len()).unwrap().to_ne_bytes());
    bytes.extend([libc::FANOTIFY_METADATA_VERSION, 0]);
    bytes.extend(u16::try_from(METADATA_BYTES).unwrap().to_ne_bytes());
    bytes.extend(mask.to_ne_bytes());
    bytes.extend(fd.to_ne_bytes());
    bytes.extend(pid.to_ne_bytes());
    bytes.extend(records);
    bytes
}

fn pidfd_record(fd: i32) -> Vec<u8> {
    let mut bytes = vec![libc::FAN_EVENT_INFO_TYPE_PIDFD, 0];
    bytes.extend(8u16.to_ne_bytes());
    bytes.extend(fd.to_ne_bytes());
    bytes
}

fn some_fd() -> i32 {
    std::fs::File::open("/dev/null").unwrap().into_raw_fd()
}

#[test]
fn file_and_process_are_taken_from_one_event_and_closed_with_it() {
    let (file, process) = (some_fd(), some_fd());
    let mut events = Vec::new();
    let bytes = event(MaskFlags::FAN_OPEN_EXEC.bits(), file, 77, &pidfd_record(process));
    assert_eq!(decode(&bytes, &mut events).unwrap(), 1);
    assert_eq!(events[0].pid, 77);
    assert_eq!(events[0].file.as_ref().unwrap().as_raw_fd(), file);
    assert_eq!(events[0].process.as_ref().unwrap().as_raw_fd(), process);
}

#[test]
fn records_of_other_types_are_stepped_over() {
    let process = some_fd();
    let mut records = vec![200, 0, 8, 0, 1, 2, 3, 4];
    records.extend(pidfd_record(process));
    let mut events = Vec::new();
    decode(&event(0, -1, 1, &records), &mut events).unwrap();
    assert_eq!(events[0].process.as_ref().unwrap().as_raw_fd(), process);
}

#[test]
fn a_process_that_is_gone_and_an_overflow_have_no_descriptors() {
    let mut events = Vec::new();
    let mut bytes = event(MaskFlags::FAN_OPEN_EXEC.bits(), -1, 5, &pidfd_record(-1));
    bytes.extend(event(MaskFlags::FAN_Q_OVERFLOW.bits(), -1, 0, &[]));
    assert_eq!(decode(&bytes, &mut events).unwrap(), 2);
    assert!(events[0].process.is_none() && events[0].file.is_none());
    assert!(!events[0].is_overflow() && events[1].is_overflow());
}

#[test]
fn every_truncation_and_every_wrong_length_is_refused_without_a_panic() {
    let whole = event(0, -1, 1, &pidfd_record(-1));
    for length in 1..whole.len() {
        assert!(decode(&whole[..length], &mut Vec::new()).is_err(), "{length} bytes");
    }
    for claimed in [0u32, 3, 23, 33, u32::MAX] {
        let mut bytes = whole.clone();
        bytes[..4].copy_from_slice(&claimed.to_ne_bytes());
        assert!(decode(&bytes, &mut Vec::new()).is_err(), "claims {claimed} bytes");
    }
    let mut newer = whole.clone();
    newer[4] += 1;
    assert!(matches!(decode(&newer, &mut Vec::new()), Err(GroupError::Malformed("metadata version"))));
}

#[test]
fn a_record_that_claims_no_length_ends_the_search() {
    for claimed in [0u16, 3, 9, u16::MAX] {
        let mut record = pidfd_record(0);
        record[2..4].copy_from_slice(&claimed.to_ne_bytes());
        assert_eq!(pidfd_of(&record), None, "claims {claimed} bytes");
    }
}
