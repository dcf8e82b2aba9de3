//! What stands in the stream's messages, apart from reports and policies.

use bytes::Bytes;
use doorward_policy::interpreter::INTERPRETER_BYTES_MAX;
use doorward_policy::{ScanId, Sha256};
use uuid::Uuid;

use super::{ConvertError, Fault, cut, field, word};
use crate::limit::{
    ARCHIVE_KEYS_MAX, CAPABILITIES_MAX, EXCLUSIONS_MAX, INTERPRETERS_MAX, NAME_BYTES_MAX, SCAN_ROOTS_MAX, SENTENCE_BYTES_MAX,
    THREAT_SCORE_MAX, TRUSTED_MOUNTS_MAX, WORD_BYTES_MAX,
};
use crate::uplink::{
    Command, CommandBody, CommandResult, Hello, HostSettings, PolicyState, ScanProgress, SettingsState, StartScan, Verdict, Welcome,
};
use crate::v1;

impl TryFrom<v1::Hello> for Hello {
    type Error = ConvertError;

    fn try_from(message: v1::Hello) -> Result<Self, ConvertError> {
        let word = |word| field::text("Hello.capabilities", word, WORD_BYTES_MAX);
        Ok(Self {
            protocol: message.protocol,
            agent_version: field::text("Hello.agent_version", message.agent_version, WORD_BYTES_MAX)?,
            capabilities: field::list("Hello.capabilities", message.capabilities, CAPABILITIES_MAX, word)?,
            store_epoch: field::array("Hello.store_epoch", &message.store_epoch)?,
            policy_epoch: message.policy_epoch,
            policy_revision: message.policy_revision,
            settings_revision: message.settings_revision,
            facts: field::required("Hello.facts", message.facts)?.try_into()?,
            run_id: field::array("Hello.run_id", &message.run_id)?,
        })
    }
}

impl From<Hello> for v1::Hello {
    fn from(hello: Hello) -> Self {
        Self {
            protocol: hello.protocol,
            agent_version: cut::text(hello.agent_version, WORD_BYTES_MAX),
            capabilities: hello.capabilities.into_iter().take(CAPABILITIES_MAX).map(|word| cut::text(word, WORD_BYTES_MAX)).collect(),
            store_epoch: Bytes::copy_from_slice(&hello.store_epoch),
            policy_epoch: hello.policy_epoch,
            policy_revision: hello.policy_revision,
            settings_revision: hello.settings_revision,
            facts: Some(hello.facts.into()),
            run_id: Bytes::copy_from_slice(&hello.run_id),
        }
    }
}

impl TryFrom<v1::Welcome> for Welcome {
    type Error = ConvertError;

    fn try_from(message: v1::Welcome) -> Result<Self, ConvertError> {
        Ok(Self {
            protocol: message.protocol,
            cms_version: field::text("Welcome.cms_version", message.cms_version, WORD_BYTES_MAX)?,
            acknowledged: message.acknowledged,
            window: message.window,
            now: message.now,
        })
    }
}

impl From<Welcome> for v1::Welcome {
    fn from(welcome: Welcome) -> Self {
        Self {
            protocol: welcome.protocol,
            cms_version: cut::text(welcome.cms_version, WORD_BYTES_MAX),
            acknowledged: welcome.acknowledged,
            window: welcome.window,
            now: welcome.now,
        }
    }
}

impl TryFrom<v1::Verdict> for Verdict {
    type Error = ConvertError;

    fn try_from(message: v1::Verdict) -> Result<Self, ConvertError> {
        let score = |score: u32| {
            let known = u8::try_from(score).ok().filter(|score| *score <= THREAT_SCORE_MAX);
            known.ok_or(Fault::Unknown(i64::from(score)).of("Verdict.threat_score"))
        };
        Ok(Self {
            file: field::fixed("Verdict.sha256", &message.sha256, Sha256::new)?,
            status: word::status("Verdict.status", message.status)?,
            reason: field::text("Verdict.reason", message.reason, WORD_BYTES_MAX)?,
            decision: word::verdict_decision(message.decision),
            threat_score: message.threat_score.map(score).transpose()?,
            threat_name: field::optional_text("Verdict.threat_name", message.threat_name, NAME_BYTES_MAX)?,
            is_final: message.r#final,
            change_id: message.change_id,
        })
    }
}

impl From<Verdict> for v1::Verdict {
    fn from(verdict: Verdict) -> Self {
        Self {
            sha256: Bytes::copy_from_slice(verdict.file.as_bytes()),
            status: v1::Status::from(verdict.status).into(),
            reason: cut::text(verdict.reason, WORD_BYTES_MAX),
            decision: v1::VerdictDecision::from(verdict.decision).into(),
            threat_score: verdict.threat_score.map(|score| u32::from(score.min(THREAT_SCORE_MAX))),
            threat_name: cut::optional_text(verdict.threat_name, NAME_BYTES_MAX),
            r#final: verdict.is_final,
            change_id: verdict.change_id,
        }
    }
}

impl TryFrom<v1::HostSettings> for HostSettings {
    type Error = ConvertError;

    fn try_from(message: v1::HostSettings) -> Result<Self, ConvertError> {
        let mount_point = |path: Bytes| field::normal_path("HostSettings.trusted_mounts", &path);
        let prefix = |path: Bytes| field::path("HostSettings.exclusions", &path);
        let key = |key: Bytes| field::key_fingerprint("HostSettings.archive_keys", &key);
        let open_prefix = |path: Bytes| field::path("HostSettings.open_exclusions", &path);
        let interpreter = |word: String| {
            let word = field::text("HostSettings.interpreters", word, INTERPRETER_BYTES_MAX)?;
            word.parse().map_err(|_| Fault::Malformed.of("HostSettings.interpreters"))
        };
        Ok(Self {
            revision: message.revision,
            mode: word::mode("HostSettings.mode", message.mode)?,
            coverage: word::coverage_kind("HostSettings.coverage", message.coverage)?,
            unverified_action: word::unverified_action("HostSettings.unverified_action", message.unverified_action)?,
            maintenance_until: (message.maintenance_until != 0).then_some(message.maintenance_until),
            exclusions: field::list("HostSettings.exclusions", message.exclusions, EXCLUSIONS_MAX, prefix)?,
            kill_on_bad_verdict: message.kill_on_bad_verdict,
            trusted_mounts: field::list("HostSettings.trusted_mounts", message.trusted_mounts, TRUSTED_MOUNTS_MAX, mount_point)?,
            archive_keys: field::list("HostSettings.archive_keys", message.archive_keys, ARCHIVE_KEYS_MAX, key)?,
            interpreters: field::list("HostSettings.interpreters", message.interpreters, INTERPRETERS_MAX, interpreter)?,
            open_exclusions: field::list("HostSettings.open_exclusions", message.open_exclusions, EXCLUSIONS_MAX, open_prefix)?,
        })
    }
}

impl From<HostSettings> for v1::HostSettings {
    fn from(settings: HostSettings) -> Self {
        let mount_points = settings.trusted_mounts.iter().filter(|path| path.is_normal());
        Self {
            revision: settings.revision,
            mode: v1::Mode::from(settings.mode).into(),
            coverage: v1::CoverageKind::from(settings.coverage).into(),
            unverified_action: v1::UnverifiedAction::from(settings.unverified_action).into(),
            maintenance_until: settings.maintenance_until.unwrap_or_default(),
            exclusions: settings.exclusions.iter().take(EXCLUSIONS_MAX).map(cut::path).collect(),
            kill_on_bad_verdict: settings.kill_on_bad_verdict,
            trusted_mounts: mount_points.take(TRUSTED_MOUNTS_MAX).map(cut::path).collect(),
            archive_keys: settings.archive_keys.iter().take(ARCHIVE_KEYS_MAX).map(|key| Bytes::copy_from_slice(key.as_bytes())).collect(),
            interpreters: settings.interpreters.iter().take(INTERPRETERS_MAX).map(ToString::to_string).collect(),
            open_exclusions: settings.open_exclusions.iter().take(EXCLUSIONS_MAX).map(cut::path).collect(),
        }
    }
}

impl TryFrom<v1::PolicyState> for PolicyState {
    type Error = ConvertError;

    fn try_from(message: v1::PolicyState) -> Result<Self, ConvertError> {
        let refused = field::optional_text("PolicyState.refused", message.refused, SENTENCE_BYTES_MAX)?;
        Ok(Self { epoch: message.epoch, revision: message.revision, refused })
    }
}

impl From<PolicyState> for v1::PolicyState {
    fn from(state: PolicyState) -> Self {
        Self { epoch: state.epoch, revision: state.revision, refused: cut::optional_text(state.refused, SENTENCE_BYTES_MAX) }
    }
}

impl TryFrom<v1::SettingsState> for SettingsState {
    type Error = ConvertError;

    fn try_from(message: v1::SettingsState) -> Result<Self, ConvertError> {
        let refused = field::optional_text("SettingsState.refused", message.refused, SENTENCE_BYTES_MAX)?;
        Ok(Self { revision: message.revision, refused })
    }
}

impl From<SettingsState> for v1::SettingsState {
    fn from(state: SettingsState) -> Self {
        Self { revision: state.revision, refused: cut::optional_text(state.refused, SENTENCE_BYTES_MAX) }
    }
}

impl TryFrom<v1::StartScan> for StartScan {
    type Error = ConvertError;

    fn try_from(message: v1::StartScan) -> Result<Self, ConvertError> {
        let root = |path: Bytes| field::path("StartScan.roots", &path);
        Ok(Self {
            scan: field::id("StartScan.scan_id", &message.scan_id, ScanId::new)?,
            reference: message.reference,
            roots: field::list("StartScan.roots", message.roots, SCAN_ROOTS_MAX, root)?,
        })
    }
}

impl From<StartScan> for v1::StartScan {
    fn from(start: StartScan) -> Self {
        Self {
            scan_id: Bytes::copy_from_slice(start.scan.as_bytes()),
            reference: start.reference,
            roots: start.roots.iter().take(SCAN_ROOTS_MAX).map(cut::path).collect(),
        }
    }
}

impl TryFrom<v1::Command> for Command {
    type Error = ConvertError;

    fn try_from(message: v1::Command) -> Result<Self, ConvertError> {
        use v1::command::Body;
        let body = match field::required("Command.body", message.body)? {
            Body::StartScan(start) => CommandBody::StartScan(start.try_into()?),
            Body::StopScan(stop) => CommandBody::StopScan(field::id("StopScan.scan_id", &stop.scan_id, ScanId::new)?),
            Body::SourceFiles(request) => CommandBody::SourceFiles(request.try_into()?),
        };
        Ok(Self { id: field::id("Command.id", &message.id, |id: Uuid| id)?, body })
    }
}

impl From<Command> for v1::Command {
    fn from(command: Command) -> Self {
        use v1::command::Body;
        let body = match command.body {
            CommandBody::StartScan(start) => Body::StartScan(start.into()),
            CommandBody::StopScan(scan) => Body::StopScan(v1::StopScan { scan_id: Bytes::copy_from_slice(scan.as_bytes()) }),
            CommandBody::SourceFiles(source) => Body::SourceFiles(source.into()),
        };
        Self { id: Bytes::copy_from_slice(command.id.as_bytes()), body: Some(body) }
    }
}

impl TryFrom<v1::CommandResult> for CommandResult {
    type Error = ConvertError;

    fn try_from(message: v1::CommandResult) -> Result<Self, ConvertError> {
        Ok(Self {
            id: field::id("CommandResult.id", &message.id, |id: Uuid| id)?,
            error: field::optional_text("CommandResult.error", message.error, SENTENCE_BYTES_MAX)?,
        })
    }
}

impl From<CommandResult> for v1::CommandResult {
    fn from(result: CommandResult) -> Self {
        Self { id: Bytes::copy_from_slice(result.id.as_bytes()), error: cut::optional_text(result.error, SENTENCE_BYTES_MAX) }
    }
}

impl TryFrom<v1::ScanProgress> for ScanProgress {
    type Error = ConvertError;

    fn try_from(message: v1::ScanProgress) -> Result<Self, ConvertError> {
        Ok(Self {
            scan: field::id("ScanProgress.scan_id", &message.scan_id, ScanId::new)?,
            files: message.files,
            files_total: message.files_total,
            candidates: message.candidates,
            bytes: message.bytes,
            package_trusted: message.package_trusted,
            otherwise_trusted: message.otherwise_trusted,
            unresolved: message.unresolved,
            skipped: message.skipped,
            elapsed_ms: message.elapsed_ms,
            state: word::scan_state("ScanProgress.state", message.state)?,
        })
    }
}

impl From<ScanProgress> for v1::ScanProgress {
    fn from(progress: ScanProgress) -> Self {
        Self {
            scan_id: Bytes::copy_from_slice(progress.scan.as_bytes()),
            files: progress.files,
            files_total: progress.files_total,
            candidates: progress.candidates,
            bytes: progress.bytes,
            package_trusted: progress.package_trusted,
            otherwise_trusted: progress.otherwise_trusted,
            unresolved: progress.unresolved,
            skipped: progress.skipped,
            elapsed_ms: progress.elapsed_ms,
            state: v1::ScanState::from(progress.state).into(),
        }
    }
}
