//! `consume --group`: reads and prints as a member of a consumer group.

use flotilla_client::{
    ConsumerConfig, GroupConfig, GroupConsumer, GroupId, OffsetSpec, Subscription,
};

use super::consume::{Style, Trouble, print_records};
use super::consume_arguments::ConsumeArgs;
use crate::failure::Failure;
use crate::{Exit, GlobalOptions, Io};

/// What `group describe` shows of this program.
const CLIENT_NAME: &str = "flotilla consume";

/// Prints until it has enough or is interrupted. What was printed is committed, on the way and at
/// the end.
pub(super) async fn consume_group(
    args: &ConsumeArgs,
    group: &GroupId,
    style: &Style,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let doing = format!("read as a member of group {group}");
    let config = group_config(args, group, global)?;
    let joining = async {
        let client = global.connect().await?;
        let consumer = client.group_consumer(config);
        consumer.map_err(Failure::cluster(doing.clone()))
    };
    let mut consumer = io.interrupt.unless_raised(joining).await?;
    let printed = print_records(&mut consumer, style, args.count, io).await;
    let is_all_printed = !matches!(printed, Err(Trouble::Local(_)));
    let ending = end(consumer, is_all_printed, group);
    let ended = io.interrupt.unless_raised(ending).await;
    let exit = match printed {
        Ok(exit) => exit,
        Err(Trouble::Cluster(error)) => return Err(Failure::cluster(doing)(error)),
        Err(Trouble::Local(failure)) => return Err(failure),
    };
    ended.map(|()| exit)
}

/// Commits what was printed, and leaves. What was read and could not be printed is for the next one.
async fn end(
    consumer: GroupConsumer,
    is_all_printed: bool,
    group: &GroupId,
) -> Result<(), Failure> {
    let ended = match is_all_printed {
        true => consumer.close().await,
        false => consumer.leave().await,
    };
    ended.map_err(Failure::cluster(format!(
        "commit offsets and leave group {group}"
    )))
}

fn group_config(
    args: &ConsumeArgs,
    group: &GroupId,
    global: &GlobalOptions,
) -> Result<GroupConfig, Failure> {
    let subscription = match &args.pattern {
        Some(pattern) => Subscription::Pattern(pattern.clone()),
        None => Subscription::Topics(args.topics.clone()),
    };
    let start = args.from.to_spec(global.now());
    if matches!(start, OffsetSpec::Offset(_)) {
        return Err(Failure::usage(
            "a group goes on where it has committed: --from is start, end or a time, for partitions \
             without a committed offset; `group reset` sets offsets",
        ));
    }
    Ok(GroupConfig {
        client_name: CLIENT_NAME.to_owned(),
        start,
        consumer: ConsumerConfig {
            retry_timeout: global.timeout,
            ..ConsumerConfig::default()
        },
        ..GroupConfig::new(group.clone(), subscription)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        consume: ConsumeArgs,
        #[command(flatten)]
        global: GlobalOptions,
    }

    fn config(line: &str) -> Result<GroupConfig, Failure> {
        let line = Line::try_parse_from(line.split(' ')).unwrap();
        let group = line.consume.group.clone().unwrap();
        group_config(&line.consume, &group, &line.global)
    }

    #[test]
    fn topics_or_a_pattern_are_shared() {
        let named = config("consume a b --group g --from end").unwrap();
        assert!(matches!(named.subscription, Subscription::Topics(topics) if topics.len() == 2));
        assert_eq!(named.start, OffsetSpec::Latest);
        let matched = config("consume --group g --pattern ord.*").unwrap();
        let pattern = Subscription::Pattern("ord.*".to_owned());
        assert_eq!(matched.subscription, pattern);
        assert_eq!(matched.start, OffsetSpec::Earliest);
        matched.validate().unwrap();
    }

    #[test]
    fn an_offset_is_no_place_for_a_group_to_begin() {
        let failure = config("consume a --group g --from 17").unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
    }
}
