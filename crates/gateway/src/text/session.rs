//! One connection, from its first command to its last answer.
//!
//! ```text
//!   reader ──► next ──► beginning ──► in flight ──► writer
//!              one      one           many          in the order of the commands
//! ```
//!
//! Commands begin one after the other. A record is in flight once it has its place in a queue, and the
//! next command begins at once. `FETCH` and `AUTH` begin when everything before them is answered, and
//! nothing begins before they are. Nothing is read while there is more in flight or to be written than
//! the limits allow.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use flotilla_net::RemoteCertificate;
use futures::future::{BoxFuture, ready};
use futures::stream::{FuturesOrdered, StreamExt};
use futures::{FutureExt, future};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::backend::TextBackend;
use super::command::{Command, Publish, Verb};
use super::config::TextConfig;
use super::error::{TextCode, TextError};
use super::framing::Input;
use super::meters;
use super::patience::{Owed, Patience};
use super::reader::CommandReader;
use super::work::{Queued, Work};
use super::writer::AnswerWriter;

/// Nothing is read while so much waits to be written.
const UNWRITTEN_BYTES_MAX: usize = 64 << 10;
/// What a peer still sends after the last words to it is read for so long, and so much of it.
const LINGER_LIMIT: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1 << 20;

pub(super) struct Session<'a, B: TextBackend, R, W> {
    config: &'a TextConfig,
    work: Work<'a, B>,
    reader: CommandReader<'a, R>,
    writer: AnswerWriter<W>,
    /// Commands are still taken from the peer.
    is_open: bool,
    /// Read, and cannot begin yet.
    next: Option<Wanted>,
    beginning: Option<Beginning<'a, B::Caller>>,
    in_flight: FuturesOrdered<BoxFuture<'a, Answered>>,
    bytes_in_flight: usize,
    last_words: Option<TextError>,
    patience: Patience,
}

enum Wanted {
    Publish(Publish, Bytes),
    Command(Command),
}

struct Beginning<'a, C> {
    verb: Verb,
    bytes: usize,
    future: BoxFuture<'a, Begun<C>>,
}

/// What became of a command that was begun.
enum Begun<C> {
    Answered(Answer),
    Known(C),
    Queued(Queued),
    /// The token was wrong, and whoever spoke before does not any more.
    Unknown(TextError),
}

struct Answered {
    verb: Option<Verb>,
    answer: Answer,
    bytes: usize,
}

enum Event<C> {
    Answered(Answered),
    Begun(Begun<C>),
    Impatient(Owed),
    /// Bytes came, and maybe they make up an input.
    Read(io::Result<Option<Input>>),
    Stalled,
    Stopped,
    Written(io::Result<()>),
}

/// The peer takes nothing more.
struct Gone;

impl<'a, B, R, W> Session<'a, B, R, W>
where
    B: TextBackend,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    pub(super) fn new(
        (config, backend): (&'a TextConfig, &'a B),
        certificate: &RemoteCertificate,
        (reader, writer): (R, W),
    ) -> Self {
        Self {
            config,
            work: Work {
                config,
                backend,
                caller: backend.newcomer(certificate),
            },
            reader: CommandReader::new(reader, config),
            writer: AnswerWriter::new(writer),
            is_open: true,
            next: None,
            beginning: None,
            in_flight: FuturesOrdered::new(),
            bytes_in_flight: 0,
            last_words: None,
            patience: Patience::new(config),
        }
    }

    /// Serves until the peer has no more commands, breaks the rules, goes away, or `stop` is cancelled.
    pub(super) async fn run(mut self, stop: &CancellationToken) {
        let mut stopped = false;
        loop {
            self.begin_next();
            if self.is_done() {
                break;
            }
            let event = self.next_event(stop, stopped).await;
            stopped |= matches!(event, Event::Stopped);
            if let Err(Gone) = self.on_event(event) {
                return;
            }
        }
        self.close().await;
    }

    fn is_done(&self) -> bool {
        !self.is_open
            && self.next.is_none()
            && self.beginning.is_none()
            && self.in_flight.is_empty()
            && self.writer.is_empty()
    }

    async fn next_event(&mut self, stop: &CancellationToken, stopped: bool) -> Event<B::Caller> {
        let may_read = self.may_read();
        let impatient = self.patience.over_at(self.owed(may_read));
        let stalls_at = self.writer.stalls_at(self.config.write_stall_limit);
        let beginning = self
            .beginning
            .as_mut()
            .map(|beginning| &mut beginning.future);
        tokio::select! {
            biased;
            () = stop.cancelled(), if !stopped => Event::Stopped,
            Some(answered) = self.in_flight.next() => Event::Answered(answered),
            begun = ready_or_never(beginning) => Event::Begun(begun),
            written = self.writer.write_some(), if !self.writer.is_empty() => Event::Written(written),
            input = self.reader.next(), if may_read => Event::Read(input),
            () = sleep_until(stalls_at), if !self.writer.is_empty() => Event::Stalled,
            owed = impatient => Event::Impatient(owed),
        }
    }

    fn may_read(&self) -> bool {
        self.is_open
            && self.next.is_none()
            && self.beginning.is_none()
            && self.in_flight.len() < self.config.commands_in_flight_max
            && self.bytes_in_flight < self.config.bytes_in_flight_max
            && self.writer.bytes() < UNWRITTEN_BYTES_MAX
    }

    /// What the peer has to do next. Nothing while it waits for us.
    fn owed(&self, may_read: bool) -> Option<Owed> {
        if !may_read {
            return None;
        }
        if self.reader.is_unfinished() {
            return Some(Owed::Rest);
        }
        let waits = !self.in_flight.is_empty() || !self.writer.is_empty();
        (!waits).then_some(Owed::Command)
    }

    fn on_event(&mut self, event: Event<B::Caller>) -> Result<(), Gone> {
        match event {
            Event::Answered(answered) => {
                meters::count(answered.verb, &answered.answer);
                self.bytes_in_flight -= answered.bytes;
                self.writer.push(&answered.answer);
            }
            Event::Begun(begun) => self.on_begun(begun),
            Event::Impatient(owed) => self.part_with(owed.error(self.config)),
            Event::Read(Ok(Some(input))) => self.on_input(input),
            // Whoever broke the connection has no use for answers.
            Event::Read(Err(_)) | Event::Written(Err(_)) => return Err(Gone),
            Event::Stalled => {
                tracing::debug!("a peer of the text protocol does not read its answers");
                return Err(Gone);
            }
            Event::Stopped => self.on_stop(),
            Event::Read(Ok(None)) | Event::Written(Ok(())) => {}
        }
        Ok(())
    }

    fn on_input(&mut self, input: Input) {
        self.patience.restart();
        match input {
            Input::Publish(publish, payload) => {
                self.next = Some(Wanted::Publish(publish, payload));
            }
            Input::Command(command) => self.next = Some(Wanted::Command(command)),
            Input::Refused(verb, error) => self.answer(verb, Answer::Error(error)),
            Input::Broken(error) => self.part_with(error),
            Input::Ended => self.is_open = false,
        }
    }

    /// Begins what was read last, unless it has to wait.
    fn begin_next(&mut self) {
        if self.beginning.is_some() {
            return;
        }
        if let Some(error) = self.last_words.take() {
            self.answer(None, Answer::Error(error));
        }
        match self.next.take() {
            None => {}
            Some(Wanted::Publish(publish, payload)) => self.begin_publish(publish, payload),
            Some(Wanted::Command(command)) => self.begin_command(command),
        }
    }

    fn begin_publish(&mut self, publish: Publish, payload: Bytes) {
        let bytes = payload.len();
        let work = self.work.clone();
        self.bytes_in_flight += bytes;
        let future = async move {
            match work.queue(publish, payload).await {
                Ok(queued) => Begun::Queued(queued),
                Err(error) => Begun::Answered(Answer::Error(error)),
            }
        };
        self.begin(Verb::Pub, bytes, future.boxed());
    }

    fn begin_command(&mut self, command: Command) {
        let verb = command.verb();
        match command {
            Command::Authenticate(_) | Command::Fetch(_) if !self.in_flight.is_empty() => {
                self.next = Some(Wanted::Command(command));
            }
            Command::Authenticate(token) => {
                let work = self.work.clone();
                let future = async move {
                    match work.authenticate(&token).await {
                        Ok(caller) => Begun::Known(caller),
                        Err(error) => Begun::Unknown(error),
                    }
                };
                self.begin(verb, 0, future.boxed());
            }
            Command::Fetch(fetch) => {
                let work = self.work.clone();
                let future = async move { Begun::Answered(work.fetch(fetch).await) };
                self.begin(verb, 0, future.boxed());
            }
            Command::Help => self.answer(Some(verb), Answer::Help),
            Command::Ping => self.answer(Some(verb), Answer::Pong),
            Command::Quit => {
                self.is_open = false;
                self.answer(Some(verb), Answer::Bye);
            }
        }
    }

    fn begin(&mut self, verb: Verb, bytes: usize, future: BoxFuture<'a, Begun<B::Caller>>) {
        self.beginning = Some(Beginning {
            verb,
            bytes,
            future,
        });
    }

    fn on_begun(&mut self, begun: Begun<B::Caller>) {
        let Some(Beginning { verb, bytes, .. }) = self.beginning.take() else {
            return;
        };
        let answer = match begun {
            Begun::Queued(queued) => {
                let answered = async move {
                    Answered {
                        verb: Some(verb),
                        answer: queued.stored().await,
                        bytes,
                    }
                };
                self.in_flight.push_back(answered.boxed());
                return;
            }
            Begun::Answered(answer) => answer,
            Begun::Known(caller) => {
                self.work.caller = caller;
                Answer::Done
            }
            Begun::Unknown(error) => {
                let nobody = RemoteCertificate::default();
                self.work.caller = self.work.backend.newcomer(&nobody);
                Answer::Error(error)
            }
        };
        let answered = Answered {
            verb: Some(verb),
            answer,
            bytes,
        };
        self.in_flight.push_back(ready(answered).boxed());
    }

    /// Answers when everything before is answered.
    fn answer(&mut self, verb: Option<Verb>, answer: Answer) {
        let answered = Answered {
            verb,
            answer,
            bytes: 0,
        };
        self.in_flight.push_back(ready(answered).boxed());
    }

    /// Takes no more commands, and says why when everything before is answered.
    fn part_with(&mut self, error: TextError) {
        self.is_open = false;
        self.last_words = Some(error);
    }

    fn on_stop(&mut self) {
        if !self.is_open {
            return;
        }
        self.next = None;
        // Reading changes nothing, and may wait for long. Whatever else has begun is finished.
        if self
            .beginning
            .as_ref()
            .is_some_and(|begun| begun.verb == Verb::Fetch)
        {
            self.beginning = None;
        }
        let code = TextCode::Broker(flotilla_client::ErrorCode::ShuttingDown);
        let text =
            "this node stops; commands without an answer were not done: connect to another node";
        self.part_with(TextError::new(code, text));
    }

    async fn close(mut self) {
        let linger = async {
            self.writer.shut_down().await?;
            self.reader.forget_the_rest(LINGER_BYTES_MAX).await
        };
        // The peer has everything that is meant for it.
        let _ = timeout(LINGER_LIMIT, linger).await;
    }
}

async fn ready_or_never<T>(future: Option<&mut BoxFuture<'_, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => future::pending().await,
    }
}
