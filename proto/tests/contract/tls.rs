//! TLS over loopback with real connections: who gets in, who is believed, and who a connection belongs to.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use doorward_policy::HostId;
use doorward_proto::certificate::{Authority, HOST_DAYS, HostKey, Validity, chain_to_pem};
use doorward_proto::tls::{Identity, Now, ServerIdentity, client_config, peer_host, pinned_client_config, server_config};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use crate::certificate::{authority, host_validity};
use crate::sample::{DAY, NEW_YEAR, host};

const PATIENCE: Duration = Duration::from_secs(20);

/// What the server learnt: whose connection it is, or why there is none.
type Served = Result<Option<HostId>, String>;

fn now(micros: i64) -> Now {
    Now::new(move || micros)
}

fn server(authority: &Authority, now: Now) -> ServerConfig {
    let identity = authority.issue_server(&["cms.example".into(), "127.0.0.1".into()], host_validity()).unwrap();
    server_config(Arc::new(ServerIdentity::new(identity).unwrap()), authority.certificate(), now).unwrap()
}

fn foreign() -> Authority {
    Authority::load(&Authority::create("Somebody else's CA", NEW_YEAR).unwrap()).unwrap()
}

fn identity(authority: &Authority, host: &HostId, validity: Validity) -> Identity {
    let key = HostKey::generate().unwrap();
    let chain = authority.sign_host(key.request_der(), host, validity).unwrap();
    Identity::from_pem(&chain_to_pem(chain), key.key_pem()).unwrap()
}

fn serve(listener: TcpListener, config: Arc<ServerConfig>) -> Served {
    let (tcp, _) = listener.accept().map_err(|error| error.to_string())?;
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let connection = ServerConnection::new(config).unwrap();
    let mut stream = StreamOwned::new(connection, tcp);
    let mut question = [0; 4];
    stream.read_exact(&mut question).map_err(|error| error.to_string())?;
    stream.write_all(b"pong").map_err(|error| error.to_string())?;
    stream.conn.send_close_notify();
    let _ = stream.flush();
    assert_eq!(stream.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(stream.conn.alpn_protocol(), Some(b"h2".as_slice()));
    peer_host(stream.conn.peer_certificates()).map_err(|error| error.to_string())
}

/// One connection: what the client got for its ping, and what the server made of the client.
fn connect_as(name: &'static str, server: ServerConfig, client: ClientConfig) -> (Result<(), String>, Served) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = thread::spawn(move || serve(listener, Arc::new(server)));
    let asked = (|| {
        let tcp = TcpStream::connect(address).map_err(|error| error.to_string())?;
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let connection = ClientConnection::new(Arc::new(client), ServerName::try_from(name).unwrap()).unwrap();
        let mut stream = StreamOwned::new(connection, tcp);
        stream.write_all(b"ping").map_err(|error| error.to_string())?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).map_err(|error| error.to_string())
    })();
    (asked, served.join().unwrap())
}

fn connect(server: ServerConfig, client: ClientConfig) -> (Result<(), String>, Served) {
    connect_as("cms.example", server, client)
}

fn refused(result: (Result<(), String>, Served), why: &str) {
    let (asked, served) = result;
    let reasons = format!("{} / {}", asked.unwrap_err(), served.unwrap_err());
    assert!(reasons.contains(why), "{reasons}");
}

#[test]
fn an_enrolled_host_is_who_its_certificate_says() {
    let authority = authority();
    for (name, number) in [("cms.example", 7), ("127.0.0.1", 8)] {
        let client = client_config(identity(&authority, &host(number), host_validity()), authority.certificate(), now(NEW_YEAR)).unwrap();
        assert_eq!(connect_as(name, server(&authority, now(NEW_YEAR)), client), (Ok(()), Ok(Some(host(number)))));
    }
}

#[test]
fn a_connection_without_a_certificate_belongs_to_nobody() {
    let authority = authority();
    let client = pinned_client_config(authority.key_hash(), now(NEW_YEAR));
    assert_eq!(connect(server(&authority, now(NEW_YEAR)), client), (Ok(()), Ok(None)));
}

#[test]
fn a_host_of_a_foreign_ca_is_refused() {
    let twin = self::authority();
    let authority = self::authority();
    // A CA of another name is not known; one of the same name has not signed it.
    for (other, why) in [(foreign(), "UnknownIssuer"), (twin, "BadSignature")] {
        let client = client_config(identity(&other, &host(7), host_validity()), authority.certificate(), now(NEW_YEAR)).unwrap();
        refused(connect(server(&authority, now(NEW_YEAR)), client), why);
    }
}

#[test]
fn a_host_whose_certificate_is_not_valid_now_is_refused() {
    let authority = authority();
    let issued = |at| Validity::days(at, HOST_DAYS);
    for (validity, why) in [(issued(NEW_YEAR - 91 * DAY), "certificate expired"), (issued(NEW_YEAR + DAY), "not valid yet")] {
        let client = client_config(identity(&authority, &host(7), validity), authority.certificate(), now(NEW_YEAR)).unwrap();
        refused(connect(server(&authority, now(NEW_YEAR)), client), why);
    }
}

#[test]
fn the_time_that_counts_is_the_one_that_was_handed_in() {
    let authority = authority();
    let time = Arc::new(AtomicI64::new(NEW_YEAR));
    let clock = || {
        let time = Arc::clone(&time);
        Now::new(move || time.load(Ordering::SeqCst))
    };
    let client = |clock| client_config(identity(&authority, &host(7), host_validity()), authority.certificate(), clock).unwrap();
    assert!(connect(server(&authority, clock()), client(clock())).1.is_ok());
    time.store(NEW_YEAR + 91 * DAY, Ordering::SeqCst);
    let (asked, _) = connect(server(&authority, clock()), client(clock()));
    assert!(asked.unwrap_err().to_lowercase().contains("expired"), "the server's certificate is over too");
}

#[test]
fn a_servers_certificate_is_nobodys_as_a_client() {
    let authority = authority();
    let stolen = authority.issue_server(&["cms.example".into()], host_validity()).unwrap();
    let key = pem_of_key(&stolen.key);
    let identity = Identity::from_pem(&chain_to_pem(&stolen.chain), &key).unwrap();
    let client = client_config(identity, authority.certificate(), now(NEW_YEAR)).unwrap();
    refused(connect(server(&authority, now(NEW_YEAR)), client), "does not allow extended key usage for client authentication");
}

#[test]
fn a_hosts_certificate_is_nobodys_as_a_server() {
    let authority = authority();
    let (key_pem, chain) = {
        let key = HostKey::generate().unwrap();
        let chain = authority.sign_host(key.request_der(), &host(7), host_validity()).unwrap();
        (key.key_pem().to_owned(), chain)
    };
    let stolen = || doorward_proto::certificate::ServerCredential { chain: chain.clone(), key: der_of_key(&key_pem) };
    let server = || server_config(Arc::new(ServerIdentity::new(stolen()).unwrap()), authority.certificate(), now(NEW_YEAR)).unwrap();
    let enrolled = client_config(identity(&authority, &host(8), host_validity()), authority.certificate(), now(NEW_YEAR)).unwrap();
    for client in [enrolled, pinned_client_config(authority.key_hash(), now(NEW_YEAR))] {
        let (asked, served) = connect(server(), client);
        assert!(asked.is_err() && served.is_err(), "{asked:?} {served:?}");
    }
}

#[test]
fn a_host_believes_only_its_own_ca_and_the_right_name() {
    let (authority, foreign) = (authority(), foreign());
    let client = || client_config(identity(&authority, &host(7), host_validity()), authority.certificate(), now(NEW_YEAR)).unwrap();
    refused(connect(server(&foreign, now(NEW_YEAR)), client()), "UnknownIssuer");
    refused(connect_as("other.example", server(&authority, now(NEW_YEAR)), client()), "not valid for name");
}

#[test]
fn a_first_contact_believes_only_the_pinned_ca() {
    let (authority, foreign) = (authority(), foreign());
    let pinned = |hash| pinned_client_config(hash, now(NEW_YEAR));
    assert_eq!(connect(server(&authority, now(NEW_YEAR)), pinned(authority.key_hash())).0, Ok(()));
    refused(connect(server(&foreign, now(NEW_YEAR)), pinned(authority.key_hash())), "UnknownIssuer");
    refused(connect(server(&authority, now(NEW_YEAR)), pinned([0; 32])), "UnknownIssuer");
    refused(connect_as("other.example", server(&authority, now(NEW_YEAR)), pinned(authority.key_hash())), "not valid for name");
}

/// The CA certificate is public: whoever sends it along with a leaf of their own must not be believed.
#[test]
fn sending_the_pinned_ca_along_proves_nothing() {
    let (authority, foreign) = (authority(), foreign());
    let mut credential = foreign.issue_server(&["cms.example".into()], host_validity()).unwrap();
    credential.chain[1] = authority.certificate().to_vec();
    let identity = Arc::new(ServerIdentity::new(credential).unwrap());
    let server = server_config(identity, foreign.certificate(), now(NEW_YEAR)).unwrap();
    let (asked, _) = connect(server, pinned_client_config(authority.key_hash(), now(NEW_YEAR)));
    let asked = asked.unwrap_err();
    assert!(asked.contains("UnknownIssuer") || asked.contains("BadSignature"), "{asked}");
}

/// As above, with the foreign CA named like the real one, so that only its signature tells.
#[test]
fn a_ca_of_the_same_name_is_not_the_pinned_one() {
    let authority = authority();
    let twin = Authority::load(&Authority::create("Doorward test CA", NEW_YEAR).unwrap()).unwrap();
    let mut credential = twin.issue_server(&["cms.example".into()], host_validity()).unwrap();
    credential.chain.push(authority.certificate().to_vec());
    let identity = Arc::new(ServerIdentity::new(credential).unwrap());
    let server = server_config(identity, twin.certificate(), now(NEW_YEAR)).unwrap();
    assert!(connect(server, pinned_client_config(authority.key_hash(), now(NEW_YEAR))).0.is_err());
}

#[test]
fn a_first_contact_notices_a_server_or_a_ca_that_is_out_of_date() {
    let authority = authority();
    let connect_at = |now_micros, validity| {
        let identity = authority.issue_server(&["cms.example".into()], validity).unwrap();
        let identity = Arc::new(ServerIdentity::new(identity).unwrap());
        let server = server_config(identity, authority.certificate(), now(now_micros)).unwrap();
        connect(server, pinned_client_config(authority.key_hash(), now(now_micros))).0
    };
    assert!(connect_at(NEW_YEAR + 91 * DAY, host_validity()).is_err(), "the server's certificate is over");
    let late = NEW_YEAR + 4000 * DAY;
    assert!(connect_at(late, Validity::days(late, HOST_DAYS)).is_err(), "the CA's certificate is over");
}

/// A resumed session would carry the certificate of the first one past its end, and past the host's removal.
#[test]
fn no_session_is_ever_resumed() {
    let authority = authority();
    let server = Arc::new(server(&authority, now(NEW_YEAR)));
    let mut client = client_config(identity(&authority, &host(7), host_validity()), authority.certificate(), now(NEW_YEAR)).unwrap();
    // A client that would like to.
    client.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let client = Arc::new(client);
    for _ in 0..3 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::clone(&server);
        let served = thread::spawn(move || serve(listener, config));
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let connection = ClientConnection::new(Arc::clone(&client), ServerName::try_from("cms.example").unwrap()).unwrap();
        let mut stream = StreamOwned::new(connection, tcp);
        stream.write_all(b"ping").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(stream.conn.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(served.join().unwrap(), Ok(Some(host(7))));
    }
}

#[test]
fn a_renewed_server_certificate_is_shown_to_the_next_connection() {
    let authority = authority();
    let names = ["cms.example".to_owned()];
    let identity = Arc::new(ServerIdentity::new(authority.issue_server(&names, host_validity()).unwrap()).unwrap());
    let later = NEW_YEAR + 91 * DAY;
    let server = || server_config(Arc::clone(&identity), authority.certificate(), now(later)).unwrap();
    let client = || pinned_client_config(authority.key_hash(), now(later));
    assert!(connect(server(), client()).0.is_err(), "the old one is over");
    identity.replace(authority.issue_server(&names, Validity::days(later, HOST_DAYS)).unwrap()).unwrap();
    assert_eq!(connect(server(), client()).0, Ok(()));
}

#[test]
fn credentials_that_do_not_belong_together_are_refused_at_once() {
    let authority = authority();
    let one = authority.issue_server(&["a.example".into()], host_validity()).unwrap();
    let other = authority.issue_server(&["b.example".into()], host_validity()).unwrap();
    let mixed = doorward_proto::certificate::ServerCredential { chain: one.chain, key: other.key };
    assert!(ServerIdentity::new(mixed).is_err());
    assert!(Identity::from_pem("", HostKey::generate().unwrap().key_pem()).is_err());
    assert!(Identity::from_pem(&chain_to_pem([authority.certificate()]), "no key").is_err());
    assert!(client_config(identity(&authority, &host(1), host_validity()), b"no certificate", now(NEW_YEAR)).is_err());
}

fn der_of_key(pem: &str) -> Vec<u8> {
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::pki_types::pem::PemObject;
    PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap().secret_pkcs8_der().to_vec()
}

fn pem_of_key(der: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", data_encoding::BASE64.encode(der))
}
