//! `cargo xtask bench NAME`: builds for speed, installs the peers that are distribution packages, and runs `doorward-bench`.

use std::process::Command;

use clap::Args;

use crate::binary::{self, Profile};
use crate::distribution::{self, Need};
use crate::step::{self, Outcome};

/// Peers, and what it takes to make a host of its own to measure in. What is measured there is installed there and nowhere else.
const NEEDS: &[Need] = &[
    Need { program: "debsums", package: "debsums" },
    Need { program: "rpmbuild", package: "rpm" },
    Need { program: "mkfs.ext4", package: "e2fsprogs" },
    Need { program: "mount", package: "mount" },
    Need { program: "losetup", package: "mount" },
    Need { program: "debootstrap", package: "debootstrap" },
    Need { program: "strip", package: "binutils" },
];

#[derive(Args)]
pub(crate) struct Options {
    /// Which figures: scan, exec, trust
    name: String,
    /// Print one JSON object on the last line
    #[arg(long)]
    json: bool,
    /// Passed on to doorward-bench, as in `-- --rounds 5`
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Outcome {
    distribution::ensure(NEEDS)?;
    let folder = binary::build(Profile::Release)?;
    let mut bench = Command::new(folder.join("doorward-bench"));
    // Some figures are of the programs themselves.
    bench.env("DOORWARD_BIN_DIR", &folder);
    bench.arg(&options.name).args(options.json.then_some("--json")).args(&options.rest);
    step::run(&format!("bench {}", options.name), &mut bench)
}
