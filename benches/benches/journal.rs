//! The append path of the journal on a real disk: group commit, several groups, one sync for all.
//!
//! Each sample has a fresh directory, so it also pays for the first use of journal files.

use std::time::{Duration, Instant};

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use flotilla_benches::engine::{AtRest, Engine, JournalEngine, Shape, write};
use flotilla_benches::payloads::Payloads;
use tempfile::TempDir;

/// Batches of each group in one iteration.
const BATCHES_EACH: u64 = 8;

fn append(criterion: &mut Criterion) {
    let shape = |batch_bytes, groups, submitters, window| Shape {
        batch_bytes,
        groups,
        submitters,
        window,
    };
    let cases = [
        ("one_at_a_time", shape(4 << 10, 1, 1, 1)),
        ("one_at_a_time", shape(64 << 10, 1, 1, 1)),
        ("12_groups", shape(4 << 10, 12, 4, 16)),
        ("12_groups", shape(64 << 10, 12, 4, 16)),
        ("1000_groups", shape(4 << 10, 1_000, 4, 250)),
    ];
    let mut group = criterion.benchmark_group("journal/append");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.measurement_time(Duration::from_secs(3));
    for (name, shape) in cases {
        let batches = Payloads::new(1, shape.batch_bytes).pool(256);
        let bytes = shape.batch_bytes as u64 * u64::from(shape.groups) * BATCHES_EACH;
        group.throughput(Throughput::Bytes(bytes));
        let id = BenchmarkId::new(name, shape.batch_bytes);
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|iterations| {
                let directory = TempDir::new().expect("a directory for the journal");
                let engine = JournalEngine::open(directory.path(), shape.groups, AtRest::Sealed);
                let engine = engine.expect("the journal opens");
                let begun = Instant::now();
                write(&engine, &shape, &batches, 0, BATCHES_EACH * iterations);
                let took = begun.elapsed();
                engine.close();
                took
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
