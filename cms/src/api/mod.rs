//! What people and programs ask of the server: JSON over HTTP/1.1 on a unix socket, below `/api/v1`. One noun a file; a handler parses,
//! calls one operation of the store or the allowlist, and shows the outcome. Nothing is decided here.
//!
//! Lists are `{"items": [...], "next": cursor or null}`, refusals are [`Problem`]s. Times are microseconds since 1970 in UTC, digests
//! lower-case hexadecimal, paths escaped. Unknown fields are refused, so that a misspelt word is not taken for its default.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::allowlist::Allowlist;
use crate::intel::Control;
use crate::signals::Effect;
use crate::store::{Store, StoreError};

mod allowlist;
mod extract;
mod file;
mod host;
mod incident;
mod intel;
pub mod limit;
mod many;
mod peer;
mod problem;
mod profile;
mod scan;
mod scope;
mod socket;
mod source;
mod stats;
mod summary;
mod token;
mod word;

pub use peer::Peer;
pub use problem::Problem;
pub use socket::{Connection, Socket, SocketError};

use peer::{Actor, Guests};

/// What the API tells of threat intelligence.
#[derive(Debug, Clone)]
pub struct Intelligence {
    /// Who is asked, as in the configuration.
    pub provider: String,
    /// The engine's counters, and how to wake it.
    pub control: Control,
}

/// Everything handlers need. Clones share it.
#[derive(Debug, Clone)]
pub struct Api {
    allowlist: Allowlist,
    intelligence: Intelligence,
    ca_key_hash: [u8; 32],
    turns: Arc<Semaphore>,
}

impl Api {
    /// `ca_key_hash` goes into the enrollment tokens that are made here.
    #[must_use]
    pub fn new(allowlist: Allowlist, intelligence: Intelligence, ca_key_hash: [u8; 32]) -> Self {
        Self { allowlist, intelligence, ca_key_hash, turns: Arc::new(Semaphore::new(limit::REQUESTS_MAX)) }
    }

    /// Answers requests until `cancel`; requests under way then have [`limit::DRAIN_TIMEOUT`] to end.
    ///
    /// # Errors
    /// When the socket cannot be used any more.
    pub async fn serve(self, socket: Socket, cancel: CancellationToken) -> std::io::Result<()> {
        let service = self.router(Guests::root_and_self()).into_make_service_with_connect_info::<Peer>();
        let server = axum::serve(socket, service).with_graceful_shutdown(cancel.clone().cancelled_owned());
        socket::until_drained(server.into_future(), cancel.cancelled_owned(), limit::DRAIN_TIMEOUT).await
    }

    fn router(self, guests: Guests) -> Router {
        let nouns = Router::new()
            .merge(allowlist::routes())
            .merge(file::routes())
            .merge(host::routes())
            .merge(incident::routes())
            .merge(intel::routes())
            .merge(many::routes())
            .merge(profile::routes())
            .merge(scan::routes())
            .merge(source::routes())
            .merge(stats::routes())
            .merge(token::routes())
            .method_not_allowed_fallback(async || Problem::method());
        Router::new()
            .nest("/api/v1", nouns)
            .fallback(async || Problem::not_found("there is nothing at this path; paths start with /api/v1/, docs/API.md lists them"))
            .layer(DefaultBodyLimit::max(limit::BODY_BYTES_MAX))
            .layer(from_fn_with_state(self.clone(), take_turn))
            .layer(from_fn_with_state(guests, peer::admit))
            .with_state(self)
    }

    const fn store(&self) -> &Store {
        self.allowlist.store()
    }

    fn now(&self) -> i64 {
        self.allowlist.clock().now_micros()
    }

    /// Carries out a change for a person, at the time it is given, and tells whom it concerns; see [`Allowlist::change`].
    async fn change<T, F>(&self, by: &Actor, work: impl FnOnce(Store, Actor, i64) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<(T, Effect), StoreError>> + Send + 'static,
    {
        let (by, now) = (by.clone(), self.now());
        self.allowlist.change(|store| work(store, by, now)).await
    }
}

/// Bounds how many requests are worked on, and for how long.
async fn take_turn(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Problem> {
    let Ok(_turn) = api.turns.try_acquire() else {
        return Err(Problem::busy());
    };
    tokio::time::timeout(limit::REQUEST_TIMEOUT, next.run(request)).await.map_err(|_| Problem::overdue())
}

#[cfg(test)]
pub(crate) mod tests;
