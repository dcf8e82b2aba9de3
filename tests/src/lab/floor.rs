//! The least that can hold executions: everything is allowed, and the kernel is asked not to tell of the same file again. What an agent
//! costs beyond this is its own doing.

use std::fs::File;
use std::os::fd::AsFd;

use anyhow::Result;
use doorward_agent::system::group::{Answer, Class, EventBuffer, Group, Quiet};
use doorward_proto::uplink::CoverageKind;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What it prints when it holds executions.
pub(super) const READY: &str = "ready";

/// Holds executions, or executions and opens, on the file system of the lab's root and lets all of them go, until it is killed.
pub(super) fn run(coverage: CoverageKind) -> Result<()> {
    let group = Group::new(Class::Permission, coverage)?;
    group.watch_filesystem_of(File::open("/")?.as_fd())?;
    println!("{READY}");
    let (mut buffer, mut events) = (EventBuffer::default(), Vec::with_capacity(EventBuffer::EVENTS_MAX));
    loop {
        poll(&mut [PollFd::new(group.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        group.read(&mut buffer, &mut events)?;
        for event in events.drain(..) {
            let is_held = event.is_held();
            let Some(file) = event.file else { continue };
            if is_held {
                group.answer(file.as_fd(), Answer::Allow)?;
                // Where somebody has it open for writing, the next execution is told of too.
                let _ = group.ignore(file.as_fd(), Quiet::Everything);
            }
        }
    }
}
