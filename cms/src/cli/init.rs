//! `init`: keys, database and the first profile, made once. Takes over nothing and leaves nothing half made.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use data_encoding::HEXLOWER;
use doorward_service::{Clock, Exit};
use serde::Deserialize;
use serde_json::json;

use super::failure::Failure;
use super::output::Output;
use super::table::Facts;
use crate::config::{Settings, Source};
use crate::enrollment::Keys;
use crate::enrollment::keys::{CA_CERTIFICATE, CA_KEY, POLICY_KEY};
use crate::profile::DEFAULT_NAME;
use crate::store::Store;

/// The drop-in that holds the names given to `init`.
const NAMES_DROP_IN: &str = "10-names.toml";

/// Whom the audit log names for what `init` makes.
const ACTOR: &str = "cms";

#[derive(Debug, Args)]
pub(super) struct Init {
    /// A DNS name or address hosts connect by; it will stand in the server's certificate. Written to a drop-in of the configuration
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
}

#[derive(Deserialize)]
struct Made {
    state_dir: String,
    ca_key_hash: String,
    profile: String,
    names: Vec<String>,
    listen: String,
}

impl Init {
    pub(super) async fn run(self, source: &Source, settings: &Settings, output: &mut Output<'_>) -> Result<(), Failure> {
        let database = settings.database();
        if database.exists() {
            return Err(Failure::new(Exit::CannotCreate, format!("{} exists; this CMS is initialised already", database.display()))
                .next("start it with `doorward-cms serve`; to start anew, move its whole state folder away first"));
        }
        let drop_in = (!self.names.is_empty()).then(|| source.drop_ins().join(NAMES_DROP_IN));
        if let Some(path) = drop_in.as_ref().filter(|path| path.exists()) {
            let what = format!("{} exists and says which names the server has", path.display());
            return Err(Failure::new(Exit::CannotCreate, what).next("edit that file instead of giving --name"));
        }
        let keys = make(settings).await?;
        if let Some(path) = &drop_in {
            write_names(path, &self.names).map_err(|error| cannot_create(path, &error))?;
        }
        let names = if self.names.is_empty() { settings.uplink.names.clone() } else { self.names };
        let made = json!({
            "state_dir": settings.state_dir.display().to_string(),
            "ca_key_hash": HEXLOWER.encode(&keys.ca_key_hash()),
            "profile": DEFAULT_NAME,
            "names": names,
            "listen": settings.uplink.listen.to_string(),
        });
        output.show(made, |made| text(&made))
    }
}

/// Keys first: they are made whole or not at all. A database that cannot be made takes them with it, since nobody has used them yet.
async fn make(settings: &Settings) -> Result<Keys, Failure> {
    let now = Clock::system().now_micros();
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true).mode(0o700);
    folder.create(&settings.state_dir).map_err(|error| cannot_create(&settings.state_dir, &error))?;
    let keys = Keys::create(&settings.state_dir, now).map_err(|error| Failure::new(Exit::CannotCreate, error.to_string()))?;
    if let Err(error) = make_database(&settings.database(), now).await {
        for file in [CA_CERTIFICATE, CA_KEY, POLICY_KEY, "cms.sqlite", "cms.sqlite-wal", "cms.sqlite-shm"] {
            // What cannot be removed is named by the next `init`, which refuses to write over it.
            let _ = fs::remove_file(settings.state_dir.join(file));
        }
        return Err(Failure::new(Exit::CannotCreate, format!("cannot make the database: {error}")).next("nothing was kept; try again"));
    }
    Ok(keys)
}

async fn make_database(path: &Path, now: i64) -> crate::store::Result<()> {
    let store = Store::create(path, now).await?;
    let made = store.create_profile(DEFAULT_NAME, DEFAULT_NAME, ACTOR, now).await;
    store.close().await;
    made.map(drop)
}

fn write_names(path: &PathBuf, names: &[String]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let names: Vec<String> = names.iter().map(|name| json!(name).to_string()).collect();
    let text = format!("# Written by `doorward-cms init`: the names hosts connect by.\n[uplink]\nnames = [{}]\n", names.join(", "));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn cannot_create(path: &Path, error: &std::io::Error) -> Failure {
    let exit = if error.kind() == std::io::ErrorKind::PermissionDenied { Exit::NoPermission } else { Exit::CannotCreate };
    Failure::new(exit, format!("cannot make {}: {error}", path.display()))
        .next("run the command as the user the server is to run as, or as root")
}

fn text(made: &Made) -> String {
    let facts = Facts::default()
        .add("keys and database", made.state_dir.clone())
        .add("profile", made.profile.clone())
        .add("CA key hash", made.ca_key_hash.clone())
        .maybe("names", (!made.names.is_empty()).then(|| made.names.join(", ")))
        .text();
    let names = match made.names.as_slice() {
        [] => "  1. set [uplink] names to the names hosts connect by; they stand in the server's certificate\n  2. ",
        _ => "  1. ",
    };
    let port = made.listen.rsplit(':').next().unwrap_or_default();
    let host = made.names.first().map_or("HOST", String::as_str);
    format!(
        "the CMS is initialised\n\n{facts}\nnext:\n{names}start the server: doorward-cms serve\n     make a token: doorward-cms token create --profile {}\n     on a host: doorward-agent enroll --cms https://{}:{port} --token TOKEN\nkeep a copy of the keys: without them every host must enroll again\n",
        made.profile,
        super::terminal::shown(host),
    )
}
