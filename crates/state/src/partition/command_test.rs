use bytes::Bytes;
use flotilla_types::{FencingToken, JobName, MessageId, Offset};
use proptest::prelude::*;

use super::test_batches::{millis, producer, small_batch, stamp};
use super::{
    IdentifiedRecord, PartitionCommand, PartitionState, append_time, batch_bytes, encode_append,
    encode_identified_append,
};
use crate::DecodeError;

#[test]
fn an_append_is_its_envelope_and_the_stamped_batch() {
    let batch = small_batch(3, millis(5), Some(producer(1, 2, 3)));
    let payload = encode_append(&batch, stamp(millis(77), Offset::new(9)));
    assert_eq!(&payload[..10], [1, 1, 0, 0, 0, 0, 0, 0, 0, 77]);
    let (timestamp, command) = PartitionCommand::decode(&payload).unwrap();
    assert_eq!(timestamp, millis(77));
    let PartitionCommand::Append(append) = &command else {
        panic!("not an append: {command:?}");
    };
    assert_eq!(append.batch.base_offset(), Offset::new(9));
    assert_eq!(append.batch.end_offset(), Offset::new(12));
    assert_eq!(append.batch.producer(), batch.producer());
    assert_eq!(command.encode(millis(77)), payload);
}

#[test]
fn the_batch_is_cut_out_without_a_copy() {
    let batch = small_batch(3, millis(5), None);
    let payload = encode_append(&batch, stamp(millis(0), Offset::new(9)));
    let cut = batch_bytes(&payload).unwrap();
    assert_eq!(cut.as_ptr(), payload[10..].as_ptr());
    assert_eq!(cut.len(), batch.len());
    let close = PartitionCommand::CloseSegment.encode(millis(0));
    assert_eq!(batch_bytes(&close), None);
    assert_eq!(batch_bytes(&Bytes::new()), None);
}

#[test]
fn a_batch_with_message_ids_is_cut_out_without_a_copy_as_well() {
    let batch = small_batch(3, millis(5), None);
    let records = [(0, "a"), (2, "b")].map(|(position, id)| IdentifiedRecord {
        position,
        id: MessageId::of(id).unwrap(),
    });
    let stamp = stamp(millis(8), Offset::new(9));
    let payload = encode_identified_append(&batch, stamp, (600, &records));
    assert_eq!(append_time(&payload), Some(millis(8)));
    assert_eq!(
        payload[1..22],
        [
            5, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 2, 88, 0, 0, 0, 2, 0, 0, 0, 0
        ]
    );
    let cut = batch_bytes(&payload).unwrap();
    assert_eq!(cut.as_ptr(), payload[58..].as_ptr());
    assert_eq!(cut, batch_bytes(&encode_append(&batch, stamp)).unwrap());
    let (_, command) = PartitionCommand::decode(&payload).unwrap();
    let PartitionCommand::IdentifiedAppend(append) = &command else {
        panic!("not an append with ids: {command:?}");
    };
    assert_eq!((append.window_ms, &append.records[..]), (600, &records[..]));
    assert_eq!(append.batch.base_offset(), Offset::new(9));
    assert_eq!(command.encode(millis(8)), payload);
    for cut in [12, 20, 40, 57] {
        let short = payload.slice(..cut);
        assert!(PartitionCommand::decode(&short).is_err());
        assert_eq!(batch_bytes(&short).filter(|batch| !batch.is_empty()), None);
    }
    let stray = [IdentifiedRecord {
        position: 3,
        ..records[0]
    }];
    let stray = encode_identified_append(&batch, stamp, (600, &stray));
    assert!(matches!(
        PartitionCommand::decode(&stray),
        Err(DecodeError::Contradiction { .. })
    ));
}

#[test]
fn control_commands_have_the_bytes_that_were_promised() {
    let trim = PartitionCommand::TrimTo {
        log_start: Offset::new(1_000),
    };
    let trim = trim.encode(millis(-1));
    assert_eq!(
        trim[..],
        [
            1, 2, 255, 255, 255, 255, 255, 255, 255, 255, 0x81, 0x19, 0x03, 0xe8
        ]
    );
    let (timestamp, command) = PartitionCommand::decode(&trim).unwrap();
    assert_eq!(timestamp, millis(-1));
    assert!(
        matches!(command, PartitionCommand::TrimTo { log_start } if log_start == Offset::new(1_000))
    );
    let close = PartitionCommand::CloseSegment.encode(millis(2));
    assert_eq!(close[..], [1, 3, 0, 0, 0, 0, 0, 0, 0, 2]);
    let (_, command) = PartitionCommand::decode(&close).unwrap();
    assert!(matches!(command, PartitionCommand::CloseSegment));
    let fence = PartitionCommand::Fence {
        job: JobName::parse("ab").unwrap(),
        token: FencingToken::new(5),
        instance: 6,
    };
    let fence = fence.encode(millis(2));
    assert_eq!(
        fence[..],
        [1, 4, 0, 0, 0, 0, 0, 0, 0, 2, 0x83, 0x62, b'a', b'b', 5, 6]
    );
    let (_, command) = PartitionCommand::decode(&fence).unwrap();
    assert!(matches!(command, PartitionCommand::Fence { token, .. } if token.get() == 5));
}

#[test]
fn what_a_newer_program_wrote_is_named_as_such() {
    let decode = |bytes: &'static [u8]| PartitionCommand::decode(&Bytes::from_static(bytes));
    assert!(matches!(
        decode(&[2, 3, 0, 0, 0, 0, 0, 0, 0, 0]),
        Err(DecodeError::UnknownFormat { found: 2, .. })
    ));
    assert!(matches!(
        decode(&[1, 9, 0, 0, 0, 0, 0, 0, 0, 0]),
        Err(DecodeError::UnknownKind { found: 9 })
    ));
    assert!(matches!(
        decode(&[1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        Err(DecodeError::TrailingBytes { .. })
    ));
    assert!(matches!(
        decode(&[1, 3, 0]),
        Err(DecodeError::Truncated { .. })
    ));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(
        kind in 0_u8..7,
        tail in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let payload = Bytes::from([&[1, kind], &tail[..]].concat());
        let _ = batch_bytes(&payload);
        if let Ok((timestamp, command)) = PartitionCommand::decode(&payload) {
            let again = command.encode(timestamp);
            prop_assert!(PartitionCommand::decode(&again).is_ok());
            let index = flotilla_types::LogIndex::new(1);
            let _ = PartitionState::new().apply(index, &command, timestamp);
        }
    }

    /// Damage that no checksum caught is refused or makes another state, but never a panic, neither
    /// when it is read nor when commands meet it.
    #[test]
    fn damaged_images_are_read_or_refused(
        position in any::<prop::sample::Index>(),
        flipped in 1_u8..=255,
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut replica = super::test_batches::Replica::new();
        for sequence in 0..7 {
            let _ = replica.produce(1, producer(u64::from(sequence % 2), 0, sequence / 2));
            let _ = replica.apply(&PartitionCommand::CloseSegment, millis(0));
        }
        let _ = replica.produce(2, producer(8, 0, 0));
        let job = JobName::parse("sync").unwrap();
        let token = FencingToken::of_coordinator(1, 1);
        let instance = 3;
        let fence = PartitionCommand::Fence { job, token, instance };
        let _ = replica.apply(&fence, millis(0));
        let _ = replica.append_identified(&["a", "b"], 600, millis(0));
        let mut image = replica.state.encode();
        *position.get_mut(&mut image) ^= flipped;
        if let Some(cut) = cut {
            image.truncate(cut.index(image.len()));
        }
        if let Ok(state) = PartitionState::decode(&image) {
            let mut damaged = super::test_batches::Replica { state, next_index: 1 };
            let _ = damaged.produce(2, producer(1, 0, 0));
            let _ = damaged.apply(&PartitionCommand::CloseSegment, millis(i64::MAX));
            let _ = damaged.produce(2, producer(1, 9, 0));
            let _ = damaged.state.retention_step(millis(i64::MIN), &Default::default());
            let _ = damaged.state.encode();
        }
    }
}
