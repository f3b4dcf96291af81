use std::collections::BTreeMap;

use flotilla_types::limits::PARTITION_MESSAGE_IDS_MAX;
use flotilla_types::{MessageId, Offset, Timestamp};
use proptest::prelude::*;

use super::message_ids::{MessageIds, Remembered};
use super::test_batches::{Replica, appended, identified, millis, small_batch};
use super::{IdAdmission, KnownRecord, Outcome, PartitionState, PendingBatches, Rejection};

const WINDOW_MS: u32 = 1_000;

fn known() -> Outcome {
    Outcome::Rejected(Rejection::MessageIdKnown)
}

fn check(replica: &Replica, ids: &[&str], now: i64, pending: &PendingBatches) -> IdAdmission {
    let oldest = millis(now).minus_millis(WINDOW_MS.into());
    replica.state.check_ids(&identified(ids), oldest, pending)
}

#[test]
fn a_batch_with_a_known_id_changes_nothing() {
    let mut replica = Replica::new();
    assert_eq!(
        replica.append_identified(&["a", "b"], WINDOW_MS, millis(0)),
        appended(0, 2)
    );
    assert_eq!(
        replica.append_identified(&["c", "b"], WINDOW_MS, millis(10)),
        known()
    );
    assert_eq!(
        replica.append_identified(&["c"], WINDOW_MS, millis(10)),
        appended(2, 3)
    );
}

#[test]
fn the_leader_says_where_known_records_are() {
    let mut replica = Replica::new();
    let _ = replica.append(&small_batch(5, millis(0), None), millis(0));
    let _ = replica.append_identified(&["a", "b"], WINDOW_MS, millis(0));
    let pending = PendingBatches::new();
    let b_is_known = KnownRecord {
        position: 1,
        offset: Offset::new(6),
    };
    let checked = check(&replica, &["c", "b"], 10, &pending);
    assert_eq!(checked, IdAdmission::Known(vec![b_is_known]));
    assert_eq!(check(&replica, &["c", "d"], 10, &pending), IdAdmission::New);
}

#[test]
fn an_id_on_its_way_is_waited_for() {
    let mut replica = Replica::new();
    let mut pending = PendingBatches::new();
    pending.push_identified(Offset::ZERO, 1, &identified(&["a"]));
    assert_eq!(check(&replica, &["a"], 0, &pending), IdAdmission::Pending);
    assert_eq!(check(&replica, &["b"], 0, &pending), IdAdmission::New);
    let _ = replica.append_identified(&["a"], WINDOW_MS, millis(0));
    assert!(matches!(
        check(&replica, &["a"], 0, &pending),
        IdAdmission::Known(_)
    ));
    pending.settle(replica.state.next_offset());
    assert!(pending.is_empty());
    assert!(matches!(
        check(&replica, &["a"], 0, &pending),
        IdAdmission::Known(_)
    ));
}

#[test]
fn an_id_counts_as_long_as_its_window() {
    let mut replica = Replica::new();
    let _ = replica.append_identified(&["a"], WINDOW_MS, millis(0));
    assert_eq!(
        replica.append_identified(&["a"], WINDOW_MS, millis(1_000)),
        known()
    );
    assert_eq!(
        replica.append_identified(&["a"], WINDOW_MS, millis(1_001)),
        appended(1, 2)
    );
    // A shorter window forgets earlier, and a longer one does not remember what was forgotten.
    assert_eq!(
        replica.append_identified(&["a"], 10, millis(1_012)),
        appended(2, 3)
    );
    assert_eq!(
        replica.append_identified(&["a"], 10, millis(1_022)),
        known()
    );
    assert_eq!(
        replica.append_identified(&["a"], 0, millis(1_023)),
        appended(3, 4)
    );
}

#[test]
fn ids_that_count_no_more_take_no_room() {
    let mut replica = Replica::new();
    let empty = replica.state.encode().len();
    let _ = replica.append_identified(&["a", "b", "c"], WINDOW_MS, millis(0));
    assert!(replica.state.encode().len() > empty + 3 * 32);
    let _ = replica.append(&small_batch(1, millis(0), None), millis(1_001));
    assert!(replica.state.encode().len() < empty + 2 * 32);
}

#[test]
fn no_more_ids_are_taken_than_can_be_remembered() {
    let mut ids = MessageIds::default();
    let remember = |ids: &mut MessageIds, number: u128, at| {
        let id = MessageId::from_bytes(number.to_be_bytes());
        let remembered = Remembered {
            offset: Offset::ZERO,
            appended_at: millis(at),
        };
        ids.remember(id, remembered);
    };
    remember(&mut ids, 0, 0);
    for number in 1..PARTITION_MESSAGE_IDS_MAX as u128 {
        remember(&mut ids, number, 5);
    }
    assert!(!ids.has_room(1, millis(0)));
    assert!(ids.has_room(1, millis(1)), "one has expired");
    assert!(!ids.has_room(2, millis(1)));
}

proptest! {
    /// Inside its window an id is stored once, and it is always found where it was stored.
    #[test]
    fn each_id_is_stored_once_in_its_window(
        appends in prop::collection::vec((prop::collection::btree_set(0_u8..6, 1..4), 0_i64..700), 1..40),
        image_after in any::<prop::sample::Index>(),
    ) {
        let mut replica = Replica::new();
        let mut stored: BTreeMap<u8, (u64, i64)> = BTreeMap::new();
        let mut now = 0;
        let image_after = image_after.index(appends.len());
        for (number, (ids, pause)) in appends.into_iter().enumerate() {
            now += pause;
            let names: Vec<String> = ids.iter().map(u8::to_string).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let counts = |id: &u8| stored.get(id).filter(|(_, at)| now - at <= WINDOW_MS.into());
            let expected: Vec<_> = (0..).zip(&ids).filter_map(|(position, id)| {
                let offset = Offset::new(counts(id)?.0);
                Some(KnownRecord { position, offset })
            }).collect();
            let base = replica.state.next_offset().get();
            let pending = PendingBatches::new();
            let admission = check(&replica, &names, now, &pending);
            let outcome = replica.append_identified(&names, WINDOW_MS, Timestamp::from_millis(now));
            if expected.is_empty() {
                prop_assert_eq!(admission, IdAdmission::New);
                prop_assert_eq!(outcome, appended(base, base + ids.len() as u64));
                stored.extend(ids.iter().zip(base..).map(|(id, offset)| (*id, (offset, now))));
            } else {
                prop_assert_eq!(admission, IdAdmission::Known(expected));
                prop_assert_eq!(outcome, known());
            }
            if number == image_after {
                let copy = PartitionState::decode(&replica.state.encode()).unwrap();
                prop_assert_eq!(&copy, &replica.state);
                replica.state = copy;
            }
        }
    }
}
