//! The command line: what can be asked of the agent, read into words and handed on. Each command has a file of its own.
//!
//! Results go to standard output, readable or as one JSON document; everything else goes to standard error. Exit codes are those
//! of sysexits(3).

mod apt_hook;
mod check_config;
mod enroll;
mod failure;
mod guard;
mod progress;
mod run;
mod sandbox;
mod scan;
mod status;
mod trust;
mod verify;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use doorward_service::Exit;
use serde::Serialize;

use crate::config::{Overrides, Settings};
use crate::system::memory;
pub use failure::Failure;

/// Application allowlisting for Linux: the host daemon and its command line.
#[derive(Debug, Parser)]
#[command(name = "doorward-agent", version)]
pub struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Global {
    /// Configuration file [default: /etc/doorward/agent.toml]; drop-ins lie in the folder FILE.d
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Where state is kept, instead of the configuration's state_dir
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where the socket is, instead of the configuration's runtime_dir
    #[arg(long, global = true, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// Root of the file system to look at, instead of the configuration's root
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch this host and report to the management server, in the foreground
    Run,
    /// Look at every file that could be executed or loaded, and count what nobody vouches for
    Scan(scan::Options),
    /// Show how the running agent is: mode, connection, queue, coverage
    Status,
    /// Explain why a file may run here or not, and what would change it
    Why(why::Options),
    /// Check every packaged file against its package; exit code 1 when something differs
    Verify(verify::Options),
    /// Where files come from: the chain behind a file, how much of the host has one, and archives to be read again
    Trust(trust::Options),
    /// Tell the daemon of archives that apt is about to unpack; run by apt
    #[command(hide = true)]
    AptHook(apt_hook::Options),
    /// Join a management server with a one-time token
    Enroll(enroll::Options),
    /// Read the configuration and say what is wrong with it
    CheckConfig,
    /// Watch over the daemon that started this process
    #[command(hide = true)]
    Guard(guard::Options),
    /// Read what attackers wrote, for the process that started this one
    #[command(hide = true)]
    Sandbox,
}

/// Reads the command line, does what it says, and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    // Nothing but memory depends on it.
    let _ = memory::hold_on_to_little();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; clap prints both to the right place. A closed pipe is nobody's concern.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    match execute(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("doorward-agent: {failure}");
            failure.exit().into()
        }
    }
}

fn execute(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Global { config, json, state_dir, runtime_dir, root } = &arguments.global;
    let overrides =
        Overrides { config: config.clone(), state_dir: state_dir.clone(), runtime_dir: runtime_dir.clone(), root: root.clone() };
    let settings = || Settings::read(&overrides).map_err(|error| Failure::of(Exit::Config, &error));
    match &arguments.command {
        Command::Run => run::run(settings()?)?,
        Command::Scan(options) => scan::run(&settings()?, options, *json)?,
        Command::Status => status::run(&settings()?, *json)?,
        Command::Why(options) => why::run(&settings()?, options, *json)?,
        Command::Verify(options) => return verify::run(&settings()?, options, *json).map(ExitCode::from),
        Command::Trust(options) => return trust::run(&settings()?, options, *json).map(ExitCode::from),
        Command::AptHook(options) => return Ok(apt_hook::run(&settings()?, options).into()),
        Command::Enroll(options) => enroll::run(&settings()?, options, *json)?,
        Command::CheckConfig => check_config::run(&settings()?, *json)?,
        Command::Guard(options) => return Ok(guard::run(options)),
        Command::Sandbox => return Ok(sandbox::run()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a result: as one line of JSON, or as its text.
fn print<T: Serialize + std::fmt::Display>(result: &T, json: bool) -> Result<(), Failure> {
    use std::io::Write;
    let text = if json {
        serde_json::to_string(result).map_err(|error| Failure::new(Exit::Software, format!("cannot write the result as JSON: {error}")))?
            + "\n"
    } else {
        result.to_string()
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::new(Exit::Io, format!("cannot print the result: {error}")))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Arguments;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_options_may_stand_on_either_side_of_the_command() {
        for line in [["doorward-agent", "--json", "status"], ["doorward-agent", "status", "--json"]] {
            assert!(Arguments::try_parse_from(line).unwrap().global.json);
        }
    }
}
