//! Record batches: packing, checking, reading.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flotilla_benches::payloads::Payloads;
use flotilla_types::{BatchBuilder, Compression, RecordBatch, Timestamp};

/// Bytes of all values of a batch.
const VALUES_BYTES: usize = 64 << 10;
const VALUE_BYTES: [usize; 2] = [128, 1_024];

fn pack(values: &[bytes::Bytes], compression: Compression) -> RecordBatch {
    let mut builder = BatchBuilder::new(compression);
    for value in values {
        let pushed = builder.push(Timestamp::from_millis(1), None, Some(value), &[]);
        pushed.expect("the batch is far from its limits");
    }
    builder.build(None).expect("there are records")
}

fn values(value_bytes: usize) -> Vec<bytes::Bytes> {
    Payloads::new(1, value_bytes).pool(VALUES_BYTES / value_bytes)
}

/// What every node does with every batch: header and checksum.
fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch/parse");
    for value_bytes in VALUE_BYTES {
        let bytes = pack(&values(value_bytes), Compression::None).into_bytes();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(value_bytes), |bencher| {
            bencher.iter(|| RecordBatch::parse(bytes.clone()).expect("it was packed here"));
        });
    }
    group.finish();
}

/// What the node that takes a batch from a producer does on top: every record is looked at.
fn verify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch/verify_records");
    for value_bytes in VALUE_BYTES {
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            let batch = pack(&values(value_bytes), compression);
            let id = BenchmarkId::new(compression.as_str(), value_bytes);
            group.throughput(Throughput::Bytes(VALUES_BYTES as u64));
            group.bench_function(id, |bencher| {
                bencher.iter(|| batch.verify_records().expect("it was packed here"));
            });
        }
    }
    group.finish();
}

/// What a producer does.
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch/encode");
    for value_bytes in VALUE_BYTES {
        let values = values(value_bytes);
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            let id = BenchmarkId::new(compression.as_str(), value_bytes);
            group.throughput(Throughput::Bytes(VALUES_BYTES as u64));
            group.bench_function(id, |bencher| bencher.iter(|| pack(&values, compression)));
        }
    }
    group.finish();
}

/// What a consumer does.
fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch/records");
    for value_bytes in VALUE_BYTES {
        let batch = pack(&values(value_bytes), Compression::None);
        group.throughput(Throughput::Bytes(VALUES_BYTES as u64));
        group.bench_function(BenchmarkId::from_parameter(value_bytes), |bencher| {
            bencher.iter(|| batch.records().expect("it was packed here"));
        });
    }
    group.finish();
}

criterion_group!(benches, parse, verify, encode, read);
criterion_main!(benches);
