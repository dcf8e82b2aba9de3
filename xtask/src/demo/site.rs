//! A site: simulator, CMS and agent as processes of their own, with all they keep in one temporary folder.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Options;
use super::janitor::{Janitor, PIDS};
use super::narrator::Narrator;
use super::simulator::Simulator;
use crate::step::{Failure, Outcome};

/// Longest wait for a program to come up.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// How often a wait looks again.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Lines shown of each log when the story fails.
const LOG_LINES_SHOWN: usize = 15;

/// Which threat intelligence the CMS asks.
enum Intelligence {
    Simulated,
    Foreign { url: String, ca: Option<PathBuf>, user: String, password: PathBuf },
}

pub(crate) struct Site {
    binaries: PathBuf,
    folder: PathBuf,
    intelligence: Intelligence,
    simulator: Option<Simulator>,
    children: Vec<Child>,
    janitor: Janitor,
}

impl Site {
    /// Makes the folder; nothing runs yet.
    pub(crate) fn open(binaries: PathBuf, options: &Options) -> Outcome<Self> {
        let folder = std::env::temp_dir().join(format!("doorward-demo-{}", std::process::id()));
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let janitor = Janitor::hire(&folder)?;
        for part in ["agent/state", "agent/run", "cms/state", "cms/run", "ti", "programs"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let intelligence = Self::intelligence(&folder, options)?;
        Ok(Self { binaries, folder, intelligence, simulator: None, children: Vec::new(), janitor })
    }

    fn intelligence(folder: &Path, options: &Options) -> Outcome<Intelligence> {
        let no_password = folder.join("ti/password");
        write_secret(&no_password, "demo")?;
        let Some(url) = &options.ti_url else {
            return Ok(Intelligence::Simulated);
        };
        let absolute = |path: &PathBuf| path.canonicalize().map_err(|error| Failure::new(format!("{}: {error}", path.display())));
        Ok(Intelligence::Foreign {
            url: url.clone(),
            ca: options.ti_ca.as_ref().map(absolute).transpose()?,
            user: options.ti_user.clone().unwrap_or_else(|| "u/doorward/demo".into()),
            password: options.ti_password_file.as_ref().map(absolute).transpose()?.unwrap_or(no_password),
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The simulator, unless a foreign server is asked.
    pub(crate) fn simulator(&self) -> Option<&Simulator> {
        self.simulator.as_ref()
    }

    /// Starts the simulator, unless a foreign server is to be asked; says whom the CMS will ask.
    pub(crate) fn start_intelligence(&mut self) -> Outcome<String> {
        if let Intelligence::Foreign { url, .. } = &self.intelligence {
            return Ok(url.clone());
        }
        let mut command = Command::new(self.binaries.join("doorward-ti-simulator"));
        command.args(["--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"]);
        command.arg("--state-dir").arg(self.folder.join("ti")).arg("--password-file").arg(self.folder.join("ti/password"));
        command.stdout(Stdio::piped());
        let mut child = self.spawn("ti", &mut command)?;
        let simulator = Simulator::greet(&mut child)?;
        let url = simulator.url.clone();
        self.children.push(child);
        self.simulator = Some(simulator);
        Ok(url)
    }

    /// Makes keys and database, starts the CMS and waits until it answers; returns where hosts connect to.
    pub(crate) fn start_cms(&mut self) -> Outcome<String> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        fs::write(self.folder.join("cms.toml"), self.cms_config(port))?;
        self.cms(&["init"])?;
        let mut serve = self.program("doorward-cms", "cms.toml");
        serve.arg("serve");
        let child = self.spawn("cms", &mut serve)?;
        self.children.push(child);
        self.wait("the CMS answers", START_TIMEOUT, |site| Ok(site.cms(&["stats"]).ok()))?;
        Ok(format!("https://127.0.0.1:{port}"))
    }

    fn cms_config(&self, port: u16) -> String {
        let folder = self.folder.display();
        let (url, ca, user, password) = match (&self.intelligence, &self.simulator) {
            (Intelligence::Foreign { url, ca, user, password }, _) => (url.clone(), ca.clone(), user.clone(), password.clone()),
            (Intelligence::Simulated, Some(simulator)) => (
                simulator.url.clone(),
                Some(simulator.ca_file.clone().into()),
                "u/doorward/simulator".into(),
                self.folder.join("ti/password"),
            ),
            (Intelligence::Simulated, None) => (String::new(), None, String::new(), PathBuf::new()),
        };
        let ca = ca.map(|file| format!("ca_file = {:?}\n", file.display().to_string())).unwrap_or_default();
        let password = password.display().to_string();
        format!(
            "state_dir = \"{folder}/cms/state\"\nruntime_dir = \"{folder}/cms/run\"\n\n[uplink]\nlisten = \"127.0.0.1:{port}\"\nnames = [\"127.0.0.1\", \"localhost\"]\n\n\
             [intel]\nprovider = \"reversinglabs\"\nurls = [{url:?}]\n{ca}user = {user:?}\npassword_file = {password:?}\n"
        )
    }

    /// Enrolls the agent with a token and starts it; returns its host id.
    pub(crate) fn start_agent(&mut self, cms: &str, token: &str) -> Outcome<String> {
        let folder = self.folder.display();
        fs::write(self.folder.join("agent.toml"), format!("state_dir = \"{folder}/agent/state\"\nruntime_dir = \"{folder}/agent/run\"\n"))?;
        let enrolled = self.agent(&["enroll", "--cms", cms, "--token", token])?;
        let mut run = self.program("doorward-agent", "agent.toml");
        run.arg("run");
        let child = self.spawn("agent", &mut run)?;
        self.children.push(child);
        self.wait("the agent is connected", START_TIMEOUT, |site| {
            Ok(site.agent(&["status"]).ok().filter(|status| status["connected"] == true))
        })?;
        enrolled["host_id"].as_str().map(str::to_owned).ok_or_else(|| Failure::new("enroll printed no host id"))
    }

    /// A `doorward-cms --json` command.
    pub(crate) fn cms(&self, arguments: &[&str]) -> Outcome<Value> {
        self.ask("doorward-cms", "cms.toml", arguments)
    }

    /// A `doorward-agent --json` command.
    pub(crate) fn agent(&self, arguments: &[&str]) -> Outcome<Value> {
        self.ask("doorward-agent", "agent.toml", arguments)
    }

    /// Asks again and again until there is an answer, at most for so long; says how long it took.
    pub(crate) fn wait<T>(
        &mut self,
        what: &str,
        at_most: Duration,
        mut look: impl FnMut(&mut Self) -> Outcome<Option<T>>,
    ) -> Outcome<(T, Duration)> {
        let began = Instant::now();
        loop {
            if let Some(seen) = look(self)? {
                return Ok((seen, began.elapsed()));
            }
            if began.elapsed() > at_most {
                return Err(Failure::new(format!("waited {} s in vain until {what}", at_most.as_secs())));
            }
            if let Some(status) = self.children.iter_mut().find_map(|child| child.try_wait().ok().flatten()) {
                return Err(Failure::new(format!("a program of the site ended ({status}) before {what}")));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Keeps everything running until Enter is pressed.
    pub(crate) fn stay(&self, narrator: &Narrator) -> Outcome {
        let (binaries, folder) = (self.binaries.display(), self.folder.display());
        narrator.chapter("Yours to play with");
        narrator.say(&format!("{binaries}/doorward-cms --config {folder}/cms.toml allowlist show default"));
        narrator.say(&format!("{binaries}/doorward-cms --config {folder}/cms.toml incident list"));
        narrator.say(&format!("{binaries}/doorward-agent --config {folder}/agent.toml status"));
        narrator.say(&format!("{binaries}/doorward-agent --config {folder}/agent.toml why /bin/ls"));
        narrator.say("press Enter to end it and remove everything");
        let mut line = String::new();
        // Without a terminal there is no Enter: stay until somebody ends this process.
        if std::io::stdin().read_line(&mut line)? == 0 {
            loop {
                thread::park();
            }
        }
        Ok(())
    }

    /// Ends every program and removes the folder.
    pub(crate) fn close(&mut self) {
        self.janitor.clean();
        for child in &mut self.children {
            let _ = child.wait();
        }
    }

    /// The last lines of every program's log, for a person who has to find out what went wrong.
    pub(crate) fn show_logs(&self) {
        for name in ["ti", "cms", "agent"] {
            let log = fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- last lines of {name}.log");
            for line in &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..] {
                eprintln!("{line}");
            }
        }
    }

    fn program(&self, name: &str, config: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        command.arg("--config").arg(self.folder.join(config)).stdin(Stdio::null());
        command
    }

    fn ask(&self, program: &str, config: &str, arguments: &[&str]) -> Outcome<Value> {
        let output = self.program(program, config).arg("--json").args(arguments).output()?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::new(format!("{program} {}: {} ({})", arguments.join(" "), reason.trim(), output.status)));
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        let last = printed.trim().lines().last().unwrap_or("null");
        serde_json::from_str(last)
            .or_else(|_| serde_json::from_str(&printed))
            .map_err(|error| Failure::new(format!("{program} {} printed no JSON: {error}", arguments.join(" "))))
    }

    fn spawn(&self, name: &str, command: &mut Command) -> Outcome<Child> {
        let log = fs::File::create(self.folder.join(format!("{name}.log")))?;
        let child = command.stdin(Stdio::null()).stderr(log).spawn().map_err(|error| Failure::new(format!("{name}: {error}")))?;
        let mut pids = fs::OpenOptions::new().create(true).append(true).open(self.folder.join(PIDS))?;
        writeln!(pids, "{}", child.id())?;
        Ok(child)
    }
}

fn write_secret(path: &Path, secret: &str) -> Outcome {
    fs::write(path, secret)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}
