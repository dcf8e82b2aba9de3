//! A TLS server that says exactly what a test wrote, byte for byte, and a CONNECT proxy in front of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What arrived: the head as it stood on the wire and the body.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) head: String,
    pub(super) body: String,
}

impl Request {
    /// Hashes in the order asked.
    pub(super) fn hashes(&self) -> Vec<String> {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["rl"]["query"]["hashes"].as_array().unwrap().iter().map(|hash| hash.as_str().unwrap().to_owned()).collect()
    }
}

/// What is written before the connection is closed.
pub(super) enum Reply {
    /// These bytes.
    Raw(Vec<u8>),
    /// Nothing, until the client goes away.
    Silence,
}

impl Reply {
    pub(super) fn status(status: u16, headers: &str) -> Self {
        Self::Raw(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n{headers}\r\n").into())
    }

    pub(super) fn body(body: &str) -> Self {
        Self::Raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).into())
    }

    /// UNKNOWN for every hash that was asked.
    pub(super) fn unknown(request: &Request) -> Self {
        let entry = |hash| serde_json::json!({"status": "UNKNOWN", "query_hash": {"sha256": hash}});
        let entries: Vec<_> = request.hashes().into_iter().map(entry).collect();
        Self::body(&serde_json::json!({"rl": {"entries": entries}}).to_string())
    }
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

/// Ends with the value.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) ca_file: PathBuf,
    seen: Arc<Mutex<Vec<Request>>>,
    _folder: tempfile::TempDir,
    _task: JoinSet<()>,
}

impl Server {
    pub(super) async fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (acceptor, ca_pem) = acceptor();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, ca_pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        task.spawn(serve(listener, acceptor, Arc::new(answer), Arc::clone(&seen)));
        Self { address, ca_file, seen, _folder: folder, _task: task }
    }

    pub(super) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub(super) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn acceptor() -> (TlsAcceptor, String) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    // Of its own name, so that another server's CA is a stranger and not the same one with another key.
    ca.distinguished_name.push(rcgen::DnType::CommonName, format!("test CA {}", getrandom::u64().unwrap()));
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), ca.pem())
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, answer: Arc<Answer>, seen: Arc<Mutex<Vec<Request>>>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (acceptor, answer, seen) = (acceptor.clone(), Arc::clone(&answer), Arc::clone(&seen));
        connections.spawn(async move {
            let Ok(mut stream) = acceptor.accept(socket).await else { return };
            let Some(request) = read(&mut stream).await else { return };
            let reply = answer(&request);
            seen.lock().unwrap().push(request);
            match reply {
                Reply::Raw(bytes) => {
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.shutdown().await;
                }
                Reply::Silence => {
                    let _ = stream.read(&mut [0; 1]).await;
                }
            }
        });
    }
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap().to_ascii_lowercase())
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut raw = Vec::new();
    while !raw.ends_with(b"\r\n\r\n") {
        raw.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(raw).unwrap();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { head, body: String::from_utf8(body).unwrap() })
}

/// A proxy that lets CONNECT with the right credentials through.
pub(super) struct ConnectProxy {
    pub(super) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl ConnectProxy {
    /// `credentials` is the whole value of `Proxy-Authorization`, in lower case.
    pub(super) async fn start(credentials: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        let seen = Arc::clone(&heads);
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                connections.spawn(forward(socket, credentials, Arc::clone(&seen)));
            }
        });
        Self { address, heads, _task: task }
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn forward(mut socket: TcpStream, credentials: &str, heads: Arc<Mutex<Vec<String>>>) {
    let Some(head) = head(&mut socket).await else { return };
    heads.lock().unwrap().push(head.clone());
    if !head.contains(&format!("proxy-authorization: {credentials}\r\n")) {
        let _ = socket.write_all(b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n").await;
        return;
    }
    let target = head.strip_prefix("connect ").unwrap().split(' ').next().unwrap();
    let mut upstream = TcpStream::connect(target).await.unwrap();
    socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut socket, &mut upstream).await;
}
