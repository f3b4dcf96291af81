//! How long a peer is waited for.

use std::time::Duration;

use futures::future;
use tokio::time::{Instant, sleep_until};

use super::config::TextConfig;
use super::error::{TextCode, TextError};

/// What a peer has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    /// To send a command.
    Command,
    /// To finish what it has begun.
    Rest,
}

pub(super) struct Patience {
    idle_limit: Duration,
    unfinished_limit: Duration,
    /// What is waited for, and since when. A peer that is not read from is not late.
    waiting: Option<(Owed, Instant)>,
}

impl Patience {
    pub(super) fn new(config: &TextConfig) -> Self {
        Self {
            idle_limit: config.idle_limit,
            unfinished_limit: config.unfinished_limit,
            waiting: None,
        }
    }

    /// The peer did what it had to.
    pub(super) fn restart(&mut self) {
        self.waiting = None;
    }

    /// Ready when the peer has owed this for too long.
    pub(super) fn over_at(&mut self, owed: Option<Owed>) -> impl Future<Output = Owed> + use<> {
        self.waiting = match (owed, self.waiting) {
            (Some(owed), Some((waiting, since))) if owed == waiting => Some((owed, since)),
            (Some(owed), _) => Some((owed, Instant::now())),
            (None, _) => None,
        };
        let over = self.waiting.map(|(owed, since)| match owed {
            Owed::Command => (owed, since + self.idle_limit),
            Owed::Rest => (owed, since + self.unfinished_limit),
        });
        async move {
            match over {
                Some((owed, at)) => {
                    sleep_until(at).await;
                    owed
                }
                None => future::pending().await,
            }
        }
    }
}

impl Owed {
    pub(super) fn error(self, config: &TextConfig) -> TextError {
        match self {
            Self::Command => {
                let seconds = config.idle_limit.as_secs();
                let text = format!(
                    "no command came for {seconds} s, and the connection is closed: PING keeps one open"
                );
                TextError::new(TextCode::Idle, text)
            }
            Self::Rest => {
                let seconds = config.unfinished_limit.as_secs();
                let text = format!(
                    "what was begun did not end within {seconds} s; nothing is stored of it, and the \
                     connection is closed"
                );
                TextError::new(TextCode::HalfSent, text)
            }
        }
    }
}
