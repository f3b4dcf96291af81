//! Histories that look odd and break nothing.

use std::collections::BTreeSet;

use flotilla_checker::history::{
    Action, AssignedBy, CommittedOffsetRead, CreateTopic, DeleteTopic, FencingToken, Fetch,
    Fetched, JobAcquire, JobAcquired, ListTopics, Offset, Produce, Produced, TailRead,
    TopicPartition,
};
use flotilla_checker::{Contract, Verdict, judge};

use super::story::{
    READER, Story, at, commit, orders, seen, send, send_guarded, send_with_id, stamp, value,
};

type Case = (&'static str, fn(&mut Story));

#[track_caller]
fn assert_all_valid(cases: &[Case]) {
    for (name, tell) in cases {
        let mut story = Story::default();
        tell(&mut story);
        let report = judge(&story.history, &Contract::default());
        assert_eq!(report.verdict, Verdict::Valid, "{name}\n{report}");
    }
}

#[test]
fn odd_logs_are_valid() {
    assert_all_valid(ODD_LOGS);
}

const ODD_LOGS: &[Case] = &[
    ("nothing happened", |_| {}),
    ("an unknown send that was stored", |story| {
        story.sent((1, 0), 0);
        story.send_unknown((1, 1));
        story.sent((1, 2), 2);
        story.stored(1, 0, &[(1, 0), (1, 1), (1, 2)]);
    }),
    ("an unknown send that was not stored", |story| {
        story.sent((1, 0), 0);
        story.send_unknown((1, 1));
        story.sent((1, 2), 1);
        story.stored(1, 0, &[(1, 0), (1, 2)]);
    }),
    ("an unknown send that was stored late", |story| {
        story.send_unknown((1, 0));
        story.sent((1, 1), 0);
        story.fetched(READER, 0, &[(1, 1)]);
        story.fetched(READER, 1, &[(1, 0)]);
        story.stored(1, 0, &[(1, 1), (1, 0)]);
    }),
    ("a send that never ended and was stored", |story| {
        story.next(1, send((1, 0)), |draft, _| draft.open());
        story.stored(1, 0, &[(1, 0)]);
    }),
    ("a refused send", |story| {
        story.send_fails((1, 0));
        story.sent((1, 1), 0);
        story.stored(1, 0, &[(1, 1)]);
    }),
    ("two producers interleaved", |story| {
        story.between(1, (0, 40), send((1, 0)), at(1));
        story.between(2, (5, 30), send((2, 0)), at(0));
        story.between(1, (50, 90), send((1, 1)), at(3));
        story.between(2, (55, 80), send((2, 1)), at(2));
        story.stored(1, 0, &[(2, 0), (1, 0), (2, 1), (1, 1)]);
    }),
    (
        "a batch with records of another producer behind it",
        |story| {
            let batch = Produce::new(orders(), [value((1, 0)), value((1, 1))]);
            story.ok(1, batch, Produced::from(Offset::new(0), 2));
            story.sent((2, 0), 2);
            story.stored(1, 0, &[(1, 0), (1, 1), (2, 0)]);
        },
    ),
    ("three replicas that agree", |story| {
        story.sent_many(3);
        for node in 1..=3 {
            story.stored(node, 0, &[(1, 0), (1, 1), (1, 2)]);
        }
    }),
    ("a log start moved by retention", |story| {
        story.sent_many(4);
        story.fetched(READER, 0, &[(1, 0)]);
        story.fetched(READER, 3, &[(1, 3)]);
        story.stored(1, 3, &[(1, 3)]);
    }),
    ("replicas that retention trimmed differently", |story| {
        story.sent_many(3);
        story.stored(1, 0, &[(1, 0), (1, 1), (1, 2)]);
        story.stored(2, 2, &[(1, 2)]);
    }),
    ("tails that are up to date", |story| {
        story.tail(0);
        story.sent((1, 0), 0);
        story.tail(1);
        story.send_unknown((1, 1));
        story.tail(2);
        story.stored(1, 0, &[(1, 0), (1, 1)]);
    }),
];

#[test]
fn odd_producers_and_consumers_are_valid() {
    assert_all_valid(ODD_PRODUCERS_AND_CONSUMERS);
}

const ODD_PRODUCERS_AND_CONSUMERS: &[Case] = &[
    ("a retry that was suppressed", |story| {
        let first = send((1, 0)).stamped(stamp(9, 0, 0));
        story.next(1, first, |draft, end| draft.unknown(end, "timeout"));
        story.sent((2, 0), 1);
        story.sent_stamped((1, 0), stamp(9, 0, 0), at(0).again());
        story.sent_stamped((1, 1), stamp(9, 0, 1), at(2));
        story.stored(1, 0, &[(1, 0), (2, 0), (1, 1)]);
    }),
    ("a producer with a new epoch", |story| {
        story.sent_stamped((1, 0), stamp(9, 0, 0), at(0));
        story.sent_stamped((1, 1), stamp(9, 1, 0), at(1));
        story.stored(1, 0, &[(1, 0), (1, 1)]);
    }),
    ("a message id that was sent by two", |story| {
        story.ok(1, send_with_id((1, 0), "a"), at(0));
        story.ok(2, send_with_id((2, 0), "a"), at(0).again());
        story.ok(1, send_with_id((1, 1), "b"), at(1));
        story.stored(1, 0, &[(1, 0), (1, 1)]);
    }),
    ("a message id whose answer was lost", |story| {
        let request = send_with_id((1, 0), "a");
        story.next(1, request, |draft, end| draft.unknown(end, "timeout"));
        story.ok(1, send_with_id((1, 0), "a"), at(0).again());
        story.stored(1, 0, &[(1, 0)]);
    }),
    ("a consumer that reads again after a seek", |story| {
        story.sent_many(3);
        story.fetched(READER, 0, &[(1, 0), (1, 1)]);
        story.seek(READER, 0);
        story.fetched(READER, 0, &[(1, 0), (1, 1), (1, 2)]);
    }),
    ("a consumer that seeks forward", |story| {
        story.sent_many(3);
        story.fetched(READER + 1, 0, &[(1, 0), (1, 1), (1, 2)]);
        story.fetched(READER, 0, &[(1, 0)]);
        story.seek(READER, 2);
        story.fetched(READER, 2, &[(1, 2)]);
    }),
    ("a consumer that crashed", |story| {
        story.sent_many(2);
        story.fetched(READER, 0, &[(1, 0), (1, 1)]);
        story.event(READER, Action::Crash);
        story.fetched(READER, 0, &[(1, 0), (1, 1)]);
    }),
    (
        "a consumer that gave a partition up and took it again",
        |story| {
            story.sent_many(2);
            story.fetched(READER, 0, &[(1, 0), (1, 1)]);
            story.assign(READER, &[TopicPartition::new("other", 0)]);
            story.assign(READER, &[orders()]);
            story.fetched(READER, 0, &[(1, 0), (1, 1)]);
        },
    ),
    ("a rebalance in the middle of an answer", |story| {
        story.sent_many(3);
        story.fetched(READER + 1, 0, &[(1, 0), (1, 1), (1, 2)]);
        let mut answer = Fetched::of(orders(), vec![seen(2, (1, 2)), seen(0, (1, 0))]);
        answer.rebalanced = [orders()].into();
        let assigned_by = AssignedBy::Subscribe;
        story.ok(READER, Fetch { assigned_by }, answer);
        story.fetched(READER, 0, &[(1, 0)]);
    }),
    ("an owner of a job who is succeeded", |story| {
        story.acquired(1, 5);
        story.ok(1, send_guarded((1, 0), 5), at(0));
        story.acquired(2, 9);
        let late = send_guarded((1, 1), 5);
        story.next(1, late, |draft, end| draft.failed(end, "fenced"));
        story.ok(2, send_guarded((2, 0), 9), at(1));
        story.stored(1, 0, &[(1, 0), (2, 0)]);
    }),
];

#[test]
fn odd_groups_and_topics_are_valid() {
    assert_all_valid(ODD_GROUPS_AND_TOPICS);
}

const ODD_GROUPS_AND_TOPICS: &[Case] = &[
    ("a rebalance in the middle", |story| {
        story.sent_many(4);
        story.granted(3, 1);
        story.fetched(3, 0, &[(1, 0), (1, 1), (1, 2)]);
        story.done(3, 0, 2);
        story.committed(3, 1, 2);
        story.revoked(3, 1);
        story.granted(4, 2);
        story.read_committed(4, Some(2));
        story.fetched(4, 2, &[(1, 2), (1, 3)]);
        story.done(4, 2, 4);
        story.next(3, commit(1, 3), |draft, end| draft.failed(end, "fenced"));
        story.committed(4, 2, 4);
        story.granted(3, 3);
        story.fetched(3, 0, &[(1, 0)]);
    }),
    ("an unknown commit that was stored", |story| {
        story.read_committed(4, None);
        story.done(3, 0, 6);
        story.committed(3, 1, 4);
        story.next(3, commit(1, 6), |draft, end| draft.unknown(end, "timeout"));
        story.read_committed(4, Some(4));
        story.read_committed(4, Some(6));
    }),
    ("an unknown commit that is stored after others", |story| {
        story.done(3, 0, 9);
        story.next(3, commit(1, 5), |draft, end| draft.unknown(end, "timeout"));
        story.committed(3, 1, 5);
        story.committed(3, 1, 6);
        story.read_committed(4, Some(5));
    }),
    ("a partition that a rebalance took away", |story| {
        story.sent_many(2);
        story.fetched(3, 0, &[(1, 0), (1, 1)]);
        story.revoked(3, 1);
        story.fetched(3, 0, &[(1, 0), (1, 1)]);
    }),
    ("an owner of a job who asks again", |story| {
        story.acquired(1, 5);
        story.acquired(1, 5);
    }),
    ("a commit that overlaps a read", |story| {
        story.done(3, 0, 9);
        story.between(3, (20, 60), commit(1, 5), ());
        story.read_committed(4, Some(5));
    }),
    ("commits of a successor that began earlier", |story| {
        story.done(3, 0, 9);
        story.committed(3, 1, 6);
        story.committed(4, 2, 5);
        story.read_committed(4, Some(5));
    }),
    (
        "a group that begins where retention left the log",
        |story| {
            story.sent_many(4);
            story.stored(1, 2, &[(1, 2), (1, 3)]);
            story.done(3, 2, 4);
            story.committed(3, 1, 4);
        },
    ),
    ("topics that come and go", |story| {
        story.listed(&["from-before"]);
        story.created("a");
        story.listed(&["a"]);
        story.deleted("a");
        story.listed(&[]);
        story.created("a");
        story.listed(&["a"]);
    }),
    ("records that went with their topic", |story| {
        story.created("orders");
        story.sent_many(3);
        story.fetched(READER, 0, &[(1, 0)]);
        story.deleted("orders");
    }),
    ("a list that overlaps a deletion", |story| {
        let topic = || "a".to_owned();
        let deletion = DeleteTopic { topic: topic() };
        story.created("a");
        story.between(1, (20, 90), deletion, ());
        let listed = [topic()].into();
        let list = ListTopics {};
        story.between(2, (30, 40), list, listed);
        story.listed(&[]);
    }),
    ("an unknown deletion that comes late", |story| {
        let topic = "a".to_owned();
        let deletion = DeleteTopic { topic };
        story.created("a");
        story.next(1, deletion, |draft, end| draft.unknown(end, "timeout"));
        story.listed(&["a"]);
        story.listed(&[]);
    }),
];

#[test]
fn what_touches_at_one_moment_came_in_either_order() {
    assert_all_valid(AT_ONE_MOMENT);
}

const AT_ONE_MOMENT: &[Case] = &[
    ("an acknowledgement and a send", |story| {
        story.between(1, (0, 10), send((1, 0)), at(1));
        story.between(2, (10, 20), send((2, 0)), at(0));
        story.stored(1, 0, &[(2, 0), (1, 0)]);
    }),
    ("an acknowledgement and a read of the tail", |story| {
        let partition = orders();
        story.between(1, (0, 10), send((1, 0)), at(0));
        story.between(READER, (10, 20), TailRead { partition }, Offset::new(0));
        story.stored(1, 0, &[(1, 0)]);
    }),
    ("a read of the tail and a send", |story| {
        let partition = orders();
        story.between(READER, (0, 10), TailRead { partition }, Offset::new(1));
        story.between(1, (10, 20), send((1, 0)), at(0));
        story.stored(1, 0, &[(1, 0)]);
    }),
    ("a fetch and the send of what it has", |story| {
        let assigned_by = AssignedBy::Assign;
        let answer = Fetched::of(orders(), vec![seen(0, (1, 0))]);
        story.between(READER, (0, 10), Fetch { assigned_by }, answer);
        story.between(1, (10, 20), send((1, 0)), at(0));
    }),
    ("an offset commit and a read of it", |story| {
        story.done(3, 0, 9);
        story.between(3, (10, 20), commit(1, 5), ());
        let request = || CommittedOffsetRead {
            group: "billing".to_owned(),
            partition: orders(),
        };
        story.between(4, (20, 30), request(), None);
        story.between(5, (5, 10), request(), Some(Offset::new(5)));
    }),
    ("two offset commits and a read of the first", |story| {
        story.done(3, 0, 9);
        story.between(3, (10, 20), commit(1, 5), ());
        story.between(3, (20, 30), commit(1, 4), ());
        story.read_committed(4, Some(5));
    }),
    ("a later generation and an offset commit", |story| {
        story.done(3, 0, 9);
        story.between(4, (10, 20), commit(2, 5), ());
        story.between(3, (20, 30), commit(1, 5), ());
    }),
    ("two owners of a job", |story| {
        let acquire = || JobAcquire {
            job: "billing".to_owned(),
        };
        let token = |token| JobAcquired {
            token: FencingToken::new(token),
        };
        story.between(1, (0, 10), acquire(), token(2));
        story.between(2, (10, 20), acquire(), token(1));
    }),
    ("a creation, a deletion and lists", |story| {
        let topic = || "a".to_owned();
        let (none, one) = (BTreeSet::new(), BTreeSet::from([topic()]));
        story.between(1, (0, 10), CreateTopic { topic: topic() }, ());
        story.between(2, (10, 20), ListTopics {}, none.clone());
        story.between(1, (30, 40), DeleteTopic { topic: topic() }, ());
        story.between(2, (22, 30), ListTopics {}, none);
        story.between(2, (40, 50), ListTopics {}, one);
    }),
    ("a deletion and a creation", |story| {
        let topic = || "a".to_owned();
        story.between(1, (0, 10), DeleteTopic { topic: topic() }, ());
        story.between(2, (10, 20), CreateTopic { topic: topic() }, ());
        story.listed(&[]);
    }),
];
