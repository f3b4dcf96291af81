//! The findings of a judgement while it is made.

use std::collections::BTreeMap;

use super::{Finding, Loss, Property};
use crate::history::{OperationIndex, TopicPartition};

#[derive(Debug, Default)]
pub(crate) struct Findings {
    shown: BTreeMap<Property, Vec<Finding>>,
    counts: BTreeMap<Property, usize>,
    losses: BTreeMap<Loss, usize>,
}

impl Findings {
    /// Counts a finding, and puts it into words if it will be shown.
    pub(crate) fn add(
        &mut self,
        property: Property,
        partition: Option<&TopicPartition>,
        operations: &[usize],
        what: impl FnOnce() -> String,
    ) {
        *self.counts.entry(property).or_default() += 1;
        let shown = self.shown.entry(property).or_default();
        if shown.len() < Finding::SHOWN_MAX {
            let index = |index: &usize| OperationIndex::new(*index);
            shown.push(Finding {
                property,
                partition: partition.cloned(),
                operations: operations
                    .iter()
                    .map(index)
                    .take(Finding::OPERATIONS_MAX)
                    .collect(),
                what: what(),
            });
        }
    }

    pub(crate) fn count_loss(&mut self, loss: Loss) {
        *self.losses.entry(loss).or_default() += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub(crate) fn into_parts(
        self,
    ) -> (
        Vec<Finding>,
        BTreeMap<Property, usize>,
        BTreeMap<Loss, usize>,
    ) {
        let findings = self.shown.into_values().flatten().collect();
        (findings, self.counts, self.losses)
    }
}
