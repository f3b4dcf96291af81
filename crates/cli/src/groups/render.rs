//! Consumer groups as tables and as JSON.

use std::collections::BTreeMap;

use flotilla_client::{
    GroupDescription, GroupMember, GroupSummary, HeldPartition, PartitionLag, Subscription,
};
use serde::Serialize;

use super::arguments::ResetArgs;
use super::reset::Step;
use crate::Output;
use crate::failure::Failure;
use crate::output::{OutputFormat, Table, or_dash};

#[derive(Serialize)]
struct SummaryJson<'a> {
    group: &'a str,
    members: u32,
    generation: u64,
}

#[derive(Serialize)]
struct GroupJson<'a> {
    group: &'a str,
    generation: u64,
    coordinator: u64,
    members: Vec<MemberJson<'a>>,
    partitions: Vec<PartitionJson<'a>>,
}

#[derive(Serialize)]
struct MemberJson<'a> {
    member: &'a str,
    client_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topics: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<&'a str>,
    session_timeout_ms: u64,
    partitions: Vec<HeldJson<'a>>,
    revoked: Vec<HeldJson<'a>>,
}

#[derive(Serialize)]
struct HeldJson<'a> {
    topic: &'a str,
    partition: u32,
    generation: u64,
}

#[derive(Serialize)]
struct PartitionJson<'a> {
    topic: &'a str,
    partition: u32,
    committed: Option<u64>,
    log_start: Option<u64>,
    high_watermark: Option<u64>,
    lag_records: Option<u64>,
    lag_seconds: Option<f64>,
    owner: Option<&'a str>,
}

#[derive(Serialize)]
struct PlanJson<'a> {
    group: &'a str,
    topic: &'a str,
    dry_run: bool,
    partitions: Vec<StepJson>,
}

#[derive(Serialize)]
struct StepJson {
    partition: u32,
    from: Option<u64>,
    to: u64,
    skipped: Option<u64>,
    repeated: Option<u64>,
}

pub(super) fn summaries(
    groups: &[GroupSummary],
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => {
            let mut table = Table::new(["GROUP", "MEMBERS", "GENERATION"]);
            for group in groups {
                table.row([
                    group.group.to_string(),
                    group.members.to_string(),
                    group.generation.to_string(),
                ]);
            }
            output.line(table)
        }
        OutputFormat::Json => {
            let groups: Vec<_> = groups.iter().map(summary_json).collect();
            output.json(&serde_json::json!({ "groups": groups }))
        }
    }
}

pub(super) fn group(
    group: &GroupDescription,
    lags: &[PartitionLag],
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => write_tables(group, lags, output),
        OutputFormat::Json => output.json(&GroupJson {
            group: group.group.as_str(),
            generation: group.generation.get(),
            coordinator: group.coordinator.get(),
            members: group.members.iter().map(member_json).collect(),
            partitions: lags.iter().map(partition_json).collect(),
        }),
    }
}

/// What a reset would do.
pub(super) fn plan(
    args: &ResetArgs,
    steps: &[Step],
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => {
            output.line(format_args!("group {}, topic {}", args.group, args.topic))?;
            let mut table = Table::new(["PARTITION", "FROM", "TO", "SKIPPED", "REPEATED"]);
            for step in steps {
                table.row([
                    step.partition.to_string(),
                    or_dash(step.from),
                    step.to.to_string(),
                    or_dash(step.skipped()),
                    or_dash(step.repeated()),
                ]);
            }
            output.line(table)
        }
        OutputFormat::Json => output.json(&PlanJson {
            group: args.group.as_str(),
            topic: args.topic.as_str(),
            dry_run: args.dry_run,
            partitions: steps.iter().map(step_json).collect(),
        }),
    }
}

fn write_tables(
    group: &GroupDescription,
    lags: &[PartitionLag],
    output: &mut Output,
) -> Result<(), Failure> {
    output.line(format_args!(
        "group {}: generation {}, {} members, node {} leads its coordinator",
        group.group,
        group.generation,
        group.members.len(),
        group.coordinator
    ))?;
    if !group.members.is_empty() {
        let mut members = Table::new(["MEMBER", "CLIENT", "PARTITIONS"]);
        for member in &group.members {
            members.row([
                member.member.to_string(),
                member.client_name.clone(),
                describe_held(member),
            ]);
        }
        output.line(members)?;
    }
    if lags.is_empty() {
        return Ok(());
    }
    output.line("")?;
    let mut partitions = Table::new([
        "TOPIC",
        "PARTITION",
        "COMMITTED",
        "HIGH WATERMARK",
        "LAG",
        "LAG SECONDS",
        "OWNER",
    ]);
    for lag in lags {
        let seconds = lag.time.map(|time| format!("{:.1}", time.as_secs_f64()));
        partitions.row([
            lag.name.topic.to_string(),
            lag.name.partition.to_string(),
            or_dash(lag.committed),
            or_dash(lag.high_watermark),
            or_dash(lag.records),
            or_dash(seconds),
            or_dash(lag.owner.as_ref()),
        ]);
    }
    output.line(partitions)
}

/// As in `bills/0 orders/1,2`, with what is being given up as well: it is still the member's.
fn describe_held(member: &GroupMember) -> String {
    let mut topics: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for held in member.partitions.iter().chain(&member.revoked) {
        let partitions = topics.entry(&held.name.topic).or_default();
        partitions.push(held.name.partition);
    }
    let topics = topics.into_iter().map(|(topic, mut partitions)| {
        partitions.sort_unstable();
        let partitions: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        format!("{topic}/{}", partitions.join(","))
    });
    topics.collect::<Vec<_>>().join(" ")
}

fn summary_json(group: &GroupSummary) -> SummaryJson<'_> {
    SummaryJson {
        group: group.group.as_str(),
        members: group.members,
        generation: group.generation.get(),
    }
}

fn member_json(member: &GroupMember) -> MemberJson<'_> {
    let (topics, pattern) = match &member.subscription {
        Subscription::Topics(topics) => {
            let topics = topics.iter().map(|topic| topic.as_str());
            (Some(topics.collect()), None)
        }
        Subscription::Pattern(pattern) => (None, Some(pattern.as_str())),
    };
    MemberJson {
        member: member.member.as_str(),
        client_name: &member.client_name,
        topics,
        pattern,
        session_timeout_ms: u64::try_from(member.session_timeout.as_millis()).unwrap_or(u64::MAX),
        partitions: member.partitions.iter().map(held_json).collect(),
        revoked: member.revoked.iter().map(held_json).collect(),
    }
}

fn held_json(held: &HeldPartition) -> HeldJson<'_> {
    HeldJson {
        topic: held.name.topic.as_str(),
        partition: held.name.partition.get(),
        generation: held.generation.get(),
    }
}

fn partition_json(lag: &PartitionLag) -> PartitionJson<'_> {
    PartitionJson {
        topic: lag.name.topic.as_str(),
        partition: lag.name.partition.get(),
        committed: lag.committed.map(|offset| offset.get()),
        log_start: lag.log_start.map(|offset| offset.get()),
        high_watermark: lag.high_watermark.map(|offset| offset.get()),
        lag_records: lag.records,
        lag_seconds: lag.time.map(|time| time.as_secs_f64()),
        owner: lag.owner.as_ref().map(|owner| owner.as_str()),
    }
}

fn step_json(step: &Step) -> StepJson {
    StepJson {
        partition: step.partition.get(),
        from: step.from.map(|offset| offset.get()),
        to: step.to.get(),
        skipped: step.skipped(),
        repeated: step.repeated(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;
    use flotilla_client::{
        Generation, GroupId, MemberId, NodeId, Offset, PartitionIndex, PartitionName, TopicId,
        TopicName,
    };

    use super::*;
    use crate::output::Captured;

    fn name(partition: u32) -> PartitionName {
        let topic = TopicName::parse("orders").unwrap();
        PartitionName::new(topic, PartitionIndex::new(partition))
    }

    fn held(partition: u32) -> HeldPartition {
        HeldPartition {
            name: name(partition),
            topic_id: TopicId::new(9),
            generation: Generation::new(3),
        }
    }

    fn billing() -> (GroupDescription, Vec<PartitionLag>) {
        let member = MemberId::parse("m1").unwrap();
        let group = GroupDescription {
            group: GroupId::parse("billing").unwrap(),
            generation: Generation::new(3),
            coordinator: NodeId::new(2),
            members: vec![GroupMember {
                member: member.clone(),
                client_name: "bills".to_owned(),
                subscription: Subscription::Pattern("ord.*".to_owned()),
                session_timeout: Duration::from_secs(10),
                partitions: vec![held(0), held(2)],
                revoked: vec![held(1)],
            }],
            offsets: Vec::new(),
        };
        let lag = PartitionLag {
            name: name(0),
            owner: Some(member),
            committed: Some(Offset::new(90)),
            log_start: Some(Offset::ZERO),
            high_watermark: Some(Offset::new(100)),
            records: Some(10),
            time: Some(Duration::from_millis(1_540)),
        };
        let unknown = PartitionLag {
            name: name(3),
            owner: None,
            committed: None,
            log_start: None,
            high_watermark: None,
            records: None,
            time: None,
        };
        (group, vec![lag, unknown])
    }

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        reset: ResetArgs,
    }

    fn reset_args(line: &str) -> ResetArgs {
        Line::try_parse_from(line.split(' ')).unwrap().reset
    }

    fn steps() -> Vec<Step> {
        let step = |partition, from: Option<u64>, to| Step {
            partition: PartitionIndex::new(partition),
            from: from.map(Offset::new),
            to: Offset::new(to),
        };
        vec![
            step(0, Some(90), 100),
            step(1, Some(7), 0),
            step(2, None, 5),
        ]
    }

    #[test]
    fn a_group_shows_its_members_and_how_far_it_is_behind() {
        let (described, lags) = billing();
        let (mut output, captured) = Captured::new();
        group(&described, &lags, OutputFormat::Table, &mut output).unwrap();
        assert_eq!(
            captured.data(),
            "group billing: generation 3, 1 members, node 2 leads its coordinator\n\
             MEMBER  CLIENT  PARTITIONS\n\
             m1      bills   orders/0,1,2\n\
             \n\
             TOPIC   PARTITION  COMMITTED  HIGH WATERMARK  LAG  LAG SECONDS  OWNER\n\
             orders          0         90             100   10          1.5  m1\n\
             orders          3          -               -    -            -  -\n"
        );
    }

    #[test]
    fn a_group_without_members_shows_its_offsets_only() {
        let (mut described, lags) = billing();
        described.members.clear();
        let (mut output, captured) = Captured::new();
        group(&described, &lags[1..], OutputFormat::Table, &mut output).unwrap();
        assert!(!captured.data().contains("MEMBER"), "{}", captured.data());
        assert_eq!(captured.data().lines().count(), 4);
    }

    #[test]
    fn json_says_what_is_unknown_with_null() {
        let (described, lags) = billing();
        let (mut output, captured) = Captured::new();
        group(&described, &lags, OutputFormat::Json, &mut output).unwrap();
        let told: serde_json::Value = serde_json::from_str(&captured.data()).unwrap();
        assert_eq!(told["members"][0]["pattern"], "ord.*");
        assert_eq!(told["members"][0]["partitions"][1]["partition"], 2);
        assert_eq!(told["members"][0]["revoked"][0]["generation"], 3);
        assert_eq!(told["partitions"][0]["lag_seconds"], 1.54);
        assert_eq!(told["partitions"][0]["owner"], "m1");
        assert_eq!(told["partitions"][1]["committed"], serde_json::Value::Null);
    }

    #[test]
    fn a_list_has_one_line_a_group() {
        let groups = [GroupSummary {
            group: GroupId::parse("billing").unwrap(),
            members: 2,
            generation: Generation::new(7),
        }];
        let (mut output, captured) = Captured::new();
        summaries(&groups, OutputFormat::Table, &mut output).unwrap();
        assert_eq!(
            captured.data(),
            "GROUP    MEMBERS  GENERATION\n\
             billing        2           7\n"
        );
        summaries(&groups, OutputFormat::Json, &mut output).unwrap();
        let json = captured.data();
        assert!(
            json.ends_with(
                "{\"groups\":[{\"generation\":7,\"group\":\"billing\",\"members\":2}]}\n"
            )
        );
    }

    #[test]
    fn a_plan_says_what_is_skipped_and_what_is_repeated() {
        let args = reset_args("reset billing --topic orders --to latest --dry-run");
        let (mut output, captured) = Captured::new();
        plan(&args, &steps(), OutputFormat::Table, &mut output).unwrap();
        assert_eq!(
            captured.data(),
            "group billing, topic orders\n\
             PARTITION  FROM   TO  SKIPPED  REPEATED\n\
             \x20       0    90  100       10         0\n\
             \x20       1     7    0        0         7\n\
             \x20       2     -    5        -         -\n"
        );
        let (mut output, captured) = Captured::new();
        plan(&args, &steps(), OutputFormat::Json, &mut output).unwrap();
        let told: serde_json::Value = serde_json::from_str(&captured.data()).unwrap();
        assert_eq!(told["dry_run"], true);
        assert_eq!(told["partitions"][1]["repeated"], 7);
        assert_eq!(told["partitions"][2]["from"], serde_json::Value::Null);
    }
}
