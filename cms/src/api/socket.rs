//! The unix socket the API listens on: made for its owner alone, taken over from a server that died, never from one that lives.

use std::future::Future;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limit::{CONNECTIONS_MAX, IDLE};
use super::peer::Peer;
use crate::lease::{Lease, Watch};

/// Pause after the kernel would not give us a connection, so that a lack of file descriptors is not made worse.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Two servers on one database would not know of each other.
    #[error("another doorward-cms already answers on {path}; stop it first", path = path.display())]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// The folder or the socket cannot be made.
    #[error("cannot listen on {path}: {source}; check runtime_dir and who owns it", path = path.display())]
    Bind {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A bound socket; its file goes when this is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    file: SocketFile,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // What cannot be removed is taken over by the next server.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Socket {
    /// Makes the socket, and its folder where that is missing. Must be called inside the runtime.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Bind { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed)?;
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(SocketError::Taken { path: path.to_owned() }),
            // Nobody listens behind it any more.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(failed)?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let file = SocketFile(path.to_owned());
        // Between the two lines others could knock; every connection is asked who it is anyway.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, file, permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.0
    }
}

impl Listener for Socket {
    type Io = Connection;
    type Addr = Peer;

    async fn accept(&mut self) -> (Connection, Peer) {
        loop {
            let permit = Arc::clone(&self.permits).acquire_owned().await.expect("the semaphore is never closed");
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let lease = Lease::new();
                    let peer = Peer::of(&stream, lease.clone());
                    return (Connection { stream, watch: lease.watch(IDLE), lease, _permit: permit }, peer);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the API; trying again");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer::unknown())
    }
}

/// A connection, counted among [`CONNECTIONS_MAX`] until it closes: by its peer, or here when it asks nothing and takes nothing for [`IDLE`].
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    lease: Lease,
    watch: Watch,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// The end of a connection that stands idle; an error once it does.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let over = self.watch.is_over(context);
        if over { Err(io::Error::new(io::ErrorKind::TimedOut, "the connection was idle for too long")) } else { Ok(()) }
    }

    /// What was written says that the peer is still taking its answer.
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.lease.touch();
        }
        written
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Runs `work` until it ends, but no longer than `grace` after `stop`.
pub(super) async fn until_drained(
    work: impl Future<Output = io::Result<()>>,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> io::Result<()> {
    let overdue = async {
        stop.await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        ended = work => ended,
        () = overdue => {
            tracing::warn!("requests to the API did not end in time and were cut");
            Ok(())
        }
    }
}
