//! One connection to the management server: TCP, TLS 1.3, HTTP/2. Says in so many words why there is none.
//!
//! The handshake happens here and not inside the gRPC library, so that a wrong authority, a wrong name and a dead network are told
//! apart. A connection is used for one session and never remade behind the session's back.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::{CertificateError, ClientConfig};
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use crate::credential::CmsUrl;

/// HTTP/2 receive window of the stream and of the connection: a few of the largest messages.
const WINDOW_BYTES: u32 = 8 << 20;

/// Longest list of HTTP headers a server may answer with.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// How long the server's first word is waited for before this side speaks.
const FIRST_WORD_DEADLINE: Duration = Duration::from_secs(2);

/// How long the parts of connecting may take, and how a dead connection is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// Name look-up, TCP and TLS together.
    pub(crate) connect: Duration,
    /// Time between two pings on a quiet connection.
    pub(crate) keepalive_interval: Duration,
    /// Time a ping may stay unanswered before the connection is dead.
    pub(crate) keepalive_timeout: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Name look-up or TCP failed.
    #[error("cannot reach the management server at {address}: {source}; check the address, the port and what stands in between")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the network said.
        #[source]
        source: io::Error,
    },
    /// Nothing answered in time.
    #[error(
        "the management server at {address} does not answer within {} s; check the address, the port and what stands in between",
        limit.as_secs_f32()
    )]
    TimedOut {
        /// Host and port.
        address: String,
        /// The limit.
        limit: Duration,
    },
    /// Somebody answered whose certificate the pinned or enrolled CA did not sign.
    #[error(
        "whoever answers at {0} is not this host's management server: another authority signed its certificate; \
         check that the address and the enrollment token come from one server, and if they do, who listens in between"
    )]
    WrongAuthority(String),
    /// The right CA, for another name.
    #[error(
        "the certificate of the management server does not carry the name {0}; \
         use a name it was set up with, or add this one to `names` in its configuration"
    )]
    NameMismatch(String),
    /// The right CA, and the certificate is not valid at this host's time.
    #[error("the certificate of the management server at {0} is not valid at this host's time; set the clock of the one that is wrong")]
    OutOfDate(String),
    /// The server ended the handshake: it does not take this host's certificate.
    #[error("the management server at {0} refuses this host's certificate")]
    Refused(String),
    /// TLS or HTTP/2 failed in some other way.
    #[error("cannot speak to the management server at {address}: {why}; check that the port is the one it takes hosts on")]
    Protocol {
        /// Host and port.
        address: String,
        /// What was wrong.
        why: String,
    },
}

/// Connects. The channel works for as long as the connection does, and fails after it.
///
/// # Errors
/// [`DialError`].
pub(crate) async fn dial(cms: &CmsUrl, tls: ClientConfig, timing: Timing) -> Result<Channel, DialError> {
    let address = cms.authority();
    let connected = tokio::time::timeout(timing.connect, async {
        let tcp = TcpStream::connect((cms.host(), cms.port()))
            .await
            .map_err(|source| DialError::Unreachable { address: address.clone(), source })?;
        // Acknowledgements are small and waited for.
        let _ = tcp.set_nodelay(true);
        let connector = TlsConnector::from(Arc::new(tls));
        let mut tls = connector.connect(cms.server_name(), tcp).await.map_err(|error| handshake_error(cms, &error))?;
        hear_first_word(cms, &mut tls).await?;
        speak(&address, tls, timing).await
    });
    connected.await.map_err(|_| DialError::TimedOut { address: cms.authority(), limit: timing.connect })?
}

/// With TLS 1.3 this side is done before the server has looked at its certificate; a refusal comes afterwards, in the place of the
/// server's first word. Whoever speaks before hearing that word may lose the refusal to a reset connection.
async fn hear_first_word(cms: &CmsUrl, tls: &mut TlsStream<TcpStream>) -> Result<(), DialError> {
    match tokio::time::timeout(FIRST_WORD_DEADLINE, tls.fill_buf()).await {
        Ok(Ok([])) => {
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection");
            Err(DialError::Unreachable { address: cms.authority(), source })
        }
        Ok(Err(error)) => Err(handshake_error(cms, &error)),
        // A server may also wait to be spoken to.
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

async fn speak(address: &str, tls: TlsStream<TcpStream>, timing: Timing) -> Result<Channel, DialError> {
    let protocol = |why: String| DialError::Protocol { address: address.to_owned(), why };
    let stream = Arc::new(Mutex::new(Some(TokioIo::new(tls))));
    let connector = tower::service_fn(move |_| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move { stream.ok_or_else(|| io::Error::new(io::ErrorKind::ConnectionReset, "the connection is over")) }
    });
    // TLS is below this already; the scheme only keeps the library from adding its own.
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| protocol(error.to_string()))?;
    endpoint
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keep_alive_interval(timing.keepalive_interval)
        .keep_alive_timeout(timing.keepalive_timeout)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(|error| protocol(chain(&error)))
}

fn handshake_error(cms: &CmsUrl, error: &io::Error) -> DialError {
    use CertificateError::{Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext};
    let address = cms.authority();
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
            DialError::NameMismatch(cms.host().to_owned())
        }
        Some(rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })) => {
            DialError::OutOfDate(address)
        }
        Some(rustls::Error::InvalidCertificate(_)) => DialError::WrongAuthority(address),
        Some(rustls::Error::AlertReceived(_)) => DialError::Refused(address),
        Some(other) => DialError::Protocol { address, why: other.to_string() },
        None => DialError::Unreachable { address, source: io::Error::new(error.kind(), error.to_string()) },
    }
}

/// Whether an error of a call goes back to the server ending TLS. With TLS 1.3 a refused certificate is heard of only when the first
/// answer is read.
pub(crate) fn is_tls_refusal(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        matches!(inner.or_else(|| cause.downcast_ref()), Some(rustls::Error::AlertReceived(_)))
    })
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    })
}
