//! A history of a million operations, judged within minutes on any machine that can build this.

use flotilla_checker::history::{Nanos, Offset, Operation, ProcessNumber, TailRead};
use flotilla_checker::{Contract, Verdict, judge};

use super::story::{READER, Story, at, commit, orders, send};

const OPERATIONS: u64 = 1_000_000;

#[test]
fn a_million_operations_are_judged() {
    // Of four operations, two send, one fetches both records, and one reads the tail or commits.
    let mut story = Story::default();
    let mut values = Vec::new();
    for round in 0..OPERATIONS / 4 {
        let (first, second) = ((1, round), (2, round));
        let now = round * 100;
        story.between(1, (now, now + 30), send(first), at(2 * round));
        story.between(2, (now + 10, now + 40), send(second), at(2 * round + 1));
        story.fetched(READER, 2 * round, &[first, second]);
        if round % 2 == 0 {
            let tail = TailRead {
                partition: orders(),
            };
            let call = Operation::call(ProcessNumber::new(3), Nanos::new(now + 70), tail);
            let end = Offset::new(2 * round + 2);
            story.history.push(call.ok(Nanos::new(now + 80), end));
        } else {
            story.done(4, 2 * round - 2, 2 * round + 2);
            story.committed(4, 1, 2 * round + 2);
        }
        values.extend([first, second]);
    }
    story.next(4, commit(1, 1), |draft, end| draft.failed(end, "fenced"));
    story.stored(1, 0, &values);
    story.stored(2, 0, &values);
    assert!(story.history.operations().len() as u64 >= OPERATIONS);
    let report = judge(&story.history, &Contract::default());
    assert_eq!(report.verdict, Verdict::Valid, "{report}");
}
