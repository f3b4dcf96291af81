//! Connections over real sockets: who is let in, what one too many is told, and what certificates prove.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flotilla_net::{
    ClientCertificates, ClientTls, ClientTlsFiles, Connection, DevAuthority, IssuedFor, KeyFiles,
    Keyring, KeyringFiles, Listener, NodeDomain, PortKind, PortLimits, Refusals, Security,
    TlsError,
};
use flotilla_types::{ErrorChain, NodeId};
use metrics::{Counter, Gauge};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(86_400);

/// What a test has waited for.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .expect("this takes too long")
}

async fn listen(security: Security, connections_max: usize) -> (SocketAddr, Listener) {
    listen_for(security, connections_max, PATIENCE).await
}

async fn listen_for(
    security: Security,
    connections_max: usize,
    handshake_limit: Duration,
) -> (SocketAddr, Listener) {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let limits = PortLimits {
        connections_max,
        open: Gauge::noop(),
        refused: Counter::noop(),
        refusals: Refusals {
            too_many: b"one too many".as_slice().into(),
            plaintext: b"TLS please".as_slice().into(),
        },
        handshake_limit,
    };
    (address, Listener::new(tcp, security, limits))
}

fn domain() -> NodeDomain {
    NodeDomain::new("nodes.example").unwrap()
}

#[expect(clippy::disallowed_methods, reason = "certificates count from now on")]
fn authority(directory: &Path) -> DevAuthority {
    DevAuthority::open(directory, SystemTime::now(), DAY).unwrap()
}

fn node_files(authority: &DevAuthority, node: u64) -> KeyFiles {
    let whom = IssuedFor::Node {
        node: NodeId::new(node),
        domain: domain(),
        hosts: vec!["127.0.0.1".to_owned()],
    };
    authority.issue(&whom).unwrap()
}

fn files(authority: &DevAuthority, node: u64) -> KeyringFiles {
    KeyringFiles {
        node: node_files(authority, node),
        public: None,
        authorities: authority.file(),
    }
}

fn load(
    files: KeyringFiles,
    node: u64,
    clients: ClientCertificates,
) -> Result<Arc<Keyring>, TlsError> {
    Keyring::load(NodeId::new(node), files, clients, domain()).map(Arc::new)
}

fn keyring(authority: &DevAuthority, node: u64, clients: ClientCertificates) -> Arc<Keyring> {
    load(files(authority, node), node, clients).unwrap()
}

fn client(authority: &DevAuthority, own: Option<KeyFiles>) -> ClientTls {
    let files = ClientTlsFiles {
        authorities: Some(authority.file()),
        own,
    };
    ClientTls::load(&files).unwrap()
}

fn client_files(authority: &DevAuthority, name: &str) -> KeyFiles {
    authority
        .issue(&IssuedFor::Client(name.to_owned()))
        .unwrap()
}

/// Sends a byte and hears it again; who the listener thinks has sent it.
async fn exchange(
    address: SocketAddr,
    listener: &mut Listener,
    client: &ClientTls,
) -> io::Result<Option<String>> {
    let serving = async {
        let mut connection = listener.accept().await;
        echo(&mut connection).await?;
        io::Result::Ok(principal(&connection))
    };
    let asking = async {
        let stream = TcpStream::connect(address).await?;
        let mut stream = client.connect("127.0.0.1", stream).await?;
        stream.write_all(b"x").await?;
        let mut heard = [0; 1];
        stream.read_exact(&mut heard).await?;
        assert_eq!(&heard, b"x");
        io::Result::Ok(())
    };
    let (served, asked) = soon(async { tokio::join!(serving, asking) }).await;
    asked.and(served)
}

fn principal(connection: &Connection) -> Option<String> {
    connection.remote().shown()?.name.map(str::to_owned)
}

async fn echo(connection: &mut Connection) -> io::Result<()> {
    let mut heard = [0; 1];
    connection.read_exact(&mut heard).await?;
    connection.write_all(&heard).await?;
    connection.flush().await
}

#[tokio::test]
async fn one_connection_too_many_is_told_why_and_a_place_that_is_free_is_taken() {
    let (address, mut listener) = listen(Security::default(), 1).await;
    let _first = TcpStream::connect(address).await.unwrap();
    let place = soon(listener.accept()).await;

    let mut second = TcpStream::connect(address).await.unwrap();
    let mut said = Vec::new();
    tokio::select! {
        _ = listener.accept() => panic!("one too many was let in"),
        read = soon(second.read_to_end(&mut said)) => drop(read.unwrap()),
    }
    assert_eq!(said, b"one too many");

    drop(place);
    let mut third = TcpStream::connect(address).await.unwrap();
    let mut served = soon(listener.accept()).await;
    third.write_all(b"x").await.unwrap();
    soon(echo(&mut served)).await.unwrap();
    assert!(served.remote().names().is_none());
}

#[tokio::test]
async fn one_connection_too_many_is_told_in_tls_where_that_is_spoken() {
    let directory = TempDir::new().unwrap();
    let authority = authority(directory.path());
    let keyring = keyring(&authority, 1, ClientCertificates::Optional);
    let (address, mut listener) = listen(Security::of(&keyring, PortKind::Text), 0).await;
    let client = client(&authority, None);
    let asking = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = client.connect("127.0.0.1", stream).await.unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        said
    };
    tokio::select! {
        _ = listener.accept() => panic!("one too many was let in"),
        said = soon(asking) => assert_eq!(said, b"one too many"),
    }
}

#[tokio::test]
async fn whoever_does_not_speak_tls_is_told_so() {
    let directory = TempDir::new().unwrap();
    let keyring = keyring(&authority(directory.path()), 1, ClientCertificates::Off);
    let (address, mut listener) = listen(Security::of(&keyring, PortKind::Http), 8).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut connection = soon(listener.accept()).await;
    let refused = soon(echo(&mut connection)).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    drop(connection);
    let mut said = Vec::new();
    soon(stream.read_to_end(&mut said)).await.unwrap();
    assert_eq!(said, b"TLS please");
}

#[tokio::test]
async fn a_connection_that_says_nothing_keeps_nobody_waiting() {
    let directory = TempDir::new().unwrap();
    let authority = authority(directory.path());
    let keyring = keyring(&authority, 1, ClientCertificates::Optional);
    let (address, mut listener) = listen(Security::of(&keyring, PortKind::Client), 8).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    let _also_silent = soon(listener.accept()).await;
    let client = client(&authority, None);
    assert_eq!(
        exchange(address, &mut listener, &client).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_ended() {
    let directory = TempDir::new().unwrap();
    let keyring = keyring(
        &authority(directory.path()),
        1,
        ClientCertificates::Optional,
    );
    let security = Security::of(&keyring, PortKind::Client);
    let (address, mut listener) = listen_for(security, 8, Duration::from_millis(20)).await;
    // Silence, and the beginning of a TLS record that says that 512 bytes follow.
    for words in [&b""[..], &[22, 3, 1, 2, 0, 1]] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(words).await.unwrap();
        let mut connection = soon(listener.accept()).await;
        // HTTP/2 servers speak first.
        let refused = soon(connection.write_all(b"x")).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        let refused = soon(connection.read_u8()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotConnected);
    }
}

#[tokio::test]
async fn a_certificate_of_the_authority_says_who_the_client_is() {
    let directory = TempDir::new().unwrap();
    let other_directory = TempDir::new().unwrap();
    let (authority, stranger) = (
        authority(directory.path()),
        authority(other_directory.path()),
    );
    let own = client(&authority, Some(client_files(&authority, "billing")));
    // It believes the nodes, but they know nothing of the authority that it has its own from.
    let foreign = client(&authority, Some(client_files(&stranger, "billing")));
    let nobody = client(&authority, None);
    let deceived = client(&stranger, None);
    let billing = Some("billing".to_owned());
    for clients in [
        ClientCertificates::Off,
        ClientCertificates::Optional,
        ClientCertificates::Required,
    ] {
        let keyring = keyring(&authority, 1, clients);
        let (address, mut listener) = listen(Security::of(&keyring, PortKind::Text), 8).await;
        let mut ask = async |client| exchange(address, &mut listener, client).await;
        let asked_for = clients != ClientCertificates::Off;
        assert_eq!(
            ask(&own).await.unwrap(),
            billing.clone().filter(|_| asked_for)
        );
        assert_eq!(ask(&foreign).await.is_ok(), !asked_for);
        let must_show = clients == ClientCertificates::Required;
        assert_eq!(ask(&nobody).await.ok(), (!must_show).then_some(None));
        let refused = ask(&deceived).await.unwrap_err();
        assert!(
            refused.to_string().contains("invalid peer certificate"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn nodes_prove_which_they_are_to_each_other() {
    let directory = TempDir::new().unwrap();
    let authority = authority(directory.path());
    let here = keyring(&authority, 1, ClientCertificates::Off);
    let there = keyring(&authority, 2, ClientCertificates::Off);
    let (address, mut listener) = listen(Security::of(&there, PortKind::Peer), 8).await;
    for (expected, is_found) in [(Some(2), true), (None, true), (Some(3), false)] {
        let serving = async {
            let mut connection = listener.accept().await;
            echo(&mut connection).await?;
            let names = connection.remote().names().cloned();
            io::Result::Ok(names.and_then(|names| domain().node_in(&names)))
        };
        let dialing = async {
            let stream = TcpStream::connect(address).await?;
            let mut stream = here.dial(expected.map(NodeId::new), false, stream).await?;
            stream.write_all(b"x").await?;
            stream.read_exact(&mut [0; 1]).await
        };
        let (served, dialed) = soon(async { tokio::join!(serving, dialing) }).await;
        assert_eq!(dialed.is_ok(), is_found, "{expected:?}: {dialed:?}");
        assert_eq!(served.ok(), is_found.then_some(Some(NodeId::new(1))));
    }

    // A client's certificate opens a connection to the peer port, but names no node.
    let client = client(
        &authority,
        Some(client_files(&authority, "node-1.nodes.example")),
    );
    let serving = async {
        let mut connection = listener.accept().await;
        echo(&mut connection).await.unwrap();
        domain().node_in(connection.remote().names().unwrap())
    };
    let asking = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = client.connect("127.0.0.1", stream).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.read_exact(&mut [0; 1]).await.unwrap();
    };
    assert_eq!(soon(async { tokio::join!(serving, asking) }).await.0, None);
}

#[tokio::test]
async fn new_certificates_are_taken_up_and_broken_ones_are_not() {
    let directory = TempDir::new().unwrap();
    let later = TempDir::new().unwrap();
    let (first, second) = (authority(directory.path()), authority(later.path()));
    let ours = files(&first, 1);
    let keyring = load(ours.clone(), 1, ClientCertificates::Off).unwrap();
    let (address, mut listener) = listen(Security::of(&keyring, PortKind::Text), 8).await;
    let (of_first, of_second) = (client(&first, None), client(&second, None));
    let stop = CancellationToken::new();
    let fresh = keyring
        .clone()
        .keep_fresh(Duration::from_millis(5), stop.clone());
    let fresh = tokio::spawn(fresh);

    fs::write(&ours.node.certificate, "no certificate").unwrap();
    for _ in 0..20 {
        exchange(address, &mut listener, &of_first).await.unwrap();
    }
    let theirs = node_files(&second, 1);
    fs::copy(second.file(), &ours.authorities).unwrap();
    fs::copy(&theirs.key, &ours.node.key).unwrap();
    fs::copy(&theirs.certificate, &ours.node.certificate).unwrap();
    let renewed = async {
        while exchange(address, &mut listener, &of_second).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon(Box::pin(renewed)).await;

    assert!(exchange(address, &mut listener, &of_first).await.is_err());
    stop.cancel();
    soon(fresh).await.unwrap();
}

#[test]
fn files_that_do_not_go_together_are_named() {
    let directory = TempDir::new().unwrap();
    let authority = authority(directory.path());
    let good = files(&authority, 1);
    let other = node_files(&authority, 2);
    let missing = directory.path().join("missing.pem");
    let empty = directory.path().join("empty.pem");
    fs::write(&empty, "").unwrap();

    let complaint = |change: &dyn Fn(&mut KeyringFiles)| {
        let mut files = good.clone();
        change(&mut files);
        let refused = load(files, 1, ClientCertificates::Optional).err().unwrap();
        ErrorChain(&refused).to_string()
    };
    let said = complaint(&|files| files.node.certificate = missing.clone());
    assert!(
        said.contains("cannot read") && said.contains("missing.pem"),
        "{said}"
    );
    let said = complaint(&|files| files.node.certificate = empty.clone());
    assert!(said.contains("empty.pem holds no certificate"), "{said}");
    let said = complaint(&|files| files.node.key = empty.clone());
    assert!(said.contains("empty.pem holds no private key"), "{said}");
    let said = complaint(&|files| files.node.key = other.key.clone());
    assert!(
        said.contains("node-1.pem and") && said.contains("do not go together"),
        "{said}"
    );
    let said = complaint(&|files| files.node = other.clone());
    assert!(
        said.contains("node-2.pem is not for this node alone")
            && said.contains("node-1.nodes.example"),
        "{said}"
    );
    let elsewhere = TempDir::new().unwrap();
    let stranger = self::authority(elsewhere.path());
    let said = complaint(&|files| files.node = node_files(&stranger, 1));
    assert!(
        said.contains("node-1.pem: the other nodes would not believe it"),
        "{said}"
    );
    let said = complaint(&|files| files.authorities = empty.clone());
    assert!(said.contains("empty.pem holds no certificate"), "{said}");
}

#[test]
fn an_authority_is_kept_and_its_key_is_nobody_elses() {
    use std::os::unix::fs::PermissionsExt;

    let directory = TempDir::new().unwrap();
    let first = authority(directory.path());
    let certificate = fs::read(first.file()).unwrap();
    let again = authority(directory.path());
    assert_eq!(fs::read(again.file()).unwrap(), certificate);
    let issued = client_files(&again, "billing");
    for key in [issued.key, directory.path().join("ca-key.pem")] {
        let mode = fs::metadata(key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
