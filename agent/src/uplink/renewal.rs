//! A fresh certificate before the old one ends: asked for over the running connection when half of the old one's time is over.

use std::path::PathBuf;
use std::time::Duration;

use doorward_proto::certificate::HostKey;
use doorward_proto::enrollment::{RenewRequest, RenewResponse};
use doorward_proto::v1;
use tonic::transport::Channel;

use super::client;
use super::dial::chain;
use crate::credential::Credential;

/// How long the server may take to answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// Pause after a renewal that failed; there are weeks to go.
pub(super) const RETRY_PAUSE: Duration = Duration::from_secs(3_600);

/// Renews a credential, on disk as well.
pub(super) async fn renew(channel: Channel, folder: PathBuf, old: Credential) -> Result<Credential, String> {
    let key = HostKey::generate().map_err(|error| error.to_string())?;
    let request = v1::RenewRequest::from(RenewRequest { certificate_request: key.request_der().to_vec().into() });
    let answer = tokio::time::timeout(ANSWER_DEADLINE, client(channel).renew(request)).await;
    let answer = answer.map_err(|_| "no answer in time".to_owned())?.map_err(|status| chain(&status))?;
    let RenewResponse { certificate_chain } =
        answer.into_inner().try_into().map_err(|error: doorward_proto::ConvertError| error.to_string())?;
    let renewed = tokio::task::spawn_blocking(move || old.renew(&folder, key.key_pem(), &certificate_chain));
    renewed.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}
