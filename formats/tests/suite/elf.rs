//! ELF files: what counts as program, library or module, however the header lies.

use doorward_formats::{Elf, ElfClass, ElfRole, Guess, HEAD_BYTES, Kind, Needs, may_be_candidate};

use crate::sample::{ElfSample, kind, word};

const EVERY_SHAPE: [(ElfClass, bool, u16); 4] =
    [(ElfClass::Bits64, false, 62), (ElfClass::Bits64, true, 22), (ElfClass::Bits32, false, 3), (ElfClass::Bits32, true, 20)];

/// The sample in both classes and byte orders, contents in the head and behind it.
fn in_every_shape(sample: &ElfSample) -> Vec<ElfSample> {
    let mut shapes = Vec::new();
    for (class, is_big_endian, machine) in EVERY_SHAPE {
        for gap in [0, 5000, 40_000] {
            shapes.push(ElfSample { class, is_big_endian, machine, gap, ..sample.clone() });
        }
    }
    shapes
}

#[test]
fn a_program_tells_its_loader() {
    for sample in in_every_shape(&ElfSample::program()) {
        let expected = Elf {
            class: sample.class,
            machine: sample.machine,
            role: ElfRole::Executable,
            interpreter: Some(b"/lib64/ld-linux-x86-64.so.2".to_vec()),
        };
        assert_eq!(kind(&sample.bytes()), Some(Kind::Elf(expected)), "{sample:?}");
    }
}

#[test]
fn a_shared_object_is_a_library_unless_something_makes_it_a_program() {
    for sample in in_every_shape(&ElfSample::library()) {
        assert_eq!(word(&sample.bytes()), "elf_library", "{sample:?}");
        let static_pie = ElfSample { flags_1: Some(0x0800_0001), ..sample.clone() };
        assert_eq!(word(&static_pie.bytes()), "elf_executable", "{static_pie:?}");
        let fixed_address = ElfSample { object_type: 2, flags_1: None, ..sample };
        assert_eq!(word(&fixed_address.bytes()), "elf_executable", "{fixed_address:?}");
    }
}

#[test]
fn object_files_and_core_dumps_are_no_candidates() {
    for sample in in_every_shape(&ElfSample::object(&[".text", ".modinfo.not", ".gnu.linkonce.this_modul"])) {
        assert_eq!(word(&sample.bytes()), "-", "{sample:?}");
        assert_eq!(word(&ElfSample { object_type: 4, ..sample }.bytes()), "-");
    }
    assert_eq!(word(&ElfSample::new(0).bytes()), "-");
    assert_eq!(word(&ElfSample::new(0xfe00).bytes()), "-");
}

#[test]
fn a_module_is_known_by_either_section_or_its_trailer() {
    for marker in [".modinfo", ".gnu.linkonce.this_module"] {
        for sample in in_every_shape(&ElfSample::object(&[".text", ".data", marker, ".symtab"])) {
            assert_eq!(word(&sample.bytes()), "kernel_module", "{sample:?}");
        }
    }
    let signed = ElfSample { trailer: b"~Module signature appended~\n", ..ElfSample::object(&[".text"]) };
    assert_eq!(word(&signed.bytes()), "kernel_module");
    let nearly = ElfSample { trailer: b"~Module signature appended~\n\0", ..ElfSample::object(&[".text"]) };
    assert_eq!(word(&nearly.bytes()), "-");
}

#[test]
fn a_program_runs_whatever_its_class_and_order_bytes_claim() {
    for claims in [[0, 0], [1, 1], [1, 2], [2, 2], [255, 255]] {
        let program = ElfSample { claims: Some(claims), ..ElfSample::program() };
        assert_eq!(word(&program.bytes()), "elf_executable", "{claims:?}");
        let module = ElfSample { claims: Some(claims), ..ElfSample::object(&[".modinfo"]) };
        assert_eq!(word(&module.bytes()), "kernel_module", "{claims:?}");
    }
    // Even when the field where the claimed class has its entry size holds a size that fits the claim.
    let wide = ElfSample { claims: Some([1, 1]), ..ElfSample::program() };
    let narrow = ElfSample { claims: Some([2, 1]), class: ElfClass::Bits32, machine: 3, ..ElfSample::program() };
    for (sample, entry_size_at, entry_size) in [(wide, 42, 32), (narrow, 54, 56)] {
        let mut program = sample.bytes();
        program[entry_size_at] = entry_size;
        let Some(Kind::Elf(elf)) = kind(&program) else { panic!("not ELF") };
        assert_eq!(elf.class, sample.class);
        assert!(elf.interpreter.is_some());
    }
    // x32 is an x86-64 program with 32-bit tables.
    let x32 = ElfSample { class: ElfClass::Bits32, ..ElfSample::program() };
    assert_eq!(word(&x32.bytes()), "elf_executable");
}

#[test]
fn a_program_cut_to_its_header_is_still_a_candidate() {
    let fixed_address = ElfSample::new(2).bytes();
    for end in 20..fixed_address.len() {
        assert_eq!(word(&fixed_address[..end]), "elf_executable", "cut to {end} bytes");
    }
    assert_eq!(word(&fixed_address[..4]), "-");
}

#[test]
fn a_loader_the_kernel_would_refuse_is_not_told() {
    for (path, what) in
        [(vec![0], "empty"), (b"/ld.so".to_vec(), "without NUL"), ([b"/x".repeat(2048), b"\0".to_vec()].concat(), "too long")]
    {
        let sample = ElfSample { interpreter: Some(path), ..ElfSample::program() };
        let Some(Kind::Elf(elf)) = kind(&sample.bytes()) else { panic!("{what}: not ELF") };
        assert_eq!((elf.role, elf.interpreter), (ElfRole::Executable, None), "{what}");
    }
    let longest = ElfSample { interpreter: Some([b"/".repeat(4095), b"\0".to_vec()].concat()), ..ElfSample::program() };
    let Some(Kind::Elf(elf)) = kind(&longest.bytes()) else { panic!("not ELF") };
    assert_eq!(elf.interpreter.map(|path| path.len()), Some(4095));
}

#[test]
fn usual_programs_are_settled_by_their_head() {
    let mut program = ElfSample::program().bytes();
    program.resize(HEAD_BYTES * 3, 0);
    assert!(may_be_candidate(&program[..4]));
    assert!(matches!(Kind::of_head(&program[..HEAD_BYTES]), Guess::Certain(Kind::Elf(_))));
    // Its dynamic section lies behind the head, as in every real library.
    let library = ElfSample { gap: 5000, ..ElfSample::library() }.bytes();
    assert!(matches!(Kind::of_head(&library[..HEAD_BYTES]), Guess::NeedsMore(_)));
}

#[test]
fn real_programs_tell_their_libraries_and_anything_else_none() {
    for (program, library) in [("/bin/bash", "libc.so.6"), ("/usr/bin/dpkg", "libselinux.so.1")] {
        let Ok(mut file) = std::fs::File::open(program) else {
            eprintln!("SKIPPED: {program} is not on this machine");
            continue;
        };
        let needs = Needs::of_file(&mut file).unwrap();
        assert!(needs.libraries.iter().any(|name| name == library.as_bytes()), "{program}: {needs:?}");
    }
    for hostile in [b"".as_slice(), b"#!/bin/sh\n", &ElfSample::program().bytes(), &ElfSample::object(&[]).bytes()] {
        assert_eq!(Needs::of_file(&mut std::io::Cursor::new(hostile)).unwrap(), Needs::default());
    }
}

#[test]
fn a_damaged_dynamic_section_is_read_to_its_end_and_no_further() {
    let Ok(whole) = std::fs::read("/bin/bash") else { return eprintln!("SKIPPED: /bin/bash is not on this machine") };
    for cut in (0..whole.len()).step_by(whole.len() / 97 + 1) {
        let _ = Needs::of_file(&mut std::io::Cursor::new(&whole[..cut])).unwrap();
    }
    let mut damaged = whole;
    for at in 64..2048.min(damaged.len()) {
        let before = std::mem::replace(&mut damaged[at], 0xff);
        let needs = Needs::of_file(&mut std::io::Cursor::new(&damaged)).unwrap();
        assert!(needs.libraries.len() <= 256, "byte {at}");
        damaged[at] = before;
    }
}
