//! A host's admission: one use of a token for one host, in one transaction. A crash between the two would burn the use for nothing.

use doorward_policy::HostId;
use doorward_proto::enrollment::HostFacts;

use super::{Certificate, NewHost, Result, SpentToken, Store, host, token};

/// Somebody who shows a token's secret and asks to become a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicant {
    /// Hash of the secret, as enrollment computes it.
    pub secret_hash: [u8; 32],
    /// The id that stands in the certificate.
    pub id: HostId,
    /// Claims.
    pub facts: HostFacts,
    /// Already signed; worthless unless the host is kept.
    pub certificate: Certificate,
}

impl Store {
    /// Spends one use of the token and keeps the host; `None`, with nothing changed, when the token is unknown, spent, expired or revoked.
    ///
    /// # Errors
    /// [`super::StoreError`]; then the token has its use still.
    pub async fn admit(&self, applicant: Applicant, now: i64) -> Result<Option<SpentToken>> {
        let mut work = self.begin().await?;
        let Some(spent) = token::spend(&mut work, &applicant.secret_hash, now).await? else {
            return Ok(None);
        };
        let Applicant { id, facts, certificate, .. } = applicant;
        host::insert(&mut work, &NewHost { id, profile: spent.profile, facts, certificate, token: spent.id }, now).await?;
        work.commit().await?;
        Ok(Some(spent))
    }
}
