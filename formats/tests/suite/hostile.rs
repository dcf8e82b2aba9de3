//! Any bytes: no panic, and the answers of the three steps never contradict each other.

use std::io::Cursor;

use doorward_formats::{ElfClass, FIRST_BYTES, Format, Guess, HEAD_BYTES, Kind, may_be_candidate};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::sample::{ElfSample, ZipSample, kind, pe};

/// Well-formed files of every kind and near-kind.
fn sample() -> impl Strategy<Value = Vec<u8>> {
    let gap = || prop_oneof![Just(0_usize), Just(3900), Just(9000)];
    let class = prop_oneof![Just(ElfClass::Bits32), Just(ElfClass::Bits64)];
    let elf = (class, any::<bool>(), 1..5_u16, gap(), any::<bool>(), prop_oneof![Just(".modinfo"), Just(".text")]).prop_map(
        |(class, is_big_endian, object_type, gap, is_program, section)| {
            let shape = if is_program { ElfSample::program() } else { ElfSample::library() };
            ElfSample { class, is_big_endian, object_type, gap, sections: vec![section], ..shape }.bytes()
        },
    );
    let member = prop_oneof!["[a-z]{1,8}(/[a-z]{1,8})?\\.(class|txt)", Just("META-INF/MANIFEST.MF".to_owned())];
    let zip = (vec(member, 0..6), vec(any::<u8>(), 0..40), any::<bool>(), gap()).prop_map(|(members, comment, zip64, gap)| {
        let members = members.into_iter().map(String::into_bytes).collect();
        ZipSample { before: [&b"PK\x03\x04"[..], &vec![0; gap]].concat(), members, comment, zip64 }.bytes()
    });
    let script = vec(any::<u8>(), 0..300).prop_map(|line| [b"#!", &line[..]].concat());
    prop_oneof![elf, zip, (64..6000_u32, any::<u16>()).prop_map(|(at, flags)| pe(at, flags)), script]
}

/// A sample with some bytes overwritten and its end cut off.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (sample(), vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(mut content, spots, end, is_cut)| {
            for (at, byte) in spots {
                let at = at.index(content.len().min(128));
                content[at] = byte;
            }
            if is_cut {
                content.truncate(end.index(content.len() + 1));
            }
            content
        },
    )
}

fn agrees_with_itself(content: &[u8]) -> Result<(), TestCaseError> {
    let head = &content[..content.len().min(HEAD_BYTES)];
    let settled = kind(content);
    if settled.is_some() {
        prop_assert!(may_be_candidate(&content[..content.len().min(FIRST_BYTES)]));
    }
    match Kind::of_head(head) {
        Guess::Not => {}
        // The whole file gives the answer that its head was certain of.
        Guess::Certain(Kind::Elf(elf)) => {
            let whole = Format::Elf.confirm(&mut Cursor::new(content)).expect("memory can be read");
            prop_assert_eq!(whole, Some(Kind::Elf(elf)));
        }
        Guess::Certain(_) => {}
        Guess::NeedsMore(_) => prop_assert_eq!(head.len(), HEAD_BYTES, "a whole file needs no more"),
    }
    for format in [Format::Elf, Format::Pe, Format::Zip] {
        format.confirm(&mut Cursor::new(content)).expect("memory can be read");
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_have_one_kind_or_none(content in vec(any::<u8>(), 0..600)) {
        agrees_with_itself(&content)?;
    }

    #[test]
    fn any_bytes_behind_any_magic_have_one_kind_or_none(
        magic in prop_oneof![Just("\x7fELF"), Just("PK\x03\x04"), Just("MZ"), Just("#!"), Just("\x0b\x0d\r\n")],
        content in vec(prop_oneof![Just(0_u8), 0..8_u8, any::<u8>()], 0..300),
        times in 1..40_usize,
    ) {
        agrees_with_itself(&[magic.as_bytes(), &content.repeat(times)].concat())?;
    }

    #[test]
    fn damaged_files_have_one_kind_or_none(content in damaged()) {
        agrees_with_itself(&content)?;
    }

    #[test]
    fn a_certain_head_stays_certain(content in damaged(), more in vec(any::<u8>(), 0..200)) {
        let mut head = content;
        head.resize(HEAD_BYTES, 0);
        if let Guess::Certain(kind_of_head) = Kind::of_head(&head) {
            head.extend(more);
            prop_assert_eq!(kind(&head), Some(kind_of_head));
        }
    }
}
