//! `doorward-bench`: prints the project's figures beside those of their peers; see `doorward_tests::bench`.
#![forbid(unsafe_code)]

use anyhow::Result;
use clap::Parser;
use doorward_tests::bench::exec::ExecBench;
use doorward_tests::bench::round::Round;
use doorward_tests::bench::scan::ScanBench;
use doorward_tests::bench::trust::TrustBench;

/// Prints the project's figures beside those of their peers
#[derive(Debug, Parser)]
#[command(version)]
enum Bench {
    /// Scanning: first scan, packaged files, rescan, memory
    Scan(ScanBench),
    /// Executing: warm and first starts, opens, a build, and what the agent itself takes
    Exec(ExecBench),
    /// Package trust: reading databases, checking packaged files, memory
    Trust(TrustBench),
    /// One measured round; started by the others
    #[command(hide = true)]
    Round(Round),
}

fn main() -> Result<()> {
    match Bench::parse() {
        Bench::Scan(bench) => bench.run(),
        Bench::Exec(bench) => bench.run(),
        Bench::Trust(bench) => bench.run(),
        Bench::Round(round) => round.run(),
    }
}
