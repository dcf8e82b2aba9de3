//! First contact: the token's CA key hash proves the server before the token's secret is told.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use doorward_proto::certificate::{CertificateError, HostKey, ca_key_hash, host_id_of};
use doorward_proto::enrollment::{EnrollRequest, EnrollResponse, HostFacts};
use doorward_proto::limit;
use doorward_proto::tls::{Now, pinned_client_config};
use doorward_proto::token::Token;
use doorward_proto::v1;
use doorward_proto::v1::enrollment_client::EnrollmentClient;
use doorward_service::Exit;
use tonic::Code;

use super::file::identity_pem;
use super::{CmsUrl, Credential, CredentialError};
use crate::uplink::dial::{DialError, Timing, dial};

/// For connecting and for the answer, each.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why the host is not enrolled. Nothing was written unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// There is a credential already.
    #[error("this host is enrolled already as {0}; to enroll it anew, stop the agent and remove the credential folder first")]
    AlreadyEnrolled(doorward_policy::HostId),
    /// No connection to a server that the token believes.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The server does not take the token.
    #[error("{cms} does not take this token: it may be spent, expired or revoked; make a new one with `doorward-cms token create`")]
    TokenRefused {
        /// Which server.
        cms: CmsUrl,
    },
    /// The server failed, or is too busy.
    #[error("{cms} did not enroll this host: {reason}")]
    Refused {
        /// Which server.
        cms: CmsUrl,
        /// What it said.
        reason: String,
    },
    /// The server's answer is not one.
    #[error("{cms} gave an answer that cannot be used: {reason}; agent and server may be of very different versions")]
    BadAnswer {
        /// Which server.
        cms: CmsUrl,
        /// What is wrong with it.
        reason: String,
    },
    /// This host cannot keep a credential.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// No key could be made.
    #[error("cannot make a key: {0}")]
    Key(#[from] CertificateError),
}

impl EnrollError {
    /// Exit code of the command.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::AlreadyEnrolled(_) => Exit::Failure,
            Self::Dial(DialError::Unreachable { .. } | DialError::TimedOut { .. } | DialError::Protocol { .. }) | Self::Refused { .. } => {
                Exit::Unavailable
            }
            Self::Dial(_) | Self::TokenRefused { .. } => Exit::NoPermission,
            Self::BadAnswer { .. } => Exit::Data,
            Self::Credential(CredentialError::Write { .. }) => Exit::CannotCreate,
            Self::Credential(_) => Exit::Config,
            Self::Key(_) => Exit::Software,
        }
    }
}

/// Enrolls this host and keeps its credential in the folder; `now` is microseconds since 1970, UTC.
///
/// # Errors
/// [`EnrollError`].
pub async fn enroll(folder: &Path, cms: &CmsUrl, token: &Token, facts: HostFacts, now: i64) -> Result<Credential, EnrollError> {
    if let Some(credential) = super::load(folder)? {
        return Err(EnrollError::AlreadyEnrolled(credential.host_id));
    }
    let key = HostKey::generate()?;
    let request =
        EnrollRequest { token_secret: token.secret().to_owned(), certificate_request: Bytes::copy_from_slice(key.request_der()), facts };
    let response = ask(cms, token, request, now).await?;
    let credential = accept(cms, token, &key, response, now)?;
    credential.store(folder)?;
    Ok(credential)
}

async fn ask(cms: &CmsUrl, token: &Token, request: EnrollRequest, now: i64) -> Result<EnrollResponse, EnrollError> {
    let tls = pinned_client_config(*token.ca_key_hash(), Now::new(move || now));
    let timing = Timing { connect: DEADLINE, keepalive_interval: DEADLINE, keepalive_timeout: DEADLINE };
    let channel = dial(cms, tls, timing).await?;
    let mut client = EnrollmentClient::new(channel).max_decoding_message_size(limit::MESSAGE_BYTES_MAX);
    let mut request = tonic::Request::new(v1::EnrollRequest::from(request));
    request.set_timeout(DEADLINE);
    let response = client.enroll(request).await.map_err(|status| match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => EnrollError::TokenRefused { cms: cms.clone() },
        _ => EnrollError::Refused { cms: cms.clone(), reason: status.message().escape_default().to_string() },
    })?;
    EnrollResponse::try_from(response.into_inner()).map_err(|error| EnrollError::BadAnswer { cms: cms.clone(), reason: error.to_string() })
}

/// Believes an answer only when it fits what the token said and what was asked for.
fn accept(cms: &CmsUrl, token: &Token, key: &HostKey, response: EnrollResponse, now: i64) -> Result<Credential, EnrollError> {
    let bad = |reason: String| EnrollError::BadAnswer { cms: cms.clone(), reason };
    let hash = ca_key_hash(&response.ca_certificate).map_err(|error| bad(error.to_string()))?;
    if hash != *token.ca_key_hash() {
        return Err(bad("its CA is not the token's".into()));
    }
    let leaf = response.certificate_chain.first().ok_or_else(|| bad("there is no certificate in it".into()))?;
    if host_id_of(leaf).map_err(|error| bad(error.to_string()))? != response.host_id {
        return Err(bad("the certificate is another host's".into()));
    }
    Ok(Credential {
        host_id: response.host_id,
        profile_id: response.profile_id,
        profile: response.profile_name,
        cms: cms.clone(),
        ca_key_hash: hash,
        policy_key: response.policy_key,
        enrolled_at: now,
        ca: response.ca_certificate.to_vec(),
        identity: identity_pem(key.key_pem(), &response.certificate_chain),
    })
}
