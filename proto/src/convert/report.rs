//! Reports and what they are made of.

use bytes::Bytes;
use doorward_policy::{Blake3, Evidence, Md5, ScanId, Sha1, Sha256, Use};

use super::{ConvertError, Fault, cut, field, word};
use crate::limit;
use crate::report::{
    ClosureNews, Coverage, Denial, FailureCount, FileFacts, Health, Inventory, Layer, LiveProcess, Observation, Process, Report,
    ReportBody, Turned, Uncovered, Unjudged,
};
use crate::v1;

impl TryFrom<v1::FileFacts> for FileFacts {
    type Error = ConvertError;

    fn try_from(message: v1::FileFacts) -> Result<Self, ConvertError> {
        Ok(Self {
            sha256: field::fixed("FileFacts.sha256", &message.sha256, Sha256::new)?,
            sha1: field::optional_fixed("FileFacts.sha1", &message.sha1, Sha1::new)?,
            md5: field::optional_fixed("FileFacts.md5", &message.md5, Md5::new)?,
            blake3: field::optional_fixed("FileFacts.blake3", &message.blake3, Blake3::new)?,
            size: message.size,
            kind: word::file_kind("FileFacts.kind", message.kind)?,
            mode: message.mode,
            uid: message.owner_uid,
            gid: message.owner_gid,
            modified_at: message.modified_at,
            changed_at: message.changed_at,
        })
    }
}

impl From<FileFacts> for v1::FileFacts {
    fn from(facts: FileFacts) -> Self {
        Self {
            sha256: Bytes::copy_from_slice(facts.sha256.as_bytes()),
            sha1: cut::optional_bytes(facts.sha1.as_ref().map(Sha1::as_bytes)),
            md5: cut::optional_bytes(facts.md5.as_ref().map(Md5::as_bytes)),
            blake3: cut::optional_bytes(facts.blake3.as_ref().map(Blake3::as_bytes)),
            size: facts.size,
            kind: v1::FileKind::from(facts.kind).into(),
            mode: facts.mode,
            owner_uid: facts.uid,
            owner_gid: facts.gid,
            modified_at: facts.modified_at,
            changed_at: facts.changed_at,
        }
    }
}

impl TryFrom<v1::Process> for Process {
    type Error = ConvertError;

    fn try_from(message: v1::Process) -> Result<Self, ConvertError> {
        Ok(Self {
            pid: message.pid,
            start_ticks: message.start_ticks,
            uid: message.uid,
            parent_pid: message.parent_pid,
            parent_path: field::optional_path("Process.parent_path", &message.parent_path)?,
            parent_sha256: field::optional_fixed("Process.parent_sha256", &message.parent_sha256, Sha256::new)?,
            container: field::optional_text("Process.container", message.container, limit::NAME_BYTES_MAX)?,
        })
    }
}

impl From<Process> for v1::Process {
    fn from(process: Process) -> Self {
        Self {
            pid: process.pid,
            start_ticks: process.start_ticks,
            uid: process.uid,
            parent_pid: process.parent_pid,
            parent_path: cut::optional_path(process.parent_path.as_ref()),
            parent_sha256: cut::optional_bytes(process.parent_sha256.as_ref().map(Sha256::as_bytes)),
            container: cut::optional_text(process.container, limit::NAME_BYTES_MAX),
        }
    }
}

/// The opener says something about a load alone; elsewhere it is refused rather than lost.
fn read_use(raw: i32, opener: &[u8]) -> Result<Use, ConvertError> {
    let opener = field::optional_fixed("Observation.opener_sha256", opener, Sha256::new)?;
    let usage = field::word("Observation.use", raw, |word| match word {
        v1::Use::Unspecified => None,
        v1::Use::Execute => Some(Use::Execute),
        v1::Use::Load => Some(Use::Load { opener }),
        v1::Use::Scan => Some(Use::Scan),
    })?;
    match (usage, opener) {
        (Use::Execute | Use::Scan, Some(_)) => Err(Fault::WrongLength { expected: 0, got: Sha256::LEN }.of("Observation.opener_sha256")),
        _ => Ok(usage),
    }
}

impl TryFrom<v1::Observation> for Observation {
    type Error = ConvertError;

    fn try_from(message: v1::Observation) -> Result<Self, ConvertError> {
        Ok(Self {
            file: field::required("Observation.file", message.file)?.try_into()?,
            path: field::path("Observation.path", &message.path)?,
            usage: read_use(message.r#use, &message.opener_sha256)?,
            scan: field::optional_id("Observation.scan_id", &message.scan_id, ScanId::new)?,
            first_observed_at: message.first_observed_at,
            last_observed_at: message.last_observed_at,
            count: message.count,
            evidence: Evidence {
                package: message.package.map(TryInto::try_into).transpose()?,
                publisher: message.publisher.map(TryInto::try_into).transpose()?,
            },
            process: message.process.map(TryInto::try_into).transpose()?,
            user_writable_folder: message.user_writable_folder,
            layer: message.layer.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<Observation> for v1::Observation {
    fn from(observation: Observation) -> Self {
        let (usage, opener) = match observation.usage {
            Use::Execute => (v1::Use::Execute, None),
            Use::Load { opener } => (v1::Use::Load, opener),
            Use::Scan => (v1::Use::Scan, None),
        };
        Self {
            file: Some(observation.file.into()),
            path: cut::path(&observation.path),
            r#use: usage.into(),
            scan_id: cut::optional_bytes(observation.scan.as_ref().map(ScanId::as_bytes)),
            first_observed_at: observation.first_observed_at,
            last_observed_at: observation.last_observed_at,
            count: observation.count,
            package: observation.evidence.package.map(Into::into),
            publisher: observation.evidence.publisher.map(Into::into),
            process: observation.process.map(Into::into),
            user_writable_folder: observation.user_writable_folder,
            opener_sha256: cut::optional_bytes(opener.as_ref().map(Sha256::as_bytes)),
            layer: observation.layer.map(Into::into),
        }
    }
}

impl TryFrom<v1::Layer> for Layer {
    type Error = ConvertError;

    fn try_from(message: v1::Layer) -> Result<Self, ConvertError> {
        Ok(Self { upper: message.upper, folder: field::path("Layer.folder", &message.folder)? })
    }
}

impl From<Layer> for v1::Layer {
    fn from(layer: Layer) -> Self {
        Self { upper: layer.upper, folder: cut::path(&layer.folder) }
    }
}

const ROW_MAX: u8 = 9;

impl TryFrom<v1::Denial> for Denial {
    type Error = ConvertError;

    fn try_from(message: v1::Denial) -> Result<Self, ConvertError> {
        let row = u8::try_from(message.row).ok().filter(|row| (1..=ROW_MAX).contains(row));
        Ok(Self {
            observation: field::required("Denial.observation", message.observation)?.try_into()?,
            row: row.ok_or(Fault::Unknown(i64::from(message.row)).of("Denial.row"))?,
            undecided: message.undecided,
            fate: word::fate("Denial.fate", message.fate)?,
        })
    }
}

impl From<Denial> for v1::Denial {
    fn from(denial: Denial) -> Self {
        Self {
            observation: Some(denial.observation.into()),
            row: denial.row.clamp(1, ROW_MAX).into(),
            undecided: denial.undecided,
            fate: v1::Fate::from(denial.fate).into(),
        }
    }
}

impl TryFrom<v1::Unjudged> for Unjudged {
    type Error = ConvertError;

    fn try_from(message: v1::Unjudged) -> Result<Self, ConvertError> {
        Ok(Self {
            path: field::path("Unjudged.path", &message.path)?,
            process: field::required("Unjudged.process", message.process)?.try_into()?,
            reason: field::text("Unjudged.reason", message.reason, limit::WORD_BYTES_MAX)?,
            fate: word::fate("Unjudged.fate", message.fate)?,
            first_observed_at: message.first_observed_at,
            last_observed_at: message.last_observed_at,
            count: message.count,
        })
    }
}

impl From<Unjudged> for v1::Unjudged {
    fn from(unjudged: Unjudged) -> Self {
        Self {
            path: cut::path(&unjudged.path),
            process: Some(unjudged.process.into()),
            reason: cut::text(unjudged.reason, limit::WORD_BYTES_MAX),
            fate: v1::Fate::from(unjudged.fate).into(),
            first_observed_at: unjudged.first_observed_at,
            last_observed_at: unjudged.last_observed_at,
            count: unjudged.count,
        }
    }
}

impl TryFrom<v1::ClosureNews> for ClosureNews {
    type Error = ConvertError;

    fn try_from(message: v1::ClosureNews) -> Result<Self, ConvertError> {
        Ok(Self {
            path: field::path("ClosureNews.path", &message.path)?,
            file: field::fixed("ClosureNews.sha256", &message.sha256, Sha256::new)?,
            event: word::closure_event("ClosureNews.event", message.event)?,
            source: match message.source {
                source if source.is_empty() => None,
                source => Some(field::text("ClosureNews.source", source, limit::NAME_BYTES_MAX)?),
            },
            observed_at: message.observed_at,
        })
    }
}

impl From<ClosureNews> for v1::ClosureNews {
    fn from(news: ClosureNews) -> Self {
        Self {
            path: cut::path(&news.path),
            sha256: Bytes::copy_from_slice(news.file.as_bytes()),
            event: v1::ClosureEvent::from(news.event).into(),
            source: news.source.map_or_else(String::new, |source| cut::text(source, limit::NAME_BYTES_MAX)),
            observed_at: news.observed_at,
        }
    }
}

impl TryFrom<v1::Uncovered> for Uncovered {
    type Error = ConvertError;

    fn try_from(message: v1::Uncovered) -> Result<Self, ConvertError> {
        Ok(Self {
            mount_point: field::path("Uncovered.mount_point", &message.mount_point)?,
            filesystem: field::text("Uncovered.filesystem", message.filesystem, limit::WORD_BYTES_MAX)?,
            reason: field::text("Uncovered.reason", message.reason, limit::SENTENCE_BYTES_MAX)?,
        })
    }
}

impl From<Uncovered> for v1::Uncovered {
    fn from(uncovered: Uncovered) -> Self {
        Self {
            mount_point: cut::path(&uncovered.mount_point),
            filesystem: cut::text(uncovered.filesystem, limit::WORD_BYTES_MAX),
            reason: cut::text(uncovered.reason, limit::SENTENCE_BYTES_MAX),
        }
    }
}

impl TryFrom<v1::Coverage> for Coverage {
    type Error = ConvertError;

    fn try_from(message: v1::Coverage) -> Result<Self, ConvertError> {
        let max = limit::COVERAGE_FILESYSTEMS_MAX;
        Ok(Self {
            covered: field::list("Coverage.covered", message.covered, max, |path| field::path("Coverage.covered", &path))?,
            uncovered: field::list("Coverage.uncovered", message.uncovered, max, TryInto::try_into)?,
            user_namespaces: message.user_namespaces,
        })
    }
}

impl From<Coverage> for v1::Coverage {
    fn from(coverage: Coverage) -> Self {
        Self {
            covered: cut::paths(&coverage.covered, limit::COVERAGE_FILESYSTEMS_MAX),
            uncovered: cut::messages(coverage.uncovered, limit::COVERAGE_FILESYSTEMS_MAX),
            user_namespaces: coverage.user_namespaces,
        }
    }
}

impl TryFrom<v1::Inventory> for Inventory {
    type Error = ConvertError;

    fn try_from(message: v1::Inventory) -> Result<Self, ConvertError> {
        let sources = field::list("Inventory.sources", message.sources, limit::INVENTORY_SOURCES_MAX, TryInto::try_into)?;
        Ok(Self { sources, complete: message.complete })
    }
}

impl From<Inventory> for v1::Inventory {
    fn from(inventory: Inventory) -> Self {
        let all = inventory.sources.len();
        let sources: Vec<_> = cut::messages(inventory.sources, limit::INVENTORY_SOURCES_MAX);
        // A list that had to be cut must not make the CMS forget what was cut off.
        Self { complete: inventory.complete && sources.len() == all, sources }
    }
}

impl TryFrom<v1::LiveProcess> for LiveProcess {
    type Error = ConvertError;

    fn try_from(message: v1::LiveProcess) -> Result<Self, ConvertError> {
        Ok(Self {
            process: field::required("LiveProcess.process", message.process)?.try_into()?,
            fate: word::fate("LiveProcess.fate", message.fate)?,
        })
    }
}

impl From<LiveProcess> for v1::LiveProcess {
    fn from(live: LiveProcess) -> Self {
        Self { process: Some(live.process.into()), fate: v1::Fate::from(live.fate).into() }
    }
}

impl TryFrom<v1::Turned> for Turned {
    type Error = ConvertError;

    fn try_from(message: v1::Turned) -> Result<Self, ConvertError> {
        Ok(Self {
            file: field::fixed("Turned.sha256", &message.sha256, Sha256::new)?,
            paths: field::list("Turned.paths", message.paths, limit::TURNED_PATHS_MAX, |path| field::path("Turned.paths", &path))?,
            live: field::list("Turned.live", message.live, limit::TURNED_PROCESSES_MAX, TryInto::try_into)?,
            last_executed_at: (message.last_executed_at != 0).then_some(message.last_executed_at),
        })
    }
}

impl From<Turned> for v1::Turned {
    fn from(turned: Turned) -> Self {
        Self {
            sha256: Bytes::copy_from_slice(turned.file.as_bytes()),
            paths: cut::paths(&turned.paths, limit::TURNED_PATHS_MAX),
            live: cut::messages(turned.live, limit::TURNED_PROCESSES_MAX),
            last_executed_at: turned.last_executed_at.unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::Health> for Health {
    type Error = ConvertError;

    fn try_from(message: v1::Health) -> Result<Self, ConvertError> {
        let failures = field::list("Health.failures", message.failures, limit::FAILURES_MAX, |failure| {
            Ok(FailureCount { reason: field::text("FailureCount.reason", failure.reason, limit::WORD_BYTES_MAX)?, count: failure.count })
        })?;
        Ok(Self { pending: message.pending, dropped: message.dropped, failures })
    }
}

impl From<FailureCount> for v1::FailureCount {
    fn from(failure: FailureCount) -> Self {
        Self { reason: cut::text(failure.reason, limit::WORD_BYTES_MAX), count: failure.count }
    }
}

impl From<Health> for v1::Health {
    fn from(health: Health) -> Self {
        Self { pending: health.pending, dropped: health.dropped, failures: cut::messages(health.failures, limit::FAILURES_MAX) }
    }
}

impl TryFrom<v1::Report> for Report {
    type Error = ConvertError;

    fn try_from(message: v1::Report) -> Result<Self, ConvertError> {
        use v1::report::Body;
        let body = match field::required("Report.body", message.body)? {
            Body::Observation(body) => ReportBody::Observation(body.try_into()?),
            Body::Denial(body) => ReportBody::Denial(body.try_into()?),
            Body::Coverage(body) => ReportBody::Coverage(body.try_into()?),
            Body::Inventory(body) => ReportBody::Inventory(body.try_into()?),
            Body::Turned(body) => ReportBody::Turned(body.try_into()?),
            Body::Health(body) => ReportBody::Health(body.try_into()?),
            Body::Unjudged(body) => ReportBody::Unjudged(body.try_into()?),
            Body::Closure(body) => ReportBody::Closure(body.try_into()?),
        };
        Ok(Self { sequence: message.sequence, body })
    }
}

impl From<Report> for v1::Report {
    fn from(report: Report) -> Self {
        use v1::report::Body;
        let body = match report.body {
            ReportBody::Observation(body) => Body::Observation(body.into()),
            ReportBody::Denial(body) => Body::Denial(body.into()),
            ReportBody::Coverage(body) => Body::Coverage(body.into()),
            ReportBody::Inventory(body) => Body::Inventory(body.into()),
            ReportBody::Turned(body) => Body::Turned(body.into()),
            ReportBody::Health(body) => Body::Health(body.into()),
            ReportBody::Unjudged(body) => Body::Unjudged(body.into()),
            ReportBody::Closure(body) => Body::Closure(body.into()),
        };
        Self { sequence: report.sequence, body: Some(body) }
    }
}
