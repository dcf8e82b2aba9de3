//! Who is on the other end, by the kernel's word. Only root and the server's own user are let in; their names stand in the audit log.

use std::sync::Arc;

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Extension, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use nix::unistd::{Uid, User};
use tokio::net::UnixStream;

use super::Problem;
use super::socket::Socket;
use crate::lease::Lease;

/// The process that connected.
#[derive(Debug, Clone)]
pub struct Peer {
    /// `None` when the kernel would not say.
    uid: Option<u32>,
    /// Of its connection.
    lease: Lease,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream, lease: Lease) -> Self {
        Self { uid: stream.peer_cred().ok().map(|credentials| credentials.uid()), lease }
    }

    pub(super) fn unknown() -> Self {
        Self { uid: None, lease: Lease::new() }
    }
}

impl Connected<IncomingStream<'_, Socket>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Socket>) -> Self {
        stream.remote_addr().clone()
    }
}

/// The person a request comes from, as the audit log names them.
#[derive(Debug, Clone)]
pub(super) struct Actor(Arc<str>);

impl Actor {
    pub(super) fn name(&self) -> &str {
        &self.0
    }
}

/// How handlers take the person.
pub(super) type By = Extension<Actor>;

/// Who may ask.
#[derive(Debug, Clone)]
pub(super) struct Guests {
    own: Uid,
    own_name: Actor,
    root_name: Actor,
}

impl Guests {
    /// Root, and whoever this process runs as. Names are looked up once: asking a directory for each request could hang the API.
    pub(super) fn root_and_self() -> Self {
        let own = Uid::effective();
        let name = User::from_uid(own).ok().flatten().map_or_else(|| format!("uid {own}"), |user| user.name);
        Self { own, own_name: Actor(name.into()), root_name: Actor("root".into()) }
    }

    fn actor(&self, peer: &Peer) -> Option<Actor> {
        match peer.uid? {
            0 => Some(self.root_name.clone()),
            uid if uid == self.own.as_raw() => Some(self.own_name.clone()),
            _ => None,
        }
    }
}

/// Lets in whom [`Guests`] names and nobody else.
pub(super) async fn admit(
    State(guests): State<Guests>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    // A connection on which a request is worked on is not idle, however long that takes.
    let _hold = peer.lease.hold();
    let Some(actor) = guests.actor(&peer) else {
        let who = peer.uid.map_or_else(|| "somebody the kernel does not name".into(), |uid| format!("uid {uid}"));
        tracing::warn!(who, "refused a request to the API");
        return Err(Problem::forbidden(format!(
            "{who} may not ask this server; run the command as root or as the user the server runs as"
        )));
    };
    request.extensions_mut().insert(actor);
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_the_servers_own_user_are_let_in() {
        let guests = Guests { own: Uid::from_raw(990), own_name: Actor("doorward".into()), root_name: Actor("root".into()) };
        let name = |uid| guests.actor(&Peer { uid, lease: Lease::new() }).map(|actor| actor.name().to_owned());
        assert_eq!(name(Some(0)).as_deref(), Some("root"));
        assert_eq!(name(Some(990)).as_deref(), Some("doorward"));
        assert_eq!(name(Some(1000)), None);
        assert_eq!(name(None), None, "whom the kernel does not name is nobody");
    }
}
