//! An issuer on the loopback device that does what it is told, and counts what it is asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::test_key::TestKey;

pub(crate) const KEYS_PATH: &str = "/oidc/jwks";
pub(crate) const DISCOVERY_PATH: &str = "/oidc/.well-known/openid-configuration";
/// How much an endless answer is said to have, in bytes.
pub(crate) const ENDLESS_BYTES: u64 = 100 << 20;
const PIECE_BYTES: usize = 64 << 10;

/// What the issuer does when it is asked for keys.
#[derive(Clone)]
pub(crate) enum Manner {
    Answer,
    /// Closes every connection at once.
    HangUp,
    /// Takes the request and says nothing.
    Silent,
    Status(u16),
    Redirect(String),
    Text(String),
    Endless,
}

struct Facts {
    manner: Manner,
    keys: Value,
    /// What the discovery document says of the issuer and of the address of the keys, if it is not
    /// the truth.
    told_issuer: Option<String>,
    told_address: Option<String>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    discoveries: AtomicU64,
    key_fetches: AtomicU64,
    endless_bytes: AtomicU64,
}

/// It stops when it is dropped.
pub(crate) struct IssuerServer {
    origin: String,
    facts: Arc<Mutex<Facts>>,
    counts: Arc<Counts>,
    _tasks: JoinSet<()>,
}

impl IssuerServer {
    pub(crate) async fn start(keys: &[&TestKey]) -> Self {
        Self::start_with(keys, None).await
    }

    pub(crate) async fn start_tls(keys: &[&TestKey], tls: TlsAcceptor) -> Self {
        Self::start_with(keys, Some(tls)).await
    }

    async fn start_with(keys: &[&TestKey], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = origin_of(listener.local_addr().unwrap(), tls.is_some());
        let facts = Facts {
            manner: Manner::Answer,
            keys: document_of(keys),
            told_issuer: None,
            told_address: None,
        };
        let facts = Arc::new(Mutex::new(facts));
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        let desk = Desk {
            origin: origin.clone(),
            facts: Arc::clone(&facts),
            counts: Arc::clone(&counts),
        };
        tasks.spawn(accept(listener, tls, desk));
        Self {
            origin,
            facts,
            counts,
            _tasks: tasks,
        }
    }

    /// The claim `iss` of its tokens.
    pub(crate) fn issuer(&self) -> String {
        format!("{}/oidc", self.origin)
    }

    pub(crate) fn keys_url(&self) -> String {
        format!("{}{KEYS_PATH}", self.origin)
    }

    pub(crate) fn set_manner(&self, manner: Manner) {
        self.facts.lock().unwrap().manner = manner;
    }

    pub(crate) fn set_keys(&self, keys: &[&TestKey]) {
        self.facts.lock().unwrap().keys = document_of(keys);
    }

    pub(crate) fn tell_issuer(&self, issuer: &str) {
        self.facts.lock().unwrap().told_issuer = Some(issuer.to_owned());
    }

    pub(crate) fn tell_address(&self, address: &str) {
        self.facts.lock().unwrap().told_address = Some(address.to_owned());
    }

    pub(crate) fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn discoveries(&self) -> u64 {
        self.counts.discoveries.load(Ordering::Relaxed)
    }

    pub(crate) fn key_fetches(&self) -> u64 {
        self.counts.key_fetches.load(Ordering::Relaxed)
    }

    /// Bytes of endless answers that somebody took.
    pub(crate) fn endless_bytes(&self) -> u64 {
        self.counts.endless_bytes.load(Ordering::Relaxed)
    }
}

pub(crate) fn document_of(keys: &[&TestKey]) -> Value {
    let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys })
}

fn origin_of(address: SocketAddr, has_tls: bool) -> String {
    if has_tls {
        format!("https://localhost:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

/// Where requests are answered.
#[derive(Clone)]
struct Desk {
    origin: String,
    facts: Arc<Mutex<Facts>>,
    counts: Arc<Counts>,
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, desk: Desk) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        desk.counts.connections.fetch_add(1, Ordering::Relaxed);
        if matches!(desk.manner(), Manner::HangUp) {
            continue;
        }
        let desk = desk.clone();
        match tls.clone() {
            None => connections.spawn(async move { serve(stream, desk).await }),
            Some(tls) => connections.spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    serve(stream, desk).await;
                }
            }),
        };
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, desk: Desk) {
    let service = service_fn(move |request: Request<Incoming>| {
        let desk = desk.clone();
        async move { desk.answer(request.uri().path()).await }
    });
    // Clients that go away in the middle are what some tests are about.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Desk {
    fn manner(&self) -> Manner {
        self.facts.lock().unwrap().manner.clone()
    }

    async fn answer(&self, path: &str) -> Result<Response<Answer>, Infallible> {
        if path == DISCOVERY_PATH {
            self.counts.discoveries.fetch_add(1, Ordering::Relaxed);
            return Ok(Response::new(Answer::text(&self.discovery())));
        }
        self.counts.key_fetches.fetch_add(1, Ordering::Relaxed);
        let mut response = Response::new(Answer::default());
        *response.body_mut() = match self.manner() {
            Manner::Answer => Answer::text(&self.facts.lock().unwrap().keys.to_string()),
            Manner::Text(text) => Answer::text(&text),
            Manner::Endless => Answer::endless(Arc::clone(&self.counts)),
            Manner::Silent | Manner::HangUp => std::future::pending().await,
            Manner::Status(status) => {
                *response.status_mut() = status.try_into().unwrap();
                Answer::text(&self.facts.lock().unwrap().keys.to_string())
            }
            Manner::Redirect(address) => {
                *response.status_mut() = hyper::StatusCode::FOUND;
                let address = address.parse().unwrap();
                response.headers_mut().insert("location", address);
                Answer::default()
            }
        };
        Ok(response)
    }

    fn discovery(&self) -> String {
        let facts = self.facts.lock().unwrap();
        let issuer = format!("{}/oidc", self.origin);
        let address = format!("{}{KEYS_PATH}", self.origin);
        let document = json!({
            "issuer": facts.told_issuer.as_ref().unwrap_or(&issuer),
            "jwks_uri": facts.told_address.as_ref().unwrap_or(&address),
            "token_endpoint": format!("{}/oidc/token", self.origin),
        });
        document.to_string()
    }
}

/// A body of one piece, or one that goes on and on.
#[derive(Default)]
struct Answer {
    piece: Option<Bytes>,
    bytes_to_come: u64,
    counts: Arc<Counts>,
}

impl Answer {
    fn text(text: &str) -> Self {
        Self {
            piece: Some(Bytes::copy_from_slice(text.as_bytes())),
            ..Self::default()
        }
    }

    fn endless(counts: Arc<Counts>) -> Self {
        Self {
            piece: None,
            bytes_to_come: ENDLESS_BYTES,
            counts,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let answer = self.get_mut();
        if answer.bytes_to_come > 0 {
            let bytes = PIECE_BYTES as u64;
            answer.bytes_to_come = answer.bytes_to_come.saturating_sub(bytes);
            answer
                .counts
                .endless_bytes
                .fetch_add(bytes, Ordering::Relaxed);
            let piece = Bytes::from_static(&[b' '; PIECE_BYTES]);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        Poll::Ready(answer.piece.take().map(|piece| Ok(Frame::data(piece))))
    }
}
