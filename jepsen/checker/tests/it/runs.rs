//! Whether a run was what it had to be.

use flotilla_checker::history::{Action, Nanos};
use flotilla_checker::{Contract, Demand, Finding, Property, Unmet, Verdict, judge};

use super::story::{READER, Story, orders};

fn story_of_a_whole_run() -> Story {
    let mut story = Story::default();
    let name = "leader-killed".to_owned();
    story.sent((1, 0), 0);
    story.event(0, Action::Fault { name });
    story.send_unknown((1, 1));
    story.fetched(READER, 0, &[(1, 0)]);
    story
}

#[test]
fn a_run_that_met_its_contract_is_valid() {
    let story = story_of_a_whole_run();
    let report = judge(&story.history, &Contract::standard());
    assert_eq!(report.verdict, Verdict::Valid, "{report}");
    assert_eq!(report.coverage.acknowledged_records, 1);
    assert_eq!(report.coverage.unknown_changes, 1);
}

#[test]
fn a_run_in_which_nothing_happened_is_unknown() {
    let report = judge(&Story::default().history, &Contract::standard());
    assert_eq!(report.verdict, Verdict::Unknown);
    let expected = [
        Unmet::Fault("leader-killed".to_owned()),
        Unmet::AcknowledgedRecord,
        Unmet::UnknownOutcome,
        Unmet::Read,
    ];
    assert_eq!(report.unmet, expected);
}

#[test]
fn a_run_that_broke_a_promise_is_invalid_whatever_it_lacks() {
    let mut story = Story::default();
    story.sent_many(2);
    story.stored(1, 0, &[(1, 0)]);
    let report = judge(&story.history, &Contract::standard());
    assert_eq!(report.verdict, Verdict::Invalid);
    assert!(!report.unmet.is_empty());
}

#[test]
fn a_partition_that_nobody_read_leaves_the_run_unknown() {
    let mut story = Story::default();
    story.sent((1, 0), 0);
    let report = judge(&story.history, &Contract::default());
    assert_eq!(report.verdict, Verdict::Unknown);
    assert_eq!(report.unmet, [Unmet::NeverRead(orders())]);
}

#[test]
fn replicas_that_were_not_read_leave_the_run_unknown() {
    let mut story = Story::default();
    story.sent((1, 0), 0);
    story.stored(1, 0, &[(1, 0)]);
    let contract = |replicas| Contract::new([Demand::FinalReads { replicas }]);
    let verdict = |replicas| judge(&story.history, &contract(replicas)).verdict;
    assert_eq!(verdict(1), Verdict::Valid);
    assert_eq!(verdict(2), Verdict::Unknown);
}

#[test]
fn a_recovery_that_nobody_tried_leaves_the_run_unknown() {
    let contract = Contract::new([Demand::RecoveryWithin(Nanos::new(100))]);
    let mut story = Story::default();
    story.sent((1, 0), 0);
    story.fetched(READER, 0, &[(1, 0)]);
    let unmet = |story: &Story| judge(&story.history, &contract).unmet;
    assert_eq!(unmet(&story), [Unmet::NotHealed]);
    story.event(0, Action::Healed);
    let expected = [
        Unmet::NoProduceAfterHealing(orders()),
        Unmet::NoReadAfterHealing(orders()),
    ];
    assert_eq!(unmet(&story), expected);
    story.sent((1, 1), 1);
    story.fetched(READER, 1, &[(1, 1)]);
    assert_eq!(unmet(&story), []);
}

#[test]
fn an_operation_that_cannot_have_been_leaves_the_run_unknown() {
    let mut story = Story::default();
    story.sent((1, 0), 0);
    story.fetched(READER, 0, &[(1, 0)]);
    story.history.operations_mut()[0].invoked_at = Nanos::new(1_000);
    let report = judge(&story.history, &Contract::default());
    let is_broken = |unmet: &Unmet| matches!(unmet, Unmet::BrokenOperation { operation: 0, .. });
    assert!(report.unmet.iter().any(is_broken), "{report}");
}

#[test]
fn findings_are_all_counted_and_the_first_are_shown() {
    let mut story = Story::default();
    for counter in 0..100 {
        story.send_fails((1, counter));
    }
    let values: Vec<_> = (0..100).map(|counter| (1, counter)).collect();
    story.fetched(READER, 0, &values);
    let report = judge(&story.history, &Contract::default());
    assert_eq!(report.counts[&Property::AbortedRead], 100);
    assert_eq!(report.findings.len(), Finding::SHOWN_MAX);
    let first = report.findings[0].to_string();
    assert_eq!(
        first,
        "orders/0: 1-0 was refused and is read at offset 0 (#0, #100)"
    );
}
