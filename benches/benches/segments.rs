//! Reading sealed segments from front to back, as a replay does, while the kernel has them in memory.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flotilla_benches::engine::{AtRest, Engine, JournalEngine, Shape, write};
use flotilla_benches::payloads::Payloads;
use flotilla_storage::GroupLog;
use flotilla_types::LogIndex;
use tempfile::TempDir;

/// What is read in one iteration.
const LOG_BYTES: u64 = 64 << 20;
/// As much as a fetch takes at a time.
const READ_BYTES: usize = 1 << 20;

fn replay_log(log: &GroupLog, entry_count: u64) -> u64 {
    let end = LogIndex::new(entry_count + 1);
    let mut next = LogIndex::new(1);
    let mut bytes = 0;
    while next < end {
        let entries = log
            .read(next..end, READ_BYTES)
            .expect("the segments are sound");
        next = entries.last().expect("the log has no hole").id.index.next();
        bytes += entries
            .iter()
            .map(|entry| entry.payload.len() as u64)
            .sum::<u64>();
    }
    bytes
}

fn replay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("segments/replay");
    group.sample_size(20);
    for batch_bytes in [4 << 10, 64 << 10] {
        let shape = Shape {
            batch_bytes,
            groups: 4,
            ..Shape::default()
        };
        let directory = TempDir::new().expect("a directory for the segments");
        let engine = JournalEngine::open(directory.path(), shape.groups, AtRest::Sealed);
        let engine = engine.expect("the journal opens");
        let batches = Payloads::new(1, batch_bytes).pool(256);
        let entry_count = LOG_BYTES / batch_bytes as u64;
        write(&engine, &shape, &batches, 0, entry_count);
        engine.drain().expect("everything is sealed");
        group.throughput(Throughput::Bytes(LOG_BYTES));
        let mut turn = 0;
        group.bench_function(BenchmarkId::from_parameter(batch_bytes), |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % shape.groups;
                assert_eq!(replay_log(engine.log(turn), entry_count), LOG_BYTES);
            });
        });
        engine.close();
    }
    group.finish();
}

criterion_group!(benches, replay);
criterion_main!(benches);
