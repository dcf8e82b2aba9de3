//! The provider's face: TLS and HTTP/1.1 around `service`, and the faults that are about bytes and time.
//!
//! Reads untrusted bytes with a bound and a deadline each. Decides nothing about questions.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::Response;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use futures::stream;
use rustls::ServerConfig;

use super::refusal::Refusal;
use super::service::{self, Delivery, Reply};
use super::simulator::Shared;

/// A bulk question of 100 hashes takes 7 KB; room for tests that send far too many.
const BODY_MAX_BYTES: usize = 1024 * 1024;
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// Also how long a kept-alive connection may idle.
const HEADER_DEADLINE: Duration = Duration::from_secs(60);
/// Of a dripping body: many, so that a client that only bounds the wait between two reads is caught.
const DRIPS: usize = 20;
/// Between the half body and the end of the connection, so that the half is on the wire first.
const CUT_PAUSE: Duration = Duration::from_millis(20);

/// Serves until the handle says stop.
pub(crate) async fn serve(listener: TcpListener, tls: ServerConfig, shared: Arc<Shared>, handle: Handle<SocketAddr>) -> io::Result<()> {
    let tls = RustlsConfig::from_config(Arc::new(tls));
    let mut server = axum_server::from_tcp_rustls(listener, tls)?.http1_only().first_request_timeout(HEADER_DEADLINE).handle(handle);
    server.http_builder().http1().header_read_timeout(HEADER_DEADLINE);
    let router = Router::new().fallback(reply).with_state(shared);
    server.serve(router.into_make_service()).await
}

async fn reply(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = read(body).await;
    let request =
        service::Request { method: &parts.method, uri: &parts.uri, headers: &parts.headers, body: body.as_deref().unwrap_or_default() };
    let reply = match &body {
        Ok(_) => shared.service().reply(request, shared.now()),
        Err(refusal) => shared.service().refuse(request, refusal),
    };
    tokio::time::sleep(reply.delay).await;
    deliver(reply)
}

async fn read(body: Body) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(BODY_DEADLINE, to_bytes(body, BODY_MAX_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(Refusal::Unreadable(error.to_string())),
        Err(_) => Err(Refusal::Unreadable("the deadline passed".to_owned())),
    }
}

fn deliver(reply: Reply) -> Response {
    let length = reply.body.len();
    let bytes = Bytes::from(reply.body);
    let body = match reply.delivery {
        Delivery::Whole => Body::from(bytes),
        Delivery::Dripping(time) => dripping(bytes, time),
        Delivery::Cut => cut(bytes),
    };
    let mut response = Response::builder()
        .status(reply.status)
        .header(CONTENT_TYPE, reply.content_type)
        // Said in advance also where the body is a stream: a cut is a cut only against a promise.
        .header(CONTENT_LENGTH, length);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(body).expect("status, header names and values come from this crate")
}

fn dripping(bytes: Bytes, time: Duration) -> Body {
    let size = bytes.len().div_ceil(DRIPS).max(1);
    // Rounded up, the size makes for fewer drips; the time is to be the one ordered all the same.
    let drips = bytes.len().div_ceil(size).max(1);
    let pause = time.div_f64(drips as f64);
    Body::from_stream(stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        let drop = rest.split_to(size.min(rest.len()));
        tokio::time::sleep(pause).await;
        Some((Ok::<_, Infallible>(drop), rest))
    }))
}

fn cut(mut bytes: Bytes) -> Body {
    bytes.truncate(bytes.len() / 2);
    Body::from_stream(stream::unfold(Some(bytes), |half| async move {
        match half {
            Some(half) if !half.is_empty() => Some((Ok(half), Some(Bytes::new()))),
            Some(_) => {
                tokio::time::sleep(CUT_PAUSE).await;
                Some((Err(io::Error::other("cut as ordered")), None))
            }
            None => None,
        }
    }))
}
