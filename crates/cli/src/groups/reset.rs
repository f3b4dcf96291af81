//! `group reset`: shows what an offset reset would do, and then does it.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_client::{
    Admin, ApiError, ClientError, ErrorCode, GroupId, Offset, OffsetSpec, PartitionIndex,
    PartitionName, TopicName,
};

use super::arguments::ResetArgs;
use super::render;
use crate::failure::Failure;
use crate::{Exit, GlobalOptions, Output};

/// What would be done to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) partition: PartitionIndex,
    /// `None` if the group has not committed any.
    pub(super) from: Option<Offset>,
    pub(super) to: Offset,
}

impl Step {
    /// Records that the group will never read.
    pub(super) fn skipped(&self) -> Option<u64> {
        let from = self.from?;
        Some(self.to.get().saturating_sub(from.get()))
    }

    /// Records that the group has read, and will read again.
    pub(super) fn repeated(&self) -> Option<u64> {
        let from = self.from?;
        Some(from.get().saturating_sub(self.to.get()))
    }
}

pub(super) async fn reset(
    args: ResetArgs,
    admin: &Admin,
    global: &GlobalOptions,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let doing = format!("reset group {}", args.group);
    let spec = args.to.to_spec(global.now());
    let steps = plan(&args, spec, admin).await;
    let steps = steps.map_err(Failure::cluster(doing.clone()))?;
    render::plan(&args, &steps, global.output, output)?;
    if args.dry_run {
        return Ok(Exit::Done);
    }
    // The plan comes before a complaint.
    output.flush()?;
    if !args.yes {
        return Err(Failure::usage(
            "nothing was changed: --yes commits these offsets",
        ));
    }
    let offsets: BTreeMap<_, _> = steps
        .iter()
        .map(|step| {
            (
                PartitionName::new(args.topic.clone(), step.partition),
                step.to,
            )
        })
        .collect();
    let outcomes = admin.commit_offsets(&args.group, &offsets).await;
    let outcomes = outcomes.map_err(Failure::cluster(doing))?;
    let count = outcomes.len();
    let failures = outcomes.into_iter().filter_map(|(name, outcome)| {
        let doing = format!("reset group {} in {name}", args.group);
        outcome.err().map(Failure::cluster(doing))
    });
    let mut failures: Vec<_> = failures.collect();
    if failures.len() == count
        && let Some(last) = failures.pop()
    {
        return Err(last);
    }
    for failure in &failures {
        failure.report(output, global.output);
    }
    Ok(match failures.is_empty() {
        true => Exit::Done,
        false => Exit::Partial,
    })
}

async fn plan(args: &ResetArgs, spec: OffsetSpec, admin: &Admin) -> Result<Vec<Step>, ClientError> {
    let ResetArgs { group, topic, .. } = args;
    let committed = committed_without_members(group, topic, admin).await?;
    let mut partitions: BTreeSet<_> = args.partitions.iter().copied().collect();
    if partitions.is_empty() {
        let described = admin.describe_topic(topic).await?;
        partitions.extend(described.partitions.iter().map(|known| known.index));
    }
    let partitions: Vec<_> = partitions.into_iter().collect();
    // An offset is where it is, but it must be there.
    let asked = match spec {
        OffsetSpec::Offset(_) => OffsetSpec::Latest,
        OffsetSpec::Earliest | OffsetSpec::Latest | OffsetSpec::Timestamp(_) => spec,
    };
    let mut steps = Vec::with_capacity(partitions.len());
    for found in admin.list_offsets(topic, &partitions, asked).await? {
        let partition = found.partition;
        let from = committed.get(&partition).copied();
        let to = choose(spec, found.offset?, &format!("{topic}/{partition}"))?;
        steps.push(Step {
            partition,
            from,
            to,
        });
    }
    Ok(steps)
}

/// Refuses an offset beyond the high watermark.
fn choose(spec: OffsetSpec, found: Offset, name: &str) -> Result<Offset, ClientError> {
    match spec {
        OffsetSpec::Offset(offset) if offset > found => {
            let message = format!("{name} ends at offset {found}");
            Err(ApiError::new(ErrorCode::OffsetOutOfRange, message).into())
        }
        OffsetSpec::Offset(offset) => Ok(offset),
        OffsetSpec::Earliest | OffsetSpec::Latest | OffsetSpec::Timestamp(_) => Ok(found),
    }
}

/// What the group has committed in the topic. Refuses a group with members; the coordinator does
/// so as well, but only once the plan has been shown.
async fn committed_without_members(
    group: &GroupId,
    topic: &TopicName,
    admin: &Admin,
) -> Result<BTreeMap<PartitionIndex, Offset>, ClientError> {
    let described = match admin.describe_group(group).await {
        Err(error) if error.code() == ErrorCode::UnknownGroup => return Ok(BTreeMap::new()),
        described => described?,
    };
    if !described.members.is_empty() {
        let count = described.members.len();
        let message = format!("group {group} has members: {count}");
        return Err(ApiError::new(ErrorCode::GroupNotEmpty, message).into());
    }
    let committed = described.offsets.into_iter();
    Ok(committed
        .filter(|committed| committed.name.topic == *topic)
        .map(|committed| (committed.name.partition, committed.offset))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(from: Option<u64>, to: u64) -> Step {
        Step {
            partition: PartitionIndex::new(0),
            from: from.map(Offset::new),
            to: Offset::new(to),
        }
    }

    #[test]
    fn a_step_skips_or_repeats() {
        let forward = step(Some(3), 10);
        assert_eq!((forward.skipped(), forward.repeated()), (Some(7), Some(0)));
        let back = step(Some(10), 3);
        assert_eq!((back.skipped(), back.repeated()), (Some(0), Some(7)));
        let first = step(None, 3);
        assert_eq!((first.skipped(), first.repeated()), (None, None));
    }

    #[test]
    fn an_offset_beyond_the_end_is_refused() {
        let [three, end] = [3, 5].map(Offset::new);
        let chosen = choose(OffsetSpec::Offset(three), end, "orders/0").unwrap();
        assert_eq!(chosen, three);
        assert_eq!(choose(OffsetSpec::Latest, end, "orders/0").unwrap(), end);
        let error = choose(OffsetSpec::Offset(end), three, "orders/0").unwrap_err();
        assert_eq!(error.code(), ErrorCode::OffsetOutOfRange);
    }
}
