//! Installs Debian packages that a chore needs and the machine lacks; nothing else is ever left on the machine.

use std::process::Command;

use crate::step::{self, Outcome};

/// A program a chore needs and the Debian package that brings it.
pub(crate) struct Need {
    /// Looked for on the path, so that other distributions' packages count too.
    pub(crate) program: &'static str,
    /// What `apt-get` installs when it is missing.
    pub(crate) package: &'static str,
}

/// Installs what is missing. Where that cannot be done, says so and goes on: the steps that need it skip and say so too.
pub(crate) fn ensure(needs: &[Need]) -> Outcome {
    let missing: Vec<_> = needs.iter().filter(|need| !step::has(need.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|need| need.package).collect();
    if !step::is_root() || !step::has("apt-get") {
        eprintln!("xtask: not installed and cannot be installed here (needs root and apt): {}", packages.join(" "));
        return Ok(());
    }
    step::run("refresh the package lists", Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&packages).env("DEBIAN_FRONTEND", "noninteractive");
    step::run(&format!("install {}", packages.join(" ")), &mut install)
}
