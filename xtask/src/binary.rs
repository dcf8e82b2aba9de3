//! Builds the programs a chore drives and says where they lie.

use std::path::PathBuf;

use crate::step::{self, Failure, Outcome};

/// How programs are built: `Release` for figures and the demo, `Dev` for tests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    Release,
}

/// Builds every program of the workspace but this one; returns the folder they are in.
pub(crate) fn build(profile: Profile) -> Outcome<PathBuf> {
    let mut build = step::cargo();
    build.args(["build", "--package", "doorward-agent", "--package", "doorward-cms", "--package", "doorward-tests", "--bins"]);
    if profile == Profile::Release {
        build.arg("--release");
    }
    step::run("build the programs", &mut build)?;
    let folder = target_folder()?.join(if profile == Profile::Release { "release" } else { "debug" });
    Ok(folder)
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder() -> Outcome<PathBuf> {
    let metadata = step::output(step::cargo().args(["metadata", "--format-version", "1", "--no-deps", "--offline"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).map_err(|error| Failure::new(format!("cargo metadata printed no JSON: {error}")))?;
    let folder = metadata["target_directory"].as_str().ok_or_else(|| Failure::new("cargo metadata names no target folder"))?;
    Ok(PathBuf::from(folder))
}
