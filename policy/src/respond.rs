//! From a judgement to what the kernel is told. Apart from judging, so that changing the mode never changes a reason.

use serde::{Deserialize, Serialize};

use crate::{Judgement, Verdict};

/// How far the agent acts on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Watches nothing.
    Disabled,
    /// Watches and reports; never delays or denies.
    #[default]
    Detect,
    /// Denies what may not run.
    Protect,
}

/// What protect does with a file nothing settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnverifiedAction {
    /// Lets it run and reports it.
    Allow,
    /// Does not let it run.
    #[default]
    Deny,
    /// Waits for the CMS within the event's deadline.
    Hold,
}

/// What the kernel is told about an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// Let it run.
    Allow,
    /// EPERM.
    Deny,
    /// Keep it waiting for a verdict, within the event's deadline.
    Hold,
}

/// Turns a judgement into an answer. Denials hold during maintenance; only what nothing settles is let through then.
#[must_use]
pub const fn respond(mode: Mode, maintenance: bool, unverified: UnverifiedAction, judgement: Judgement) -> Response {
    match (mode, judgement.verdict) {
        (Mode::Disabled | Mode::Detect, _) | (Mode::Protect, Verdict::Allow) => Response::Allow,
        (Mode::Protect, Verdict::Deny) => Response::Deny,
        (Mode::Protect, Verdict::Undecided) if maintenance => Response::Allow,
        (Mode::Protect, Verdict::Undecided) => match unverified {
            UnverifiedAction::Allow => Response::Allow,
            UnverifiedAction::Deny => Response::Deny,
            UnverifiedAction::Hold => Response::Hold,
        },
    }
}
