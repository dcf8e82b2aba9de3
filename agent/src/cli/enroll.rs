//! `enroll`: joins a management server, and says by which key it knows the right one.

use std::fmt;

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
    /// The one-time token `doorward-cms token create` printed
    #[arg(long)]
    token: Token,
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Os, format!("cannot start: {error}")))?;
    let facts = facts::gather(&settings.root);
    let now = Clock::system().now_micros();
    let enrolled = runtime.block_on(credential::enroll(&settings.credential_dir(), &options.cms, &options.token, facts, now));
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
