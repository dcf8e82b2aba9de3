//! Where the dynamic loader would find a library: the folders of the file that needs it, those of `/etc/ld.so.conf`, and the usual ones.
//! The loader's cache is made from the same folders; nothing here runs the loader, which would run whatever it loads.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use doorward_formats::Needs;

use super::below;

/// Folders looked into without being told.
const USUAL: [&[u8]; 4] = [b"lib", b"usr/lib", b"lib64", b"usr/lib64"];
/// Bytes read of one configuration file.
const CONFIGURATION_BYTES_MAX: u64 = 64 << 10;
/// Configuration files read.
const CONFIGURATIONS_MAX: usize = 128;
/// Folders looked into.
const FOLDERS_MAX: usize = 256;

/// The folders of a host.
pub(super) struct Libraries<'a> {
    root: &'a Path,
    folders: Vec<PathBuf>,
}

impl<'a> Libraries<'a> {
    /// Reads the loader's configuration below `root`.
    pub(super) fn below(root: &'a Path) -> Self {
        let mut libraries = Self { root, folders: Vec::new() };
        let main = libraries.configured(&root.join("etc/ld.so.conf"));
        let mut files = 1;
        for line in main.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            let Some(pattern) = line.strip_prefix(b"include").filter(|rest| rest.first().is_some_and(u8::is_ascii_whitespace)) else {
                libraries.take(line);
                continue;
            };
            // The one form that distributions use.
            let pattern = pattern.trim_ascii();
            let Some(folder) = pattern.strip_suffix(b"/*.conf") else { continue };
            let folder = if folder.starts_with(b"/") { below(root, folder) } else { root.join("etc").join(OsStr::from_bytes(folder)) };
            let mut included: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            included.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
            included.sort();
            for path in included.into_iter().take(CONFIGURATIONS_MAX.saturating_sub(files)) {
                files += 1;
                let text = libraries.configured(&path);
                text.split(|byte| *byte == b'\n').for_each(|line| libraries.take(line.trim_ascii()));
            }
        }
        libraries.folders.extend(USUAL.map(|folder| below(root, folder)));
        libraries
    }

    /// The first file that fits, as the loader would look for it.
    pub(super) fn find(&self, name: &[u8], needs: &Needs, needed_by: &Path, mut fits: impl FnMut(&Path) -> bool) -> Option<PathBuf> {
        if name.contains(&b'/') {
            return Some(below(self.root, name)).filter(|path| fits(path));
        }
        let name = Path::new(OsStr::from_bytes(name));
        let origin = needed_by.parent().unwrap_or(needed_by);
        let own = needs.folders.iter().filter_map(|folder| self.own(folder, origin));
        own.chain(self.folders.iter().cloned()).map(|folder| folder.join(name)).find(|path| fits(path))
    }

    /// A folder of the file's own. Nothing but `$ORIGIN` is understood: the loader would put a platform's name for the others.
    fn own(&self, folder: &[u8], origin: &Path) -> Option<PathBuf> {
        let rest = folder.strip_prefix(b"$ORIGIN").or_else(|| folder.strip_prefix(b"${ORIGIN}"));
        match rest {
            Some(rest) if rest.is_empty() || rest.starts_with(b"/") => {
                Some(origin.join(OsStr::from_bytes(rest.strip_prefix(b"/").unwrap_or(rest))))
            }
            None if folder.starts_with(b"/") => Some(below(self.root, folder)),
            _ => None,
        }
    }

    fn take(&mut self, line: &[u8]) {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
        if line.starts_with(b"/") && self.folders.len() < FOLDERS_MAX {
            self.folders.push(below(self.root, line));
        }
    }

    fn configured(&self, path: &Path) -> Vec<u8> {
        let mut text = Vec::new();
        let _ = File::open(path).and_then(|file| file.take(CONFIGURATION_BYTES_MAX).read_to_end(&mut text));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_the_files_own_then_the_configured_then_the_usual_ones() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc/ld.so.conf.d");
        fs::create_dir_all(&etc).unwrap();
        fs::write(root.path().join("etc/ld.so.conf"), "include /etc/ld.so.conf.d/*.conf\n/opt/last # why\n").unwrap();
        fs::write(etc.join("b.conf"), "# nothing\n/opt/b\n").unwrap();
        fs::write(etc.join("a.conf"), "/opt/a\n").unwrap();
        fs::write(etc.join("c.txt"), "/opt/not\n").unwrap();
        let libraries = Libraries::below(root.path());
        let needs = Needs { libraries: Vec::new(), folders: vec![b"$ORIGIN/../own".to_vec(), b"/abs".to_vec(), b"$LIB/no".to_vec()] };
        let mut tried = Vec::new();
        let needed_by = root.path().join("usr/bin/tool");
        libraries.find(b"libx.so", &needs, &needed_by, |path| {
            tried.push(path.strip_prefix(root.path()).unwrap().to_string_lossy().into_owned());
            false
        });
        let folders = ["usr/bin/../own", "abs", "opt/a", "opt/b", "opt/last", "lib", "usr/lib", "lib64", "usr/lib64"];
        assert_eq!(tried, folders.map(|folder| format!("{folder}/libx.so")));
        assert!(libraries.find(b"/usr/lib/named.so", &needs, &needed_by, |path| path.ends_with("usr/lib/named.so")).is_some());
    }
}
