//! `cargo xtask fuzz`: builds the fuzz targets with the compiler that builds the product, and runs each for a time within limits.
//!
//! libFuzzer needs two compiler flags that are not stable, so the build asks for them by `RUSTC_BOOTSTRAP`; neither another
//! toolchain nor cargo-fuzz is needed. What a run finds lies in the target folder: `fuzz/corpus/NAME` grows from run to run, an input
//! that fails is in `fuzz/artifacts/NAME`. Small seeds are committed in `fuzz/corpus/NAME` of the repository.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::binary;
use crate::step::{self, Failure, Outcome};

/// Where targets lie, one a file; files beside them that define none are theirs to share.
const TARGETS: &str = "fuzz/fuzz_targets";
/// What makes a file a target.
const MARK: &str = "fuzz_target!(";
/// The triple has to be named for build scripts and macros to be built without the sanitizer.
const TRIPLE: &str = if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };
/// Coverage for libFuzzer, and the address sanitizer.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg=fuzzing -Zsanitizer=address -Ccodegen-units=1";
/// One input may take this long, in seconds, sanitizer and a busy machine included.
const INPUT_SECONDS_MAX: u32 = 10;
/// A target may use this much memory, the sanitizer's own and the corpus included.
const MEMORY_MB_MAX: u32 = 1024;
/// Not even a hostile size field may lead to a single allocation of more.
const ALLOCATION_MB_MAX: u32 = 128;

#[derive(Args)]
pub(crate) struct Options {
    /// Which targets; all when none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Longest input made up
    #[arg(long, value_name = "BYTES", default_value_t = 65_536)]
    max_len: u32,
    /// Say which targets there are, and run none
    #[arg(long)]
    list: bool,
    /// Passed on to libFuzzer, as in `-- -only_ascii=1`
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let targets = chosen(&options.targets, all()?)?;
    if options.list {
        targets.iter().for_each(|target| println!("{target}"));
        return Ok(());
    }
    let folder = binary::target_folder()?.join("fuzz");
    build(&folder, &targets)?;
    let mut failed = Vec::new();
    for target in &targets {
        // Said at once, and the next one run all the same: a run over all of them can be left alone.
        if let Err(failure) = fuzz(&folder, target, options) {
            eprintln!("==> {target}: {failure}; the input is in {}", folder.join("artifacts").join(target).display());
            failed.push(target.as_str());
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(format!("failed: {}", failed.join(" ")))) }
}

/// Every target there is, by name.
fn all() -> Outcome<Vec<String>> {
    let mut targets = Vec::new();
    for entry in fs::read_dir(step::workspace().join(TARGETS))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "rs") && fs::read_to_string(&path)?.contains(MARK) {
            targets.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    targets.sort();
    Ok(targets)
}

fn chosen(named: &[String], all: Vec<String>) -> Outcome<Vec<String>> {
    match named.iter().find(|name| !all.contains(name)) {
        Some(name) => Err(Failure::new(format!("there is no target {name}; there are {}", all.join(" ")))),
        None if named.is_empty() => Ok(all),
        None => Ok(named.to_vec()),
    }
}

fn build(folder: &Path, targets: &[String]) -> Outcome {
    let mut build = step::cargo();
    build.current_dir(step::workspace().join("fuzz")).args(["build", "--release", "--target", TRIPLE]);
    build.args(targets.iter().flat_map(|target| ["--bin", target]));
    build.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", folder);
    step::run("build the fuzz targets", &mut build)
}

/// Runs one target; fails with the first input that crashes, hangs or grows beyond the limits.
fn fuzz(folder: &Path, target: &str, options: &Options) -> Outcome {
    let corpus = made(folder.join("corpus").join(target))?;
    let artifacts = made(folder.join("artifacts").join(target))?;
    let seeds = step::workspace().join("fuzz/corpus").join(target);
    let mut fuzz = Command::new(folder.join(TRIPLE).join("release").join(target));
    fuzz.args([
        format!("-max_total_time={}", options.seconds),
        format!("-max_len={}", options.max_len),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        format!("-rss_limit_mb={MEMORY_MB_MAX}"),
        format!("-malloc_limit_mb={ALLOCATION_MB_MAX}"),
        format!("-artifact_prefix={}/", artifacts.display()),
        "-print_final_stats=1".to_owned(),
        "-verbosity=0".to_owned(),
    ]);
    fuzz.args(&options.rest).arg(corpus).args(seeds.is_dir().then_some(seeds)).current_dir(folder);
    let log = made(folder.join("log"))?.join(target);
    fuzz.stdout(Stdio::null()).stderr(File::create(&log)?);
    let outcome = step::run(&format!("fuzz {target} for {} s", options.seconds), &mut fuzz);
    let said = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())?;
    match &outcome {
        Ok(()) => println!("{target}: {}", summary(&said)),
        Err(_) => eprint!("{said}"),
    }
    outcome
}

/// How much was tried and what the worst of it cost, from the lines libFuzzer ends with.
fn summary(said: &str) -> String {
    let stat = |name: &str| said.lines().rev().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':'));
    let [inputs, rate, slowest, memory] = ["number_of_executed_units", "average_exec_per_sec", "slowest_unit_time_sec", "peak_rss_mb"]
        .map(|name| stat(name).unwrap_or("?").trim());
    format!("{inputs} inputs, {rate} per second, the slowest took {slowest} s, at most {memory} MiB of memory")
}

fn made(folder: PathBuf) -> Outcome<PathBuf> {
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
