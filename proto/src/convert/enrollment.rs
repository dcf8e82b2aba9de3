//! Enrollment and renewal.

use bytes::Bytes;
use doorward_policy::{HostId, ProfileId};

use super::{ConvertError, Fault, cut, field};
use crate::enrollment::{EnrollRequest, EnrollResponse, HostFacts, RenewRequest, RenewResponse};
use crate::limit::{
    CERTIFICATE_BYTES_MAX, CERTIFICATE_REQUEST_BYTES_MAX, CHAIN_CERTIFICATES_MAX, NAME_BYTES_MAX, TOKEN_SECRET_BYTES_MAX, WORD_BYTES_MAX,
};
use crate::v1;

impl TryFrom<v1::HostFacts> for HostFacts {
    type Error = ConvertError;

    fn try_from(message: v1::HostFacts) -> Result<Self, ConvertError> {
        Ok(Self {
            host_name: field::text("HostFacts.host_name", message.host_name, NAME_BYTES_MAX)?,
            operating_system: field::text("HostFacts.operating_system", message.operating_system, NAME_BYTES_MAX)?,
            kernel: field::text("HostFacts.kernel", message.kernel, NAME_BYTES_MAX)?,
            architecture: field::text("HostFacts.architecture", message.architecture, WORD_BYTES_MAX)?,
            machine_id_hash: field::optional_fixed("HostFacts.machine_id_hash", &message.machine_id_hash, |hash| hash)?,
        })
    }
}

impl From<HostFacts> for v1::HostFacts {
    fn from(facts: HostFacts) -> Self {
        Self {
            host_name: cut::text(facts.host_name, NAME_BYTES_MAX),
            operating_system: cut::text(facts.operating_system, NAME_BYTES_MAX),
            kernel: cut::text(facts.kernel, NAME_BYTES_MAX),
            architecture: cut::text(facts.architecture, WORD_BYTES_MAX),
            machine_id_hash: cut::optional_bytes(facts.machine_id_hash.as_ref()),
        }
    }
}

impl TryFrom<v1::EnrollRequest> for EnrollRequest {
    type Error = ConvertError;

    fn try_from(message: v1::EnrollRequest) -> Result<Self, ConvertError> {
        Ok(Self {
            token_secret: field::text("EnrollRequest.token_secret", message.token_secret, TOKEN_SECRET_BYTES_MAX)?,
            certificate_request: request("EnrollRequest.certificate_request", message.certificate_request)?,
            facts: field::required("EnrollRequest.facts", message.facts)?.try_into()?,
        })
    }
}

impl From<EnrollRequest> for v1::EnrollRequest {
    fn from(request: EnrollRequest) -> Self {
        Self {
            token_secret: cut::text(request.token_secret, TOKEN_SECRET_BYTES_MAX),
            certificate_request: request.certificate_request,
            facts: Some(request.facts.into()),
        }
    }
}

impl TryFrom<v1::EnrollResponse> for EnrollResponse {
    type Error = ConvertError;

    fn try_from(message: v1::EnrollResponse) -> Result<Self, ConvertError> {
        Ok(Self {
            host_id: field::id("EnrollResponse.host_id", &message.host_id, HostId::new)?,
            certificate_chain: chain("EnrollResponse.certificate_chain", message.certificate_chain)?,
            ca_certificate: certificate("EnrollResponse.ca_certificate", message.ca_certificate)?,
            policy_key: field::array("EnrollResponse.policy_key", &message.policy_key)?,
            profile_id: field::id("EnrollResponse.profile_id", &message.profile_id, ProfileId::new)?,
            profile_name: field::text("EnrollResponse.profile_name", message.profile_name, NAME_BYTES_MAX)?,
        })
    }
}

impl From<EnrollResponse> for v1::EnrollResponse {
    fn from(response: EnrollResponse) -> Self {
        Self {
            host_id: Bytes::copy_from_slice(response.host_id.as_bytes()),
            certificate_chain: response.certificate_chain,
            ca_certificate: response.ca_certificate,
            policy_key: Bytes::copy_from_slice(&response.policy_key),
            profile_id: Bytes::copy_from_slice(response.profile_id.as_bytes()),
            profile_name: cut::text(response.profile_name, NAME_BYTES_MAX),
        }
    }
}

impl TryFrom<v1::RenewRequest> for RenewRequest {
    type Error = ConvertError;

    fn try_from(message: v1::RenewRequest) -> Result<Self, ConvertError> {
        Ok(Self { certificate_request: request("RenewRequest.certificate_request", message.certificate_request)? })
    }
}

impl From<RenewRequest> for v1::RenewRequest {
    fn from(request: RenewRequest) -> Self {
        Self { certificate_request: request.certificate_request }
    }
}

impl TryFrom<v1::RenewResponse> for RenewResponse {
    type Error = ConvertError;

    fn try_from(message: v1::RenewResponse) -> Result<Self, ConvertError> {
        Ok(Self { certificate_chain: chain("RenewResponse.certificate_chain", message.certificate_chain)? })
    }
}

impl From<RenewResponse> for v1::RenewResponse {
    fn from(response: RenewResponse) -> Self {
        Self { certificate_chain: response.certificate_chain }
    }
}

fn present(name: &'static str, bytes: Bytes) -> Result<Bytes, ConvertError> {
    if bytes.is_empty() { Err(Fault::Missing.of(name)) } else { Ok(bytes) }
}

fn request(name: &'static str, bytes: Bytes) -> Result<Bytes, ConvertError> {
    present(name, field::blob(name, bytes, CERTIFICATE_REQUEST_BYTES_MAX)?)
}

fn certificate(name: &'static str, bytes: Bytes) -> Result<Bytes, ConvertError> {
    present(name, field::blob(name, bytes, CERTIFICATE_BYTES_MAX)?)
}

fn chain(name: &'static str, certificates: Vec<Bytes>) -> Result<Vec<Bytes>, ConvertError> {
    let chain = field::list(name, certificates, CHAIN_CERTIFICATES_MAX, |bytes| certificate(name, bytes))?;
    if chain.is_empty() { Err(Fault::Missing.of(name)) } else { Ok(chain) }
}
