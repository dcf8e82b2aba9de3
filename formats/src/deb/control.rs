//! `control.tar`: what the package is called, and the programs dpkg and debconf run for it.

use std::io::{BufReader, Read};

use doorward_policy::Sha256;
use sha2::Digest as _;

use super::tar::{Item, for_each, read_content};
use super::{Problem, Script};
use crate::deb822::Stanzas;
use crate::dpkg::{architecture, package_name, version};
use crate::{FIRST_BYTES, may_be_candidate};

/// Bytes of the control file; descriptions and dependencies of the largest have some ten kilobytes.
const CONTROL_BYTES_MAX: u64 = 4 << 20;

/// Bytes of a field that is kept.
const VALUE_BYTES_MAX: usize = 1024;

/// Programs among the control files; dpkg knows six.
const SCRIPTS_MAX: usize = 64;

pub(super) struct Control {
    pub(super) package: String,
    pub(super) multi_arch_same: bool,
    pub(super) version: String,
    pub(super) architecture: String,
    pub(super) scripts: Vec<Script>,
}

pub(super) fn read(reader: impl Read) -> Result<Control, Problem> {
    let (mut control, mut scripts) = (None, Vec::<Script>::new());
    let mut buffer = vec![0; 16 * 1024];
    for_each(reader, |item| {
        let Item::File { path, size, content, .. } = item else { return Ok(()) };
        if path == b"control" {
            if size > CONTROL_BYTES_MAX {
                return Err(Problem::Control("sensible size"));
            }
            let mut text = Vec::new();
            read_content(content, size, &mut buffer, |bytes| text.extend_from_slice(bytes))?;
            return if control.replace(text).is_none() { Ok(()) } else { Err(Problem::Duplicate) };
        }
        let (mut first, mut hasher) = (Vec::with_capacity(FIRST_BYTES), sha2::Sha256::new());
        read_content(content, size, &mut buffer, |bytes| {
            let missing = FIRST_BYTES - first.len();
            first.extend_from_slice(&bytes[..missing.min(bytes.len())]);
            hasher.update(bytes);
        })?;
        let Some(name) = str::from_utf8(&path).ok().filter(|_| may_be_candidate(&first)) else { return Ok(()) };
        if scripts.iter().any(|known| known.name == name) {
            return Err(Problem::Duplicate);
        }
        if scripts.len() == SCRIPTS_MAX {
            return Err(Problem::TooMany);
        }
        scripts.push(Script { name: name.to_owned(), sha256: Sha256::new(hasher.finalize().into()) });
        Ok(())
    })?;
    let text = control.ok_or(Problem::Control("place in control.tar"))?;
    let mut stanzas = Stanzas::new(BufReader::new(&*text), ["Package", "Version", "Architecture", "Multi-Arch"], VALUE_BYTES_MAX);
    let [name, number, machine, multi_arch] = stanzas.next()?.ok_or(Problem::Control("stanza"))?;
    let text = |value: Option<Vec<u8>>, parse: fn(&[u8]) -> Option<&str>, field| {
        value.as_deref().and_then(parse).map(str::to_owned).ok_or(Problem::Control(field))
    };
    Ok(Control {
        package: text(name, package_name, "Package")?,
        multi_arch_same: multi_arch.is_some_and(|word| word == b"same"),
        version: text(number, version, "Version")?,
        architecture: text(machine, architecture, "Architecture")?,
        scripts,
    })
}
