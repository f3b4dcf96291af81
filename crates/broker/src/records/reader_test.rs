use bytes::BytesMut;
use flotilla_protocol::OffsetSpec;
use flotilla_types::{
    BatchBuilder, Compression, LeaderEpoch, PartitionIndex, Timestamp, TopicName,
};

use super::*;

fn options(follow: bool, wait_ms: u64, end_offset: Option<u64>) -> FetchOptions {
    FetchOptions {
        name: TopicName::parse("orders").unwrap(),
        topic: None,
        index: PartitionIndex::new(0),
        start: OffsetSpec::Earliest,
        bytes_max: 1_024,
        wait: Duration::from_millis(wait_ms),
        follow,
        end_offset: end_offset.map(Offset::new),
        records_max: None,
        no_forward: false,
    }
}

fn span(start: u64, log_end: u64) -> Span {
    Span {
        start: Offset::new(start),
        log_end: Offset::new(log_end),
        from_log_start: false,
    }
}

/// Stamped batches of these many records, one after the other from offset 10.
fn batches(record_counts: &[usize]) -> Batches {
    let mut next_offset = Offset::new(10);
    let mut batches = Vec::new();
    for count in record_counts {
        let mut builder = BatchBuilder::new(Compression::None);
        for _ in 0..*count {
            let now = Timestamp::from_millis(1);
            builder.push(now, None, Some(b"value"), &[]).unwrap();
        }
        let batch = builder.build(None).unwrap();
        let mut stamped = BytesMut::new();
        batch.stamp_into(next_offset, LeaderEpoch::new(1), &mut stamped);
        batches.push(stamped.freeze());
        next_offset = next_offset.advance(*count as u64);
    }
    Batches {
        batches,
        next_offset,
        cursor: None,
    }
}

#[test]
fn a_fetch_that_does_not_follow_ends_where_the_log_ended() {
    let at = |end| End::At(Offset::new(end));
    assert_eq!(end_of(&options(false, 0, None), span(3, 9)), at(9));
    assert_eq!(end_of(&options(false, 0, Some(5)), span(3, 9)), at(5));
    assert_eq!(end_of(&options(false, 0, Some(50)), span(3, 9)), at(9));
    assert_eq!(end_of(&options(false, 0, None), span(9, 9)), at(9));
    assert_eq!(end_of(&options(false, 500, None), span(3, 9)), at(9));
}

#[test]
fn a_fetch_that_finds_nothing_may_wait_for_records() {
    let end = end_of(&options(false, 500, None), span(9, 9));
    assert_eq!(end, End::AfterWait(None));
    let end = end_of(&options(false, 500, Some(12)), span(9, 9));
    assert_eq!(end, End::AfterWait(Some(Offset::new(12))));
}

#[test]
fn a_fetch_that_follows_ends_only_where_it_is_told_to() {
    let end = end_of(&options(true, 500, None), span(3, 9));
    assert_eq!(end, End::Follow(None));
    let end = end_of(&options(true, 500, Some(12)), span(3, 9));
    assert_eq!(end, End::Follow(Some(Offset::new(12))));
}

#[test]
fn whole_batches_are_kept_up_to_the_limit() {
    // Offsets 10..12, 12..15 and 15..16.
    for (limit, kept, next_offset) in [
        (11, 1, 12),
        (12, 1, 12),
        (13, 2, 15),
        (15, 2, 15),
        (16, 3, 16),
        (99, 3, 16),
    ] {
        let mut read = batches(&[2, 3, 1]);
        cut(&mut read, Offset::new(limit)).unwrap();
        assert_eq!(read.batches.len(), kept, "limit {limit}");
        assert_eq!(read.next_offset, Offset::new(next_offset), "limit {limit}");
    }
}
