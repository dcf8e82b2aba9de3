//! Configuration: one file and a folder of drop-ins, merged table by table, then parsed into settings.
//!
//! Later fragments win key by key; lists are replaced, not joined. An unknown key, a wrong type or broken TOML is an error that
//! names the file and, where the fragment itself shows it, the line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Table;

/// Largest fragment read, in bytes.
pub const FRAGMENT_BYTES_MAX: u64 = 1024 * 1024;

/// Most drop-ins read.
pub const DROP_INS_MAX: usize = 256;

/// Why there are no settings. All of them are for whoever wrote the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A fragment cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The fragment or folder.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A fragment is too large or not text, or there are too many of them.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// The fragment or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A fragment is not TOML, or holds a key or value that means nothing here.
    #[error("{}:{line}: {reason}", path.display())]
    Wrong {
        /// The fragment.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// Every fragment is right by itself, but what they make together is not.
    #[error("the configuration read from {fragments} does not fit together: {reason}")]
    Together {
        /// The fragments, in the order in which they were merged.
        fragments: String,
        /// What is wrong.
        reason: String,
    },
}

struct Fragment {
    path: PathBuf,
    text: String,
}

/// Reads `main` (which may be missing) and every `*.toml` in `drop_ins` (which may be missing) in the order of their names, merges
/// them and parses the result. `T` should refuse unknown fields and have a default for every key.
///
/// # Errors
/// See [`ConfigError`].
pub fn load<T: DeserializeOwned>(main: &Path, drop_ins: &Path) -> Result<T, ConfigError> {
    let fragments = read_fragments(main, drop_ins)?;
    let mut merged = Table::new();
    for fragment in &fragments {
        // Each fragment must be right by itself, because only there a line can be named.
        toml::from_str::<T>(&fragment.text).map_err(|error| wrong(fragment, &error))?;
        let table = toml::from_str::<Table>(&fragment.text).map_err(|error| wrong(fragment, &error))?;
        merge(&mut merged, table);
    }
    merged.try_into().map_err(|error: toml::de::Error| ConfigError::Together {
        fragments: fragments.iter().map(|fragment| fragment.path.display().to_string()).collect::<Vec<_>>().join(", "),
        reason: error.message().to_owned(),
    })
}

fn read_fragments(main: &Path, drop_ins: &Path) -> Result<Vec<Fragment>, ConfigError> {
    let mut paths = vec![main.to_owned()];
    match fs::read_dir(drop_ins) {
        Ok(entries) => paths.extend(drop_in_paths(drop_ins, entries)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(ConfigError::Read { path: drop_ins.to_owned(), source }),
    }
    let mut fragments = Vec::with_capacity(paths.len());
    for path in paths {
        match read(&path) {
            Ok(text) => fragments.push(Fragment { path, text }),
            Err(ConfigError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(fragments)
}

fn drop_in_paths(folder: &Path, entries: fs::ReadDir) -> Result<Vec<PathBuf>, ConfigError> {
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| ConfigError::Read { path: folder.to_owned(), source })?.path();
        // Hidden files are an editor's, not an administrator's.
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
        if paths.len() > DROP_INS_MAX {
            return Err(ConfigError::Refused { path: folder.to_owned(), reason: format!("more than {DROP_INS_MAX} drop-ins") });
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let refused = |reason: String| ConfigError::Refused { path: path.to_owned(), reason };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(refused("is not a regular file".into()));
    }
    if metadata.len() > FRAGMENT_BYTES_MAX {
        return Err(refused(format!("is larger than {FRAGMENT_BYTES_MAX} bytes")));
    }
    String::from_utf8(fs::read(path).map_err(failed)?).map_err(|_| refused("is not UTF-8 text".into()))
}

fn wrong(fragment: &Fragment, error: &toml::de::Error) -> ConfigError {
    let offset = error.span().map_or(0, |span| span.start.min(fragment.text.len()));
    let line = 1 + fragment.text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count();
    ConfigError::Wrong { path: fragment.path.clone(), line, reason: error.message().replace('\n', "; ") }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use serde::Deserialize;

    use super::{ConfigError, load};

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Settings {
        name: String,
        uplink: Uplink,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Uplink {
        port: u16,
        names: Vec<String>,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self { name: "nobody".into(), uplink: Uplink::default() }
        }
    }

    impl Default for Uplink {
        fn default() -> Self {
            Self { port: 8443, names: vec!["localhost".into()] }
        }
    }

    fn loaded(main: Option<&str>, drop_ins: &[(&str, &[u8])]) -> Result<Settings, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        if let Some(main) = main {
            fs::write(folder.path().join("agent.toml"), main).unwrap();
        }
        fs::create_dir(folder.path().join("agent.toml.d")).unwrap();
        for (name, text) in drop_ins {
            fs::write(folder.path().join("agent.toml.d").join(name), text).unwrap();
        }
        load(&folder.path().join("agent.toml"), &folder.path().join("agent.toml.d"))
    }

    #[test]
    fn nothing_at_all_means_the_defaults() {
        assert_eq!(loaded(None, &[]).unwrap(), Settings::default());
    }

    #[test]
    fn drop_ins_win_key_by_key_in_the_order_of_their_names() {
        let settings = loaded(
            Some("name = \"main\"\n[uplink]\nport = 1\n"),
            &[
                ("20-b.toml", b"[uplink]\nport = 3\n"),
                ("10-a.toml", b"name = \"a\"\n[uplink]\nport = 2\nnames = [\"x\"]\n"),
                ("ignored.txt", b"]"),
            ],
        )
        .unwrap();
        assert_eq!(settings, Settings { name: "a".into(), uplink: Uplink { port: 3, names: vec!["x".into()] } });
    }

    #[test]
    fn an_unknown_key_names_file_and_line() {
        let error = loaded(Some("name = \"x\"\n"), &[("10-typo.toml", b"[uplink]\nport = 1\nprot = 2\n")]).unwrap_err().to_string();
        assert!(error.contains("10-typo.toml:3:") && error.contains("prot"), "{error}");
    }

    #[test]
    fn a_wrong_type_and_broken_toml_name_file_and_line() {
        for (text, line) in [("[uplink]\n\nport = \"high\"\n", 3), ("name = \n", 1), ("[uplink]\nport = 70000\n", 2)] {
            let error = loaded(Some(text), &[]).unwrap_err().to_string();
            assert!(error.contains(&format!("agent.toml:{line}:")), "{error}");
        }
    }

    #[test]
    fn what_is_no_text_file_is_refused_by_name() {
        let error = loaded(Some(""), &[("10.toml", b"\xff\xfe")]).unwrap_err().to_string();
        assert!(error.contains("10.toml") && error.contains("UTF-8"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let _socket = UnixListener::bind(folder.path().join("agent.toml")).unwrap();
        let error = load::<Settings>(&folder.path().join("agent.toml"), &folder.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }
}
