//! Package and publisher evidence, wherever it stands in a message.

use bytes::Bytes;
use doorward_policy::{PackageEvidence, PublisherEvidence, Sha256, Validity};

use super::{ConvertError, cut, field, word};
use crate::limit::{CHAIN_NAMES_MAX, NAME_BYTES_MAX};
use crate::report::{InventorySource, Source};
use crate::v1;

impl TryFrom<v1::PackageEvidence> for PackageEvidence {
    type Error = ConvertError;

    fn try_from(message: v1::PackageEvidence) -> Result<Self, ConvertError> {
        Ok(Self {
            manager: word::package_manager("PackageEvidence.manager", message.manager)?,
            name: field::text("PackageEvidence.name", message.name, NAME_BYTES_MAX)?,
            version: field::text("PackageEvidence.version", message.version, NAME_BYTES_MAX)?,
            origin: field::text("PackageEvidence.origin", message.origin, NAME_BYTES_MAX)?,
            level: word::level("PackageEvidence.level", message.level)?,
            fit: word::fit("PackageEvidence.fit", message.fit)?,
        })
    }
}

impl From<PackageEvidence> for v1::PackageEvidence {
    fn from(evidence: PackageEvidence) -> Self {
        Self {
            manager: v1::PackageManager::from(evidence.manager).into(),
            name: cut::text(evidence.name, NAME_BYTES_MAX),
            version: cut::text(evidence.version, NAME_BYTES_MAX),
            origin: cut::text(evidence.origin, NAME_BYTES_MAX),
            level: v1::Level::from(evidence.level).into(),
            fit: v1::Fit::from(evidence.fit).into(),
        }
    }
}

impl TryFrom<v1::PublisherEvidence> for PublisherEvidence {
    type Error = ConvertError;

    fn try_from(message: v1::PublisherEvidence) -> Result<Self, ConvertError> {
        Ok(Self {
            signing: word::signing("PublisherEvidence.signing", message.signing)?,
            name: field::text("PublisherEvidence.name", message.name, NAME_BYTES_MAX)?,
            fingerprint: field::fixed("PublisherEvidence.fingerprint", &message.fingerprint, Sha256::new)?,
            valid: message.valid,
            chain_trusted: message.chain_trusted,
            public_authority: message.public_authority,
            flaw: message.flaw.map(|flaw| word::flaw("PublisherEvidence.flaw", flaw)).transpose()?,
            signed_at: message.signed_at,
            validity: message.validity.map(|validity| Validity { from: validity.from, until: validity.until }),
            chain: field::list("PublisherEvidence.chain", message.chain, CHAIN_NAMES_MAX, |name| {
                field::text("PublisherEvidence.chain", name, NAME_BYTES_MAX)
            })?,
        })
    }
}

impl From<PublisherEvidence> for v1::PublisherEvidence {
    fn from(evidence: PublisherEvidence) -> Self {
        Self {
            signing: v1::Signing::from(evidence.signing).into(),
            name: cut::text(evidence.name, NAME_BYTES_MAX),
            fingerprint: Bytes::copy_from_slice(evidence.fingerprint.as_bytes()),
            valid: evidence.valid,
            chain_trusted: evidence.chain_trusted,
            public_authority: evidence.public_authority,
            flaw: evidence.flaw.map(|flaw| v1::Flaw::from(flaw).into()),
            signed_at: evidence.signed_at,
            validity: evidence.validity.map(|Validity { from, until }| v1::Validity { from, until }),
            chain: evidence.chain.into_iter().take(CHAIN_NAMES_MAX).map(|name| cut::text(name, NAME_BYTES_MAX)).collect(),
        }
    }
}

impl TryFrom<v1::InventorySource> for InventorySource {
    type Error = ConvertError;

    fn try_from(message: v1::InventorySource) -> Result<Self, ConvertError> {
        let source = match field::required("InventorySource.source", message.source)? {
            v1::inventory_source::Source::Package(package) => Source::Package(package.try_into()?),
            v1::inventory_source::Source::Publisher(publisher) => Source::Publisher(publisher.try_into()?),
        };
        let v1::InventorySource { files, executed, modified, scanned, .. } = message;
        Ok(Self { source, files, executed, modified, scanned })
    }
}

impl From<InventorySource> for v1::InventorySource {
    fn from(source: InventorySource) -> Self {
        let origin = match source.source {
            Source::Package(package) => v1::inventory_source::Source::Package(package.into()),
            Source::Publisher(publisher) => v1::inventory_source::Source::Publisher(publisher.into()),
        };
        let InventorySource { files, executed, modified, scanned, .. } = source;
        Self { source: Some(origin), files, executed, modified, scanned }
    }
}

impl TryFrom<v1::SourceFilesRequest> for Source {
    type Error = ConvertError;

    fn try_from(message: v1::SourceFilesRequest) -> Result<Self, ConvertError> {
        Ok(match field::required("SourceFilesRequest.source", message.source)? {
            v1::source_files_request::Source::Package(package) => Self::Package(package.try_into()?),
            v1::source_files_request::Source::Publisher(publisher) => Self::Publisher(publisher.try_into()?),
        })
    }
}

impl From<Source> for v1::SourceFilesRequest {
    fn from(source: Source) -> Self {
        Self {
            source: Some(match source {
                Source::Package(package) => v1::source_files_request::Source::Package(package.into()),
                Source::Publisher(publisher) => v1::source_files_request::Source::Publisher(publisher.into()),
            }),
        }
    }
}
