//! `doorward-bench trust`: reading package databases beside their managers' own listings, checking every packaged file beside
//! `debsums -s`, and the memory that a generation of trust keeps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rusqlite::Connection;
use tempfile::TempDir;

use super::machine::Machine;
use super::measure::{Cache, Side, alternate, median, run};
use super::round::Outcome;
use super::{Figures, Row};

/// Packages of the rpm database that is made for the bench, and files of each: as many as a large workstation has.
const RPM_PACKAGES: usize = 2000;
const RPM_FILES: usize = 100;
const RPM_FOLDER: &str = "usr/lib/sysimage/rpm";

/// `debsums` takes minutes a round, so it runs no more often than this.
const DEBSUMS_ROUNDS_MAX: usize = 1;
/// Exit codes of `debsums` that mean it checked everything: 2 is "something does not match".
const DEBSUMS_DONE: [i32; 2] = [0, 2];

/// Every file of every package, as dpkg lists them.
const DPKG_LISTING: &str = "dpkg-query -W -f '${binary:Package}\\n' | xargs dpkg-query -L";

/// The command line of the bench.
#[derive(Debug, Clone, Args)]
pub struct TrustBench {
    /// Print one JSON object on the last line
    #[arg(long)]
    json: bool,
    /// Rounds of each side; medians are printed
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Figures to leave out: dpkg, rpm, verify
    #[arg(long, value_delimiter = ',')]
    skip: Vec<String>,
}

impl TrustBench {
    /// Measures and prints.
    ///
    /// # Errors
    /// When one of our own rounds fails, or a peer that is installed does not end well.
    pub fn run(&self) -> Result<()> {
        let mut figures = Figures { bench: "trust", machine: Machine::this(), rows: Vec::new() };
        figures
            .machine
            .notes
            .push(format!("medians of {} rounds, sides in alternating order, warm caches, every round a process", self.rounds));
        if self.wants("dpkg") {
            let mut peer = Command::new("sh");
            peer.args(["-c", DPKG_LISTING]);
            self.load(&mut figures, "dpkg", Path::new("/"), "dpkg-query -L of every package", Some(peer))?;
        }
        if self.wants("rpm") {
            match rpm_database()? {
                Some((root, peer)) => self.load(&mut figures, "rpm", root.path(), "rpm -qa --dump", Some(peer))?,
                None => eprintln!("SKIPPED: trust.load.rpm needs rpm, rpmbuild and root"),
            }
        }
        if self.wants("verify") {
            self.verify(&mut figures)?;
        }
        if self.json {
            println!("{}", serde_json::to_string(&figures)?);
        } else {
            print!("{figures}");
        }
        Ok(())
    }

    fn wants(&self, figure: &str) -> bool {
        !self.skip.iter().any(|skipped| skipped == figure)
    }

    /// Reads a database to a generation of trust, and the memory that keeps.
    fn load(&self, figures: &mut Figures, manager: &str, root: &Path, peer_name: &'static str, peer: Option<Command>) -> Result<()> {
        let (mut ours, mut theirs, mut last) = (Vec::new(), Vec::new(), Outcome::default());
        let mut peer = peer;
        alternate(self.rounds, |side| {
            match (side, &mut peer) {
                (Side::Ours, _) => {
                    let (seconds, outcome) = round("load", root)?;
                    ours.push(seconds);
                    last = outcome;
                }
                (Side::Peer, Some(peer)) => theirs.push(run(peer.stderr(Stdio::null()), Cache::Warm, &[0])?.seconds),
                (Side::Peer, None) => {}
            }
            Ok(())
        })?;
        figures.machine.notes.push(format!("trust.load.{manager}: {} packages, {} paths", last.candidates, last.files));
        let median_of_ours = median(&ours).context("no rounds")?;
        figures.rows.push(Row::cost(format!("trust.load.{manager}"), "s", median_of_ours, peer_name, median(&theirs)));
        ensure!(last.files > 0, "no paths in the database of {manager}");
        let memory = last.held_mib * 100_000.0 / last.files as f64;
        figures.rows.push(Row::alone(format!("trust.memory.{manager}"), "MiB", memory));
        Ok(())
    }

    /// Every packaged file of this host against its package.
    fn verify(&self, figures: &mut Figures) -> Result<()> {
        let has_peer = is_installed("debsums");
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        alternate(self.rounds, |side| {
            match side {
                Side::Ours => ours.push(round("verify", Path::new("/"))?.0),
                Side::Peer if has_peer && theirs.len() < DEBSUMS_ROUNDS_MAX => {
                    theirs.push(run(Command::new("debsums").arg("-s").stderr(Stdio::null()), Cache::Warm, &DEBSUMS_DONE)?.seconds);
                }
                Side::Peer => {}
            }
            Ok(())
        })?;
        figures.rows.push(Row::cost("trust.verify", "s", median(&ours).context("no rounds")?, "debsums -s", median(&theirs)));
        Ok(())
    }
}

/// One round of ours; seconds are the whole process's.
fn round(work: &str, root: &Path) -> Result<(f64, Outcome)> {
    let mut round = Command::new(std::env::current_exe()?);
    round.args(["round", work, "--root"]).arg(root).arg("--state").arg(root);
    let ran = run(&mut round, Cache::Warm, &[0])?;
    let outcome: Outcome = serde_json::from_slice(&ran.output).context("a round printed no outcome")?;
    eprintln!("{work}: {:.3} s, {:.1} MiB kept", ran.seconds, outcome.held_mib);
    Ok((ran.seconds, outcome))
}

/// A root with a database that rpm wrote one package to, and the listing of it: the others are copies of its header.
fn rpm_database() -> Result<Option<(TempDir, Command)>> {
    if !nix::unistd::geteuid().is_root() || !["rpm", "rpmbuild"].into_iter().all(is_installed) {
        return Ok(None);
    }
    let folder = TempDir::new()?;
    let package = build(folder.path())?;
    let database = folder.path().join(RPM_FOLDER);
    fs::create_dir_all(&database)?;
    let rpm = |arguments: &[&str]| {
        let mut rpm = Command::new("rpm");
        rpm.arg("--root").arg(folder.path()).args(["--dbpath", &format!("/{RPM_FOLDER}")]).args(arguments);
        rpm
    };
    run(&mut rpm(&["--initdb"]), Cache::Warm, &[0])?;
    run(&mut rpm(&["-i", "--justdb", "--nodeps", &package.to_string_lossy()]), Cache::Warm, &[0])?;
    let mut connection = Connection::open(database.join("rpmdb.sqlite"))?;
    let transaction = connection.transaction()?;
    for _ in 1..RPM_PACKAGES {
        transaction.execute("INSERT INTO Packages (blob) SELECT blob FROM Packages WHERE hnum = 1", [])?;
    }
    transaction.commit()?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let listing = rpm(&["-qa", "--dump"]);
    Ok(Some((folder, listing)))
}

fn build(folder: &Path) -> Result<PathBuf> {
    let spec = format!(
        "Name: many\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\nAutoReqProv: no\n%description\nd\n%install\n\
         mkdir -p %{{buildroot}}/usr/share/many\nfor i in $(seq {RPM_FILES}); do echo $i > %{{buildroot}}/usr/share/many/file-of-a-package-$i; done\n\
         %files\n/usr/share/many/*\n"
    );
    let file = folder.join("many.spec");
    fs::write(&file, spec)?;
    let top = folder.join("build");
    run(Command::new("rpmbuild").args(["-bb", "--define", &format!("_topdir {}", top.display())]).arg(&file), Cache::Warm, &[0])?;
    Ok(top.join("RPMS/noarch/many-1-1.noarch.rpm"))
}

fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
