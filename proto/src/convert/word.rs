//! Enums, member by member. Nothing has a catch-all: a member added on either side does not compile until it is placed here, and one
//! that arrives unknown is refused where it stands. The only exception is a verdict's decision, which is then undecided.

use doorward_policy::{FileKind, Fit, Flaw, Level, Mode, PackageManager, Signing, Status, UnverifiedAction};

use super::{ConvertError, field};
use crate::report::{ClosureEvent, Fate};
use crate::uplink::{CoverageKind, ScanState, VerdictDecision};
use crate::v1;

/// Gives an enum both directions: `From` outwards, and a reader of raw numbers for inwards.
macro_rules! words {
    ($read:ident: $domain:ident <-> $wire:ident { $($member:ident),+ $(,)? }) => {
        impl From<$domain> for v1::$wire {
            fn from(value: $domain) -> Self {
                match value { $($domain::$member => Self::$member),+ }
            }
        }

        pub(super) fn $read(name: &'static str, raw: i32) -> Result<$domain, ConvertError> {
            field::word(name, raw, |word| match word {
                v1::$wire::Unspecified => None,
                $(v1::$wire::$member => Some($domain::$member)),+
            })
        }
    };
}

words!(file_kind: FileKind <-> FileKind { ElfExecutable, ElfLibrary, Script, Pe, Jar, KernelModule, PythonBytecode });
words!(package_manager: PackageManager <-> PackageManager { Dpkg, Rpm });
words!(level: Level <-> Level { Database, Signed });
words!(fit: Fit <-> Fit { Match, Modified, NoDigest, Compiled });
words!(signing: Signing <-> Signing { Authenticode, Jar, KernelModule, Ima, Pgp });
words!(flaw: Flaw <-> Flaw {
    Altered, BadSignature, Weak, Incomplete, Ambiguous, Malformed, Unsupported, TooLarge, Unread, UnknownKey, WrongUse, NoAnchor, BrokenChain,
    NotYetValid, Expired,
});
words!(fate: Fate <-> Fate { Ran, Refused, Killed });
words!(closure_event: ClosureEvent <-> ClosureEvent { Changed, FileDenyOverridden, PackageDenyOverridden, PublisherDenyOverridden });
words!(status: Status <-> Status { Threat, Safe, Unverified });
words!(mode: Mode <-> Mode { Disabled, Detect, Protect });
words!(coverage_kind: CoverageKind <-> CoverageKind { Exec, ExecAndOpen });
words!(unverified_action: UnverifiedAction <-> UnverifiedAction { Allow, Deny, Hold });
words!(scan_state: ScanState <-> ScanState { Running, Done, Stopped, Failed });

impl From<VerdictDecision> for v1::VerdictDecision {
    fn from(value: VerdictDecision) -> Self {
        match value {
            VerdictDecision::Undecided => Self::Undecided,
            VerdictDecision::Allow => Self::Allow,
            VerdictDecision::Deny => Self::Deny,
        }
    }
}

/// SECURITY: a decision this program does not know must not stop the threat that comes with it, and must never let anything run.
pub(super) fn verdict_decision(raw: i32) -> VerdictDecision {
    match v1::VerdictDecision::try_from(raw) {
        Ok(v1::VerdictDecision::Allow) => VerdictDecision::Allow,
        Ok(v1::VerdictDecision::Deny) => VerdictDecision::Deny,
        Ok(v1::VerdictDecision::Unspecified | v1::VerdictDecision::Undecided) | Err(_) => VerdictDecision::Undecided,
    }
}
