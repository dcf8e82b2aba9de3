//! `profile`: settings shared by hosts, in draft and in force; publishing them; and the reference scan.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::output::sentence;
use super::source::Extent;
use super::table::{Facts, Table};
use super::terminal::{count, shown};
use super::time::both;
use super::{Session, scan};
use doorward_service::Exit;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List profiles
    List,
    /// Show a profile's settings, in force and in draft
    Show {
        /// The profile, or `global`
        name: String,
    },
    /// Make a profile with the usual settings
    Create {
        /// Its name
        name: String,
        /// What enrollment chooses it by
        #[arg(long)]
        tag: String,
    },
    /// Change settings in draft: mode, coverage, unverified_action, allow_safe (0..2 or off), allow_unknown, allow_new_packages,
    /// allow_new_publishers, package_level, ask_bytecode, reference_host, kill_on_bad_verdict; and, separated by commas, exclusions,
    /// open_exclusions, trusted_mounts, archive_keys, and interpreters (as in python3*:.py:.pyc:-c:-m)
    Set {
        /// The profile
        name: String,
        /// One or more settings
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// Put drafts in force
    Publish {
        /// The profile, or `global`
        name: String,
    },
    /// Show what publishing would change
    Diff {
        /// The profile, or `global`
        name: String,
    },
    /// Ask a host for a full scan; of the reference host it is a reference scan
    Scan {
        /// The profile
        name: String,
        /// The host, by id or by a name that only one host has
        #[arg(long)]
        host: String,
        /// Show progress and wait for the end
        #[arg(long)]
        wait: bool,
    },
}

#[derive(Deserialize)]
struct Profile {
    id: String,
    name: String,
    tag: Option<String>,
    draft: Map<String, Value>,
    published: Map<String, Value>,
    published_at: Option<i64>,
    published_by: Option<String>,
    revision: u64,
    hosts: u64,
    unpublished: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    setting: String,
    before: Value,
    after: Value,
}

#[derive(Deserialize)]
struct Published {
    profile: String,
    revision: u64,
    settings: u64,
    sources: u64,
    allowed: u64,
    withdrawn: u64,
}

#[derive(Deserialize)]
struct Difference {
    profile: String,
    settings: Vec<Change>,
    sources: Vec<Source>,
    new_sources: Option<NewSources>,
    allowed: u64,
    withdrawn: u64,
    files: Vec<File>,
}

#[derive(Deserialize)]
struct Source {
    kind: String,
    name: String,
    versions: Option<String>,
    before: String,
    after: String,
    extent: Option<Extent>,
}

#[derive(Deserialize)]
struct NewSources {
    packages: Extent,
    publishers: Extent,
}

#[derive(Deserialize)]
struct File {
    sha256: String,
    allowed_after: bool,
}

impl Command {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let now = session.now;
        match self {
            Self::List => {
                let answer = session.client.get(&["profiles"], &[]).await?;
                session.output.page(answer, list)
            }
            Self::Show { name } => {
                let answer = session.client.get(&["profiles", &name], &[]).await?;
                session.output.show(answer, |profile| show(&profile, now))
            }
            Self::Create { name, tag } => {
                let answer = session.client.post(&["profiles"], &json!({"name": name, "tag": tag})).await?;
                session.output.show(answer, |profile: Profile| sentence(format!("profile {} is made ({})", profile.name, profile.id)))
            }
            Self::Set { name, settings } => {
                let answer = session.client.patch(&["profiles", &name], &Value::Object(patch(&settings)?)).await?;
                session.output.show(answer, |profile| drafted(&profile))
            }
            Self::Publish { name } => {
                let answer = session.client.post(&["profiles", &name, "publish"], &json!({})).await?;
                session.output.show(answer, |published| publish_text(&published))
            }
            Self::Diff { name } => {
                let answer = session.client.get(&["profiles", &name, "diff"], &[]).await?;
                session.output.show(answer, |difference| diff(&difference))
            }
            Self::Scan { name, host, wait } => {
                let answer = session.client.post(&["profiles", &name, "scans"], &json!({"host": host})).await?;
                if wait { scan::wait(session, answer).await } else { scan::requested(session, answer) }
            }
        }
    }
}

/// Settings that are on or off.
const SWITCHES: [&str; 4] = ["allow_new_packages", "allow_new_publishers", "ask_bytecode", "kill_on_bad_verdict"];

/// Settings of several values, separated by commas.
const LISTS: [&str; 5] = ["exclusions", "trusted_mounts", "interpreters", "open_exclusions", "archive_keys"];

/// `key=value` words as the API takes them. What a value can be is for the server to say; only its JSON type is chosen here.
fn patch(settings: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut patch = Map::new();
    for setting in settings {
        let Some((key, text)) = setting.split_once('=') else {
            return Err(Failure::new(Exit::Usage, format!("{setting:?} is no setting")).next("write KEY=VALUE, as in mode=protect"));
        };
        let value = match (key, text) {
            (key, "true" | "yes" | "on") if SWITCHES.contains(&key) => Value::Bool(true),
            (key, "false" | "no" | "off") if SWITCHES.contains(&key) => Value::Bool(false),
            ("reference_host", "" | "none") => Value::Null,
            (key, "") if LISTS.contains(&key) => json!([]),
            (key, items) if LISTS.contains(&key) => json!(items.split(',').collect::<Vec<_>>()),
            (_, text) => json!(text),
        };
        if patch.insert(key.to_owned(), value).is_some() {
            return Err(Failure::new(Exit::Usage, format!("{key} is set twice")).next("give each setting once"));
        }
    }
    Ok(patch)
}

fn list(profiles: &[Profile]) -> String {
    let mut table = Table::new(["NAME", "TAG", "MODE", ">HOSTS", ">REVISION", "DRAFT"]);
    for profile in profiles {
        let draft = if profile.unpublished.is_empty() { "-".into() } else { format!("{} settings wait", profile.unpublished.len()) };
        table.row([
            profile.name.clone(),
            profile.tag.clone().unwrap_or_default(),
            profile.published.get("mode").map(plain).unwrap_or_default(),
            count(profile.hosts),
            profile.revision.to_string(),
            draft,
        ]);
    }
    table.or("there are no profiles; make one with `doorward-cms profile create NAME --tag TAG`")
}

/// A JSON value without its quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".into(),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn show(profile: &Profile, now: i64) -> String {
    let by = profile.published_by.as_deref().unwrap_or("nobody");
    let facts = Facts::default()
        .add("name", profile.name.clone())
        .add("id", profile.id.clone())
        .maybe("tag", profile.tag.clone())
        .add("hosts", count(profile.hosts))
        .add("revision", profile.revision.to_string())
        .add("published", profile.published_at.map_or_else(|| "never".into(), |at| format!("{} by {by}", both(at, now))));
    let mut table = Table::new(["SETTING", "IN FORCE", "DRAFT"]);
    for (setting, value) in &profile.published {
        let draft = profile.draft.get(setting).filter(|draft| *draft != value);
        table.row([setting.clone(), plain(value), draft.map_or_else(|| "-".into(), plain)]);
    }
    format!("{}\n{}", facts.text(), table.or("it has no settings"))
}

fn changes(changes: &[Change]) -> String {
    let change = |change: &Change| {
        let line = format!("{}: {} -> {}", change.setting, plain(&change.before), plain(&change.after));
        format!("  {}\n", shown(&line))
    };
    changes.iter().map(change).collect()
}

fn drafted(profile: &Profile) -> String {
    if profile.unpublished.is_empty() {
        return sentence("that is how it is already; nothing waits to be published");
    }
    let name = shown(&profile.name);
    format!("drafted; in force after `doorward-cms profile publish {name}`:\n{}", changes(&profile.unpublished))
}

fn publish_text(published: &Published) -> String {
    let Published { profile, revision, settings, sources, allowed, withdrawn } = published;
    let what = match (settings, sources, allowed, withdrawn) {
        (0, 0, 0, 0) => "nothing waited".to_owned(),
        _ => format!(
            "{settings} settings, {sources} packages and publishers, {} automatic allows came and {} went",
            count(*allowed),
            count(*withdrawn)
        ),
    };
    sentence(format!("profile {profile} is published: {what}; revision {revision} is in force"))
}

fn diff(difference: &Difference) -> String {
    let Difference { profile, settings, sources, new_sources, allowed, withdrawn, files } = difference;
    if settings.is_empty() && sources.is_empty() && *allowed == 0 && *withdrawn == 0 {
        return sentence(format!("nothing waits to be published in {profile}"));
    }
    let mut text = sentence(format!("publishing {profile} would change:")) + &changes(settings);
    for source in sources {
        let Source { kind, name, versions, before, after, extent } = source;
        let versions = versions.as_ref().map(|versions| format!(" {versions}")).unwrap_or_default();
        let extent = extent.as_ref().map(|extent| format!(" ({})", extent.text())).unwrap_or_default();
        let line = format!("{kind} {name}{versions}: {before} -> {after}{extent}");
        text.push_str(&format!("  {}\n", shown(&line)));
    }
    if let Some(NewSources { packages, publishers }) = new_sources {
        let line = |extent: &Extent, noun| format!("  new, on no list: {}\n", extent.of_sources(noun));
        text.push_str(&(line(packages, "packages") + &line(publishers, "publishers")));
    }
    text.push_str(&format!("  {} files would be allowed automatically, {} no longer\n", count(*allowed), count(*withdrawn)));
    for file in files {
        text.push_str(&format!("    {} {}\n", if file.allowed_after { "+" } else { "-" }, shown(&file.sha256)));
    }
    let more = (allowed + withdrawn).saturating_sub(files.len() as u64);
    if more > 0 {
        text.push_str(&format!("    and {} more\n", count(more)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Result<Map<String, Value>, Failure> {
        patch(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn settings_take_the_json_type_the_server_expects() {
        let patch = words(&[
            "mode=protect",
            "ask_bytecode=yes",
            "allow_new_packages=no",
            "allow_safe=off",
            "reference_host=none",
            "exclusions=/a,/b=c",
            "kill_on_bad_verdict=true",
            "trusted_mounts=/home,/srv/tools",
        ])
        .unwrap();
        let expected = json!({
            "mode": "protect", "ask_bytecode": true, "allow_new_packages": false, "allow_safe": "off", "reference_host": null, "exclusions": ["/a", "/b=c"],
            "kill_on_bad_verdict": true, "trusted_mounts": ["/home", "/srv/tools"],
        });
        assert_eq!(Value::Object(patch), expected);
    }

    #[test]
    fn words_that_are_no_settings_are_refused_here() {
        for wrong in [&["mode"][..], &["mode=detect", "mode=protect"]] {
            assert_eq!(words(wrong).unwrap_err().exit, Exit::Usage);
        }
    }
}
