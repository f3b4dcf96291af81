//! The stream of an accepted connection. The handshake happens as part of the first reads and writes, so that
//! whoever accepts waits for nobody, and it has a time limit of its own. Both directions are to be used from one
//! task.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use metrics::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::certificate::RemoteCertificate;
use crate::keyring::Security;

/// First byte of a TLS handshake (RFC 8446, section 5.1: the content type of its records).
const HANDSHAKE: u8 = 22;
/// What is read, unseen, of somebody who does not speak TLS.
const UNSEEN_BYTES_MAX: usize = 64 << 10;
/// How long such a connection is left to the other end to close.
const REFUSAL_LIMIT: Duration = Duration::from_secs(1);

/// A connection, encrypted or not.
pub(crate) struct ServerStream {
    state: State,
    remote: RemoteCertificate,
}

enum State {
    Plain(TcpStream),
    /// The handshake has not ended yet.
    Beginning(Beginning),
    Encrypted(Box<TlsStream<TcpStream>>),
    Broken,
}

struct Beginning {
    step: Step,
    terms: Terms,
    end: Pin<Box<Sleep>>,
}

enum Step {
    /// Nothing has come yet.
    Silent(TcpStream),
    Handshake(Box<Accept<TcpStream>>),
    /// The other end does not speak TLS, and is told so.
    Refusal(Refusal),
    Done,
}

/// What a handshake needs.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) security: Security,
    /// How long it may take.
    pub(crate) limit: Duration,
    /// What is said to whoever does not speak TLS.
    pub(crate) plaintext_refusal: Arc<[u8]>,
    pub(crate) failed: Counter,
}

struct Refusal {
    stream: TcpStream,
    unsaid: Arc<[u8]>,
    said: usize,
    bytes_unseen: usize,
}

impl ServerStream {
    pub(crate) fn new(stream: TcpStream, terms: &Terms) -> Self {
        let state = match terms.security.is_on() {
            false => State::Plain(stream),
            true => State::Beginning(Beginning {
                step: Step::Silent(stream),
                end: Box::pin(sleep(terms.limit)),
                terms: terms.clone(),
            }),
        };
        Self {
            state,
            remote: RemoteCertificate::default(),
        }
    }

    /// The certificate of the other end. It is there once the handshake is done.
    pub(crate) fn remote(&self) -> &RemoteCertificate {
        &self.remote
    }

    /// Brings the handshake to its end, if there is one.
    pub(crate) async fn handshake(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_ready(context)).await
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let beginning = match &mut self.state {
            State::Plain(_) | State::Encrypted(_) => return Poll::Ready(Ok(())),
            State::Broken => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            State::Beginning(beginning) => beginning,
        };
        let ended = match beginning.poll_step(context) {
            Poll::Ready(ended) => {
                ended.and_then(|stream| self.remote.prove_by(&stream).map(|()| stream))
            }
            Poll::Pending => {
                ready!(beginning.end.as_mut().poll(context));
                Err(beginning.too_late())
            }
        };
        let failed = beginning.terms.failed.clone();
        match ended {
            Ok(stream) => {
                self.state = State::Encrypted(Box::new(stream));
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.state = State::Broken;
                // Whoever leaves without a word, as a prober of ports does, has not failed.
                if error.kind() != io::ErrorKind::UnexpectedEof {
                    failed.increment(1);
                    tracing::debug!(%error, "a TLS handshake failed");
                }
                Poll::Ready(Err(error))
            }
        }
    }

    /// Ready once the handshake is done, if there is one.
    fn poll_stream<'a>(
        &'a mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Pin<&'a mut dyn Duplex>>> {
        ready!(self.poll_ready(context))?;
        Poll::Ready(match &mut self.state {
            State::Plain(stream) => Ok(Pin::new(stream)),
            State::Encrypted(stream) => Ok(Pin::new(stream.as_mut())),
            State::Beginning(_) | State::Broken => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

impl Beginning {
    /// Why there is nothing to wait for any more.
    fn too_late(&self) -> io::Error {
        match self.step {
            Step::Refusal(_) => io::Error::new(
                io::ErrorKind::InvalidData,
                "the other end does not speak TLS",
            ),
            _ => io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"),
        }
    }

    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<io::Result<TlsStream<TcpStream>>> {
        loop {
            match &mut self.step {
                Step::Done => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                Step::Handshake(accept) => return Pin::new(accept.as_mut()).poll(context),
                Step::Refusal(refusal) => {
                    ready!(refusal.poll_said(context))?;
                    return Poll::Ready(Err(self.too_late()));
                }
                Step::Silent(stream) => {
                    let first = ready!(poll_first(stream, context))?;
                    let Step::Silent(stream) = std::mem::replace(&mut self.step, Step::Done) else {
                        continue;
                    };
                    // The certificates of now, and not of when it connected.
                    self.step = match (first, self.terms.security.config()) {
                        (None, _) | (_, None) => {
                            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                        }
                        (Some(HANDSHAKE), Some(config)) => {
                            let accept = TlsAcceptor::from(config).accept(stream);
                            Step::Handshake(Box::new(accept))
                        }
                        (Some(_), Some(_)) => {
                            let end = Instant::now() + REFUSAL_LIMIT;
                            self.end.as_mut().reset(end);
                            Step::Refusal(Refusal {
                                stream,
                                unsaid: self.terms.plaintext_refusal.clone(),
                                said: 0,
                                bytes_unseen: 0,
                            })
                        }
                    };
                }
            }
        }
    }
}

impl Refusal {
    /// Says it, and reads what still comes until the other end closes: closing first, over unread bytes, could
    /// take the words away.
    fn poll_said(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(&mut self.stream);
        while self.said < self.unsaid.len() {
            let rest = &self.unsaid[self.said..];
            self.said += ready!(stream.as_mut().poll_write(context, rest))?;
        }
        while self.bytes_unseen < UNSEEN_BYTES_MAX {
            let mut unseen = [0; 1_024];
            let mut buffer = ReadBuf::new(&mut unseen);
            ready!(stream.as_mut().poll_read(context, &mut buffer))?;
            match buffer.filled().len() {
                0 => break,
                length => self.bytes_unseen += length,
            }
        }
        Poll::Ready(Ok(()))
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

/// The first byte that is there to be read; `None` at the end.
fn poll_first(stream: &TcpStream, context: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
    let mut byte = [0; 1];
    let mut buffer = ReadBuf::new(&mut byte);
    let length = ready!(stream.poll_peek(context, &mut buffer))?;
    Poll::Ready(Ok((length > 0).then_some(byte[0])))
}

impl AsyncRead for ServerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_stream(context))?.poll_read(context, buffer)
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_stream(context))?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Plain(stream) => Pin::new(stream).poll_flush(context),
            State::Encrypted(stream) => Pin::new(stream.as_mut()).poll_flush(context),
            // Nothing was written.
            State::Beginning(_) | State::Broken => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            State::Encrypted(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
            State::Beginning(_) | State::Broken => {
                self.state = State::Broken;
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_stream(context))?.poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        // TLS gathers what is written into its own records.
        true
    }
}
