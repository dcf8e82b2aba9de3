//! Compiled Python: trusted with the source it was compiled from, as long as it says that it was compiled from that very state of it,
//! and only root could have put it there. Packages list no digests of it: it is compiled on the host.

use std::fs::File;
use std::os::unix::fs::FileExt;

use doorward_policy::{Fit, PackageEvidence, PathBytes};
use nix::sys::stat::fstat;

use super::executable::open_for_reading;
use super::guarded::only_root_writes;
use super::location::Location;
use super::mount::Mounts;
use super::walk::walk;
use crate::identify::{Identifier, NameClaim};
use crate::judge::Judge;

/// Where Python keeps what it compiled, beside the sources.
const FOLDER: &[u8] = b"__pycache__";
/// Magic number, flags, modification time and length of the source: 32 bits each.
const HEADER_BYTES: usize = 16;

/// What a package says of the source of this file, if it is compiled Python and its source is what the package brought.
pub(super) fn evidence_of_source(
    file: &File,
    location: &Location,
    judge: &Judge,
    identifier: &Identifier,
    mounts: &Mounts,
) -> Option<PackageEvidence> {
    let path = source_of(location.proven()?)?;
    if !judge.lists_digest(&path) {
        return None;
    }
    let compiled_from = Header::read(file)?;
    let place = walk(path.as_bytes(), mounts).ok()?;
    let source = open_for_reading(&File::from(place.file))?;
    let stat = fstat(&source).ok()?;
    // The compiler keeps the lower 32 bits of both.
    if (stat.st_mtime as u32, stat.st_size as u32) != (compiled_from.modified, compiled_from.size) || !only_root_writes(&source) {
        return None;
    }
    let known = identifier.file_as(&source, NameClaim::Source, judge.wanted_digest(&path), &|| false).ok()??;
    judge.evidence(Some(&path), &known.digests).package.filter(|package| package.fit == Fit::Match)
}

/// `/x/__pycache__/name.cpython-311.opt-1.pyc` is compiled from `/x/name.py`.
fn source_of(path: &PathBytes) -> Option<PathBytes> {
    let name = path.file_name();
    let folder = path.as_bytes().strip_suffix(name)?.strip_suffix(b"/")?.strip_suffix(FOLDER)?;
    let stem = name.strip_suffix(b".pyc")?;
    let end = stem.iter().position(|byte| *byte == b'.')?;
    Some(PathBytes::new([folder, &stem[..end], b".py"].concat()))
}

/// What compiled Python says of its source. One that was compiled by the source's hash says nothing that is cheap to check.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    modified: u32,
    size: u32,
}

impl Header {
    fn read(file: &File) -> Option<Self> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).ok()?;
        let [_, flags, modified, size] = [0, 4, 8, 12].map(|at| u32::from_le_bytes(std::array::from_fn(|byte| header[at + byte])));
        (flags == 0).then_some(Self { modified, size })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_source_is_named_by_what_was_compiled() {
        let source = |path: &str| source_of(&PathBytes::new(path)).map(|path| path.to_string());
        assert_eq!(source("/usr/lib/x/__pycache__/a_b.cpython-311.pyc").as_deref(), Some("/usr/lib/x/a_b.py"));
        assert_eq!(source("/usr/lib/x/__pycache__/a.cpython-311.opt-2.pyc").as_deref(), Some("/usr/lib/x/a.py"));
        for other in ["/usr/lib/x/a.pyc", "/usr/lib/x/__pycache__/a.py", "/usr/lib/__pycache__x/a.c.pyc", "/__pycache__/.pyc"] {
            assert_eq!(source(other), None, "{other}");
        }
    }

    #[test]
    fn only_what_names_its_sources_state_is_believed() {
        let header = |flags: u32| {
            let mut file = tempfile::tempfile().unwrap();
            for number in [7, flags, 1_700_000_000, 99] {
                file.write_all(&number.to_le_bytes()).unwrap();
            }
            Header::read(&file)
        };
        assert_eq!(header(0), Some(Header { modified: 1_700_000_000, size: 99 }));
        assert_eq!(header(3), None, "by hash");
        assert_eq!(Header::read(&tempfile::tempfile().unwrap()), None);
    }
}
