//! `doorward-ti-simulator`: a threat-intelligence provider on loopback, for the demo, the tests and trying things out.
//!
//! Prints one JSON line when it listens, then nothing; ends on SIGTERM, SIGINT or the end of its stdin. Everything it
//! does is in `doorward_tests::ti`.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use doorward_tests::ti::{Limit, Options, Ready, Record, Simulator};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// A threat-intelligence provider (ReversingLabs TCA-0101) that answers from a small data file.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address of the provider (TLS); port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Loopback address of the control plane (plain HTTP); port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    control_listen: SocketAddr,
    /// Folder for ca.pem, server.pem, server.key and password; certificates that are there are used
    #[arg(long)]
    state_dir: PathBuf,
    /// JSON array or JSON lines of records; every other file is UNKNOWN
    #[arg(long)]
    records: Option<PathBuf>,
    /// Account that is entitled to ask
    #[arg(long, default_value = "u/doorward/simulator")]
    user: String,
    /// Account that is answered 403
    #[arg(long, default_value = "u/doorward/forbidden")]
    forbidden_user: String,
    /// File whose first line is the password of both accounts (default: "simulator")
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// HTTP status for more than 100 hashes in one request
    #[arg(long, default_value_t = Limit::default().over_limit_status)]
    over_limit_status: u16,
    /// Hashes answered per UTC day before 429
    #[arg(long)]
    quota_daily: Option<u64>,
    /// Hashes answered per UTC month before 429
    #[arg(long)]
    quota_monthly: Option<u64>,
    /// End when stdin does, so as not to outlive the program that started this
    #[arg(long)]
    exit_with_stdin: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("doorward-ti-simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(arguments: Arguments) -> Result<()> {
    // Before anyone is told that we run, or a quick SIGTERM would end us unclean.
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let stdin = stdin_end(arguments.exit_with_stdin);

    let user = arguments.user.clone();
    let simulator = Simulator::start(options(arguments)?)?;
    let ready = Ready {
        url: simulator.url(),
        ca: simulator.ca_path().to_owned(),
        control_url: simulator.control_url(),
        user,
        password_file: simulator.password_path(),
    };
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", serde_json::to_string(&ready)?).and_then(|()| stdout.flush()).context("cannot say where it listens")?;

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = stdin => {}
    }
    drop(simulator);
    Ok(())
}

fn options(arguments: Arguments) -> Result<Options> {
    let mut options = Options {
        listen: arguments.listen,
        control_listen: arguments.control_listen,
        state_dir: Some(arguments.state_dir),
        user: arguments.user,
        forbidden_user: arguments.forbidden_user,
        limit: Limit {
            over_limit_status: arguments.over_limit_status,
            quota_daily: arguments.quota_daily,
            quota_monthly: arguments.quota_monthly,
        },
        ..Options::default()
    };
    let read = |file: &PathBuf| fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
    if let Some(file) = &arguments.password_file {
        options.password = read(file)?.lines().next().unwrap_or_default().to_owned();
        anyhow::ensure!(!options.password.is_empty(), "{} holds no password", file.display());
    }
    if let Some(file) = &arguments.records {
        options.records = Record::parse_all(&read(file)?).with_context(|| format!("cannot use the records in {}", file.display()))?;
    }
    Ok(options)
}

/// Resolves when stdin ends; never when it is not to be watched.
async fn stdin_end(watched: bool) {
    let (sender, receiver) = oneshot::channel();
    if !watched {
        return std::future::pending().await;
    }
    // A thread, because a blocked read of stdin would hold the runtime's end.
    std::thread::spawn(move || {
        // An error is an end too.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = sender.send(());
    });
    let _ = receiver.await;
}
