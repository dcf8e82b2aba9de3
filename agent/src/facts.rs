//! What this host says about itself when it enrolls and connects. Claims for people to read; nothing is decided by them.

use std::fs;
use std::path::Path;

use doorward_proto::enrollment::HostFacts;
use nix::sys::utsname::uname;

/// Longest text of a fact, in bytes, as the wire contract has it.
const FACT_BYTES_MAX: usize = 255;

/// Longest architecture name, likewise.
const ARCHITECTURE_BYTES_MAX: usize = 64;

/// Bytes of the machine id's hash that are sent: enough to notice a clone, too few to be an id elsewhere.
const MACHINE_ID_HASH_BYTES: usize = 16;

/// Gathers the facts of the host whose root file system is at `root`. What cannot be read is left empty.
#[must_use]
pub fn gather(root: &Path) -> HostFacts {
    let uname = uname().ok();
    let field = |field: Option<&std::ffi::OsStr>| text(&field.unwrap_or_default().to_string_lossy(), FACT_BYTES_MAX);
    let architecture = uname.as_ref().map(|uname| uname.machine().to_string_lossy().into_owned()).unwrap_or_default();
    HostFacts {
        host_name: field(uname.as_ref().map(|uname| uname.nodename())),
        operating_system: text(&operating_system(root), FACT_BYTES_MAX),
        kernel: field(uname.as_ref().map(|uname| uname.release())),
        architecture: text(&architecture, ARCHITECTURE_BYTES_MAX),
        machine_id_hash: machine_id_hash(root),
    }
}

fn operating_system(root: &Path) -> String {
    let release = fs::read_to_string(root.join("etc/os-release")).unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map(|name| name.trim_matches(['"', '\''].as_slice()).to_owned()).unwrap_or_default()
}

fn machine_id_hash(root: &Path) -> Option<[u8; MACHINE_ID_HASH_BYTES]> {
    let id = fs::read_to_string(root.join("etc/machine-id")).ok()?;
    let id = id.trim();
    if id.is_empty() {
        return None;
    }
    blake3::hash(id.as_bytes()).as_bytes().first_chunk().copied()
}

/// At most so many bytes, cut between characters, with nothing that could steer a terminal.
fn text(value: &str, bytes_max: usize) -> String {
    let shown: String = value.chars().filter(|character| !character.is_control()).collect();
    let end = (0..=bytes_max.min(shown.len())).rev().find(|end| shown.is_char_boundary(*end)).unwrap_or(0);
    shown[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{gather, text};

    #[test]
    fn facts_come_from_the_root_that_was_asked_for() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/os-release"), "ID=x\nPRETTY_NAME=\"Example \u{1b}[1mOS 7\"\n").unwrap();
        fs::write(root.path().join("etc/machine-id"), "0123456789abcdef\n").unwrap();
        let facts = gather(root.path());
        assert_eq!(facts.operating_system, "Example [1mOS 7");
        assert!(facts.machine_id_hash.is_some());
        assert!(!facts.kernel.is_empty() && !facts.architecture.is_empty());
    }

    #[test]
    fn a_host_that_says_nothing_has_empty_facts() {
        let root = tempfile::tempdir().unwrap();
        let facts = gather(root.path());
        assert_eq!((facts.operating_system.as_str(), facts.machine_id_hash), ("", None));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(text("größe", 4), "grö");
        assert_eq!(text("größe", 3), "gr");
    }
}
