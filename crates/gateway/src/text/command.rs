//! What a line says. Nothing here reads or writes: a line comes in without its end.

use std::fmt;

use flotilla_client::{OffsetSpec, PartitionIndex};
use flotilla_types::{Offset, TopicName, limits};

use super::error::{TextCode, TextError};

/// Offsets are signed where others read them.
const OFFSET_MAX: u64 = i64::MAX as u64;
/// So much of a word that nobody understands is said back.
const ECHO_CHARS_MAX: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Auth,
    Fetch,
    Help,
    Ping,
    Pub,
    Quit,
}

/// A line that is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A payload of its size follows the line.
    Publish(Publish),
    Command(Command),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Authenticate(Token),
    Fetch(Fetch),
    Help,
    Ping,
    Quit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) topic: TopicName,
    pub(crate) partition: Option<PartitionIndex>,
    /// Bytes of the payload.
    pub(crate) size: u64,
    pub(crate) key: Option<String>,
    pub(crate) id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fetch {
    pub(crate) topic: TopicName,
    pub(crate) partition: Option<PartitionIndex>,
    pub(crate) start: Start,
    /// Several records, and where to go on; without it one record, and nothing else.
    pub(crate) count: Option<u64>,
    pub(crate) wait_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Offset(Offset),
    Earliest,
    Latest,
}

/// Who somebody is: never shown, not even in a log of this process.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

/// A line that is not obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// None if the line has no verb that is known.
    pub(crate) verb: Option<Verb>,
    pub(crate) error: TextError,
    pub(crate) follows: Follows,
}

/// What comes after a line that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    NextLine,
    /// A payload of so many bytes.
    Payload(u64),
    /// A payload, and nobody can tell where it ends.
    Unknown,
}

/// Understands a line that has at least one word.
pub(crate) fn parse(line: &[u8]) -> Result<Line, Refusal> {
    let mut words = line
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    let Some(verb) = Verb::parse(first) else {
        return Err(Refusal::unknown_verb(first));
    };
    let words: Vec<_> = words.collect();
    let command = match verb {
        Verb::Pub => return parse_publish(&words).map(Line::Publish),
        Verb::Auth => parse_token(&words).map(Command::Authenticate),
        Verb::Fetch => parse_fetch(&words).map(Command::Fetch),
        Verb::Help => without_arguments(verb, &words).map(|()| Command::Help),
        Verb::Ping => without_arguments(verb, &words).map(|()| Command::Ping),
        Verb::Quit => without_arguments(verb, &words).map(|()| Command::Quit),
    };
    command.map(Line::Command).map_err(|error| Refusal {
        verb: Some(verb),
        error,
        follows: Follows::NextLine,
    })
}

impl Verb {
    const ALL: [Self; 6] = [
        Self::Auth,
        Self::Fetch,
        Self::Help,
        Self::Ping,
        Self::Pub,
        Self::Quit,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "AUTH",
            Self::Fetch => "FETCH",
            Self::Help => "HELP",
            Self::Ping => "PING",
            Self::Pub => "PUB",
            Self::Quit => "QUIT",
        }
    }

    /// In capitals, small letters, or both.
    pub(crate) fn parse(word: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|verb| verb.as_str().as_bytes().eq_ignore_ascii_case(word))
    }

    /// Whether more bytes can make a verb of this.
    pub(crate) fn can_become(beginning: &[u8]) -> bool {
        Self::ALL.iter().any(|verb| {
            let begin = verb.as_str().as_bytes().get(..beginning.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(beginning))
        })
    }
}

impl Command {
    pub(crate) const fn verb(&self) -> Verb {
        match self {
            Self::Authenticate(_) => Verb::Auth,
            Self::Fetch(_) => Verb::Fetch,
            Self::Help => Verb::Help,
            Self::Ping => Verb::Ping,
            Self::Quit => Verb::Quit,
        }
    }
}

impl Token {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl From<Start> for OffsetSpec {
    fn from(start: Start) -> Self {
        match start {
            Start::Offset(offset) => Self::Offset(offset),
            Start::Earliest => Self::Earliest,
            Start::Latest => Self::Latest,
        }
    }
}

impl Refusal {
    fn unknown_verb(word: &[u8]) -> Self {
        let text = format!(
            "there is no command {}: send HELP to see what there is",
            echo(word)
        );
        Self {
            verb: None,
            error: TextError::new(TextCode::UnknownVerb, text),
            follows: Follows::NextLine,
        }
    }
}

fn parse_publish(words: &[&[u8]]) -> Result<Publish, Refusal> {
    let refusal = |error, follows| Refusal {
        verb: Some(Verb::Pub),
        error,
        follows,
    };
    let Some(size) = words.get(1).and_then(|word| parse_number(word)) else {
        let text = "write PUB <topic> <size>, a line end, and <size> bytes; nobody can tell what follows \
                    a line without a size, so the connection is closed";
        return Err(refusal(TextError::bad_arguments(text), Follows::Unknown));
    };
    parse_sized_publish(words, size).map_err(|error| refusal(error, Follows::Payload(size)))
}

fn parse_sized_publish(words: &[&[u8]], size: u64) -> Result<Publish, TextError> {
    let [topic, _, options @ ..] = words else {
        return Err(TextError::bad_arguments("write PUB <topic> <size>"));
    };
    let (topic, partition) = parse_topic(topic)?;
    let [key, id] = parse_options(options, ["key", "id"])?;
    Ok(Publish {
        topic,
        partition,
        size,
        key: key.map(str::to_owned),
        id: id.map(str::to_owned),
    })
}

fn parse_fetch(words: &[&[u8]]) -> Result<Fetch, TextError> {
    let [topic, start, rest @ ..] = words else {
        return Err(TextError::bad_arguments(
            "write FETCH <topic> <offset>, or FETCH <topic> <offset> <count>",
        ));
    };
    let (topic, partition) = parse_topic(topic)?;
    let start = parse_start(start)?;
    let (count, options) = match rest.split_first() {
        Some((word, options)) if !word.contains(&b'=') => (Some(parse_count(word)?), options),
        _ => (None, rest),
    };
    let [wait] = parse_options(options, ["wait"])?;
    let wait_ms = wait.map(|text| {
        parse_number(text.as_bytes()).ok_or_else(|| {
            TextError::bad_arguments(
                "wait=<ms> takes a number of milliseconds, as in wait=5000; 30000 is the most",
            )
        })
    });
    Ok(Fetch {
        topic,
        partition,
        start,
        count,
        wait_ms: wait_ms.transpose()?.unwrap_or(0),
    })
}

fn parse_token(words: &[&[u8]]) -> Result<Token, TextError> {
    // The words may be a secret that was written wrong, so none is said back.
    match words {
        [token] => parse_text(token).map(|token| Token(token.to_owned())),
        _ => Err(TextError::bad_arguments(
            "write AUTH <token>: one word, without spaces",
        )),
    }
}

fn without_arguments(verb: Verb, words: &[&[u8]]) -> Result<(), TextError> {
    match words {
        [] => Ok(()),
        _ => {
            let text = format!("{} stands alone on its line", verb.as_str());
            Err(TextError::bad_arguments(text))
        }
    }
}

/// `<topic>` or `<topic>/<partition>`.
fn parse_topic(word: &[u8]) -> Result<(TopicName, Option<PartitionIndex>), TextError> {
    let text = parse_text(word)?;
    let Some((topic, number)) = text.split_once('/') else {
        return Ok((TopicName::parse(text)?, None));
    };
    let topic = TopicName::parse(topic)?;
    let number = parse_number(number.as_bytes())
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number < limits::TOPIC_PARTITIONS_MAX);
    let Some(number) = number else {
        let text = format!("partitions are numbered from 0: write {topic}/0");
        return Err(TextError::bad_arguments(text));
    };
    Ok((topic, Some(PartitionIndex::new(number))))
}

fn parse_start(word: &[u8]) -> Result<Start, TextError> {
    if word.eq_ignore_ascii_case(b"earliest") {
        return Ok(Start::Earliest);
    }
    if word.eq_ignore_ascii_case(b"latest") {
        return Ok(Start::Latest);
    }
    match parse_number(word).filter(|number| *number <= OFFSET_MAX) {
        Some(offset) => Ok(Start::Offset(Offset::new(offset))),
        None => {
            let text = format!(
                "an offset is a number, earliest or latest, not {}",
                echo(word)
            );
            Err(TextError::bad_arguments(text))
        }
    }
}

fn parse_count(word: &[u8]) -> Result<u64, TextError> {
    let count = parse_number(word).filter(|count| *count > 0);
    count.ok_or_else(|| {
        let text = format!("a count is a number from 1, not {}", echo(word));
        TextError::bad_arguments(text)
    })
}

/// Words of the form `name=value`, each name once, in the order of `names`.
fn parse_options<'a, const N: usize>(
    words: &[&'a [u8]],
    names: [&str; N],
) -> Result<[Option<&'a str>; N], TextError> {
    let mut values = [None; N];
    for word in words {
        let text = parse_text(word)?;
        let place = text.split_once('=').and_then(|(name, value)| {
            let at = names.iter().position(|known| *known == name)?;
            Some((values.get_mut(at)?, value))
        });
        let fault = match place {
            Some((slot @ None, value)) if !value.is_empty() => {
                *slot = Some(value);
                continue;
            }
            Some((None, _)) => "has no value",
            Some((Some(_), _)) => "comes a second time",
            None => "is not known here",
        };
        let known = names.map(|name| format!("{name}=<value>")).join(" and ");
        let text = format!(
            "{} {fault}: what can follow is {known}, without spaces",
            echo(word)
        );
        return Err(TextError::bad_arguments(text));
    }
    Ok(values)
}

fn parse_text(word: &[u8]) -> Result<&str, TextError> {
    let text = std::str::from_utf8(word).ok();
    let text = text.filter(|text| !text.contains(char::is_control));
    text.ok_or_else(|| {
        TextError::bad_arguments("a command is UTF-8 text without control characters")
    })
}

/// Digits and nothing else.
fn parse_number(word: &[u8]) -> Option<u64> {
    if !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// A word as it is said back: short, and in quotes.
fn echo(word: &[u8]) -> String {
    let text = String::from_utf8_lossy(word);
    let short: String = text.chars().take(ECHO_CHARS_MAX).collect();
    match short.len() < text.len() {
        true => format!("{short:?}…"),
        false => format!("{short:?}"),
    }
}
