//! `check-config`: everything that can be wrong with the configuration, said before the server starts.

use doorward_service::Clock;
use serde::Deserialize;
use serde_json::json;

use super::failure::Failure;
use super::output::Output;
use super::table::Facts;
use crate::config::{Settings, Source};

#[derive(Deserialize)]
struct Checked {
    config: String,
    state_dir: String,
    socket: String,
    listen: String,
    names: Vec<String>,
    provider: String,
    initialised: bool,
}

pub(super) fn run(source: &Source, output: &mut Output<'_>) -> Result<(), Failure> {
    let settings = Settings::load(source).map_err(|error| Failure::config(&error))?;
    settings.check_server().map_err(|error| Failure::config(&error))?;
    let provider = settings.intel.provider(Clock::system()).map_err(|error| Failure::config(&error))?;
    let checked = json!({
        "ok": true,
        "config": source.main_file().display().to_string(),
        "state_dir": settings.state_dir.display().to_string(),
        "socket": settings.socket().display().to_string(),
        "listen": settings.uplink.listen.to_string(),
        "names": settings.uplink.names,
        "provider": provider.name(),
        "initialised": settings.database().exists(),
    });
    output.show(checked, |checked: Checked| text(&checked))
}

fn text(checked: &Checked) -> String {
    let provider = match checked.provider.as_str() {
        "none" => "none: every file nobody vouches for stays unverified; set [intel] provider".into(),
        provider => provider.to_owned(),
    };
    let state = if checked.initialised { "" } else { " (nothing there yet: run `doorward-cms init`)" };
    "the configuration is right\n\n".to_owned()
        + &Facts::default()
            .add("read", format!("{} and {}.d/*.toml", checked.config, checked.config))
            .add("state", format!("{}{state}", checked.state_dir))
            .add("socket", checked.socket.clone())
            .add("listens", checked.listen.clone())
            .add("names", checked.names.join(", "))
            .add("asks", provider)
            .text()
}
