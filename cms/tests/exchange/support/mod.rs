//! A CMS that listens, and hosts that were really enrolled. Whatever is waited for has a deadline.

pub(crate) mod agent;
pub(crate) mod provider;
pub(crate) mod raw;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_cms::allowlist::Allowlist;
use doorward_cms::enrollment::{Keys, mint_token};
use doorward_cms::signals::Signals;
use doorward_cms::store::{NewToken, Store};
use doorward_cms::uplink::{self, Server, Sessions, Tally};
use doorward_proto::token::Token;
use doorward_service::clock::Clock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::agent::TestAgent;
use crate::story::{HOUR, NOON, TestCms};

/// Longest wait for anything that should come at once.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The future's value, or a panic that names what did not come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what} did not come in {DEADLINE:?}"))
}

/// Polls until `look` finds something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    soon(what, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// A CMS with an uplink on loopback.
pub(crate) struct TestServer {
    pub(crate) cms: TestCms,
    pub(crate) keys: Keys,
    pub(crate) address: SocketAddr,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) tally: Arc<Tally>,
    cancel: CancellationToken,
    task: JoinSet<()>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(uplink::Settings::default()).await
    }

    /// `settings` but for the address and names, which are loopback's.
    pub(crate) async fn start_with(settings: uplink::Settings) -> Self {
        let mut cms = TestCms::new().await;
        let keys = Keys::create(&cms.dir.path().join("state"), NOON).unwrap();
        cms.allowlist = allowlist(&cms.store, &cms.signals, &keys, &cms.clock);
        Self::serve(cms, keys, settings).await
    }

    async fn serve(cms: TestCms, keys: Keys, settings: uplink::Settings) -> Self {
        let settings = uplink::Settings { listen: "127.0.0.1:0".parse().unwrap(), names: vec!["localhost".into()], ..settings };
        let (store, allowlist, signals, clock) = (cms.store.clone(), cms.allowlist.clone(), cms.signals.clone(), cms.clock.clone());
        let server = Server::bind(&settings, &keys, store, allowlist, signals, clock).await.unwrap();
        let (address, sessions, tally) = (server.local_addr(), server.sessions(), server.tally());
        let cancel = CancellationToken::new();
        let mut task = JoinSet::new();
        let stop = cancel.clone();
        task.spawn(async move { server.serve(stop).await.unwrap() });
        Self { cms, keys, address, sessions, tally, cancel, task }
    }

    /// Ends the server in order and starts another on the same database.
    pub(crate) async fn restarted(mut self) -> Self {
        self.cancel.cancel();
        soon("the server's end", self.task.join_next()).await.unwrap().unwrap();
        Self::serve(self.cms, self.keys, uplink::Settings::default()).await
    }

    pub(crate) async fn token(&self, uses: u32) -> Token {
        self.token_until(uses, NOON + HOUR).await.0
    }

    pub(crate) async fn token_until(&self, uses: u32, expires_at: i64) -> (Token, uuid::Uuid) {
        let minted = mint_token(self.keys.ca_key_hash());
        let new = NewToken { secret_hash: minted.secret_hash, profile: self.cms.profile, uses, expires_at };
        let view = self.cms.store.create_token(&new, "ada", NOON).await.unwrap();
        (minted.token, view.id)
    }

    /// Enrolls a host over the wire.
    pub(crate) async fn enroll(&self, name: &str) -> TestAgent {
        let token = self.token(1).await;
        TestAgent::enroll(self, name, &token).await.unwrap()
    }
}

fn allowlist(store: &Store, signals: &Signals, keys: &Keys, clock: &Clock) -> Allowlist {
    Allowlist::new(store.clone(), signals.clone(), Arc::clone(keys.policy_signer()), clock.clone())
}
