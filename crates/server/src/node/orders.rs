//! Being told to stop: by SIGTERM, by SIGINT, or by a supervisor that closes our stdin.

use std::io::{self, Read, Write};
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::exit::ServerExit;

/// The orders that come in. The first one asks for a stop in order, the second for one at once.
pub(crate) struct StopOrders {
    terminate: Signal,
    interrupt: Signal,
    /// Present if a supervisor started this process.
    supervisor: Option<mpsc::Receiver<()>>,
}

impl StopOrders {
    /// Takes the signals over from here on. Under a supervisor, the end of stdin counts as an order,
    /// so that nothing is left behind when the supervisor dies.
    pub(crate) fn listen(supervised: bool) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            supervisor: supervised.then(watch_stdin).transpose()?,
        })
    }

    /// Waits for an order. Cancel safe.
    pub(crate) async fn stop(&mut self) {
        let supervisor = async {
            match &mut self.supervisor {
                Some(supervisor) => supervisor.recv().await,
                None => std::future::pending().await,
            }
        };
        let order = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = supervisor => {
                self.supervisor = None;
                "the supervisor"
            }
        };
        tracing::info!(order, "told to stop");
    }

    /// Waits for a second order and ends the process. What was acknowledged is on disk at any
    /// moment, so nothing is lost but the time that the next start takes.
    pub(crate) async fn stop_at_once(&mut self) {
        self.stop().await;
        tracing::warn!("told to stop again: not waiting for the work in hand");
        std::process::exit(i32::from(ServerExit::Interrupted.code()));
    }

    /// Whom to tell that the node is ready.
    pub(crate) fn audience(&self) -> Audience {
        if self.supervisor.is_some() {
            Audience::Supervisor
        } else {
            Audience::Log
        }
    }
}

/// Who waits for the node to be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Log,
    /// A process that reads our stdout.
    Supervisor,
}

impl Audience {
    pub(crate) fn announce_ready(self) {
        tracing::info!("ready");
        if self == Self::Supervisor {
            let mut stdout = io::stdout().lock();
            // A supervisor that is gone shows as the end of stdin.
            let _ = stdout.write_all(b"ready\n").and_then(|()| stdout.flush());
        }
    }
}

/// A thread that reads stdin and ends, with the sender, when stdin does. The runtime's own stdin
/// would keep the process from ending.
fn watch_stdin() -> io::Result<mpsc::Receiver<()>> {
    let (alive, end) = mpsc::channel(1);
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let mut ignored = [0; 64];
            while matches!(io::stdin().read(&mut ignored), Ok(1..)) {}
            drop(alive);
        })?;
    Ok(end)
}
