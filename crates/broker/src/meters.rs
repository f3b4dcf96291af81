//! What is counted, for `GET /metrics`. A recorder must be installed before the broker starts.

use std::time::Duration;

use flotilla_types::ErrorCode;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

const PRODUCE_REQUESTS: &str = "flotilla_broker_produce_requests_total";
const PRODUCE_RECORDS: &str = "flotilla_broker_produce_records_total";
const PRODUCE_BYTES: &str = "flotilla_broker_produce_bytes_total";
const PRODUCE_SECONDS: &str = "flotilla_broker_produce_seconds";
const PRODUCE_BYTES_IN_FLIGHT: &str = "flotilla_broker_produce_bytes_in_flight";
const FETCH_REQUESTS: &str = "flotilla_broker_fetch_requests_total";
const FETCH_RECORDS: &str = "flotilla_broker_fetch_records_total";
const FETCH_BYTES: &str = "flotilla_broker_fetch_bytes_total";
const FORWARDED: &str = "flotilla_broker_forwarded_requests_total";
const ERRORS: &str = "flotilla_broker_errors_total";
const LED_PARTITIONS: &str = "flotilla_broker_led_partitions";

/// Handles that are looked up once, because some are used for every request.
pub(crate) struct Meters {
    pub(crate) produce_requests: Counter,
    pub(crate) produce_bytes_in_flight: Gauge,
    pub(crate) fetch_requests: Counter,
    pub(crate) forwarded: Counter,
    pub(crate) led_partitions: Gauge,
    produce_records: Counter,
    produce_bytes: Counter,
    produce_seconds: Histogram,
    fetch_records: Counter,
    fetch_bytes: Counter,
}

impl Meters {
    pub(crate) fn new() -> Self {
        describe();
        Self {
            produce_requests: counter!(PRODUCE_REQUESTS),
            produce_bytes_in_flight: gauge!(PRODUCE_BYTES_IN_FLIGHT),
            fetch_requests: counter!(FETCH_REQUESTS),
            forwarded: counter!(FORWARDED),
            led_partitions: gauge!(LED_PARTITIONS),
            produce_records: counter!(PRODUCE_RECORDS),
            produce_bytes: counter!(PRODUCE_BYTES),
            produce_seconds: histogram!(PRODUCE_SECONDS),
            fetch_records: counter!(FETCH_RECORDS),
            fetch_bytes: counter!(FETCH_BYTES),
        }
    }

    /// A batch was stored on a majority.
    pub(crate) fn on_stored(&self, record_count: u32, bytes: usize, took: Duration) {
        self.produce_records.increment(record_count.into());
        self.produce_bytes.increment(bytes as u64);
        self.produce_seconds.record(took);
    }

    pub(crate) fn on_fetched(&self, record_count: u64, bytes: usize) {
        self.fetch_records.increment(record_count);
        self.fetch_bytes.increment(bytes as u64);
    }

    pub(crate) fn on_error(&self, code: ErrorCode) {
        counter!(ERRORS, "code" => code.as_str()).increment(1);
    }
}

fn describe() {
    describe_counter!(
        PRODUCE_REQUESTS,
        "Produce requests taken, also those passed on"
    );
    describe_counter!(PRODUCE_RECORDS, "Records stored by this node as leader");
    describe_counter!(
        PRODUCE_BYTES,
        Unit::Bytes,
        "Record batches stored by this node as leader"
    );
    describe_histogram!(
        PRODUCE_SECONDS,
        Unit::Seconds,
        "From a produce request to its storage on a majority"
    );
    describe_gauge!(
        PRODUCE_BYTES_IN_FLIGHT,
        Unit::Bytes,
        "Produce requests that are held"
    );
    describe_counter!(FETCH_REQUESTS, "Fetch calls taken, also those passed on");
    describe_counter!(FETCH_RECORDS, "Records sent from this node's own replicas");
    describe_counter!(
        FETCH_BYTES,
        Unit::Bytes,
        "Record batches sent from this node's own replicas"
    );
    describe_counter!(FORWARDED, "Requests that were passed on to another node");
    describe_counter!(ERRORS, "Requests that failed, by error code");
    describe_gauge!(LED_PARTITIONS, "Partitions that this node leads");
}
