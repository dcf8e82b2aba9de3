//! The story itself: a reference scan, then four programs, each step believed only when somebody else confirms it.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::narrator::Narrator;
use super::program::{self, Program};
use super::site::Site;
use crate::step::{self, Failure, Outcome};

/// Longest a live step may take to be seen. Generous: slow machines are slow, and the time it took is told.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest for every look-up of the reference scan to be answered.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(600);

/// Longest without one more answer from a server that is not ours. It may leave some unanswered for as long as it likes; the story goes on.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(60);

/// What the story ends with.
pub(crate) struct Ending {
    scan: Value,
    stats: Value,
    pub(crate) skipped: Vec<String>,
    pub(crate) ok: bool,
}

impl Ending {
    /// Names and values for people.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let json = self.to_json();
        let names = [
            ("files scanned", "scanned"),
            ("bytes of files", "bytes"),
            ("trusted by package", "package_trusted"),
            ("unresolved", "unresolved"),
            ("looked up", "looked_up"),
            ("unanswered", "unanswered"),
            ("requests sent", "ti_requests"),
            ("threat", "threat"),
            ("safe", "safe"),
            ("unverified", "unverified"),
            ("seconds of the scan", "scan_seconds"),
        ];
        names.into_iter().map(|(name, key)| (name, json[key].to_string())).collect()
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "scanned": self.scan["files"],
            "bytes": self.scan["bytes"],
            "package_trusted": self.scan["package_trusted"],
            "unresolved": self.scan["unresolved"],
            "looked_up": self.stats["lookups_done"],
            "unanswered": self.stats["lookups_queued"],
            "ti_requests": self.stats["ti_requests"],
            "threat": self.stats["threat"],
            "safe": self.stats["safe"],
            "unverified": self.stats["unverified"],
            "scan_seconds": self.scan["elapsed_ms"].as_f64().map(|ms| ms / 1000.0),
            "ok": self.ok,
        })
    }
}

/// Tells it from the first process to the last figure.
pub(crate) fn tell(site: &mut Site, narrator: &Narrator) -> Outcome<Ending> {
    let mut skipped = Vec::new();
    let intelligence = site.start_intelligence()?;
    narrator.say(&format!("threat intelligence answers at {intelligence}"));
    let cms = site.start_cms()?;
    narrator.say(&format!("the CMS serves hosts at {cms} and people on a unix socket"));
    teach_known_file(site, narrator)?;
    let host = enroll(site, narrator, &cms)?;
    let scan = reference_scan(site, narrator, &host)?;
    let live = if !step::is_root() {
        skipped.push("every live step: watching executions needs root".into());
        narrator.say("not root: the scan saw only what this user can read, and executions are not watched; the live steps are skipped");
        false
    } else {
        live_steps(site, narrator, &mut skipped)?;
        true
    };
    let stats = site.cms(&["stats"])?;
    Ok(Ending { scan, stats, skipped, ok: live })
}

fn enroll(site: &mut Site, narrator: &Narrator, cms: &str) -> Outcome<String> {
    narrator.chapter("The agent enrolls this machine");
    let token = site.cms(&["token", "create", "--profile", "default", "--uses", "1"])?;
    let token = token["token"].as_str().ok_or_else(|| Failure::new("token create printed no token"))?.to_owned();
    let host = site.start_agent(cms, &token)?;
    narrator.say(&format!("one-time token spent; this machine is host {host}"));
    let status = site.agent(&["status"])?;
    for uncovered in status["coverage"]["uncovered"].as_array().into_iter().flatten() {
        narrator.say(&format!("not watched: {} ({})", text(&uncovered["mount_point"]), text(&uncovered["reason"])));
    }
    Ok(host)
}

/// Lets the simulator know one real program of this machine, so that the scan finds something safe beside the unknown.
fn teach_known_file(site: &Site, narrator: &Narrator) -> Outcome {
    let Some(simulator) = site.simulator() else { return Ok(()) };
    let known = std::env::var_os("CARGO").map(std::path::PathBuf::from).filter(|path| path.is_file());
    if let Some(path) = known {
        let sha256 = program::sha256(&path)?;
        simulator.put_record(&json!({
            "sha256": sha256, "status": "KNOWN", "trust_factor": 1, "threat_level": 0, "scanner_count": 40, "scanner_match": 0,
        }))?;
        narrator.say(&format!("threat intelligence knows {} as coming from a trusted source", path.display()));
    }
    Ok(())
}

fn reference_scan(site: &mut Site, narrator: &Narrator, host: &str) -> Outcome<Value> {
    narrator.chapter("A reference scan of the real root file system");
    let scan = site.cms(&["profile", "scan", "default", "--host", host, "--wait"])?;
    let number = |key: &str| scan[key].as_u64().unwrap_or_default();
    narrator.say(&format!(
        "{} files looked at, {} of them can be executed or loaded; packages vouch for {}, nobody for {}",
        number("files"),
        number("candidates"),
        number("package_trusted"),
        number("unresolved")
    ));
    narrator.say("only the unresolved ones' metadata left the host; now the CMS asks threat intelligence about their checksums");
    let (stats, took) = looked_up(site)?;
    if stats["lookups_queued"] != 0 {
        narrator.say(&format!(
            "{} checksums have no answer after {} s without one; the CMS keeps asking, the story does not wait for it",
            stats["lookups_queued"],
            LOOKUP_PATIENCE.as_secs()
        ));
    }
    narrator.say(&format!(
        "{} distinct checksums in {} requests, the last answered {:.1} s after the scan: {} threat, {} safe, {} unverified",
        stats["lookups_done"],
        stats["ti_requests"],
        took.as_secs_f64(),
        stats["threat"],
        stats["safe"],
        stats["unverified"]
    ));
    if let Some(simulator) = site.simulator() {
        let counted = simulator.stats()?;
        narrator
            .say(&format!("the simulator counted {} requests, {} checksums asked twice", counted["requests"], counted["repeated_hashes"]));
    }
    Ok(scan)
}

/// Waits for the look-ups: for all of them where the simulator answers, and for as long as answers keep coming where somebody else does.
fn looked_up(site: &mut Site) -> Outcome<(Value, Duration)> {
    let is_ours = site.simulator().is_some();
    let (mut queued, mut since) = (None, Instant::now());
    site.wait("every look-up is answered", LOOKUP_TIMEOUT, |site| {
        let stats = site.cms(&["stats"])?;
        let now = stats["lookups_queued"].as_u64();
        if queued != now {
            (queued, since) = (now, Instant::now());
        }
        let is_over = now == Some(0) || (!is_ours && since.elapsed() > LOOKUP_PATIENCE);
        Ok(Some(stats).filter(|_| is_over))
    })
}

fn live_steps(site: &mut Site, narrator: &Narrator, skipped: &mut Vec<String>) -> Outcome {
    let folder = site.folder().join("programs");
    unknown_program(site, narrator, &folder)?;
    if site.simulator().is_none() {
        skipped.push("the malicious program and the flipped verdict: they need the simulator".into());
        narrator.say("skipped: the malicious program and the flipped verdict, because the server that is asked is not the simulator");
        return Ok(());
    }
    malicious_program(site, narrator, &folder)?;
    flipped_verdict(site, narrator, &folder)
}

fn unknown_program(site: &mut Site, narrator: &Narrator, folder: &Path) -> Outcome {
    narrator.chapter("A program nobody knows is copied in and run");
    let program = Program::make(folder, "unknown-tool")?;
    program.execute()?;
    let (file, took) = seen(site, &program, "the CMS shows its execution and what threat intelligence says", |file| {
        executed(file) && file["lookup"]["state"] == "done"
    })?;
    narrator.say(&format!("{} noticed and looked up {:.0} ms after it ended: {}", program.path.display(), ms(took), people_see(&file)));
    if site.simulator().is_some() {
        expect(&file, "status", "unverified")?;
        expect(&file, "reason", "unknown")?;
    }
    incident(site, narrator, &program, "new_process")?;
    let chain = why(site, &program)?;
    narrator.say(&format!("the host itself says: {} (row {})", text(&chain["judgement"]["verdict"]), text(&chain["judgement"]["row"])));
    site.cms(&["file", "allow", &program.sha256, "--profile", "default", "--comment", "shown in the demo"])?;
    let (_, took) = site.wait("the host learns that a person allowed it", STEP_TIMEOUT, |site| {
        Ok(Some(why(site, &program)?).filter(|chain| chain["judgement"]["row"] == "allowed_by_person"))
    })?;
    narrator.say(&format!("a person allows it; the host knows {:.0} ms later", ms(took)));
    Ok(())
}

fn malicious_program(site: &mut Site, narrator: &Narrator, folder: &Path) -> Outcome {
    narrator.chapter("A program threat intelligence calls malicious is run");
    let program = Program::make(folder, "invoice-viewer")?;
    teach(site, &program, "MALICIOUS", 5, "Linux.Ransomware.Demo")?;
    program.execute()?;
    let (file, took) = seen(site, &program, "the CMS shows a threat", |file| executed(file) && file["status"] == "threat")?;
    narrator.say(&format!("{} marked {:.0} ms after it ended: {}", program.path.display(), ms(took), people_see(&file)));
    expect(&file, "reason", "malicious")?;
    if file["threat_score"] != 10 {
        return Err(Failure::new(format!("its threat score is {} instead of 10", file["threat_score"])));
    }
    incident(site, narrator, &program, "threat_executed")?;
    let (_, took) = host_knows(site, &program, "malicious")?;
    narrator.say(&format!("the host knows it as malicious {:.0} ms later; in detect it is reported and not stopped", ms(took)));
    Ok(())
}

fn flipped_verdict(site: &mut Site, narrator: &Narrator, folder: &Path) -> Outcome {
    narrator.chapter("A verdict flips from suspicious to malicious");
    let program = Program::make(folder, "price-list")?;
    teach(site, &program, "SUSPICIOUS", 2, "Linux.PUA.Demo")?;
    program.execute()?;
    let (file, _) = seen(site, &program, "the CMS shows it as suspicious", |file| file["reason"] == "suspicious")?;
    narrator.say(&format!("{} at first: {}", program.path.display(), people_see(&file)));
    host_knows(site, &program, "suspicious")?;
    teach(site, &program, "MALICIOUS", 4, "Linux.Trojan.Demo")?;
    site.cms(&["intel", "recheck", &program.sha256])?;
    let (file, took) = seen(site, &program, "the CMS shows it as malicious", |file| file["reason"] == "malicious")?;
    narrator.say(&format!(
        "threat intelligence changes its mind; asked again, {:.0} ms later the CMS shows: {}",
        ms(took),
        people_see(&file)
    ));
    let (chain, took) = site.wait("the host knows its new name", STEP_TIMEOUT, |site| {
        let told = why(site, &program)?;
        Ok(Some(told).filter(|told| told["status"]["reason"] == "malicious" && told["threat_name"] == "Linux.Trojan.Demo"))
    })?;
    narrator.say(&format!("{:.0} ms after that the host knows: {}", ms(took), text(&chain["threat_name"])));
    incident(site, narrator, &program, "verdict_turned")
}

/// Tells the simulator what to answer about a program.
fn teach(site: &Site, program: &Program, status: &str, threat_level: u8, threat_name: &str) -> Outcome {
    let simulator = site.simulator().ok_or_else(|| Failure::new("this step needs the simulator"))?;
    simulator.put_record(&json!({
        "sha256": program.sha256, "status": status, "trust_factor": 5, "threat_level": threat_level, "threat_name": threat_name,
        "reason": "antivirus", "scanner_count": 40, "scanner_match": 31,
    }))
}

fn seen(site: &mut Site, program: &Program, what: &str, is: impl Fn(&Value) -> bool) -> Outcome<(Value, Duration)> {
    site.wait(what, STEP_TIMEOUT, |site| Ok(site.cms(&["file", "show", &program.sha256]).ok().filter(|file| is(file))))
}

fn host_knows(site: &mut Site, program: &Program, reason: &str) -> Outcome<(Value, Duration)> {
    site.wait(&format!("the host knows {} as {reason}", program.path.display()), STEP_TIMEOUT, |site| {
        Ok(Some(why(site, program)?).filter(|chain| chain["status"]["reason"] == reason))
    })
}

fn incident(site: &mut Site, narrator: &Narrator, program: &Program, kind: &str) -> Outcome {
    let (incident, _) = site.wait(&format!("there is an incident {kind}"), STEP_TIMEOUT, |site| {
        let incidents = site.cms(&["incident", "list", "--open"])?;
        let items = incidents["items"].as_array().cloned().unwrap_or_default();
        Ok(items.into_iter().find(|incident| incident["kind"] == kind && incident["sha256"] == program.sha256.as_str()))
    })?;
    narrator.say(&format!("incident {}: {}", text(&incident["id"]), text(&incident["summary"])));
    Ok(())
}

/// The host's own reason chain, as it stands now.
fn why(site: &Site, program: &Program) -> Outcome<Value> {
    site.agent(&["why", &program.path.display().to_string()])
}

fn executed(file: &Value) -> bool {
    file["observations"].as_array().into_iter().flatten().any(|observation| observation["use"] == "execute")
}

fn people_see(file: &Value) -> String {
    let score = file["threat_score"].as_u64().map(|score| format!(", threat score {score}")).unwrap_or_default();
    let name = file["threat_name"].as_str().map(|name| format!(", {name}")).unwrap_or_default();
    format!("{} ({}{score}{name})", text(&file["status"]), text(&file["reason"]))
}

fn expect(file: &Value, key: &str, value: &str) -> Outcome {
    if file[key] == value { Ok(()) } else { Err(Failure::new(format!("its {key} is {} instead of {value}", file[key]))) }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
