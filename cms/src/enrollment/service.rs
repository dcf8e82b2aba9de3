//! The first contact of a host: a token's secret and a certificate request in, a host id and a certificate out. Whoever calls is
//! nobody yet, so everything is bounded and a refusal never says which part of a token was wrong.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use doorward_policy::HostId;
use doorward_proto::enrollment::{EnrollRequest, EnrollResponse};
use doorward_proto::v1;
use doorward_proto::v1::enrollment_server::Enrollment;
use doorward_service::clock::Clock;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::Keys;
use super::certify::{Certified, certify};
use super::throttle::Throttle;
use super::token::secret_hash;
use crate::store::{Applicant, SpentToken, Store, StoreError, mint};
use crate::uplink::Peer;

/// Largest message of a first contact, in bytes: a request of 8 KiB and some facts.
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// First contacts served at once; each costs two signatures.
const IN_FLIGHT_MAX: usize = 16;

/// Longest wait for one of those places.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The gRPC service.
pub struct Service {
    store: Store,
    keys: Keys,
    clock: Clock,
    throttle: Mutex<Throttle>,
    places: Arc<Semaphore>,
}

impl Service {
    /// Puts it together.
    #[must_use]
    pub fn new(store: Store, keys: Keys, clock: Clock) -> Self {
        Self { store, keys, clock, throttle: Mutex::default(), places: Arc::new(Semaphore::new(IN_FLIGHT_MAX)) }
    }

    async fn admit(&self, address: IpAddr, request: v1::EnrollRequest) -> Result<EnrollResponse, Status> {
        let now = self.clock.now_micros();
        if !self.throttle.lock().unwrap_or_else(PoisonError::into_inner).admits(address, now) {
            return Err(Status::resource_exhausted("too many failed enrollments from this address; wait a minute"));
        }
        let wait = tokio::time::timeout(WAIT_MAX, self.places.acquire()).await;
        let Ok(Ok(_place)) = wait else {
            return Err(Status::unavailable("too many enrollments at once; try again"));
        };
        let admitted = self.enroll(request, now).await;
        if admitted.as_ref().is_err_and(|status| status.code() == tonic::Code::PermissionDenied) {
            self.throttle.lock().unwrap_or_else(PoisonError::into_inner).failed(address, now);
            tracing::warn!(%address, "an enrollment was refused: its token is unknown, spent, expired or revoked");
        }
        admitted
    }

    async fn enroll(&self, request: v1::EnrollRequest, now: i64) -> Result<EnrollResponse, Status> {
        let request = EnrollRequest::try_from(request).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let id = HostId::new(mint(now));
        // Signed before the token is spent, so that a malformed request costs no use of it.
        let Certified { chain, certificate } = certify(self.keys.authority(), &request.certificate_request, &id, now)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let applicant = Applicant { secret_hash: secret_hash(&request.token_secret), id, facts: request.facts, certificate };
        let admitted = self.store.admit(applicant, now).await.map_err(|error| unavailable(&error))?;
        let Some(SpentToken { profile, profile_name, .. }) = admitted else {
            return Err(Status::permission_denied("the token is unknown, spent, expired or revoked; ask for a new one"));
        };
        tracing::info!(host = %id, profile = %profile_name.escape_debug(), "a host was enrolled");
        Ok(EnrollResponse {
            host_id: id,
            certificate_chain: chain,
            ca_certificate: Bytes::copy_from_slice(self.keys.authority().certificate()),
            policy_key: *self.keys.policy_signer().verifier().key(),
            profile_id: profile,
            profile_name,
        })
    }
}

/// What strangers learn of a failing database: nothing.
fn unavailable(error: &StoreError) -> Status {
    tracing::error!(%error, "an enrollment failed");
    Status::unavailable("the server cannot enroll hosts at the moment; try again")
}

#[tonic::async_trait]
impl Enrollment for Service {
    async fn enroll(&self, request: Request<v1::EnrollRequest>) -> Result<Response<v1::EnrollResponse>, Status> {
        let peer = request.extensions().get::<Peer>().cloned().ok_or_else(|| Status::internal("a connection without an address"))?;
        let response = self.admit(peer.address.ip(), request.into_inner()).await?;
        Ok(Response::new(response.into()))
    }
}
