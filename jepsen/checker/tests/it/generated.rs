//! Histories of a log that behaves are valid, and with one thing changed they are not, unless nobody
//! could know.

use std::collections::BTreeSet;

use flotilla_checker::history::{
    Action, Nanos, Offset, Operation, Outcome, ProcessNumber, RecordHash, StoredLog,
};
use flotilla_checker::{Contract, History, Property, Report, Verdict, judge};
use proptest::prelude::*;

use super::simulation::{Simulation, simulate, steps};
use super::story::commit;

fn verdict(history: &History) -> Report {
    judge(history, &Contract::default())
}

/// Changes what every replica has in the end.
fn change_stored(history: &mut History, change: impl Fn(&mut StoredLog)) {
    for operation in history.operations_mut() {
        if let Action::FinalRead(call) = &mut operation.action
            && let Outcome::Ok { answer, .. } = &mut call.outcome
        {
            change(answer);
        }
    }
}

/// Offsets of which somebody knows what is there: by an acknowledgement or from reading.
fn known_offsets(history: &History) -> BTreeSet<Offset> {
    let mut known = BTreeSet::new();
    for operation in history.operations() {
        match &operation.action {
            Action::Produce(call) => {
                let answer = call.outcome.ok().map(|(_, answer)| answer);
                let places = answer.into_iter().flat_map(|answer| &answer.places);
                known.extend(places.map(|place| place.offset));
            }
            Action::Fetch(call) => {
                let answer = call.outcome.ok().map(|(_, answer)| answer);
                let records = answer
                    .into_iter()
                    .flat_map(|answer| answer.records.values());
                known.extend(records.flatten().map(|seen| seen.offset));
            }
            _ => {}
        }
    }
    known
}

/// One of the offsets that are stored in the end, if there is any.
fn pick_stored(simulation: &Simulation, pick: usize) -> Option<usize> {
    let count = simulation.log.len() - simulation.log_start;
    (count > 0).then(|| simulation.log_start + pick % count)
}

/// Successful commits: their place, generation and offset.
fn commits(history: &History) -> Vec<(usize, u64, u64)> {
    let commit = |(index, operation): (usize, &Operation)| match &operation.action {
        Action::OffsetCommit(call) => {
            call.outcome.ok()?;
            let request = &call.request;
            Some((index, request.generation.get(), request.offset.get()))
        }
        _ => None,
    };
    let operations = history.operations().iter().enumerate();
    operations.filter_map(commit).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_a_log_that_behaves_does_is_valid(steps in steps()) {
        let (history, _) = simulate(&steps);
        let report = verdict(&history);
        prop_assert_eq!(report.verdict, Verdict::Valid, "{}", report);
    }

    #[test]
    fn a_stored_record_that_is_dropped_is_missed(steps in steps(), pick: usize) {
        let (mut history, simulation) = simulate(&steps);
        if let Some(dropped) = pick_stored(&simulation, pick) {
            change_stored(&mut history, |log| {
                log.records.retain(|record| record.offset.get() != dropped as u64);
            });
            let report = verdict(&history);
            prop_assert!(report.counts.contains_key(&Property::Dense), "{}", report);
        }
    }

    #[test]
    fn a_stored_record_that_is_cut_out_is_missed(steps in steps(), pick: usize) {
        let (mut history, simulation) = simulate(&steps);
        if let Some(dropped) = pick_stored(&simulation, pick) {
            let dropped = Offset::new(dropped as u64);
            let is_known = known_offsets(&history).range(dropped..).next().is_some();
            change_stored(&mut history, |log| {
                log.records.retain(|record| record.offset != dropped);
                for record in log.records.iter_mut().filter(|r| r.offset > dropped) {
                    record.offset = Offset::new(record.offset.get() - 1);
                }
                log.high_watermark = Offset::new(log.high_watermark.get() - 1);
            });
            // Where nobody knows of this record or one behind it, it may never have been stored.
            let report = verdict(&history);
            prop_assert!(!is_known || report.verdict == Verdict::Invalid, "{}", report);
        }
    }

    #[test]
    fn stored_records_that_change_places_are_noticed(
        steps in steps(),
        pick: usize,
        other_pick: usize,
    ) {
        let (mut history, simulation) = simulate(&steps);
        let picks = (pick_stored(&simulation, pick), pick_stored(&simulation, other_pick));
        if let (Some(one), Some(other)) = picks && one != other {
            let known = known_offsets(&history);
            let is_known = [one, other].map(|at| known.contains(&Offset::new(at as u64)));
            change_stored(&mut history, |log| {
                let start = log.log_start.get() as usize;
                log.records.swap(one - start, other - start);
                for (at, record) in log.records.iter_mut().enumerate() {
                    record.offset = Offset::new((start + at) as u64);
                }
            });
            // Two records of which nobody knows the places may have been stored either way.
            let report = verdict(&history);
            let is_harmless = is_known == [false, false];
            prop_assert!(is_harmless || report.verdict == Verdict::Invalid, "{}", report);
        }
    }

    #[test]
    fn a_stored_record_that_is_doubled_is_noticed(steps in steps(), pick: usize) {
        let (mut history, simulation) = simulate(&steps);
        if let Some(doubled) = pick_stored(&simulation, pick) {
            change_stored(&mut history, |log| {
                let mut copy = log.records[doubled - log.log_start.get() as usize];
                copy.offset = log.high_watermark;
                log.records.push(copy);
                log.high_watermark = log.high_watermark.next();
            });
            let report = verdict(&history);
            prop_assert!(report.counts.contains_key(&Property::Duplicate), "{}", report);
        }
    }

    #[test]
    fn a_replica_with_something_else_is_noticed(steps in steps(), pick: usize) {
        let (mut history, simulation) = simulate(&steps);
        if let Some(changed) = pick_stored(&simulation, pick) {
            let last = history.operations_mut().last_mut().map(|last| &mut last.action);
            if let Some(Action::FinalRead(call)) = last
                && let Outcome::Ok { answer, .. } = &mut call.outcome
            {
                answer.records[changed - simulation.log_start].hash = Some(
                    RecordHash::new(u64::MAX),
                );
            }
            let report = verdict(&history);
            let found: Vec<_> = report.counts.keys().collect();
            prop_assert_eq!(found, [&Property::ReplicaEquality], "{}", report);
        }
    }

    #[test]
    fn an_acknowledged_offset_that_is_moved_is_noticed(steps in steps(), pick: usize, by in 1..5u64) {
        let (mut history, simulation) = simulate(&steps);
        let log_start = simulation.log_start as u64;
        let mut places = Vec::new();
        for operation in history.operations_mut() {
            if let Action::Produce(call) = &mut operation.action
                && let Outcome::Ok { answer, .. } = &mut call.outcome
            {
                places.extend(answer.places.iter_mut().filter(|p| p.offset.get() >= log_start));
            }
        }
        if !places.is_empty() {
            let at = pick % places.len();
            places[at].offset = Offset::new(places[at].offset.get() + by);
            let report = verdict(&history);
            prop_assert_eq!(report.verdict, Verdict::Invalid, "{}", report);
        }
    }

    #[test]
    fn a_record_that_is_left_out_of_an_answer_is_missed(steps in steps(), pick: usize) {
        let (mut history, simulation) = simulate(&steps);
        let log_start = simulation.log_start as u64;
        let mut answers = Vec::new();
        for operation in history.operations_mut() {
            if let Action::Fetch(call) = &mut operation.action
                && let Outcome::Ok { answer, .. } = &mut call.outcome
            {
                let long = answer.records.values_mut().filter(|records| records.len() >= 3);
                answers.extend(long.filter(|records| records[1].offset.get() >= log_start));
            }
        }
        if !answers.is_empty() {
            let at = pick % answers.len();
            answers[at].remove(1);
            let report = verdict(&history);
            prop_assert!(report.counts.contains_key(&Property::IntPollSkip), "{}", report);
        }
    }

    #[test]
    fn a_commit_that_is_moved_back_is_noticed(steps in steps(), pick: usize) {
        let (mut history, _) = simulate(&steps);
        let commits = commits(&history);
        let pairs = commits.windows(2).filter(|pair| pair[0].1 == pair[1].1 && pair[0].2 > 0);
        let pairs: Vec<_> = pairs.collect();
        if !pairs.is_empty() {
            let pair = pairs[pick % pairs.len()];
            let moved = &mut history.operations_mut()[pair[1].0].action;
            if let Action::OffsetCommit(call) = moved {
                call.request.offset = Offset::new(pair[0].2 - 1);
            }
            let report = verdict(&history);
            prop_assert!(report.counts.contains_key(&Property::OffsetCommitBack), "{}", report);
        }
    }

    #[test]
    fn a_commit_of_an_old_generation_is_noticed(steps in steps(), pick: usize) {
        let (mut history, _) = simulate(&steps);
        let commits = commits(&history);
        let late: Vec<_> = commits.iter().filter(|(_, generation, _)| *generation > 1).collect();
        if !late.is_empty() {
            let (_, generation, _) = late[pick % late.len()];
            let request = commit(generation - 1, 0);
            let long_after = Nanos::new(1_000_000);
            let call = Operation::call(ProcessNumber::new(80), long_after, request);
            history.push(call.ok(long_after, ()));
            let report = verdict(&history);
            prop_assert!(report.counts.contains_key(&Property::OldGeneration), "{}", report);
        }
    }

    #[test]
    fn a_send_that_is_called_refused_is_noticed(steps in steps(), pick: usize) {
        let (mut history, simulation) = simulate(&steps);
        let stored: BTreeSet<_> = simulation.log[simulation.log_start..].iter().collect();
        let mut tries = Vec::new();
        for operation in history.operations_mut() {
            let process = operation.process.get();
            if let Action::Produce(call) = &mut operation.action {
                let of = (process, call.request.records[0].value.counter());
                // Idempotent producers try several times.
                if stored.contains(&of) && call.request.producer.is_none() {
                    tries.push(call);
                }
            }
        }
        if !tries.is_empty() {
            let at = pick % tries.len();
            let outcome = &mut tries[at].outcome;
            let completed_at = outcome.completed_at().expect("simulated calls end");
            *outcome = Outcome::Failed {
                at: completed_at,
                reason: "refused".to_owned(),
            };
            let report = verdict(&history);
            prop_assert!(report.counts.contains_key(&Property::AbortedRead), "{}", report);
        }
    }

    #[test]
    fn the_order_of_a_history_means_nothing(steps in steps(), rotation: usize) {
        let (mut history, _) = simulate(&steps);
        let operations = history.operations_mut();
        let at = rotation % operations.len();
        operations.rotate_left(at);
        prop_assert_eq!(verdict(&history).verdict, Verdict::Valid);
    }
}
