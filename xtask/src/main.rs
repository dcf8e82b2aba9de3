//! `cargo xtask`: the project's chores. It builds and spawns the parts and never links them, so it is ready in seconds.

#![forbid(unsafe_code)]

mod bench;
mod binary;
mod demo;
mod distribution;
mod fuzz;
mod generate;
mod step;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the Doorward project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Shows the whole way of a file on this machine, live: agent, CMS and a threat-intelligence simulator
    Demo(demo::Options),
    /// Installs what the tests need and runs every check
    Test(test::Options),
    /// Prints figures of one part beside those of a peer
    Bench(bench::Options),
    /// Feeds the readers of hostile bytes with made-up input, for a time, within limits
    Fuzz(fuzz::Options),
    /// Writes generated files anew: protobuf code
    Generate,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Demo(options) => demo::run(&options),
        Chore::Test(options) => test::run(&options),
        Chore::Bench(options) => bench::run(&options),
        Chore::Fuzz(options) => fuzz::run(&options),
        Chore::Generate => generate::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
