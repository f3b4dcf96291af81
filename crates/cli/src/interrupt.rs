//! The user's wish that a command ends.

use std::io;

use futures::stream::{self, BoxStream, Stream, StreamExt};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Interruptions as they come in. The first one asks a command to finish what it has begun, a
/// second one to leave it.
pub struct Interrupt {
    raised: BoxStream<'static, ()>,
}

impl Interrupt {
    /// SIGINT and SIGTERM. From here on they no longer end the process by themselves.
    pub fn signals() -> io::Result<Self> {
        let interrupts = signal(SignalKind::interrupt())?;
        let terminations = signal(SignalKind::terminate())?;
        let each = |signal| {
            stream::unfold(
                signal,
                |mut signal: tokio::signal::unix::Signal| async move {
                    signal.recv().await.map(|()| ((), signal))
                },
            )
        };
        Ok(Self::new(stream::select(
            each(interrupts),
            each(terminations),
        )))
    }

    /// Interruptions from elsewhere.
    pub fn new(raised: impl Stream<Item = ()> + Send + 'static) -> Self {
        Self {
            raised: raised.boxed(),
        }
    }

    /// Waits for the next one; for ever if none can come any more. Cancel safe.
    pub(crate) async fn raised(&mut self) {
        if self.raised.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// What `work` yields, unless an interruption comes first.
    pub(crate) async fn unless_raised<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            done = work => done,
            () = self.raised() => Err(Failure::Interrupted),
        }
    }
}
