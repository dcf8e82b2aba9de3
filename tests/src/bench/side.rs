//! Who watches a lab while something is measured in it.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use doorward_proto::uplink::CoverageKind;

use super::spent;
use crate::lab::{Fapolicyd, Lab, LabAgent, Process};
use crate::site::Site;

/// Whoever takes less than this in a pause has done what it does at its start, in microseconds of processor time.
const IDLE_US: f64 = 20_000.0;
const PAUSE: Duration = Duration::from_millis(500);
/// On a machine with much else to do, whoever hears of all of it is never idle.
const PAUSES_MAX: usize = 20;

/// One of those compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// Nobody.
    None,
    /// A listener that allows everything and asks the kernel to be quiet about each file from then on.
    Floor,
    /// Likewise, of opens too.
    FloorOpen,
    /// The agent, hearing of executions.
    Detect,
    /// The agent, asked about executions.
    Protect,
    /// The agent, asked about executions and opens.
    ProtectOpen,
    /// fapolicyd, asked about executions and opens, denying nothing.
    Fapolicyd,
}

impl Side {
    /// In tables and rows.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Floor => "floor",
            Self::FloorOpen => "floor_open",
            Self::Detect => "detect",
            Self::Protect => "protect",
            Self::ProtectOpen => "protect_open",
            Self::Fapolicyd => "fapolicyd",
        }
    }

    /// What it is, for whoever reads a row.
    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::None => "no agent",
            Self::Floor => "a listener that allows and sets an ignore mark",
            Self::FloorOpen => "a listener that allows executions and opens and sets an ignore mark",
            Self::Detect => "the agent in detect",
            Self::Protect => "the agent in protect",
            Self::ProtectOpen => "the agent in protect, with exec+open",
            Self::Fapolicyd => "fapolicyd, permissive, sample rules, all of /usr trusted",
        }
    }
}

/// A lab and who can watch it.
pub(super) struct Watched<'a> {
    pub(super) lab: &'a Lab,
    pub(super) site: &'a Site,
    pub(super) agent: LabAgent<'a>,
}

/// Who watches now; ended by [`Watched::nobody`].
pub(super) enum Watcher {
    Nobody,
    Floor(Process),
    Agent(u32),
    Fapolicyd(Fapolicyd),
}

impl Watched<'_> {
    /// Begins, with everybody's memory empty.
    pub(super) fn by(&mut self, side: Side) -> Watcher {
        match side {
            Side::None => Watcher::Nobody,
            Side::Floor => Watcher::Floor(self.lab.floor(false)),
            Side::FloorOpen => Watcher::Floor(self.lab.floor(true)),
            Side::Detect | Side::Protect | Side::ProtectOpen => {
                let mode = if side == Side::Detect { "detect" } else { "protect" };
                let coverage = if side == Side::ProtectOpen { CoverageKind::ExecAndOpen } else { CoverageKind::Exec };
                self.agent.restart_knowing_nothing(self.site, mode, coverage);
                Watcher::Agent(self.agent.pid())
            }
            Side::Fapolicyd => Watcher::Fapolicyd(self.lab.fapolicyd()),
        }
    }

    /// Ends whoever watched. None of them holds anything up by going.
    pub(super) fn nobody(&mut self, watcher: Watcher) {
        if let Watcher::Agent(_) = watcher {
            self.agent.kill();
        }
        drop(watcher);
    }
}

impl Watcher {
    /// Waits until what it does at its start is done.
    pub(super) fn wait_until_idle(&self) -> Result<()> {
        let mut before = self.processor_us()?;
        for _ in 0..PAUSES_MAX {
            thread::sleep(PAUSE);
            let now = self.processor_us()?;
            if now - before < IDLE_US {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// Microseconds of processor time so far.
    pub(super) fn processor_us(&self) -> Result<f64> {
        match self {
            Self::Nobody => Ok(0.0),
            Self::Floor(process) => spent::processor_us(process.pid()),
            Self::Agent(pid) => spent::processor_us(*pid),
            Self::Fapolicyd(fapolicyd) => spent::processor_us(fapolicyd.pid()),
        }
    }
}
