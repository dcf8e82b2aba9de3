//! The command line. `init`, `serve` and `check-config` work on the machine itself; every other command asks the running server over
//! its socket and shows the answer. One noun a file: the words on the command line, the question, the answer made readable.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use doorward_service::{Clock, Exit};

use crate::config::{Settings, Source};

mod allowlist;
mod change;
mod check_config;
mod client;
mod failure;
mod file;
mod host;
mod incident;
mod init;
mod intel;
mod output;
mod profile;
mod scan;
mod scope;
mod serve;
mod source;
mod stats;
mod table;
mod terminal;
mod time;
mod token;

use client::Client;
use failure::Failure;
use output::Output;

/// Doorward's central management server, and the commands that ask it.
#[derive(Debug, Parser)]
#[command(name = "doorward-cms", version, max_term_width = 120, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// Configuration file; drop-ins are read from the folder of the same name with `.d` behind it
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document on the last line
    #[arg(long, global = true)]
    json: bool,
    /// The server's socket, instead of the one in runtime_dir
    #[arg(long, global = true, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// Folder with keys and database, instead of the configured one
    #[arg(long, global = true, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
    /// Folder with the socket, instead of the configured one
    #[arg(long, global = true, value_name = "FOLDER")]
    runtime_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make keys, database and the profile "default"
    Init(init::Init),
    /// Run the server
    Serve,
    /// Read and check the configuration
    CheckConfig,
    /// Settings and allowlists shared by hosts
    #[command(subcommand)]
    Profile(profile::Command),
    /// Enrolled hosts
    #[command(subcommand)]
    Host(host::Command),
    /// Enrollment tokens
    #[command(subcommand)]
    Token(token::Command),
    /// A profile's files by status
    #[command(subcommand)]
    Allowlist(allowlist::Command),
    /// One file: all that is known of it, and decisions on it
    #[command(subcommand)]
    File(file::Command),
    /// Packages and publishers behind files: where they were seen, what lists say, decisions on them
    #[command(subcommand)]
    Source(source::Command),
    /// As `source`, for packages of the operating system
    #[command(subcommand)]
    Package(source::PackageCommand),
    /// As `source`, for publishers who sign files
    #[command(subcommand)]
    Publisher(source::PublisherCommand),
    /// What a person should see
    #[command(subcommand)]
    Incident(incident::Command),
    /// Threat intelligence
    #[command(subcommand)]
    Intel(intel::Command),
    /// What was changed in a profile's policy
    #[command(subcommand)]
    Change(change::Command),
    /// Scans the server asked for
    #[command(subcommand)]
    Scan(scan::Command),
    /// How much of everything there is
    Stats,
}

/// What commands that ask the server need.
struct Session<'w> {
    client: Client,
    output: Output<'w>,
    /// Microseconds since 1970, UTC; relative times are from here.
    now: i64,
}

/// Runs the program with the process's own arguments and streams.
#[must_use]
pub fn run() -> ExitCode {
    let screen = std::io::stderr().is_terminal();
    run_with(std::env::args_os(), screen, &mut std::io::stdout(), &mut std::io::stderr()).into()
}

/// Runs one command to its end. `screen` says that `log` is a terminal, where a line can be written over.
pub fn run_with(arguments: impl IntoIterator<Item = OsString>, screen: bool, out: &mut dyn Write, log: &mut dyn Write) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let output = Output { json: cli.global.json, screen, out, log };
    match execute(cli, output) {
        Ok(()) => Exit::Ok,
        Err((failure, log)) => {
            let _ = writeln!(log, "{failure}");
            failure.exit
        }
    }
}

/// Help and version are no errors; everything else is a wrong command line.
fn refused(error: &clap::Error) -> Exit {
    // A closed pipe behind `--help` is nobody's problem.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok,
        _ => Exit::Usage,
    }
}

fn execute<'w>(cli: Cli, mut output: Output<'w>) -> Result<(), (Failure, &'w mut dyn Write)> {
    let result = match cli.command {
        Command::Init(init) => settings(&cli.global).and_then(|settings| block_on(init.run(&cli.global.source(), &settings, &mut output))),
        Command::Serve => settings(&cli.global).and_then(|settings| serve::run(&settings)),
        Command::CheckConfig => check_config::run(&cli.global.source(), &mut output),
        command => {
            let now = Clock::system().now_micros();
            let asked = socket(&cli.global).and_then(|socket| Client::new(&socket)).map(|client| (client, now));
            match asked {
                Ok((client, now)) => {
                    let mut session = Session { client, output, now };
                    let result = block_on(ask(command, &mut session));
                    output = session.output;
                    result
                }
                Err(failure) => Err(failure),
            }
        }
    };
    result.map_err(|failure| (failure, output.log))
}

async fn ask(command: Command, session: &mut Session<'_>) -> Result<(), Failure> {
    match command {
        Command::Profile(command) => command.run(session).await,
        Command::Host(command) => command.run(session).await,
        Command::Token(command) => command.run(session).await,
        Command::Allowlist(command) => command.run(session).await,
        Command::File(command) => command.run(session).await,
        Command::Source(command) => command.run(session).await,
        Command::Package(command) => command.run(session).await,
        Command::Publisher(command) => command.run(session).await,
        Command::Incident(command) => command.run(session).await,
        Command::Intel(command) => command.run(session).await,
        Command::Change(command) => command.run(session).await,
        Command::Scan(command) => command.run(session).await,
        Command::Stats => stats::run(session).await,
        // The three that need no server were dealt with by the caller.
        Command::Init(_) | Command::Serve | Command::CheckConfig => Ok(()),
    }
}

/// Commands do one thing after the other; one thread is enough.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Os, format!("cannot start: {error}")))?.block_on(command)
}

fn settings(global: &Global) -> Result<Settings, Failure> {
    Settings::load(&global.source()).map_err(|error| Failure::config(&error))
}

/// The server's socket. Naming it spares reading a configuration that may be somebody else's.
fn socket(global: &Global) -> Result<PathBuf, Failure> {
    match &global.socket {
        Some(socket) => Ok(socket.clone()),
        None => settings(global).map(|settings| settings.socket()),
    }
}

/// Which part of a list is wanted, as the API takes it.
fn paging(limit: Option<u32>, after: Option<String>) -> Vec<(&'static str, String)> {
    let limit = limit.map(|limit| ("limit", limit.to_string()));
    limit.into_iter().chain(after.map(|after| ("after", after))).collect()
}

impl Global {
    fn source(&self) -> Source {
        Source { file: self.config.clone(), state_dir: self.state_dir.clone(), runtime_dir: self.runtime_dir.clone() }
    }
}

#[cfg(test)]
mod tests;
