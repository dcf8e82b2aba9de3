//! `enroll`: joins a management server, and says by which key it knows the right one.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use data_encoding::HEXLOWER;
use doorward_proto::token::Token;
use doorward_service::{Clock, Exit};
use serde::Serialize;

use super::Failure;
use crate::config::Settings;
use crate::credential::{self, CmsUrl};
use crate::facts;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Where the management server takes hosts, as in https://cms.example.org:8443
    #[arg(long, value_name = "URL")]
    cms: CmsUrl,
    /// The one-time token `doorward-cms token create` printed. Everybody on this host can read it in `ps` while the command runs: prefer
    /// --token-file where others have accounts
    #[arg(long, required_unless_present = "token_file", conflicts_with = "token_file")]
    token: Option<Token>,
    /// File whose one line is the token; `-` reads it from standard input
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Longest token read from a file, in bytes; what is longer is some other file.
const TOKEN_BYTES_MAX: u64 = 1024;

impl Options {
    fn token(&self) -> Result<Token, Failure> {
        match (&self.token, &self.token_file) {
            (Some(token), _) => Ok(token.clone()),
            (None, Some(path)) if path.as_os_str() == "-" => read_token(std::io::stdin().lock(), path),
            (None, Some(path)) => {
                let file = File::open(path).map_err(|error| unreadable(path, &error))?;
                read_token(file, path)
            }
            (None, None) => Err(Failure::new(Exit::Usage, "no token: give --token-file or --token")),
        }
    }
}

fn read_token(from: impl Read, path: &Path) -> Result<Token, Failure> {
    let mut text = String::new();
    from.take(TOKEN_BYTES_MAX).read_to_string(&mut text).map_err(|error| unreadable(path, &error))?;
    // What stands there instead may be another secret, so it is not repeated.
    let malformed = |_| {
        Failure::new(
            Exit::Data,
            format!("{} holds no token: expected the one line that `doorward-cms token create` printed", path.display()),
        )
    };
    text.trim().parse().map_err(malformed)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::NoInput, format!("cannot read the token from {}: {error}", path.display()))
}

#[derive(Serialize)]
struct Enrolled {
    host_id: String,
    profile_id: String,
    profile: String,
    cms: String,
    ca_key_hash: String,
}

impl fmt::Display for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "enrolled at {} as host {}", self.cms, self.host_id)?;
        writeln!(f, "  profile   {}", self.profile)?;
        writeln!(f, "  CA key    {}", self.ca_key_hash)?;
        writeln!(f, "Compare the CA key with what `doorward-cms init` printed, then start the agent: doorward-agent run")
    }
}

pub(super) fn run(settings: &Settings, options: &Options, json: bool) -> Result<(), Failure> {
    let token = options.token()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Os, format!("cannot start: {error}")))?;
    let facts = facts::gather(&settings.root);
    let now = Clock::system().now_micros();
    let enrolled = runtime.block_on(credential::enroll(&settings.credential_dir(), &options.cms, &token, facts, now));
    let credential = enrolled.map_err(|error| Failure::of(error.exit(), &error))?;
    let enrolled = Enrolled {
        host_id: credential.host_id.to_string(),
        profile_id: credential.profile_id.to_string(),
        profile: credential.profile,
        cms: credential.cms.to_string(),
        ca_key_hash: HEXLOWER.encode(&credential.ca_key_hash),
    };
    super::print(&enrolled, json)
}
