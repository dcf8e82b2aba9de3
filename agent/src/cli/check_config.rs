//! `check-config`: what the configuration came to, once it was read without a mistake.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::Failure;
use crate::config::Settings;

#[derive(Serialize)]
struct Checked {
    state_dir: PathBuf,
    runtime_dir: PathBuf,
    root: PathBuf,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the configuration is right")?;
        for (name, folder) in [("state_dir", &self.state_dir), ("runtime_dir", &self.runtime_dir), ("root", &self.root)] {
            writeln!(f, "  {name:<13}{}", folder.display())?;
        }
        Ok(())
    }
}

pub(super) fn run(settings: &Settings, json: bool) -> Result<(), Failure> {
    let Settings { state_dir, runtime_dir, root, .. } = settings.clone();
    super::print(&Checked { state_dir, runtime_dir, root }, json)
}
