//! `doorward-bench exec`: what executing, opening and building cost while somebody watches, beside what they cost while nobody does,
//! beside the least that can hold executions, and beside fapolicyd; and what the agent itself takes.
//!
//! Everything happens in a lab, since most sides hold executions. One side watches at a time; each begins knowing nothing.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;

use super::machine::{Machine, load};
use super::measure::{in_turn, median};
use super::side::{Side, Watched, Watcher};
use super::{Figures, Row, project, spent};
use crate::lab::{Lab, Repetition, Task};
use crate::site::{Site, sha256, unheard_of};

/// Programs of one package that are started for the first time, and later in turn.
const PROGRAMS: u32 = 300;
/// Length of each, that of a middling system program.
const PROGRAM_BYTES: usize = 100 * 1024;
/// Starts or rounds of starts in one measurement.
const STARTS: u32 = 300;
/// Opens in one measurement.
const OPENS: u32 = 50_000;
/// Measurements of one figure while one side watches; of the first starts and the build there is one.
const REPEATS: usize = 5;
/// How long the agent is left alone to see what it takes when nothing happens.
const IDLE: Duration = Duration::from_secs(20);
/// Whoever starts, opens and builds.
const USER: u32 = 1000;
const SYSTEM_PROGRAM: &str = "/usr/bin/true";
const SYSTEM_FILE: &str = "/usr/bin/dpkg";
const USER_FOLDER: &str = "/home/bench";
const USER_PROGRAM: &str = "/home/bench/own";

/// The command line of the bench.
#[derive(Debug, Clone, Args)]
pub struct ExecBench {
    /// Print one JSON object on the last line
    #[arg(long)]
    json: bool,
    /// How often each side watches; medians are printed
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Figures to leave out: first, distinct, warm, warm_user, open, build, agent
    #[arg(long, value_delimiter = ',')]
    skip: Vec<String>,
    /// Sides to leave out: floor, floor_open, detect, protect_open, fapolicyd
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
}

/// One figure's measurements while one side watched.
#[derive(Debug, Default)]
struct Measured {
    /// Microseconds on the clock, of one thing.
    clock: Vec<f64>,
    /// Microseconds on processors, of one thing, by whoever does it.
    load: Vec<f64>,
    /// Likewise, by whoever watches.
    watcher: Vec<f64>,
}

/// Measurements under way.
struct Bench<'a> {
    options: &'a ExecBench,
    programs: Vec<String>,
    measured: BTreeMap<(&'static str, Side), Measured>,
    /// Microseconds to digest one of the programs.
    digest: Vec<f64>,
    figures: Figures,
}

impl ExecBench {
    /// Measures and prints.
    ///
    /// # Errors
    /// When no lab can be made, or something in it does not end well.
    pub fn run(&self) -> Result<()> {
        let lab = Lab::debian().map_err(|reason| anyhow!("nothing is measured, because {reason}"))?;
        let mut notes = vec![format!("load average when it began: {}", load())];
        let has_compiler = installed(&lab, &["gcc", "libc6-dev", "make"], "build", &mut notes);
        let mut has_fapolicyd = self.has(Side::Fapolicyd) && installed(&lab, &["fapolicyd"], "every row's fapolicyd", &mut notes);
        let programs = lab.install_programs("bench", "usr/lib/bench", &padded(), PROGRAMS);
        let own = unheard_of("of a user's own");
        lab.add_program(USER_PROGRAM, &own);
        lab.must(&["chown", "-R", &format!("{USER}:{USER}"), USER_FOLDER]);
        if has_compiler {
            project::write(&lab, USER);
        }
        if has_fapolicyd && let Err(error) = lab.set_up_fapolicyd(USER_FOLDER) {
            notes.push(format!("SKIPPED: every row's fapolicyd, because it could not be set up: {error}"));
            has_fapolicyd = false;
        }
        let site = Site::start();
        let agent = lab.agent(&site);
        agent.decided(&site, "allow", &sha256(&own), USER_PROGRAM);
        let figures = Figures { bench: "exec", machine: Machine { notes, ..Machine::this() }, rows: Vec::new() };
        let mut bench = Bench { options: self, programs, measured: BTreeMap::new(), digest: Vec::new(), figures };
        let mut watched = Watched { lab: &lab, site: &site, agent };
        watched.agent.kill();
        let wanted = |side: &Side| match side {
            Side::None | Side::Protect => true,
            Side::Fapolicyd => has_fapolicyd,
            Side::Floor | Side::FloorOpen | Side::Detect | Side::ProtectOpen => self.has(*side),
        };
        let all = [Side::None, Side::Floor, Side::FloorOpen, Side::Detect, Side::Protect, Side::ProtectOpen, Side::Fapolicyd];
        let sides: Vec<_> = all.into_iter().filter(wanted).collect();
        in_turn(&sides, self.rounds, |side| bench.side(&mut watched, side, has_compiler))?;
        if self.wants("agent") {
            bench.agent(&mut watched)?;
        }
        bench.conclude();
        println!("{}{}", bench.table(&sides), bench.figures);
        if self.json {
            println!("{}", serde_json::to_string(&bench.figures)?);
        }
        Ok(())
    }

    fn wants(&self, figure: &str) -> bool {
        !self.skip.iter().any(|skipped| skipped == figure)
    }

    fn has(&self, side: Side) -> bool {
        !self.without.iter().any(|left_out| left_out == side.word())
    }
}

impl Bench<'_> {
    /// Everything, once, while one side watches.
    fn side(&mut self, watched: &mut Watched<'_>, side: Side, has_compiler: bool) -> Result<()> {
        eprintln!("measuring while {} watches", side.word());
        let lab = watched.lab;
        let programs = self.programs.clone();
        // In the kernel's cache for every side alike.
        let digest = lab.repeat(0, Task::Digest, 1, &programs);
        self.digest.push(each_us(&digest));
        let watcher = watched.by(side);
        watcher.wait_until_idle()?;
        let start = |rounds, paths: &[String]| lab.repeat(USER, Task::Start, rounds, paths);
        let (system, own) = ([SYSTEM_PROGRAM.to_owned()], [USER_PROGRAM.to_owned()]);
        if self.options.wants("first") {
            self.measure("exec.first", side, &watcher, || start(1, &programs))?;
        }
        if self.options.wants("distinct") {
            let _ = start(1, &programs);
            self.repeatedly("exec.distinct", side, &watcher, || start(1, &programs))?;
        }
        if self.options.wants("warm") {
            let _ = start(STARTS / 10, &system);
            self.repeatedly("exec.warm", side, &watcher, || start(STARTS, &system))?;
        }
        if self.options.wants("warm_user") {
            let _ = start(STARTS / 10, &own);
            self.repeatedly("exec.warm_user", side, &watcher, || start(STARTS, &own))?;
        }
        if self.options.wants("open") {
            let open = |rounds| lab.repeat(USER, Task::Open, rounds, &[SYSTEM_FILE]);
            let _ = open(OPENS / 10);
            self.repeatedly("open.warm", side, &watcher, || open(OPENS))?;
        }
        if has_compiler && self.options.wants("build") {
            let _ = start(1, &[project::COMPILE.to_owned()]);
            self.measure("build", side, &watcher, || start(1, &[project::BUILD.to_owned()]))?;
        }
        if let Watcher::Fapolicyd(fapolicyd) = &watcher {
            let complaints = fapolicyd.complaints();
            let denials = complaints.lines().filter(|line| line.contains("dec=deny")).count();
            self.note(format!("fapolicyd would have denied {denials} times; its last words: {}", complaints.lines().last().unwrap_or("-")));
        }
        watched.nobody(watcher);
        Ok(())
    }

    fn repeatedly(&mut self, name: &'static str, side: Side, watcher: &Watcher, work: impl Fn() -> Repetition) -> Result<()> {
        (0..REPEATS).try_for_each(|_| self.measure(name, side, watcher, &work))
    }

    fn measure(&mut self, name: &'static str, side: Side, watcher: &Watcher, work: impl Fn() -> Repetition) -> Result<()> {
        let before = watcher.processor_us()?;
        let done = work();
        let watcher_us = watcher.processor_us()? - before;
        let measured = self.measured.entry((name, side)).or_default();
        measured.clock.push(each_us(&done));
        measured.load.push(done.processor_us as f64 / done.count as f64);
        measured.watcher.push(watcher_us / done.count as f64);
        Ok(())
    }

    /// What the agent takes when it protects and nothing happens, after it had something to do.
    fn agent(&mut self, watched: &mut Watched<'_>) -> Result<()> {
        eprintln!("leaving the agent alone for {} s", IDLE.as_secs());
        let watcher = watched.by(Side::Protect);
        watcher.wait_until_idle()?;
        let _ = watched.lab.repeat(USER, Task::Start, 1, &self.programs);
        let before = watcher.processor_us()?;
        thread::sleep(IDLE);
        let processor_ms = (watcher.processor_us()? - before) / 1000.0;
        let memory = spent::memory(watched.agent.pid())?;
        let status = watched.agent.status();
        self.note(format!("agent.*: in protect, after {PROGRAMS} first starts; failures it counted: {}", status["failures"]));
        watched.nobody(watcher);
        self.figures.rows.push(Row::alone("agent.memory", "MiB", memory.now));
        self.figures.rows.push(Row::alone("agent.memory_peak", "MiB", memory.peak));
        self.figures.rows.push(Row::alone("agent.cpu", "ms/20s", processor_ms));
        Ok(())
    }

    /// Rows, in which protect, with either coverage, is ours and every other side a peer.
    fn conclude(&mut self) {
        let mut rows = Vec::new();
        for name in FIGURES {
            let Some(ours) = self.clock(name, Side::Protect) else { continue };
            let none = self.clock(name, Side::None);
            rows.push(Row::cost(name, "us", ours, Side::None.description(), none));
            let busy = self.busy(name, Side::Protect).unwrap_or_default();
            rows.push(Row::cost(format!("{name}.cpu"), "us", busy, Side::None.description(), self.busy(name, Side::None)));
            if let Some(detect) = self.clock(name, Side::Detect) {
                rows.push(Row::cost(format!("{name}.detect"), "us", detect, Side::None.description(), none));
            }
            for peer in [Side::Floor, Side::Fapolicyd] {
                rows.push(Row::cost(format!("{name}.{}", peer.word()), "us", ours, peer.description(), self.clock(name, peer)));
            }
            if let Some(open) = self.clock(name, Side::ProtectOpen) {
                let row =
                    |peer: Side, suffix| Row::cost(format!("{name}.{suffix}"), "us", open, peer.description(), self.clock(name, peer));
                rows.push(row(Side::None, "exec+open"));
                rows.push(row(Side::FloorOpen, "exec+open.floor"));
                rows.push(row(Side::Fapolicyd, "exec+open.fapolicyd"));
            }
            if name == "exec.first" {
                let added = ours - none.unwrap_or_default();
                rows.push(Row::cost("exec.first.added", "us", added, "digesting the same file", median(&self.digest)));
            }
        }
        rows.append(&mut self.figures.rows);
        self.figures.rows = rows;
        self.note(format!(
            "each side watched {} time(s), in alternating order, and began knowing nothing; {REPEATS} measurements each time but for \
             exec.first and build, of which there is one; everything by user {USER}, in the lab's control group",
            self.options.rounds
        ));
        self.note("NAME.cpu: processor time of the load and of the agent together".to_owned());
        self.note("NAME.exec+open: protect with that coverage, beside nobody, a listener to opens too, and fapolicyd".to_owned());
        self.note(format!("load average when it ended: {}", load()));
    }

    fn clock(&self, name: &'static str, side: Side) -> Option<f64> {
        median(&self.measured.get(&(name, side))?.clock)
    }

    /// Processor time of both; that of the watcher comes in ticks, so it is the mean.
    fn busy(&self, name: &'static str, side: Side) -> Option<f64> {
        let measured = self.measured.get(&(name, side))?;
        Some(median(&measured.load)? + mean(&measured.watcher))
    }

    /// Everything measured, side by side.
    fn table(&self, sides: &[Side]) -> String {
        let mut lines = vec![format!(
            "{:<16} {:<12} {:>12} {:>12} {:>8} {:>12} {:>12}  us of one",
            "figure", "side", "median", "fastest", "of none", "load's cpu", "watcher's"
        )];
        for name in FIGURES {
            for side in sides {
                let Some(measured) = self.measured.get(&(name, *side)) else { continue };
                let clock = median(&measured.clock).unwrap_or_default();
                let fastest = measured.clock.iter().copied().fold(f64::INFINITY, f64::min);
                let ratio = self.clock(name, Side::None).map_or(0.0, |none| clock / none);
                let (load, watcher) = (median(&measured.load).unwrap_or_default(), mean(&measured.watcher));
                lines.push(format!(
                    "{name:<16} {:<12} {clock:>12.2} {fastest:>12.2} {ratio:>8.3} {load:>12.2} {watcher:>12.2}",
                    side.word()
                ));
            }
        }
        lines.join("\n") + "\n\n"
    }

    fn note(&mut self, note: String) {
        self.figures.machine.notes.push(note);
    }
}

/// In the order in which they are measured and printed.
const FIGURES: [&str; 6] = ["exec.first", "exec.distinct", "exec.warm", "exec.warm_user", "open.warm", "build"];

fn each_us(done: &Repetition) -> f64 {
    done.took_ns as f64 / 1000.0 / done.count as f64
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len().max(1) as f64
}

/// A program that does nothing, with as much behind it as makes it middling.
fn padded() -> Vec<u8> {
    let mut bytes = unheard_of("of a bench");
    let digest = sha256(&bytes).to_string().into_bytes();
    bytes.extend(digest.into_iter().cycle().take(PROGRAM_BYTES.saturating_sub(bytes.len())));
    bytes
}

/// Installs packages in the lab; false, loudly, when they cannot be had.
fn installed(lab: &Lab, packages: &[&str], what: &str, notes: &mut Vec<String>) -> bool {
    let outcome = lab.apt_install(packages);
    if let Err(error) = &outcome {
        eprintln!("SKIPPED: {what}: {error}");
        notes.push(format!("SKIPPED: {what}, because {} cannot be installed in the lab: {error}", packages.join(" ")));
    }
    outcome.is_ok()
}
