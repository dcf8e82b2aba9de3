//! Any bytes in dpkg's database: no panic, every fact keeps its promises, and a file cut anywhere says nothing new.

use doorward_formats::dpkg::{Conffiles, Diversions, List, Md5sums, Problem, Status, UsrMerge};
use proptest::collection::vec;
use proptest::prelude::*;

/// Names between slashes; anything but NUL, slash and newline.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = vec(any::<u8>().prop_map(|byte| if matches!(byte, 0 | b'\n' | b'/') { b' ' } else { byte }), 1..12)
        .prop_filter("plain", |name| name != b"." && name != b"..");
    vec(name, 1..5).prop_map(|names| names.join(&b'/'))
}

/// Text with the marks of the formats strewn in.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        vec(any::<u8>(), 0..12),
        prop::sample::select(vec![
            "\n",
            "\n\n",
            " ",
            "/",
            "/..",
            ":",
            "Package: a",
            "Status: install ok installed",
            "Version: 1",
            "Architecture: all",
            "Conffiles:\n ",
            " obsolete",
            " remove-on-upgrade",
            "remove-on-upgrade ",
            "0123456789abcdef0123456789abcdef  ",
            "newconffile",
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
    ];
    vec(word, 0..40).prop_map(|words| words.concat())
}

fn is_plain(path: &[u8]) -> bool {
    path.len() <= 4095 && path.split(|byte| *byte == b'/').all(|name| !matches!(name, b"" | b"." | b"..") && !name.contains(&0))
}

fn facts<T>(reader: impl Iterator<Item = Result<T, Problem>>) -> Vec<T> {
    reader.filter_map(Result::ok).collect()
}

proptest! {
    #[test]
    fn facts_from_any_bytes_keep_their_promises(text in text()) {
        let mut paths: Vec<&[u8]> = facts(List::new(&text));
        paths.extend(facts(Md5sums::new(&text)).iter().map(|sum| sum.path));
        paths.extend(facts(Conffiles::new(&text)).iter().map(|file| file.path));
        paths.extend(facts(Diversions::new(&text)).iter().flat_map(|diversion| [diversion.from, diversion.to]));
        for package in facts(Status::new(&text)) {
            prop_assert!(!package.info_stem().contains(['/', '\0', '\n']));
            paths.extend(facts(package.conffiles()).iter().map(|file| file.path));
        }
        for path in paths {
            prop_assert!(is_plain(path), "{}", path.escape_ascii());
        }
    }

    #[test]
    fn problems_are_no_more_than_lines_and_in_order(text in text()) {
        let lines = text.split(|byte| *byte == b'\n').count();
        for numbers in [
            List::new(&text).filter_map(Result::err).map(|problem| problem.line).collect::<Vec<_>>(),
            Md5sums::new(&text).filter_map(Result::err).map(|problem| problem.line).collect(),
            Conffiles::new(&text).filter_map(Result::err).map(|problem| problem.line).collect(),
            Status::new(&text).flatten().flat_map(|package| package.conffiles().filter_map(Result::err)).map(|problem| problem.line).collect(),
        ] {
            prop_assert!(numbers.iter().all(|number| (1..=lines).contains(number)));
            prop_assert!(numbers.is_sorted());
        }
        prop_assert!(Status::new(&text).count() <= 2 * lines);
        prop_assert!(Diversions::new(&text).count() <= lines);
    }

    #[test]
    fn digests_survive_the_way_to_a_file_and_back(sums in vec((path(), any::<[u8; 16]>()), 0..20), cut in any::<prop::sample::Index>()) {
        let mut text = Vec::new();
        for (path, digest) in &sums {
            text.extend(digest.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()));
            text.extend([b"  ", &path[..], b"\n"].concat());
        }
        let read: Vec<_> = Md5sums::new(&text).map(|sum| sum.map(|sum| (sum.path.to_vec(), *sum.md5.as_bytes()))).collect();
        prop_assert_eq!(&read, &sums.iter().cloned().map(Ok).collect::<Vec<_>>());

        let cut = cut.index(text.len() + 1);
        let from_cut = facts(Md5sums::new(&text[..cut]));
        prop_assert!(from_cut.len() <= sums.len());
        prop_assert!(from_cut.iter().zip(&sums).all(|(read, (path, _))| read.path == path), "half a line is no fact");
    }

    #[test]
    fn diversions_survive_the_way_to_a_file_and_back(diversions in vec((path(), path(), "[a-z][a-z0-9+.-]{0,8}|:"), 0..12)) {
        let mut text = Vec::new();
        for (from, to, by) in &diversions {
            text.extend([b"/", &from[..], b"\n/", to, b"\n", by.as_bytes(), b"\n"].concat());
        }
        let read: Vec<_> = Diversions::new(&text)
            .map(|item| item.map(|read| (read.from.to_vec(), read.to.to_vec(), read.by.unwrap_or(b":").to_vec())))
            .collect();
        let expected: Vec<_> = diversions.into_iter().map(|(from, to, by)| Ok((from, to, by.into_bytes()))).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn lists_survive_the_way_to_a_file_and_back(paths in vec(path(), 0..20)) {
        let text: Vec<u8> = paths.iter().flat_map(|path| [b"/", &path[..], b"\n"].concat()).collect();
        prop_assert_eq!(List::new(&text).map(|path| path.map(<[u8]>::to_vec)).collect::<Vec<_>>(), paths.into_iter().map(Ok).collect::<Vec<_>>());
    }

    #[test]
    fn stanzas_survive_the_way_to_a_file_and_back(
        packages in vec(("[a-z0-9][a-z0-9+.-]{1,12}", "[0-9][0-9a-z.+~:-]{0,12}", "amd64|all|i386", vec(path(), 0..3)), 0..8),
    ) {
        let mut text = Vec::new();
        for (name, version, architecture, conffiles) in &packages {
            text.extend(format!("Package: {name}\nStatus: install ok installed\nArchitecture: {architecture}\nVersion: {version}\n").into_bytes());
            if !conffiles.is_empty() {
                text.extend(b"Conffiles:\n");
            }
            for path in conffiles {
                text.extend([b" /", &path[..], b" d41d8cd98f00b204e9800998ecf8427e\n"].concat());
            }
            text.extend(b"Description: text\n more text\n\n");
        }
        let read: Vec<_> = Status::new(&text).map(|package| package.map(|package| {
            let conffiles: Vec<_> = package.conffiles().map(|file| file.expect("well-formed").path.to_vec()).collect();
            (package.name.to_owned(), package.version.to_owned(), package.architecture.to_owned(), conffiles)
        })).collect();
        prop_assert_eq!(read, packages.into_iter().map(Ok).collect::<Vec<_>>());
    }

    #[test]
    fn one_name_for_a_file_stays_that_name(path in path(), merged in vec(0..7_usize, 0..7)) {
        let merge = UsrMerge::of(merged.into_iter().map(|index| UsrMerge::tops()[index]));
        let once = merge.canonical(&path).into_owned();
        prop_assert_eq!(&*merge.canonical(&once), &once[..]);
    }
}
