//! The test's side door, plain HTTP on loopback: change records, order faults, read what was asked.
//!
//! Every error is a 400 with a sentence, or a 404 where the thing named is not there. Bodies are JSON whatever their
//! `Content-Type`.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use axum_server::Handle;
use serde_json::json;

use super::checksum::Checksum;
use super::fault::Fault;
use super::limit::Limit;
use super::record::Record;
use super::simulator::Shared;
use super::tally::{KeptRequest, Stats};

/// Some 200,000 records at once.
const BODY_MAX_BYTES: usize = 64 * 1024 * 1024;

type Control = State<Arc<Shared>>;

/// Serves until the handle says stop.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, handle: Handle<SocketAddr>) -> io::Result<()> {
    let router = Router::new()
        .route("/records", put(put_records))
        .route("/records/{sha256}", axum::routing::delete(delete_record))
        .route("/fault", put(put_fault))
        .route("/limit", put(put_limit))
        .route("/stats", get(stats).delete(delete_stats))
        .route("/asked/{checksum}", get(asked))
        .route("/requests", get(requests))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(shared);
    axum_server::from_tcp(listener)?.handle(handle).serve(router.into_make_service()).await
}

/// One record, an array, or the text of a data file. When anything in it is wrong, nothing of it is taken.
async fn put_records(State(shared): Control, body: String) -> Result<StatusCode, Wrong> {
    let records = Record::parse_all(&body)?;
    let mut service = shared.service();
    for record in records {
        service.put_record(record)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn delete_record(State(shared): Control, Path(sha256): Path<String>) -> Result<StatusCode, Wrong> {
    let sha256: Checksum = sha256.parse()?;
    let removed = shared.service().remove_record(&sha256);
    Ok(removed.map_or(StatusCode::NOT_FOUND, |_| StatusCode::NO_CONTENT))
}

async fn put_fault(State(shared): Control, body: String) -> Result<StatusCode, Wrong> {
    let fault: Fault = serde_json::from_str(&body).context("the fault")?;
    shared.service().order(fault.checked()?);
    Ok(StatusCode::NO_CONTENT)
}

async fn put_limit(State(shared): Control, body: String) -> Result<StatusCode, Wrong> {
    let limit: Limit = serde_json::from_str(&body).context("the limit")?;
    shared.service().set_limit(limit.checked()?);
    Ok(StatusCode::NO_CONTENT)
}

async fn stats(State(shared): Control) -> Json<Stats> {
    let now = shared.now();
    Json(shared.service().stats(now))
}

async fn delete_stats(State(shared): Control) -> StatusCode {
    shared.service().clear_stats();
    StatusCode::NO_CONTENT
}

async fn asked(State(shared): Control, Path(checksum): Path<String>) -> Result<Response, Wrong> {
    let count = shared.service().asked(&checksum.parse()?);
    Ok(Json(json!({ "count": count })).into_response())
}

async fn requests(State(shared): Control) -> Json<Vec<KeptRequest>> {
    Json(shared.service().kept_requests())
}

/// What the test got wrong, told in one line.
struct Wrong(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Wrong {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, format!("{:#}\n", self.0)).into_response()
    }
}
