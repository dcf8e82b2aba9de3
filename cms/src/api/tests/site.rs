//! A store with one host in it, behind a real socket, in a folder of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doorward_policy::{Evidence, FileKind, HostId, PathBytes, Reputation, Sha256, Use};
use doorward_proto::enrollment::HostFacts;
use doorward_proto::report::{FileFacts, Observation, Process, Report, ReportBody};
use doorward_proto::snapshot::PolicySigner;
use doorward_service::{Clock, Lifecycle};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::super::{Api, Intelligence, Socket};
use crate::allowlist::{Allowlist, Answered};
use crate::signals::Signals;
use crate::store::{Certificate, NewHost, NewToken, Store, mint};

/// The time of every test, microseconds since 1970.
pub(crate) const NOW: i64 = 1_790_000_000_000_000;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Site {
    pub(crate) allowlist: Allowlist,
    pub(crate) host: HostId,
    folder: TempDir,
    lifecycle: Lifecycle,
    reported: std::sync::atomic::AtomicU64,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::standing(NOW);
        let store = Store::create(&folder.path().join("cms.sqlite"), NOW).await.unwrap();
        store.create_profile("default", "default", "cms", NOW).await.unwrap();
        let signer = PolicySigner::from_pem(&PolicySigner::generate_pem().unwrap()).unwrap();
        let allowlist = Allowlist::new(store, Signals::new(), Arc::new(signer), clock);
        let mut site = Self { allowlist, host: HostId::new(mint(NOW)), folder, lifecycle: Lifecycle::new(), reported: 0.into() };
        site.host = site.enroll("web-1").await;
        site.serve();
        site
    }

    /// Binds the socket and answers on it.
    pub(crate) fn serve(&self) {
        let socket = Socket::bind(&self.socket()).unwrap();
        let intelligence = Intelligence { provider: "none".into(), control: crate::intel::Control::default() };
        let api = Api::new(self.allowlist.clone(), intelligence, [7; 32]);
        let _server = self.lifecycle.spawn(api.serve(socket, self.lifecycle.cancel()));
    }

    /// Stops answering.
    pub(crate) async fn stop(&mut self) {
        self.lifecycle.shutdown(PATIENCE).await.unwrap();
        self.lifecycle = Lifecycle::new();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("run/api.sock")
    }

    /// Enrolls another host into the profile "default".
    pub(crate) async fn enroll(&self, name: &str) -> HostId {
        let store = self.allowlist.store();
        let profile = store.profile("default").await.unwrap().unwrap().id;
        let new = NewToken { secret_hash: crate::enrollment::mint_token([7; 32]).secret_hash, profile, uses: 1, expires_at: i64::MAX };
        let token = store.create_token(&new, "root", NOW).await.unwrap();
        let facts = HostFacts {
            host_name: name.into(),
            operating_system: "Debian".into(),
            kernel: "6.18".into(),
            architecture: "x86_64".into(),
            machine_id_hash: None,
        };
        let id = HostId::new(mint(NOW));
        let certificate = Certificate { serial: vec![1], not_after: NOW + 1 };
        store.enroll_host(&NewHost { id, profile, facts, certificate, token: token.id }, NOW).await.unwrap();
        id
    }

    /// The host executes a file nobody vouches for.
    pub(crate) async fn executes(&self, path: &[u8], file: Sha256) {
        let process =
            Process { pid: 4711, start_ticks: 1, uid: Some(1000), parent_pid: 1, parent_path: None, parent_sha256: None, container: None };
        let observation = Observation {
            file: FileFacts {
                sha256: file,
                sha1: None,
                md5: None,
                blake3: None,
                size: 12_345,
                kind: FileKind::ElfExecutable,
                mode: 0o100_755,
                uid: 0,
                gid: 0,
                modified_at: NOW,
                changed_at: NOW,
            },
            path: PathBytes::new(path),
            usage: Use::Execute,
            scan: None,
            first_observed_at: NOW,
            last_observed_at: NOW,
            count: 1,
            evidence: Evidence::default(),
            process: Some(process),
            user_writable_folder: false,
            layer: None,
        };
        let sequence = self.reported.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        let report = Report { sequence, body: ReportBody::Observation(observation) };
        self.allowlist.ingest(self.host, [1; 16], &[report]).await.unwrap();
    }

    /// Threat intelligence answers about a file.
    pub(crate) async fn answers(&self, file: Sha256, reputation: Reputation) {
        let answered = Answered {
            file,
            reputation,
            raw: r#"{"status":"X","note":"as the provider put it"}"#.into(),
            sha1: None,
            md5: None,
            answered_at: NOW,
            fresh_until: NOW + 1_000_000,
        };
        self.allowlist.answered("reversinglabs", &[answered]).await.unwrap();
    }

    /// Sends a request and gives status and JSON; `null` for an empty body.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let length = body.len();
        let head = format!("{method} /api/v1{path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
        self.raw(format!("{head}connection: close\r\n\r\n{body}").as_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, "").await
    }

    /// Sends bytes as they are.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> (u16, Value) {
        let answer = tokio::time::timeout(PATIENCE, self.exchange(bytes)).await.expect("the server answers in time");
        let text = String::from_utf8_lossy(&answer);
        let status = text.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_default();
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    async fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        // A server that has seen enough closes early; what it said before is what counts.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    }
}

/// A file's name, told apart by one byte.
pub(crate) const fn file(byte: u8) -> Sha256 {
    Sha256::new([byte; 32])
}
