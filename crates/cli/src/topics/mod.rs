//! `topic`: create, list, describe, alter, delete, delete-records.

mod arguments;
mod new_topic;
mod render;

use std::collections::BTreeMap;

use flotilla_client::{Admin, ErrorCode, NewTopic, TopicName};

pub(crate) use arguments::TopicCommand;
use arguments::{AlterArgs, Before, DeleteArgs, DeleteRecordsArgs, DescribeArgs};

use crate::failure::Failure;
use crate::output::OutputFormat;
use crate::prompt::Prompt;
use crate::values::KeyValue;
use crate::{Exit, GlobalOptions, Io, Output};

pub(crate) async fn run(
    command: TopicCommand,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let Io {
        output,
        interrupt,
        user,
        ..
    } = io;
    let work = async {
        let format = global.output;
        match command {
            TopicCommand::Create(args) => {
                let may_exist = args.if_not_exists;
                let prompt = Prompt::new(user.as_deref_mut(), output);
                let prompt = prompt.with_usage("flotilla topic create <NAME> [OPTIONS]");
                let wanted = new_topic::complete(args, prompt).await?;
                create(wanted, may_exist, &global.admin().await?, format, output).await
            }
            TopicCommand::List => list(&global.admin().await?, format, output).await,
            TopicCommand::Describe(args) => {
                describe(args, &global.admin().await?, format, output).await
            }
            TopicCommand::Alter(args) => alter(args, &global.admin().await?, format, output).await,
            TopicCommand::Delete(args) => {
                delete(args, &global.admin().await?, format, output).await
            }
            TopicCommand::DeleteRecords(args) => {
                delete_records(args, &global.admin().await?, format, output).await
            }
        }
    };
    interrupt.unless_raised(work).await
}

async fn create(
    wanted: NewTopic,
    may_exist: bool,
    admin: &Admin,
    format: OutputFormat,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let name = wanted.name.clone();
    let needs_schema = new_topic::needs_schema(&wanted.config);
    let topic = match admin.create_topic(wanted).await {
        Err(error) if may_exist && error.code() == ErrorCode::TopicExists => {
            output.note(format_args!("topic {name} exists and is left as it is"));
            let described = admin.describe_topic(&name).await;
            described.map_err(Failure::cluster(format!("describe topic {name}")))?
        }
        created => created.map_err(Failure::cluster(format!("create topic {name}")))?,
    };
    render::topics(&[topic], None, format, output)?;
    if needs_schema {
        output.note(format_args!(
            "topic {name} is public: it takes records once `schema create {name} --file F` gave it a \
             schema"
        ));
    }
    Ok(Exit::Done)
}

async fn list(admin: &Admin, format: OutputFormat, output: &mut Output) -> Result<Exit, Failure> {
    let topics = admin.list_topics().await;
    let topics = topics.map_err(Failure::cluster("list topics"))?;
    render::summaries(&topics, format, output)?;
    Ok(Exit::Done)
}

/// Describes the topics that exist; complains about each of the others.
async fn describe(
    args: DescribeArgs,
    admin: &Admin,
    format: OutputFormat,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let described = admin.describe_topics(&args.names).await;
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for (name, topic) in described.map_err(Failure::cluster("describe topics"))? {
        match topic {
            Ok(topic) => found.push(topic),
            Err(error) => failures.push(Failure::cluster(format!("describe topic {name}"))(error)),
        }
    }
    if found.is_empty()
        && let Some(last) = failures.pop()
    {
        for failure in failures {
            failure.report(output, format);
        }
        return Err(last);
    }
    let cluster = admin.describe_cluster().await;
    let cluster = cluster.map_err(Failure::cluster("ask how far the logs go"))?;
    render::topics(&found, Some(&cluster.partitions), format, output)?;
    for failure in &failures {
        failure.report(output, format);
    }
    Ok(match failures.is_empty() {
        true => Exit::Done,
        false => Exit::Partial,
    })
}

async fn alter(
    args: AlterArgs,
    admin: &Admin,
    format: OutputFormat,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let name = args.name;
    let configures = !args.config.is_empty() || !args.reset.is_empty();
    let mut altered = None;
    if configures {
        let topic = admin.alter_topic(&name, pairs(args.config)?, args.reset);
        altered = Some(
            topic
                .await
                .map_err(Failure::cluster(format!("configure topic {name}")))?,
        );
    }
    if let Some(partitions) = args.partitions {
        let doing = format!("raise topic {name} to {partitions} partitions");
        match (admin.add_partitions(&name, partitions).await, configures) {
            (Ok(topic), _) => altered = Some(topic),
            (Err(error), false) => return Err(Failure::cluster(doing)(error)),
            (Err(error), true) => {
                Failure::cluster(doing)(error).report(output, format);
                output.note(format_args!(
                    "the configuration of topic {name} was changed"
                ));
                return Ok(Exit::Partial);
            }
        }
    }
    let topic = altered.ok_or_else(|| {
        Failure::usage("nothing to alter: give --config, --reset or --partitions")
    })?;
    render::topics(&[topic], None, format, output)?;
    Ok(Exit::Done)
}

async fn delete(
    args: DeleteArgs,
    admin: &Admin,
    format: OutputFormat,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let name: TopicName = args.name;
    let deleted = admin.delete_topic(&name).await;
    deleted.map_err(Failure::cluster(format!("delete topic {name}")))?;
    match format {
        OutputFormat::Table => output.line(format_args!("deleted topic {name}"))?,
        OutputFormat::Json => output.json(&serde_json::json!({ "deleted": name.as_str() }))?,
    }
    Ok(Exit::Done)
}

/// Goes on after a partition that fails, and says which ones did.
async fn delete_records(
    args: DeleteRecordsArgs,
    admin: &Admin,
    format: OutputFormat,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let name = args.name;
    let before = match args.before {
        Before::Offset(offset) => Some(offset),
        Before::End => None,
    };
    let partitions = match (args.partition, before) {
        (Some(partition), _) => vec![partition],
        (None, None) => {
            let topic = admin.describe_topic(&name).await;
            let topic = topic.map_err(Failure::cluster(format!("describe topic {name}")))?;
            topic.partitions.iter().map(|known| known.index).collect()
        }
        (None, Some(_)) => {
            let message = "an offset belongs to one partition: give --partition with it";
            return Err(Failure::usage(message));
        }
    };
    let mut log_starts = Vec::new();
    let mut failures = Vec::new();
    for partition in partitions {
        let doing = format!("delete records of {name}/{partition}");
        match admin.delete_records(&name, partition, before).await {
            Ok(log_start) => log_starts.push((partition, log_start)),
            Err(error) => failures.push(Failure::cluster(doing)(error)),
        }
    }
    if log_starts.is_empty()
        && let Some(last) = failures.pop()
    {
        return Err(last);
    }
    render::log_starts(&name, &log_starts, format, output)?;
    for failure in &failures {
        failure.report(output, format);
    }
    Ok(match failures.is_empty() {
        true => Exit::Done,
        false => Exit::Partial,
    })
}

/// A key that is given twice is a mistake, not a choice.
fn pairs(given: Vec<KeyValue>) -> Result<BTreeMap<String, String>, Failure> {
    let mut pairs = BTreeMap::new();
    for KeyValue { key, value } in given {
        if pairs.contains_key(&key) {
            return Err(Failure::usage(format!("--config {key} is given twice")));
        }
        pairs.insert(key, value);
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::parse_key_value;

    #[test]
    fn a_key_given_twice_is_refused() {
        let pair = |text| parse_key_value(text).unwrap();
        let once = pairs(vec![pair("a=1"), pair("b=2")]).unwrap();
        assert_eq!(once.len(), 2);
        let twice = pairs(vec![pair("a=1"), pair("a=2")]).unwrap_err();
        assert_eq!(twice.exit(), Exit::Usage);
    }
}
