//! `cargo xtask demo`: a whole site on this machine, and the story of four programs, told while it happens.
//!
//! Nothing is assumed: each step of the story is believed only when the agent's and the CMS's own answers show it.
//! Everything lives in one temporary folder that a janitor process removes, however this program ends.

mod janitor;
mod narrator;
mod program;
mod simulator;
mod site;
mod story;

use std::path::PathBuf;

use clap::Args;

use crate::binary::{self, Profile};
use crate::step::{self, Failure, Outcome};
use narrator::Narrator;
use site::Site;
use story::Ending;

#[derive(Args)]
pub(crate) struct Options {
    /// End with one JSON object on the last line of standard output
    #[arg(long)]
    json: bool,
    /// Leave everything running afterwards, to play with, until Enter is pressed
    #[arg(long)]
    stay: bool,
    /// Ask this TCA-0101 server instead of the simulator, as in https://ti.example
    #[arg(long, value_name = "URL")]
    ti_url: Option<String>,
    /// CA certificate (PEM) that vouches for --ti-url
    #[arg(long, value_name = "FILE", requires = "ti_url")]
    ti_ca: Option<PathBuf>,
    /// User name at --ti-url
    #[arg(long, value_name = "NAME", requires = "ti_url")]
    ti_user: Option<String>,
    /// File with the password at --ti-url
    #[arg(long, value_name = "FILE", requires = "ti_url")]
    ti_password_file: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let told = tell(options);
    if let (true, Err(failure)) = (options.json, &told) {
        // Whoever reads the last line must find the outcome there, however far the story came.
        println!("{}", serde_json::json!({"ok": false, "error": failure.to_string()}));
    }
    let ending = told?;
    if options.json {
        println!("{}", ending.to_json());
    }
    if ending.ok || !step::is_root() { Ok(()) } else { Err(Failure::new("not every live step was observed; see above")) }
}

fn tell(options: &Options) -> Outcome<Ending> {
    let narrator = Narrator::new(options.json);
    let folder = binary::build(Profile::Release)?;
    narrator.chapter("A site of its own, on this machine");
    let mut site = Site::open(folder, options)?;
    narrator.say(&format!("everything lives in {} and is removed at the end", site.folder().display()));
    let told = story::tell(&mut site, &narrator);
    if let Err(failure) = &told {
        narrator.say(&format!("the story ends here: {failure}"));
        site.show_logs();
    }
    if options.stay && told.is_ok() {
        site.stay(&narrator)?;
    }
    site.close();
    let ending = told?;
    narrator.table(&ending);
    Ok(ending)
}
