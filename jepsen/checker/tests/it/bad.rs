//! Histories in which one promise is broken. Each is found under its name and under no other, except
//! where one cannot be broken without another.

use std::collections::BTreeSet;

use flotilla_checker::history::{
    Action, Assign, AssignedBy, CreateTopic, Fetch, Fetched, Nanos, Offset, Produce, Produced,
    RecordHash, StoredLog, TailRead,
};
use flotilla_checker::{Contract, Demand, Loss, Property, Report, Verdict, judge};

use super::story::{
    READER, Story, Value, at, commit, orders, place, seen, send, send_guarded, send_with_id, stamp,
    value,
};

/// What is wrong, the properties that are found broken, and the history.
type Case = (&'static str, &'static [&'static str], fn(&mut Story));

fn report(tell: fn(&mut Story)) -> Report {
    let mut story = Story::default();
    tell(&mut story);
    let contract = Contract::new([Demand::RecoveryWithin(Nanos::new(1_000))]);
    judge(&story.history, &contract)
}

#[track_caller]
fn assert_all_found(cases: &[Case]) {
    for (name, expected, tell) in cases {
        let report = report(*tell);
        let found: Vec<_> = report.counts.keys().map(|found| found.name()).collect();
        assert_eq!(found, *expected, "{name}\n{report}");
        assert_eq!(report.verdict, Verdict::Invalid, "{name}");
    }
}

#[test]
fn broken_logs_are_found() {
    assert_all_found(BROKEN_LOGS);
}

const BROKEN_LOGS: &[Case] = &[
    (
        "an offset with two values",
        &["inconsistent-offsets"],
        |story| {
            story.sent((1, 0), 0);
            story.send_unknown((2, 0));
            story.fetched(READER, 0, &[(1, 0)]);
            story.fetched(READER + 1, 0, &[(2, 0)]);
        },
    ),
    (
        "an offset that was acknowledged for two records",
        &["inconsistent-offsets"],
        |story| {
            story.between(1, (0, 9), send((1, 0)), at(0));
            story.between(2, (0, 9), send((2, 0)), at(0));
            story.fetched(READER, 0, &[(1, 0)]);
            story.fetched(READER + 1, 0, &[(2, 0)]);
        },
    ),
    ("a record that is stored twice", &["duplicate"], |story| {
        story.sent((1, 0), 0);
        story.send_unknown((1, 1));
        story.send_unknown((1, 2));
        story.stored(1, 0, &[(1, 0), (1, 1), (1, 1)]);
    }),
    (
        "a refused record that is read",
        &["aborted-read"],
        |story| {
            story.send_fails((1, 0));
            story.fetched(READER, 0, &[(1, 0)]);
        },
    ),
    (
        "a refused record that is stored",
        &["aborted-read"],
        |story| {
            story.sent((1, 0), 0);
            story.send_fails((1, 1));
            story.stored(1, 0, &[(1, 0), (1, 1)]);
        },
    ),
    ("a value that nobody sent", &["invented-read"], |story| {
        story.sent((1, 0), 0);
        story.fetched(READER, 0, &[(1, 0), (7, 7)]);
    }),
    ("a damaged value", &["invented-read"], |story| {
        story.sent((1, 0), 0);
        let mut damaged = seen(1, (1, 1));
        damaged.value = None;
        story.fetched_records(READER, vec![seen(0, (1, 0)), damaged]);
    }),
    ("a hole in a replica", &["dense"], |story| {
        let offsets = [(0, (1, 0)), (2, (1, 2))];
        story.sent((1, 0), 0);
        story.send_unknown((1, 2));
        story.stored_log(1, log(3, &offsets));
    }),
    (
        "a replica that ends before its high watermark",
        &["dense"],
        |story| {
            story.sent((1, 0), 0);
            story.stored_log(1, log(2, &[(0, (1, 0))]));
        },
    ),
    (
        "a lost record in the middle",
        &["dense", "lost-write"],
        |story| {
            story.sent_many(3);
            story.stored_log(1, log(3, &[(0, (1, 0)), (2, (1, 2))]));
        },
    ),
    (
        "a lost record that no consumer was given",
        &["lost-write", "poll-skip"],
        |story| {
            story.sent_many(3);
            story.fetched(READER, 0, &[(1, 0)]);
            story.fetched(READER, 2, &[(1, 2)]);
        },
    ),
    ("a lost first record", &["lost-write"], |story| {
        story.sent_many(2);
        story.fetched(READER, 1, &[(1, 1)]);
    }),
    ("a lost end of the log", &["unseen"], |story| {
        story.sent_many(3);
        story.stored(1, 0, &[(1, 0), (1, 1)]);
    }),
    ("a log that is gone", &["unseen"], |story| {
        story.sent_many(3);
        story.stored(1, 0, &[]);
    }),
    (
        "a record that was read and is gone",
        &["durable-reads"],
        |story| {
            story.sent((1, 0), 0);
            story.send_unknown((1, 1));
            story.fetched(READER, 0, &[(1, 0), (1, 1)]);
            story.stored(1, 0, &[(1, 0)]);
        },
    ),
    ("a record whose hash changed", &["durable-reads"], |story| {
        story.sent((1, 0), 0);
        let mut damaged = seen(0, (1, 0));
        damaged.hash = Some(RecordHash::new(1));
        story.fetched_records(READER, vec![damaged]);
        story.stored(1, 0, &[(1, 0)]);
    }),
    (
        "a replica that lacks the end",
        &["replica-equality"],
        |story| {
            story.sent_many(2);
            story.stored(1, 0, &[(1, 0), (1, 1)]);
            story.stored(2, 0, &[(1, 0)]);
        },
    ),
    (
        "a replica with another hash",
        &["replica-equality"],
        |story| {
            story.sent((1, 0), 0);
            let mut log = log(1, &[(0, (1, 0))]);
            log.records[0].hash = Some(RecordHash::new(1));
            story.stored(1, 0, &[(1, 0)]);
            story.stored_log(2, log);
        },
    ),
    (
        "two replicas that went apart",
        &["inconsistent-offsets", "replica-equality"],
        |story| {
            story.sent((1, 0), 0);
            story.send_unknown((1, 1));
            story.send_unknown((2, 0));
            story.stored(1, 0, &[(1, 0), (1, 1)]);
            story.stored(2, 0, &[(1, 0), (2, 0)]);
        },
    ),
];

fn log(high_watermark: u64, records: &[(u64, Value)]) -> StoredLog {
    StoredLog {
        log_start: Offset::new(0),
        high_watermark: Offset::new(high_watermark),
        records: records
            .iter()
            .map(|(offset, of)| seen(*offset, *of))
            .collect(),
    }
}

#[test]
fn broken_orders_are_found() {
    assert_all_found(BROKEN_ORDERS);
}

const BROKEN_ORDERS: &[Case] = &[
    ("an answer with a hole", &["int-poll-skip"], |story| {
        story.sent_many(3);
        story.fetched(READER + 1, 0, &[(1, 0), (1, 1), (1, 2)]);
        story.fetched_records(READER, vec![seen(0, (1, 0)), seen(2, (1, 2))]);
    }),
    (
        "an answer that goes back",
        &["int-nonmonotonic-poll"],
        |story| {
            story.sent_many(2);
            story.fetched_records(READER, vec![seen(1, (1, 1)), seen(0, (1, 0))]);
        },
    ),
    (
        "an answer that repeats a record",
        &["int-nonmonotonic-poll"],
        |story| {
            story.sent_many(1);
            story.fetched_records(READER, vec![seen(0, (1, 0)), seen(0, (1, 0))]);
        },
    ),
    ("a consumer that skips", &["poll-skip"], |story| {
        story.sent_many(3);
        story.fetched(READER + 1, 0, &[(1, 0), (1, 1), (1, 2)]);
        story.fetched(READER, 0, &[(1, 0)]);
        story.fetched(READER, 2, &[(1, 2)]);
    }),
    (
        "a consumer that goes back",
        &["nonmonotonic-poll"],
        |story| {
            story.sent_many(2);
            story.fetched(READER, 0, &[(1, 0), (1, 1)]);
            story.fetched(READER, 1, &[(1, 1)]);
        },
    ),
    (
        "a consumer that skips what it kept over an assign",
        &["poll-skip"],
        |story| {
            story.sent_many(3);
            story.fetched(READER + 1, 0, &[(1, 0), (1, 1), (1, 2)]);
            story.fetched(READER, 0, &[(1, 0)]);
            let partitions = [orders()].into();
            story.ok(READER, Assign { partitions }, ());
            story.fetched(READER, 2, &[(1, 2)]);
        },
    ),
    (
        "a batch that is turned round",
        &["int-nonmonotonic-send"],
        |story| {
            let places = vec![place(1), place(0)];
            let request = Produce::new(orders(), [value((1, 0)), value((1, 1))]);
            story.ok(1, request, Produced { places });
            story.fetched(READER, 0, &[(1, 1), (1, 0)]);
        },
    ),
    (
        "overlapping sends of a process that are turned round",
        &["nonmonotonic-send"],
        |story| {
            story.between(1, (0, 20), send((1, 0)), at(1));
            story.between(1, (5, 25), send((1, 1)), at(0));
            story.fetched(READER, 0, &[(1, 1), (1, 0)]);
        },
    ),
    (
        "a record before one that was acknowledged earlier",
        &["real-time-order"],
        |story| {
            story.sent((1, 0), 1);
            story.sent((2, 0), 0);
            story.fetched(READER, 0, &[(2, 0), (1, 0)]);
        },
    ),
    (
        "a record too early, with one behind it that came late",
        &["real-time-order"],
        |story| {
            story.between(1, (0, 10), send((1, 0)), at(2));
            story.between(2, (0, 100), send((2, 0)), at(1));
            story.between(3, (50, 60), send((3, 0)), at(0));
            story.stored(1, 0, &[(3, 0), (2, 0), (1, 0)]);
        },
    ),
    (
        "sends of a process that are turned round",
        &["nonmonotonic-send", "real-time-order"],
        |story| {
            story.sent((1, 0), 1);
            story.sent((1, 1), 0);
            story.fetched(READER, 0, &[(1, 1), (1, 0)]);
        },
    ),
    (
        "a record that is read before it is sent",
        &["cycle"],
        |story| {
            story.fetched(READER, 0, &[(1, 0)]);
            story.send_unknown((1, 0));
        },
    ),
    (
        "a record below one that was read before it was sent",
        &["cycle"],
        |story| {
            story.between(1, (0, 900), send((1, 0)), at(1));
            story.between(READER, (100, 110), fetch(), fetched(1, (1, 0)));
            story.between(2, (200, 210), send((2, 0)), at(0));
            story.between(READER + 1, (910, 920), fetch(), fetched(0, (2, 0)));
        },
    ),
    ("a tail that is behind", &["fresh-tail"], |story| {
        story.sent_many(2);
        story.tail(1);
        story.stored(1, 0, &[(1, 0), (1, 1)]);
    }),
    ("a tail that goes back", &["fresh-tail"], |story| {
        story.sent((1, 0), 0);
        story.send_unknown((1, 1));
        story.tail(2);
        story.tail(1);
        story.stored(1, 0, &[(1, 0)]);
    }),
    (
        "a tail behind what a consumer saw",
        &["fresh-tail"],
        |story| {
            story.send_unknown((1, 0));
            story.fetched(READER, 0, &[(1, 0)]);
            story.tail(0);
        },
    ),
    ("a tail from the future", &["fresh-tail"], |story| {
        story.send_unknown((2, 0));
        story.tail(1);
        story.sent((1, 0), 0);
        story.stored(1, 0, &[(1, 0)]);
    }),
    (
        "a tail that covers more than was sent",
        &["fresh-tail"],
        |story| {
            story.sent((1, 0), 0);
            story.tail(5);
            story.stored(1, 0, &[(1, 0)]);
        },
    ),
];

fn fetch() -> Fetch {
    Fetch {
        assigned_by: AssignedBy::Assign,
    }
}

fn fetched(offset: u64, of: Value) -> Fetched {
    Fetched::of(orders(), vec![seen(offset, of)])
}

#[test]
fn broken_producers_are_found() {
    assert_all_found(BROKEN_PRODUCERS);
}

const BROKEN_PRODUCERS: &[Case] = &[
    (
        "a retry that is stored again",
        &["duplicate", "idempotent-producer"],
        |story| {
            story.next(1, send((1, 0)).stamped(stamp(9, 0, 0)), |draft, end| {
                draft.unknown(end, "timeout")
            });
            story.sent_stamped((1, 0), stamp(9, 0, 0), at(1));
            story.stored(1, 0, &[(1, 0), (1, 0)]);
        },
    ),
    (
        "one sequence for two records",
        &["idempotent-producer"],
        |story| {
            story.sent_stamped((1, 0), stamp(9, 0, 0), at(0));
            story.sent_stamped((1, 1), stamp(9, 0, 0), at(1));
            story.stored(1, 0, &[(1, 0), (1, 1)]);
        },
    ),
    (
        "a gap in the sequences",
        &["idempotent-producer"],
        |story| {
            story.sent_stamped((1, 0), stamp(9, 0, 0), at(0));
            story.sent_stamped((1, 2), stamp(9, 0, 2), at(1));
            story.stored(1, 0, &[(1, 0), (1, 2)]);
        },
    ),
    (
        "an old epoch after a new one",
        &["idempotent-producer"],
        |story| {
            story.sent_stamped((1, 0), stamp(9, 1, 0), at(0));
            story.sent_stamped((2, 0), stamp(9, 0, 0), at(1));
            story.stored(1, 0, &[(1, 0), (2, 0)]);
        },
    ),
    (
        "a message id that is stored twice",
        &["message-id"],
        |story| {
            story.ok(1, send_with_id((1, 0), "a"), at(0));
            story.ok(2, send_with_id((2, 0), "a"), at(1));
            story.stored(1, 0, &[(1, 0), (2, 0)]);
        },
    ),
    (
        "a message id with a wrong answer",
        &["message-id"],
        |story| {
            story.ok(1, send_with_id((1, 0), "a"), at(0));
            story.sent((1, 1), 1);
            story.ok(2, send_with_id((2, 0), "a"), at(1).again());
            story.stored(1, 0, &[(1, 0), (1, 1)]);
        },
    ),
    ("a job with a smaller token", &["fencing-token"], |story| {
        story.acquired(1, 5);
        story.acquired(2, 4);
    }),
    ("a token for two processes", &["fencing-token"], |story| {
        story.acquired(1, 5);
        story.acquired(2, 5);
    }),
    (
        "a write of an owner that was succeeded",
        &["guarded-write"],
        |story| {
            story.ok(1, send_guarded((1, 0), 5), at(0));
            story.ok(2, send_guarded((2, 0), 8), at(1));
            story.ok(1, send_guarded((1, 1), 5), at(2));
            story.stored(1, 0, &[(1, 0), (2, 0), (1, 1)]);
        },
    ),
];

#[test]
fn broken_groups_are_found() {
    assert_all_found(BROKEN_GROUPS);
}

const BROKEN_GROUPS: &[Case] = &[
    (
        "a commit of an old generation",
        &["old-generation"],
        |story| {
            story.done(3, 0, 9);
            story.committed(4, 2, 5);
            story.committed(3, 1, 6);
        },
    ),
    (
        "a commit after a later grant",
        &["old-generation"],
        |story| {
            story.done(3, 0, 9);
            story.granted(3, 1);
            story.granted(4, 2);
            story.committed(3, 1, 6);
        },
    ),
    (
        "a commit that goes back",
        &["offset-commit-back"],
        |story| {
            story.done(3, 0, 9);
            story.committed(3, 1, 6);
            story.committed(3, 1, 4);
        },
    ),
    (
        "a committed offset that is forgotten",
        &["committed-offset"],
        |story| {
            story.done(3, 0, 9);
            story.committed(3, 1, 6);
            story.read_committed(4, None);
        },
    ),
    (
        "a committed offset that is out of date",
        &["committed-offset"],
        |story| {
            story.done(3, 0, 9);
            story.committed(3, 1, 4);
            story.committed(3, 1, 6);
            story.read_committed(4, Some(4));
        },
    ),
    (
        "a committed offset that nobody committed",
        &["committed-offset"],
        |story| {
            story.done(3, 0, 9);
            story.committed(3, 1, 6);
            story.read_committed(4, Some(7));
        },
    ),
    (
        "a refused commit that is read",
        &["committed-offset"],
        |story| {
            story.done(3, 0, 9);
            story.next(3, commit(1, 6), |draft, end| draft.failed(end, "fenced"));
            story.read_committed(4, Some(6));
        },
    ),
    (
        "records that a rebalance skipped",
        &["group-coverage"],
        |story| {
            story.done(3, 0, 4);
            story.committed(3, 1, 4);
            story.done(4, 5, 9);
            story.committed(4, 2, 9);
        },
    ),
    ("a commit before the work", &["group-coverage"], |story| {
        story.committed(3, 1, 4);
        story.done(3, 0, 4);
    }),
];

#[test]
fn broken_administration_and_recovery_are_found() {
    assert_all_found(BROKEN_ADMINISTRATION_AND_RECOVERY);
}

const BROKEN_ADMINISTRATION_AND_RECOVERY: &[Case] = &[
    (
        "a created topic that is not there",
        &["created-topic"],
        |story| {
            story.created("orders");
            story.listed(&["other"]);
        },
    ),
    (
        "a deleted topic that is there again",
        &["deleted-topic"],
        |story| {
            story.created("orders");
            story.deleted("orders");
            story.listed(&["orders"]);
        },
    ),
    (
        "a topic that a deletion took twice",
        &["created-topic"],
        |story| {
            story.created("orders");
            story.deleted("orders");
            story.created("orders");
            story.listed(&[]);
        },
    ),
    (
        "a creation that outlives a deletion",
        &["deleted-topic"],
        |story| {
            let topic = "orders".to_owned();
            story.ok(1, CreateTopic { topic }, ());
            story.listed(&["orders"]);
            story.deleted("orders");
            story.listed(&[]);
            story.listed(&["orders"]);
        },
    ),
    (
        "a partition that takes nothing after healing",
        &["recovery"],
        |story| {
            story.sent((1, 0), 0);
            story.event(0, Action::Healed);
            story.send_unknown((1, 1));
            story.send_fails((1, 2));
            story.fetched(READER, 0, &[(1, 0)]);
        },
    ),
    (
        "a partition that shows nothing in time",
        &["recovery"],
        |story| {
            story.sent((1, 0), 0);
            story.event(0, Action::Healed);
            story.sent((1, 1), 1);
            let tail = TailRead {
                partition: orders(),
            };
            story.between(READER, (40, 5_000), tail, Offset::new(2));
            story.fetched(READER, 0, &[(1, 0), (1, 1)]);
        },
    ),
];

#[test]
fn losses_are_classified_by_their_place() {
    // Process 1 sends five records and keeps the second and the fourth.
    let report = report(|story| {
        story.sent_many(5);
        story.stored_log(1, log(5, &[(1, (1, 1)), (3, (1, 3))]));
    });
    let losses: Vec<_> = report.losses.into_iter().collect();
    let expected = [(Loss::Prefix, 1), (Loss::Middle, 1), (Loss::Postfix, 1)];
    assert_eq!(losses, expected);
}

#[test]
fn every_promise_is_broken_by_some_history() {
    let tables = [
        BROKEN_LOGS,
        BROKEN_ORDERS,
        BROKEN_PRODUCERS,
        BROKEN_GROUPS,
        BROKEN_ADMINISTRATION_AND_RECOVERY,
    ];
    let broken: BTreeSet<_> = tables
        .into_iter()
        .flatten()
        .flat_map(|(_, expected, _)| expected.iter().copied())
        .collect();
    let all = Property::ALL.map(Property::name);
    assert_eq!(broken, all.into());
}
