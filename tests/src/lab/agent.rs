//! The real agent inside a lab, enrolled with a real CMS outside over loopback.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use doorward_policy::Sha256;
use doorward_proto::uplink::CoverageKind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::process::COMMAND_LIMIT;
use super::root::Lab;
use super::warden::{Warden, has_marks, holds_executions, holds_opens, ignores};
use crate::site::{Program, Site, answer, configuration, eventually, eventually_within, path};

const PROGRAM: &str = "/usr/sbin/doorward-agent";
const CONFIG: &str = "/etc/doorward/agent.toml";
const LOUD_CONFIG: &str = "/etc/doorward/loud.toml";
/// What it knows of files it has read.
const IDENTITIES: &str = "/var/lib/doorward-agent/identity";
/// Longest between the settings' publication and the first execution that is held.
const PROTECT_DEADLINE: Duration = Duration::from_secs(30);

/// An agent in a lab; killed when dropped. It is a package of the lab, so it may itself be executed.
pub struct LabAgent<'a> {
    lab: &'a Lab,
    id: String,
    /// Goes before the agent, so that it never watches a stranger's process.
    warden: Option<Warden>,
    program: Option<Program>,
}

impl Lab {
    /// Installs the agent as a package, enrolls it, starts it and waits until it is connected.
    ///
    /// # Panics
    /// When a filesystem of the machine can be seen from inside, or the agent does not come up.
    #[must_use]
    pub fn agent(&self, site: &Site) -> LabAgent<'_> {
        let program = std::fs::read(path("doorward-agent")).expect("the agent is built");
        self.install("doorward-agent", &[(PROGRAM.trim_start_matches('/'), &program)]);
        self.configure(CONFIG, "");
        let mut agent = LabAgent { lab: self, id: String::new(), warden: None, program: None };
        let enrolled = agent.ask(&["enroll", "--cms", &site.url(), "--token", &site.token()]).expect("the agent enrolls");
        agent.id = enrolled["host_id"].as_str().expect("enroll prints the host id").to_owned();
        agent.run();
        eventually("the agent in the lab is connected", || agent.ask(&["status"]).ok().filter(|status| status["connected"] == true));
        agent
    }

    /// Writes a configuration for the agent; the only place that does.
    ///
    /// SECURITY: without its control group, the agent would judge, and end, processes of the machine.
    fn configure(&self, path: &str, more: &str) {
        let config = configuration("/var/lib/doorward-agent", "/run/doorward-agent", "/");
        let config = format!("{config}[watch]\ncontrol_group = \"{}\"\n{more}", self.control_group());
        self.write(path, config.as_bytes(), "600");
    }
}

/// Becomes the program it is given after it had the kernel answer `fanotify_init(FAN_CLASS_CONTENT, ..)` with EINVAL: loads the call's
/// number and, where that is the one, the lower half of its first argument.
const WITHOUT_PERMISSION_GROUPS: &str = r#"
import ctypes, os, platform, struct, sys
number = {"x86_64": 300, "aarch64": 262}[platform.machine()]
steps = [(0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, 16), (0x45, 0, 1, 4), (0x06, 0, 0, 0x00050016), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
if ctypes.CDLL(None, use_errno=True).prctl(22, 2, program, 0, 0) != 0:
    sys.exit("no filter: %s" % os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
"#;

impl LabAgent<'_> {
    /// Starts the agent and waits for nothing.
    ///
    /// # Panics
    /// When a filesystem of the machine can be seen from inside.
    pub fn run(&mut self) {
        self.lab.assert_apart();
        let mut command = self.lab.entering(None);
        command.args(["exec", "--", PROGRAM, "--config", CONFIG, "run"]);
        let program = Program::spawn_command("doorward-agent", command, self.log_file());
        self.warden = Some(Warden::watch(program.pid()));
        self.program = Some(program);
    }

    /// Starts it where the kernel refuses groups that may hold executions, as kernels built without them do: a filter on the call that
    /// makes one stands in for such a kernel. Waits for nothing.
    ///
    /// # Panics
    /// As [`LabAgent::run`].
    pub fn run_where_nothing_can_be_held(&mut self) {
        self.lab.assert_apart();
        let mut entering = self.lab.entering(None);
        entering.args(["exec", "--", PROGRAM, "--config", CONFIG, "run"]);
        let mut command = Command::new("python3");
        command.args(["-c", WITHOUT_PERMISSION_GROUPS]).arg(entering.get_program()).args(entering.get_args());
        for (name, value) in entering.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let program = Program::spawn_command("doorward-agent", command, self.log_file());
        self.warden = Some(Warden::watch(program.pid()));
        self.program = Some(program);
    }

    /// Starts the agent with everything logged that can be, standard error being `target`, and waits for nothing.
    ///
    /// # Panics
    /// As [`LabAgent::run`].
    pub fn run_logging_to(&mut self, target: Stdio) {
        self.lab.assert_apart();
        self.lab.configure(LOUD_CONFIG, "[log]\nfilter = \"trace\"\n");
        let mut command = self.lab.entering(None);
        command.args(["exec", "--", PROGRAM, "--config", LOUD_CONFIG, "run"]);
        let program = Program::spawn_complaining_to("doorward-agent", command, self.log_file(), target);
        self.warden = Some(Warden::watch(program.pid()));
        self.program = Some(program);
    }

    /// Starts the agent with everything logged that can be, as a service whose standard error the journal collects, and waits for nothing.
    ///
    /// # Panics
    /// As [`LabAgent::run`].
    pub fn run_logging_to_journal(&mut self) {
        self.lab.assert_apart();
        self.lab.configure(LOUD_CONFIG, "[log]\nfilter = \"trace\"\n");
        let target = fs::File::create(self.log_file()).expect("a file for what is not logged");
        let about = target.metadata().expect("a file of ours");
        let stream = format!("JOURNAL_STREAM={}:{}", about.dev(), about.ino());
        let mut command = self.lab.entering(None);
        command.args(["exec", "--", "/usr/bin/env", &stream, PROGRAM, "--config", LOUD_CONFIG, "run"]);
        let program = Program::spawn_complaining_to("doorward-agent", command, self.log_file(), target.into());
        self.warden = Some(Warden::watch(program.pid()));
        self.program = Some(program);
    }

    /// Where it logs, unless told otherwise.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.lab.folder().join("agent.log")
    }

    /// Its threads of this name, as `/proc` has it.
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn threads(&self, name: &str) -> Vec<i32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("a running agent").flatten();
        let named = tasks.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name));
        named.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
    }

    /// Publishes protect for the profile, with what happens to files nothing settles (`allow`, `deny` or `hold`), and waits until the
    /// agent holds executions.
    ///
    /// # Panics
    /// When it never does.
    pub fn protects(&self, site: &Site, unverified_action: &str) {
        let action = format!("unverified_action={unverified_action}");
        let _ = site.cms_says(&["profile", "set", "default", "mode=protect", &action]);
        let _ = site.cms_says(&["profile", "publish", "default"]);
        let pid = self.pid();
        eventually_within(PROTECT_DEADLINE, "the agent protects: it has a permission mark", || holds_executions(pid).then_some(()));
        eventually_within(PROTECT_DEADLINE, "the agent says that it protects", || {
            self.ask(&["status"]).ok().filter(|status| status["mode"] == "protect")
        });
    }

    /// As [`LabAgent::protects`], with opens covered too.
    ///
    /// # Panics
    /// When it never does.
    pub fn protects_opens(&self, site: &Site, unverified_action: &str) {
        let _ = site.cms_says(&["profile", "set", "default", "coverage=exec_and_open"]);
        self.protects(site, unverified_action);
        eventually_within(PROTECT_DEADLINE, "the agent holds opens", || self.holds_opens().then_some(()));
        assert_eq!(self.status()["watches"], "exec_and_open");
    }

    /// Whether it holds opens, as the kernel has it.
    #[must_use]
    pub fn holds_opens(&self) -> bool {
        holds_opens(self.pid())
    }

    /// Starts it anew as on a host that has never seen a file, and waits until it works in this mode, `detect` or `protect`, with this coverage.
    ///
    /// # Panics
    /// When it never does.
    pub fn restart_knowing_nothing(&mut self, site: &Site, mode: &str, coverage: CoverageKind) {
        self.kill();
        self.lab.must(&["rm", "-rf", IDENTITIES]);
        let has_opens = coverage == CoverageKind::ExecAndOpen;
        let coverage = if has_opens { "coverage=exec_and_open" } else { "coverage=exec" };
        let _ = site.ask(&["profile", "set", "default", &format!("mode={mode}"), "unverified_action=allow", coverage]);
        let _ = site.ask(&["profile", "publish", "default"]);
        self.run();
        eventually_within(PROTECT_DEADLINE, &format!("the agent works in {mode}"), || {
            let status = self.ask(&["status"]).ok()?;
            let holds = (self.holds_executions(), self.holds_opens());
            let is_watching = has_marks(self.pid()) && holds == (mode == "protect", mode == "protect" && has_opens);
            (status["mode"] == mode && status["connected"] == true && is_watching).then_some(())
        });
    }

    /// Whether it holds executions, as the kernel has it.
    #[must_use]
    pub fn holds_executions(&self) -> bool {
        holds_executions(self.pid())
    }

    /// Whether the kernel no longer tells it of executions of the file at this path.
    ///
    /// # Panics
    /// When there is no such file.
    #[must_use]
    pub fn ignores(&self, path: &str) -> bool {
        let ended = self.lab.run(&["stat", "-c", "%i", path]);
        ignores(self.pid(), ended.stdout.trim().parse().expect("a file has an inode number"))
    }

    /// The agent's process.
    ///
    /// # Panics
    /// When it was killed.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.program.as_ref().expect("the agent runs").pid()
    }

    /// Sends the agent a signal.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).expect("a process id")), signal).expect("a child can be signalled");
    }

    /// Whether it still runs; a stopped one does.
    ///
    /// # Panics
    /// When it was killed by [`LabAgent::kill`].
    pub fn is_running(&mut self) -> bool {
        self.program.as_mut().expect("the agent was started").is_running()
    }

    /// kill -9 of the agent.
    pub fn kill(&mut self) {
        self.warden = None;
        if let Some(program) = self.program.take() {
            program.kill();
        }
    }

    /// The id the CMS gave it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Everything it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.program.as_ref().map(Program::log).unwrap_or_default()
    }

    /// `doorward-agent why`.
    ///
    /// # Panics
    /// When it has no answer.
    #[must_use]
    pub fn why(&self, path: &str) -> Value {
        self.ask(&["why", path]).expect("why has an answer")
    }

    /// Waits until the agent's judgement of a path is this row.
    ///
    /// # Panics
    /// When it never is.
    #[must_use]
    pub fn judged(&self, path: &str, row: &str) -> Value {
        eventually(&format!("{path} is judged by {row}"), || Some(self.why(path)).filter(|why| why["judgement"]["row"] == row))
    }

    /// `doorward-agent status`.
    ///
    /// # Panics
    /// When the daemon does not answer.
    #[must_use]
    pub fn status(&self) -> Value {
        self.ask(&["status"]).expect("the daemon answers")
    }

    /// A `doorward-agent --json` command inside the lab; an error is what it said on standard error.
    ///
    /// # Errors
    /// What the command said when it failed.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value, String> {
        let mut command = vec![PROGRAM, "--config", CONFIG, "--json"];
        command.extend(arguments);
        let mut process = self.lab.spawn(&command);
        let ended = process.within(COMMAND_LIMIT).ok_or_else(|| format!("doorward-agent {} did not end", arguments.join(" ")))?;
        answer(ended.status, &ended.stdout, &ended.stderr)
    }

    /// A reference scan the CMS asks for, to its end; its last progress.
    ///
    /// # Panics
    /// When it does not end well.
    #[must_use]
    pub fn reference_scan(&self, site: &Site) -> Value {
        site.cms_says(&["profile", "scan", "default", "--host", &self.id, "--wait"])
    }

    /// Denies or allows a file for everybody, and waits until the agent knows.
    ///
    /// # Panics
    /// When it never does.
    pub fn decided(&self, site: &Site, decision: &str, file: &Sha256, path: &str) {
        let _ = site.cms_says(&["file", decision, &file.to_string(), "--profile", "default", "--comment", "a test"]);
        let row = if decision == "allow" { "allowed_by_person" } else { "denied_by_person" };
        let _ = self.judged(path, row);
    }
}
