//! Whether the run was what the contract demands.

use std::collections::BTreeSet;

use super::recovery::trials;
use crate::contract::Demand;
use crate::history::Action;
use crate::report::{Coverage, Unmet};
use crate::view::{PartitionView, RecordFate, SightingSource, View};

/// Most operations that cannot have been which a report shows.
const BROKEN_SHOWN_MAX: usize = 20;

pub(super) fn coverage(view: &View<'_>) -> Coverage {
    let mut coverage = Coverage::default();
    for operation in view.operations {
        if let Action::Fault { name } = &operation.action {
            *coverage.faults.entry(name.clone()).or_default() += 1;
        }
        let Some(outcome) = operation.action.outcome() else {
            continue;
        };
        if outcome.ok().is_some() {
            coverage.ok += 1;
        } else if outcome.is_failed() {
            coverage.failed += 1;
        } else {
            coverage.unknown += 1;
            coverage.unknown_changes += usize::from(changes_something(&operation.action));
        }
    }
    for partition in &view.partitions {
        let records = partition.records.iter();
        let acknowledged = records.filter(|r| matches!(r.fate, RecordFate::Acknowledged { .. }));
        coverage.acknowledged_records += acknowledged.count();
        let sightings = partition.sightings.iter();
        let consumed = sightings.filter(|seen| seen.source == SightingSource::Fetch);
        coverage.consumed_records += consumed.count();
    }
    coverage
}

const fn changes_something(action: &Action) -> bool {
    matches!(
        action,
        Action::Produce(_)
            | Action::OffsetCommit(_)
            | Action::JobAcquire(_)
            | Action::JobRelease(_)
            | Action::CreateTopic(_)
            | Action::DeleteTopic(_)
    )
}

pub(super) fn find(view: &View<'_>, coverage: &Coverage) -> Vec<Unmet> {
    let mut unmet = broken_operations(view);
    let remaining: Vec<_> = view
        .partitions
        .iter()
        .filter(|partition| !partition.may_be_deleted)
        .collect();
    unmet.extend(never_read(&remaining));
    for demand in view.contract.demands() {
        match demand {
            Demand::Fault(name) if !coverage.faults.contains_key(name) => {
                unmet.push(Unmet::Fault(name.clone()));
            }
            Demand::AcknowledgedRecord if coverage.acknowledged_records == 0 => {
                unmet.push(Unmet::AcknowledgedRecord);
            }
            Demand::UnknownOutcome if coverage.unknown_changes == 0 => {
                unmet.push(Unmet::UnknownOutcome);
            }
            Demand::Read if coverage.consumed_records == 0 => unmet.push(Unmet::Read),
            Demand::FinalReads { replicas } => unmet.extend(final_reads(&remaining, *replicas)),
            Demand::RecoveryWithin(_) => unmet.extend(recovery(view)),
            Demand::Fault(_)
            | Demand::AcknowledgedRecord
            | Demand::UnknownOutcome
            | Demand::Read => {}
        }
    }
    unmet
}

fn broken_operations(view: &View<'_>) -> Vec<Unmet> {
    let broken = view
        .operations
        .iter()
        .enumerate()
        .filter_map(|(index, op)| {
            let fault = op.check().err()?;
            Some(Unmet::BrokenOperation {
                operation: index,
                fault: fault.to_string(),
            })
        });
    broken.take(BROKEN_SHOWN_MAX).collect()
}

fn never_read(partitions: &[&PartitionView<'_>]) -> Vec<Unmet> {
    let is_acknowledged = |partition: &PartitionView<'_>| {
        let mut records = partition.records.iter();
        records.any(|record| matches!(record.fate, RecordFate::Acknowledged { .. }))
    };
    let silent = partitions
        .iter()
        .filter(|partition| !partition.was_read && is_acknowledged(partition));
    silent
        .map(|partition| Unmet::NeverRead(partition.name.clone()))
        .collect()
}

fn final_reads(partitions: &[&PartitionView<'_>], demanded: usize) -> Vec<Unmet> {
    let mut unmet = Vec::new();
    for partition in partitions.iter().filter(|p| !p.attempts.is_empty()) {
        let nodes = partition.final_logs.iter().map(|found| found.node);
        let replicas = nodes.collect::<BTreeSet<_>>().len();
        if replicas < demanded {
            unmet.push(Unmet::FinalReads {
                partition: partition.name.clone(),
                replicas,
                demanded,
            });
        }
    }
    unmet
}

fn recovery(view: &View<'_>) -> Vec<Unmet> {
    if view.healed_at().is_none() {
        return vec![Unmet::NotHealed];
    }
    let mut unmet = Vec::new();
    for trial in trials(view) {
        if trial.produce.is_untried() {
            unmet.push(Unmet::NoProduceAfterHealing(trial.name.clone()));
        }
        if trial.read.is_untried() {
            unmet.push(Unmet::NoReadAfterHealing(trial.name.clone()));
        }
    }
    unmet
}
