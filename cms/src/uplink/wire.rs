//! One accepted connection: its bytes, who is at the other end, and the place it takes until it ends.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use doorward_policy::HostId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::crowd::HostPlace;
use crate::lease::{Lease, Watch};

/// Who is at the other end of a connection; stands in the extensions of every request that comes over it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it comes from; for throttling and logs.
    pub address: SocketAddr,
    /// By its certificate; `None` when it showed none. Whether the host was removed meanwhile is the store's to say.
    pub host: Option<HostId>,
    /// Of the connection; held by whatever is done on it.
    pub(super) lease: Lease,
}

/// How long a connection lives.
#[derive(Debug)]
pub(super) enum Life {
    /// Until then, whatever it does: it can only enroll.
    Stranger(Pin<Box<Sleep>>),
    /// For its stream, and for a rest without one.
    Host(Watch, #[expect(dead_code, reason = "given back when the connection ends")] HostPlace),
}

/// The connection.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) peer: Peer,
    /// When it ends by itself.
    pub(super) life: Life,
    /// Given back when the connection ends.
    pub(super) _places: Vec<OwnedSemaphorePermit>,
}

impl Wire {
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.life {
            Life::Stranger(end) => end.as_mut().poll(cx).is_ready(),
            Life::Host(watch, _) => watch.is_over(cx),
        }
    }
}

fn over() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the connection stood without a stream, or without a certificate, for too long")
}

impl Connected for Wire {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(over()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(over()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(over()));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
