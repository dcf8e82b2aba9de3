//! `cargo xtask test`: everything that must hold, in the order in which it is quickest to learn that something does not.

use clap::Args;

use crate::binary::{self, Profile};
use crate::distribution::{self, Need};
use crate::step::{self, Outcome};

/// What the tests use beside Rust and gcc. Each test that needs one skips loudly where it is missing.
const NEEDS: &[Need] = &[
    Need { program: "mkfs.ext4", package: "e2fsprogs" },
    Need { program: "mount", package: "mount" },
    Need { program: "losetup", package: "mount" },
    Need { program: "debootstrap", package: "debootstrap" },
    Need { program: "unshare", package: "util-linux" },
    Need { program: "systemd-nspawn", package: "systemd-container" },
    Need { program: "python3", package: "python3" },
    Need { program: "pip3", package: "python3-pip" },
    Need { program: "gpg", package: "gnupg" },
    Need { program: "dpkg-deb", package: "dpkg" },
    Need { program: "protoc", package: "protobuf-compiler" },
    Need { program: "rpmbuild", package: "rpm" },
    Need { program: "gpg", package: "gnupg" },
    Need { program: "db5.3_load", package: "db5.3-util" },
    Need { program: "openssl", package: "openssl" },
    Need { program: "osslsigncode", package: "osslsigncode" },
    Need { program: "evmctl", package: "ima-evm-utils" },
];

#[derive(Args)]
pub(crate) struct Options {
    /// Many more rounds of the same stories
    #[arg(long)]
    long: bool,
    /// Passed on to the test runner, as in `-- uplink`
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Outcome {
    distribution::ensure(NEEDS)?;
    step::run("formatting", step::cargo().args(["fmt", "--all", "--check"]))?;
    let mut clippy = step::cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]);
    step::run("lints", &mut clippy)?;
    let folder = binary::build(Profile::Dev)?;
    let mut tests = step::cargo();
    if step::has("cargo-nextest") {
        tests.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
    } else {
        tests.args(["test", "--workspace", "--no-fail-fast"]);
    }
    tests.args(&options.rest).env("DOORWARD_BIN_DIR", folder);
    if options.long {
        tests.env("DOORWARD_TEST_LONG", "1");
    }
    step::run("tests", &mut tests)
}
