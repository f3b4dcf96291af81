//! Arbitrary bytes as whatever callers send over HTTP: the records of a request, the headers of a
//! publish, a query, a time and the id of an event. Nothing panics, what was read and is written again
//! means the same, and reading takes memory in proportion to what was sent.

#![no_main]

use std::sync::Once;

use bytes::Bytes;
use flotilla_client::{
    ConsumerRecord, Offset, OffsetSpec, PartitionIndex, ProducerRecord, Publication, Timestamp,
};
use flotilla_gateway::fuzzing::{
    read_array, read_event_id, read_headers, read_lines, read_query, read_time, write_record,
};
use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;
use serde_json::Value;
use serde_json::value::RawValue;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Each byte that is sent takes at most so many in memory, and each record some more: a refusal says why.
const BYTES_PER_BYTE: usize = 32;
const BYTES_PER_RECORD: usize = 2 << 10;
const BYTES_ALWAYS: usize = 16 << 10;
/// Deeper than serde_json reads without another word.
const DEPTH_MAX: usize = 127;

static DEEP: Once = Once::new();

fuzz_target!(|sent: &[u8]| {
    DEEP.call_once(refuse_deep_nesting);
    if let Ok(read) = within_memory(sent, count, || read_array(sent)) {
        let written: Vec<&RawValue> = serde_json::from_slice(sent).expect("an array was read");
        assert_eq!(read.len(), written.len());
        for (read, written) in read.iter().zip(written) {
            check_record(read, written.get().as_bytes());
        }
    }
    if let Ok(read) = within_memory(sent, count, || read_lines(sent)) {
        let lines = sent.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.trim_ascii().is_empty());
        assert_eq!(read.len(), lines.clone().count());
        for (read, line) in read.iter().zip(lines) {
            check_record(read, line);
        }
    }
    check_headers(sent);
    if let Ok(text) = std::str::from_utf8(sent) {
        check_query(text);
        check_time(text);
    }
    if let Ok(id) = within_memory(sent, one, || read_event_id(sent)) {
        let is_plain = |byte: &u8| byte.is_ascii_digit() || b"-.".contains(byte);
        assert!(sent.iter().all(is_plain), "{id}");
        assert_eq!(read_event_id(id.as_bytes()), Ok(id));
    }
});

fn count(records: &Result<Vec<Result<Publication, String>>, String>) -> usize {
    records.as_ref().map_or(1, Vec::len)
}

fn one<T>(_: &T) -> usize {
    1
}

fn within_memory<T>(sent: &[u8], records: fn(&T) -> usize, read: impl FnOnce() -> T) -> T {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = read();
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let allowed = BYTES_ALWAYS + sent.len() * BYTES_PER_BYTE + records(&result) * BYTES_PER_RECORD;
    assert!(taken <= allowed, "{taken} bytes for {} sent", sent.len());
    result
}

/// Wherever something can nest: as deep as is just refused, and so deep that a stack would overflow.
fn refuse_deep_nesting() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for depth in [DEPTH_MAX + 1, 100_000] {
            let deep = format!("{}0{}", open.repeat(depth), close.repeat(depth));
            let texts = [
                deep.clone(),
                format!(r#"{{"value":{deep}}}"#),
                format!(r#"{{"value":0,"headers":{deep}}}"#),
                format!(r#"{{"value":0,"headers":[{{"key":"","value":{deep}}}]}}"#),
                format!(r#"{{"value":0,"deep":{deep}}}"#),
            ];
            for text in texts {
                for records in [
                    read_array(format!("[{text}]").as_bytes()),
                    read_lines(text.as_bytes()),
                ] {
                    let is_refused = records.is_ok_and(|records| records[0].is_err());
                    assert!(is_refused, "{depth} levels of {open}");
                }
            }
        }
    }
}

fn check_record(read: &Result<Publication, String>, written: &[u8]) {
    let Ok(publication) = read else { return };
    assert!(
        written.trim_ascii().starts_with(b"{"),
        "a record is an object"
    );
    let record = without_id(publication, publication.record.headers.len() - 1);
    check_payload(&record, written);
    assert_eq!(shown(read_again(record.clone())), shown(record));
}

/// What the caller gave: the gateway adds a header with the message id.
fn without_id(publication: &Publication, place: usize) -> ProducerRecord {
    let mut record = publication.record.clone();
    let header = record.headers.remove(place);
    assert_eq!(header.key, "message-id");
    if let Some(id) = &publication.message_id {
        assert_eq!(header.value.as_deref(), Some(id.as_bytes()));
    }
    record
}

/// JSON that is a payload comes through as it was written, but for the spaces.
fn check_payload(record: &ProducerRecord, written: &[u8]) {
    #[derive(serde::Deserialize)]
    struct Written<'a> {
        #[serde(borrow)]
        value: Option<&'a RawValue>,
    }
    let written: Written<'_> = serde_json::from_slice(written).expect("a record was read");
    let Some(written) = written.value.map(RawValue::get) else {
        return;
    };
    let stored = record.value.as_deref().expect("a value was given");
    let stored = std::str::from_utf8(stored).expect("JSON is text");
    let meant: Value = serde_json::from_str(written).expect("a value was read");
    if let Value::String(text) = meant {
        assert_eq!(stored, text);
        return;
    }
    assert_eq!(serde_json::from_str::<Value>(stored).ok(), Some(meant));
    let is_dense = |byte: &u8| !byte.is_ascii_whitespace();
    let (written, stored) = (written.bytes(), stored.bytes());
    assert!(
        written
            .filter(|byte| is_dense(byte))
            .eq(stored.filter(|byte| is_dense(byte)))
    );
}

/// As readers get it, sent once more.
fn read_again(record: ProducerRecord) -> ProducerRecord {
    let text = write_record(ConsumerRecord {
        topic: record.topic,
        partition: record.partition.unwrap_or(PartitionIndex::new(0)),
        offset: Offset::new(u64::MAX),
        timestamp: record.timestamp.unwrap_or(Timestamp::from_millis(0)),
        key: record.key,
        value: record.value,
        headers: record.headers,
    });
    let mut body: Value = serde_json::from_str(&text).expect("a record is JSON");
    let fields = body.as_object_mut().expect("a record is an object");
    fields.remove("offset");
    if let Some(time) = fields.remove("time") {
        let time = time.as_str().expect("a time is text");
        let millis = fields["timestamp_ms"].as_i64();
        assert_eq!(read_time(time).ok(), millis, "{time}");
    }
    let again = read_lines(body.to_string().as_bytes()).expect("there is a record");
    let again = again[0].as_ref().expect("what was read is not refused");
    without_id(again, again.record.headers.len() - 1)
}

/// A record with what it is where nobody says so.
fn shown(mut record: ProducerRecord) -> ProducerRecord {
    record.partition.get_or_insert(PartitionIndex::new(0));
    record.timestamp.get_or_insert(Timestamp::from_millis(0));
    record
}

/// Lines of `name: value`, and the payload behind an empty one.
fn check_headers(sent: &[u8]) {
    let mut fields = Vec::new();
    let mut lines = sent.split(|byte| *byte == b'\n');
    for line in lines.by_ref().take_while(|line| !line.is_empty()).take(100) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        fields.push((name, value.get(1..).unwrap_or_default().trim_ascii()));
    }
    let payload = lines.next().unwrap_or_default();
    let read = within_memory(sent, one, || {
        read_headers(&fields, Bytes::copy_from_slice(payload))
    });
    let Ok(publication) = read else { return };
    assert_eq!(publication.record.value.as_deref(), Some(payload));
    if let Some(id) = &publication.message_id {
        assert!((1..=256).contains(&id.len()));
    }
    let record = without_id(&publication, 0);
    for header in &record.headers {
        let value = header.value.as_ref().expect("a header of HTTP has a value");
        assert!(fields.iter().any(|(_, sent)| sent == value));
    }
    assert_eq!(shown(read_again(record.clone())), shown(record));
}

fn check_query(text: &str) {
    let read = within_memory(text.as_bytes(), one, || read_query(text));
    let Ok(options) = read else { return };
    assert!((1..=10_000).contains(&options.records_max));
    assert!(options.wait.as_secs() <= 30);
    let start = match options.start {
        OffsetSpec::Earliest => "offset=earliest".to_owned(),
        OffsetSpec::Latest => "offset=latest".to_owned(),
        OffsetSpec::Offset(offset) => format!("offset={offset}"),
        OffsetSpec::Timestamp(time) => format!("time={}", time.as_millis()),
    };
    let again = format!(
        "partition={}&{start}&limit={}&max_bytes={}&wait_ms={}",
        options.partition,
        options.records_max,
        options.bytes_max,
        options.wait.as_millis()
    );
    assert_eq!(read_query(&again), Ok(options));
}

fn check_time(text: &str) {
    let read = within_memory(text.as_bytes(), one, || read_time(text));
    let Ok(millis) = read else { return };
    assert_eq!(read_time(&millis.to_string()), Ok(millis));
}
