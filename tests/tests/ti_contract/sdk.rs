//! The vendor's SDK from PyPI in a folder that is kept between runs.
//!
//! Made on first use, by one test at a time, in a virtual environment or, where Python has none, a plain folder. Only
//! pip sees the environment as it is; the SDK is run without the variables that would bend its TLS and proxies.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// Pinned: the contract is with this release.
pub(crate) const VERSION: &str = "2.15.0";
const PACKAGE: &str = "reversinglabs-sdk-py3";
const INSTALL_DEADLINE: Duration = Duration::from_secs(300);
const PROBE_DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// Set on many machines; `requests` lets each of them win over what the SDK was told.
const BENDING_VARIABLES: [&str; 12] = [
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// An SDK that was imported once.
pub(crate) struct Sdk {
    python: PathBuf,
    /// The plain folder, when there is no virtual environment.
    modules: Option<PathBuf>,
}

/// Why there can be no SDK on this machine, to be said loudly: the package registry cannot be reached. Nothing else excuses it, or a
/// machine that could check the contract would pass without having done so.
pub(crate) type Unreachable = String;

/// What pip says when it did not get as far as asking the registry.
const NO_NETWORK: [&str; 8] = [
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "NameResolutionError",
    "ConnectTimeoutError",
    "Network is unreachable",
    "No route to host",
    "Connection refused",
    "Cannot connect to proxy",
];

impl Sdk {
    /// Finds or makes the folder. The inner error is a machine without a network; the outer one is a failure.
    pub(crate) fn installed() -> Result<Result<Self, Unreachable>> {
        let cache = cache();
        fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        let _lock = lock(&cache.join("venv-rl-sdk.lock"))?;
        let folder = cache.join("venv-rl-sdk");
        if let Some(sdk) = Self::found(&folder) {
            return Ok(Ok(sdk));
        }
        if !works(Command::new("python3").arg("--version")) {
            bail!("there is no python3, which the contract with the vendor's SDK needs; `cargo xtask test` installs it as root");
        }
        let made = match Self::in_environment(&folder)? {
            Some(made) => made,
            None => match Self::in_plain_folder(&folder)? {
                Some(made) => made,
                None => bail!("python3 has neither venv nor pip; `cargo xtask test` installs pip as root"),
            },
        };
        let sdk = match made {
            Ok(sdk) => sdk,
            Err(unreachable) => return Ok(Err(unreachable)),
        };
        ensure!(sdk.imports(), "{PACKAGE} {VERSION} was installed in {} but cannot be imported", folder.display());
        Ok(Ok(sdk))
    }

    /// A folder of another version, or of a Python that is gone, is as good as none.
    fn found(folder: &Path) -> Option<Self> {
        [Self::environment(folder), Self::plain(folder)].into_iter().find(Self::imports)
    }

    fn environment(folder: &Path) -> Self {
        Self { python: folder.join("bin/python"), modules: None }
    }

    fn plain(folder: &Path) -> Self {
        Self { python: "python3".into(), modules: Some(folder.join("site")) }
    }

    fn imports(&self) -> bool {
        let script = format!("import importlib.metadata as m, ReversingLabs.SDK.ticloud; assert m.version('{PACKAGE}') == '{VERSION}'");
        works(self.command().args(["-c", &script]))
    }

    /// `None` when this Python cannot make virtual environments, as Debian's without python3-venv.
    fn in_environment(folder: &Path) -> Result<Option<Result<Self, Unreachable>>> {
        remove(folder)?;
        if !works(Command::new("python3").args(["-m", "venv"]).arg(folder)) {
            return Ok(None);
        }
        let sdk = Self::environment(folder);
        Ok(Some(install(Command::new(&sdk.python).args(["-m", "pip"]), None)?.map(|()| sdk)))
    }

    /// `None` when there is no pip either.
    fn in_plain_folder(folder: &Path) -> Result<Option<Result<Self, Unreachable>>> {
        remove(folder)?;
        let sdk = Self::plain(folder);
        let module = || {
            let mut command = Command::new("python3");
            command.args(["-m", "pip"]);
            command
        };
        let mut pip = if works(module().arg("--version")) {
            module()
        } else if works(Command::new("pip3").arg("--version")) {
            Command::new("pip3")
        } else {
            return Ok(None);
        };
        Ok(Some(install(&mut pip, sdk.modules.as_deref())?.map(|()| sdk)))
    }

    /// Runs the script and reads the JSON it prints.
    pub(crate) fn run(&self, script: &Path, options: &[&str], deadline: Duration) -> Result<Value> {
        let finished = finish(self.command().arg(script).args(options), deadline)?;
        ensure!(finished.status.success(), "{} ended with {}:\n{}", script.display(), finished.status, finished.errors);
        serde_json::from_str(&finished.output)
            .with_context(|| format!("{} printed something else than JSON: {}", script.display(), finished.output))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        for variable in BENDING_VARIABLES {
            command.env_remove(variable);
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        match &self.modules {
            Some(modules) => command.env("PYTHONPATH", modules),
            None => command.env_remove("PYTHONPATH"),
        };
        command
    }
}

fn cache() -> PathBuf {
    let named = std::env::var_os("DOORWARD_TEST_CACHE").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/doorward"));
    named.or_else(home).unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into())
}

fn install(pip: &mut Command, target: Option<&Path>) -> Result<Result<(), Unreachable>> {
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    if let Some(target) = target {
        pip.arg("--target").arg(target);
    }
    let finished = finish(pip.arg(format!("{PACKAGE}=={VERSION}")), INSTALL_DEADLINE)?;
    if finished.status.success() {
        return Ok(Ok(()));
    }
    if let Some(sign) = NO_NETWORK.iter().find(|sign| finished.errors.contains(**sign)) {
        return Ok(Err(format!(
            "pip cannot reach the package registry ({sign}); it is needed once, or a DOORWARD_TEST_CACHE that has the SDK"
        )));
    }
    bail!("pip reaches the registry and could not install {PACKAGE} {VERSION}:\n{}", finished.errors)
}

/// Other tests wait here while one installs.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    let deadline = Instant::now() + 2 * INSTALL_DEADLINE;
    while let Err(error) = file.try_lock() {
        match error {
            fs::TryLockError::WouldBlock => {
                ensure!(Instant::now() < deadline, "{} is held for too long", path.display());
                std::thread::sleep(POLL);
            }
            fs::TryLockError::Error(error) => return Err(error).context("cannot lock the SDK's folder"),
        }
    }
    Ok(file)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn works(command: &mut Command) -> bool {
    finish(command, PROBE_DEADLINE).is_ok_and(|finished| finished.status.success())
}

struct Finished {
    status: ExitStatus,
    output: String,
    errors: String,
}

/// Runs to the end or the deadline. Output goes through files, so a talkative child cannot block on a full pipe.
fn finish(command: &mut Command, deadline: Duration) -> Result<Finished> {
    let (mut output, mut errors) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(errors.try_clone()?)
        .spawn()
        .with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let deadline = Instant::now() + deadline;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            bail!("{:?} did not end in time:\n{}", command.get_program(), read(&mut errors)?);
        }
        std::thread::sleep(POLL);
    };
    Ok(Finished { status, output: read(&mut output)?, errors: read(&mut errors)? })
}

fn read(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
