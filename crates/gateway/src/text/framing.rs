//! Where commands begin and end in what a peer sends. Nothing here reads: bytes are put in, inputs come
//! out, and how the bytes were cut on their way makes no difference.
//!
//! ```text
//!             ┌──────────────── a line that is no PUB ───────────────┐
//!             ▼                                                      │
//!           Line ── PUB ──► Payload ── all bytes ──► AfterPayload ── a line end, or a verb
//!             ▲                │ refused                 │
//!             │                └──► ThrownAway ──────────┤
//!             └─────── a line end ────── RestOfLine ◄────┘ anything else: size-mismatch
//! ```

use bytes::{Buf, Bytes, BytesMut};

use super::command::{self, Command, Follows, Line, Publish, Verb};
use super::config::{THROWN_AWAY_BYTES_MAX, TOKEN_LINE_BYTES_MAX, TextConfig};
use super::error::{TextCode, TextError};
use super::foreign::Foreign;

/// Room for the next read.
const READ_BYTES: usize = 8 << 10;
/// Room for the next read when so much is known to come.
const LARGE_READ_BYTES: usize = 64 << 10;

/// What a peer wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Publish(Publish, Bytes),
    Command(Command),
    /// Something that is answered with an error; the next command is read as if nothing had been.
    Refused(Option<Verb>, TextError),
    /// Nobody can tell where the next command would begin. Nothing more comes.
    Broken(TextError),
    /// The peer sends no more. Nothing more comes.
    Ended,
}

pub(super) struct Framing<'a> {
    config: &'a TextConfig,
    buffer: BytesMut,
    /// So much of the buffer has no line end in it.
    searched: usize,
    state: State,
    /// Nothing was understood yet: it may be another protocol.
    is_first: bool,
}

enum State {
    Line,
    Payload(Publish, usize),
    /// The payload of a refused command, and what is left of it.
    ThrownAway {
        refusal: (Verb, TextError),
        size: u64,
        left: u64,
    },
    /// A payload of this size was taken. Only a line end or a verb can follow.
    AfterPayload(u64),
    /// What follows a payload and should not.
    RestOfLine,
    Closed,
}

/// What one step came to.
enum Step {
    Done(Input),
    /// The state has changed.
    GoOn,
    NeedsMore,
}

impl<'a> Framing<'a> {
    pub(super) fn new(config: &'a TextConfig) -> Self {
        Self {
            config,
            buffer: BytesMut::new(),
            searched: 0,
            state: State::Line,
            is_first: true,
        }
    }

    /// Where the bytes that come next are put.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        let missing = match &self.state {
            State::Payload(_, size) => size.saturating_sub(self.buffer.len()),
            _ => 0,
        };
        self.buffer
            .reserve(missing.clamp(READ_BYTES, LARGE_READ_BYTES));
        &mut self.buffer
    }

    /// The next input, or none until more bytes are there. `ended` says that no more will come.
    pub(super) fn next(&mut self, ended: bool) -> Option<Input> {
        loop {
            let step = match &self.state {
                State::Line => self.take_line(ended),
                State::Payload(..) => self.take_payload(ended),
                State::ThrownAway { .. } => self.throw_away(ended),
                State::AfterPayload(size) => self.look_behind_payload(*size, ended),
                State::RestOfLine => self.skip_line(ended),
                State::Closed => Step::NeedsMore,
            };
            match step {
                Step::Done(input) => {
                    if matches!(input, Input::Broken(_) | Input::Ended) {
                        self.buffer.clear();
                        self.state = State::Closed;
                    }
                    return Some(input);
                }
                Step::GoOn => {}
                Step::NeedsMore => return None,
            }
        }
    }

    /// The peer has begun something that it has not finished.
    pub(super) fn is_unfinished(&self) -> bool {
        match &self.state {
            State::Payload(..) | State::ThrownAway { .. } => true,
            State::Line | State::AfterPayload(_) => !self.buffer.is_empty(),
            // That it came is the fault; its end is no more awaited than another command.
            State::RestOfLine | State::Closed => false,
        }
    }

    fn take_line(&mut self, ended: bool) -> Step {
        if let (true, Some(first)) = (self.is_first, self.buffer.first())
            && let Some(foreign) = Foreign::by_first_byte(*first)
        {
            return Step::Done(Input::Broken(foreign.error(self.config)));
        }
        let (length, taken) = match self.find_line_end() {
            Some(end) => (end, end + 1),
            None if ended => (self.buffer.len(), self.buffer.len()),
            // The last byte may be half of a line end.
            None if self.buffer.len() > self.line_bytes_max() + 1 => return self.line_too_long(),
            None => return Step::NeedsMore,
        };
        let mut line = self.buffer.get(..length).unwrap_or_default();
        line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > self.line_bytes_max() {
            return self.line_too_long();
        }
        if line.iter().all(|byte| *byte == b' ') {
            self.take(taken);
            return match ended && self.buffer.is_empty() {
                true => Step::Done(Input::Ended),
                false => Step::GoOn,
            };
        }
        if self.is_first
            && let Some(foreign) = Foreign::by_first_line(line)
        {
            return Step::Done(Input::Broken(foreign.error(self.config)));
        }
        self.is_first = false;
        let parsed = command::parse(line);
        self.take(taken);
        match parsed {
            Ok(Line::Command(command)) => Step::Done(Input::Command(command)),
            Ok(Line::Publish(publish)) => self.begin_payload(publish),
            Err(refusal) => match (refusal.follows, refusal.verb) {
                (Follows::Payload(size), Some(verb)) => {
                    self.begin_throwing_away(verb, refusal.error, size)
                }
                (Follows::Unknown, _) => Step::Done(Input::Broken(refusal.error)),
                (_, verb) => Step::Done(Input::Refused(verb, refusal.error)),
            },
        }
    }

    fn begin_payload(&mut self, publish: Publish) -> Step {
        let max = self.config.payload_bytes_max;
        let size = usize::try_from(publish.size).ok();
        match size.filter(|size| *size <= max) {
            Some(size) => {
                self.state = State::Payload(publish, size);
                Step::GoOn
            }
            None => {
                let text = format!("a payload has at most {max} bytes here; nothing is stored");
                let error = TextError::new(TextCode::TooLarge, text);
                self.begin_throwing_away(Verb::Pub, error, publish.size)
            }
        }
    }

    fn begin_throwing_away(&mut self, verb: Verb, mut error: TextError, size: u64) -> Step {
        if size > THROWN_AWAY_BYTES_MAX {
            error.text.push_str("; the connection is closed");
            return Step::Done(Input::Broken(error));
        }
        self.state = State::ThrownAway {
            refusal: (verb, error),
            size,
            left: size,
        };
        Step::GoOn
    }

    fn take_payload(&mut self, ended: bool) -> Step {
        let State::Payload(_, size) = &self.state else {
            return Step::GoOn;
        };
        let size = *size;
        let Some(payload) = self.buffer.get(..size) else {
            return match ended {
                true => Step::Done(half_sent(size as u64, self.buffer.len() as u64)),
                false => Step::NeedsMore,
            };
        };
        // A copy, so that a small payload does not hold what was read together with it.
        let payload = Bytes::copy_from_slice(payload);
        self.take(size);
        if size > LARGE_READ_BYTES {
            // One large payload is no reason to keep as much for a connection that may be idle.
            self.buffer = BytesMut::from(self.buffer.as_ref());
        }
        let after = State::AfterPayload(size as u64);
        match std::mem::replace(&mut self.state, after) {
            State::Payload(publish, _) => Step::Done(Input::Publish(publish, payload)),
            _ => Step::GoOn,
        }
    }

    fn throw_away(&mut self, ended: bool) -> Step {
        let State::ThrownAway { left, size, .. } = &mut self.state else {
            return Step::GoOn;
        };
        let size = *size;
        let thrown = self.buffer.len().min(*left as usize);
        *left -= thrown as u64;
        let left = *left;
        self.take(thrown);
        match left {
            0 => {
                let after = State::AfterPayload(size);
                match std::mem::replace(&mut self.state, after) {
                    State::ThrownAway { refusal, .. } => {
                        Step::Done(Input::Refused(Some(refusal.0), refusal.1))
                    }
                    _ => Step::GoOn,
                }
            }
            _ if ended => Step::Done(half_sent(size, size - left)),
            _ => Step::NeedsMore,
        }
    }

    /// A line end or a command can follow a payload. Anything else belongs to the payload, by what its
    /// sender believes, and would be taken for a command.
    fn look_behind_payload(&mut self, size: u64, ended: bool) -> Step {
        let line_end = match self.buffer.as_ref() {
            [] | [b'\r'] if ended => return Step::Done(Input::Ended),
            [] | [b'\r'] => return Step::NeedsMore,
            [b'\n', ..] => Some(1),
            [b'\r', b'\n', ..] => Some(2),
            _ => None,
        };
        if let Some(length) = line_end {
            self.take(length);
            self.state = State::Line;
            return Step::GoOn;
        }
        let word_end = self.buffer.iter().position(|byte| b" \r\n".contains(byte));
        let word = self
            .buffer
            .get(..word_end.unwrap_or(self.buffer.len()))
            .unwrap_or_default();
        let is_complete = word_end.is_some() || ended;
        if Verb::parse(word).is_some() && is_complete {
            self.state = State::Line;
            return Step::GoOn;
        }
        if !is_complete && Verb::can_become(word) {
            return Step::NeedsMore;
        }
        self.state = State::RestOfLine;
        let text = format!(
            "expected={size} after the {size} bytes of the payload comes neither a line end nor a \
             command, so their number is wrong: count bytes, not characters; the rest of the line is \
             skipped"
        );
        let error = TextError::new(TextCode::SizeMismatch, text);
        Step::Done(Input::Refused(None, error))
    }

    fn skip_line(&mut self, ended: bool) -> Step {
        match self.find_line_end() {
            Some(end) => {
                self.take(end + 1);
                self.state = State::Line;
                Step::GoOn
            }
            None => {
                self.take(self.buffer.len());
                match ended {
                    true => Step::Done(Input::Ended),
                    false => Step::NeedsMore,
                }
            }
        }
    }

    fn find_line_end(&mut self) -> Option<usize> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        match unsearched.iter().position(|byte| *byte == b'\n') {
            Some(at) => Some(self.searched + at),
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }

    fn take(&mut self, bytes: usize) {
        self.buffer.advance(bytes);
        self.searched = 0;
    }

    fn line_bytes_max(&self) -> usize {
        let is_token = self
            .buffer
            .get(..5)
            .is_some_and(|begin| begin.eq_ignore_ascii_case(b"AUTH "));
        match is_token {
            true => TOKEN_LINE_BYTES_MAX.max(self.config.line_bytes_max),
            false => self.config.line_bytes_max,
        }
    }

    /// It may be the line before a payload, so what follows it cannot be trusted to be a command.
    fn line_too_long(&self) -> Step {
        let text = format!(
            "a line has at most {} bytes; the connection is closed",
            self.line_bytes_max()
        );
        Step::Done(Input::Broken(TextError::new(TextCode::LineTooLong, text)))
    }
}

fn half_sent(expected: u64, received: u64) -> Input {
    let text = format!(
        "expected={expected} received={received} the payload ended early; nothing is stored"
    );
    Input::Broken(TextError::new(TextCode::HalfSent, text))
}
