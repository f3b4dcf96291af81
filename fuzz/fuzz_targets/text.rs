//! Arbitrary bytes as a peer of the text protocol: nothing panics, whatever is answered can be read,
//! and what is stored is exactly what the peer announced.

#![no_main]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flotilla_client::{
    ClientError, ErrorCode, Offset, PartitionIndex, Publication, Published, TopicName,
};
use flotilla_gateway::text::{
    Receipt, TextBackend, TextCode, TextConfig, TextError, TextFetch, TextFetched, TextRecord,
    TextServer,
};
use flotilla_net::RemoteCertificate;
use libfuzzer_sys::fuzz_target;
use tokio_util::sync::CancellationToken;

fuzz_target!(|sent: &[u8]| {
    let broker = Arc::new(OneLog::default());
    let config = TextConfig {
        line_bytes_max: 256,
        payload_bytes_max: 512,
        ..TextConfig::default()
    };
    let mut answers = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O needs nothing");
    let server = TextServer::new(config, Arc::clone(&broker));
    let connection = tokio::io::join(sent, &mut answers);
    runtime.block_on(server.serve_connection(
        connection,
        &RemoteCertificate::default(),
        &CancellationToken::new(),
    ));
    read_answers(&answers);
    find_announcements(sent, &broker.values());
});

/// Every topic is the same log, in memory.
#[derive(Default)]
struct OneLog(Mutex<Vec<Bytes>>);

impl OneLog {
    fn values(&self) -> Vec<Bytes> {
        self.0.lock().expect("nobody panicked").clone()
    }
}

impl TextBackend for OneLog {
    type Caller = ();

    fn newcomer(&self, _: &RemoteCertificate) {}

    async fn authenticate(&self, token: String) -> Result<(), TextError> {
        match token.len() {
            0..5 => Ok(()),
            _ => Err(TextError::new(
                TextCode::Broker(ErrorCode::Unauthenticated),
                token,
            )),
        }
    }

    async fn partitions(&self, (): &(), topic: &TopicName) -> Result<u32, ClientError> {
        Ok(topic.as_str().len() as u32)
    }

    async fn create_topic(&self, (): &(), _: &TopicName) -> Result<(), ClientError> {
        Ok(())
    }

    async fn publish(&self, (): &(), publication: Publication) -> Result<Receipt, ClientError> {
        let mut values = self.0.lock().expect("nobody panicked");
        let published = Published {
            partition: publication
                .record
                .partition
                .unwrap_or(PartitionIndex::new(0)),
            offset: Offset::new(values.len() as u64),
            duplicate: false,
        };
        values.extend(publication.record.value);
        Ok(Box::pin(async move { Ok(published) }))
    }

    async fn fetch(&self, (): &(), query: TextFetch) -> Result<TextFetched, ClientError> {
        let values = self.values();
        let end = Offset::new(values.len() as u64);
        let records = (0..).zip(values).map(|(offset, value)| TextRecord {
            offset: Offset::new(offset),
            value: Some(value),
        });
        Ok(TextFetched {
            records: records.take(query.records_max).collect(),
            next_offset: end,
            log_start: Offset::new(0),
            high_watermark: end,
        })
    }
}

/// Every byte belongs to an answer.
fn read_answers(mut answers: &[u8]) {
    while let Some(length) = answers.windows(2).position(|two| two == b"\r\n") {
        let (line, rest) = answers.split_at(length);
        answers = &rest[2..];
        let line = std::str::from_utf8(line).expect("answers are text");
        assert!(!line.contains(char::is_control), "{line:?}");
        let words: Vec<_> = line.split(' ').collect();
        let is_number = |word: &str| word.parse::<u64>().is_ok();
        match words.as_slice() {
            ["#", ..] | ["OK" | "PONG" | "BYE"] => {}
            ["OK" | "END", offset] => assert!(is_number(offset)),
            ["OK", offset, partition] => assert!(is_number(offset) && is_number(partition)),
            ["MSG", offset, size] => {
                assert!(is_number(offset));
                let size = size.parse().expect("a size is a number");
                answers = answers.split_at(size).1;
            }
            ["ERR", code, _, ..] => assert!(!code.is_empty()),
            _ => panic!("{line:?} is no answer"),
        }
    }
    assert!(answers.is_empty(), "the last answer is whole");
}

/// Each stored value lies behind a line that announced its size, one after the other.
fn find_announcements(sent: &[u8], stored: &[Bytes]) {
    let mut from = 0;
    for value in stored {
        let place = (from..=sent.len()).find(|at| {
            let (before, behind) = sent.split_at(*at);
            // The end of what is sent ends a line, too.
            let is_line_end = before.ends_with(b"\n") || behind.is_empty();
            is_line_end && behind.starts_with(value) && announces(&before[from..], value.len())
        });
        from = place.expect("what is stored was announced") + value.len();
    }
}

/// Whether the last line ends with a command that announces so many bytes. It need not begin with
/// it: nothing has to stand between a payload, also one that is thrown away, and the next command.
fn announces(before: &[u8], size: usize) -> bool {
    let line = before.strip_suffix(b"\n").unwrap_or(before);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let begin = line.iter().rposition(|byte| *byte == b'\n');
    let line = &line[begin.map_or(0, |at| at + 1)..];
    (0..line.len()).any(|at| {
        let words = line[at..].split(|byte| *byte == b' ');
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        let [verb, _, announced, ..] = words[..] else {
            return false;
        };
        let announced = std::str::from_utf8(announced).ok();
        verb.eq_ignore_ascii_case(b"PUB")
            && announced.and_then(|text| text.parse().ok()) == Some(size)
    })
}
