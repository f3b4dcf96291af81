//! Somebody who can be asked.

use std::io::{self, IsTerminal};

use futures::FutureExt;
use futures::future::BoxFuture;

/// Gives answers, one line at a time.
pub(crate) trait Ask: Send {
    /// The next line without its end; `None` where there are no more.
    fn answer(&mut self) -> BoxFuture<'_, io::Result<Option<String>>>;
}

/// The user at the terminal.
pub(crate) struct Terminal(());

impl Terminal {
    /// `None` where nobody would see a question or could answer it.
    pub(crate) fn of_this_process() -> Option<Self> {
        let is_there = io::stdin().is_terminal() && io::stderr().is_terminal();
        is_there.then_some(Self(()))
    }
}

impl Ask for Terminal {
    /// The line is read on a thread of its own, which goes on to wait where this is dropped.
    fn answer(&mut self) -> BoxFuture<'_, io::Result<Option<String>>> {
        let reading = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            let length = io::stdin().read_line(&mut line)?;
            Ok((length > 0).then(|| line.trim_end_matches(['\n', '\r']).to_owned()))
        });
        reading
            .map(|read| read.unwrap_or_else(|gone| std::panic::resume_unwind(gone.into_panic())))
            .boxed()
    }
}

#[cfg(test)]
pub(crate) use scripted::Scripted;

#[cfg(test)]
mod scripted {
    use std::collections::VecDeque;

    use super::*;

    /// Answers that were written down before.
    pub(crate) struct Scripted(VecDeque<String>);

    impl Scripted {
        pub(crate) fn new<const N: usize>(answers: [&str; N]) -> Self {
            Self(answers.map(str::to_owned).into())
        }
    }

    impl Ask for Scripted {
        fn answer(&mut self) -> BoxFuture<'_, io::Result<Option<String>>> {
            futures::future::ready(Ok(self.0.pop_front())).boxed()
        }
    }
}
