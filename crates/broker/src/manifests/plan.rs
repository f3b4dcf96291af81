//! From the topics that there are to those that a manifest asks for, without doing anything.

use flotilla_protocol::ApiError;
use flotilla_state::metadata::{MetadataCommand, MetadataOutcome, MetadataState, Topic};
use flotilla_types::{Timestamp, TopicConfig, TopicName};

use super::wanted::{Wanted, WantedTopic, invalid};
use crate::errors;
use crate::schemas::judge;

/// What is to be done, and nothing else.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Of the metadata that it was made for. It is void for any other.
    pub(super) topics_version: u64,
    /// In this order: topics that go make room for those that come.
    pub(super) commands: Vec<MetadataCommand>,
    /// By topic name.
    pub(super) changes: Vec<Change>,
    /// Topics that the manifest names and that stay as they are.
    pub(super) unchanged: u32,
    /// Topics that would be pruned but for their protection, by name.
    pub(super) protected: Vec<TopicName>,
}

/// How a manifest is applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) prune: bool,
    pub(super) default_replication_factor: u32,
    pub(super) now: Timestamp,
}

/// What changes about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) topic: TopicName,
    pub(super) kind: ChangeKind,
    /// By name.
    pub(super) fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeKind {
    Create,
    Update,
    Delete,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// A change, and the commands that make it.
struct Step {
    change: Change,
    commands: Vec<MetadataCommand>,
}

impl Plan {
    pub(super) fn make(
        state: &MetadataState,
        wanted: &Wanted,
        rules: &Rules,
    ) -> Result<Self, ApiError> {
        let mut plan = Self {
            topics_version: state.topics_version(),
            commands: Vec::new(),
            changes: Vec::new(),
            unchanged: 0,
            protected: Vec::new(),
        };
        let mut rehearsal = state.clone();
        if rules.prune {
            let is_named = |topic: &&Topic| wanted.topics.contains_key(&topic.name);
            for topic in state.topics().filter(|topic| !is_named(topic)) {
                match topic.config.is_protected {
                    true => plan.protected.push(topic.name.clone()),
                    false => plan.take(delete(topic), &mut rehearsal)?,
                }
            }
        }
        for (name, topic) in &wanted.topics {
            let step = match state.topic_named(name) {
                None => create(name, topic, rules).map(Some),
                Some(present) => update(present, topic, rules),
            };
            match step.map_err(|error| errors::about(name, error))? {
                Some(step) => plan.take(step, &mut rehearsal)?,
                None => plan.unchanged += 1,
            }
        }
        plan.changes.sort_by(|a, b| a.topic.cmp(&b.topic));
        Ok(plan)
    }

    /// Everything in one command.
    pub(super) fn command(&self) -> MetadataCommand {
        MetadataCommand::Together {
            topics_version: self.topics_version,
            commands: self.commands.clone(),
        }
    }

    /// The version of the topics once it is carried out: all of it is one change.
    pub(super) fn topics_version_after(&self) -> u64 {
        self.topics_version + u64::from(!self.commands.is_empty())
    }

    /// Adds a step unless the metadata would refuse it after those before.
    fn take(&mut self, step: Step, rehearsal: &mut MetadataState) -> Result<(), ApiError> {
        for command in &step.commands {
            if let MetadataOutcome::Rejected(rejection) = rehearsal.apply(command).outcome {
                let error = errors::from_metadata_rejection(&rejection);
                return Err(errors::about(&step.change.topic, error));
            }
        }
        self.commands.extend(step.commands);
        self.changes.push(step.change);
        Ok(())
    }
}

impl Step {
    fn new(
        topic: &TopicName,
        kind: ChangeKind,
        mut fields: Vec<Field>,
        commands: Vec<MetadataCommand>,
    ) -> Self {
        fields.sort_by_key(|field| field.name);
        let topic = topic.clone();
        Self {
            change: Change {
                topic,
                kind,
                fields,
            },
            commands,
        }
    }
}

fn delete(topic: &Topic) -> Step {
    let name = topic.name.clone();
    let command = MetadataCommand::DeleteTopic { name };
    Step::new(&topic.name, ChangeKind::Delete, Vec::new(), vec![command])
}

/// Only what the manifest says is told: everybody knows the defaults, or can look.
fn create(name: &TopicName, wanted: &WantedTopic, rules: &Rules) -> Result<Step, ApiError> {
    let config = wanted.config.entries().into_iter();
    let config = config.filter(|(key, _)| wanted.named_keys.contains(*key));
    let config: Vec<_> = config.collect();
    let mut fields: Vec<_> = config
        .iter()
        .map(|(key, value)| field(key, None, Some(value.clone())))
        .collect();
    let partitions = wanted.partitions.iter();
    fields.extend(partitions.map(|count| field("partitions", None, Some(count.to_string()))));
    let replicas = wanted.replication_factor.iter();
    fields.extend(replicas.map(|count| field("replication_factor", None, Some(count.to_string()))));
    let config = config
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    let mut commands = vec![MetadataCommand::CreateTopic {
        name: name.clone(),
        partitions: wanted.partitions.unwrap_or(1),
        replication_factor: wanted
            .replication_factor
            .unwrap_or(rules.default_replication_factor),
        config: config.collect(),
    }];
    if let Some(schema) = &wanted.schema {
        let judgement = judge(&[], wanted.config.schema_compatibility, schema)?;
        fields.push(field("schema", None, Some(version_text(judgement.version))));
        commands.push(MetadataCommand::RegisterSchema {
            name: name.clone(),
            latest_version: 0,
            schema: schema.clone(),
            now: rules.now,
        });
    }
    Ok(Step::new(name, ChangeKind::Create, fields, commands))
}

/// `None` if the topic is as it shall be.
fn update(topic: &Topic, wanted: &WantedTopic, rules: &Rules) -> Result<Option<Step>, ApiError> {
    refuse_other_replication(topic, wanted)?;
    let mut fields = Vec::new();
    let mut commands = Vec::new();
    let config = changed_config(&topic.config, &wanted.config);
    if !config.is_empty() {
        let set = config.iter();
        let set = set.filter_map(|field| Some((field.name.to_owned(), field.after.clone()?)));
        commands.push(MetadataCommand::AlterTopic {
            name: topic.name.clone(),
            set: set.collect(),
            unset: Vec::new(),
        });
        fields.extend(config);
    }
    if let Some((before, after)) = more_partitions(topic, wanted)? {
        fields.push(field(
            "partitions",
            Some(before.to_string()),
            Some(after.to_string()),
        ));
        commands.push(MetadataCommand::AddPartitions {
            name: topic.name.clone(),
            total: after,
        });
    }
    if let Some(schema) = &wanted.schema {
        // By the rules that the manifest sets, so that it can change them together with the schema.
        let mode = wanted.config.schema_compatibility;
        let judgement = judge(&topic.schemas, mode, schema)?;
        if judgement.is_new {
            let latest_version = topic.schema_version();
            let before = (latest_version > 0).then(|| version_text(latest_version));
            let after = Some(version_text(judgement.version));
            fields.push(field("schema", before, after));
            commands.push(MetadataCommand::RegisterSchema {
                name: topic.name.clone(),
                latest_version,
                schema: schema.clone(),
                now: rules.now,
            });
        }
    }
    let is_different = !commands.is_empty();
    Ok(is_different.then(|| Step::new(&topic.name, ChangeKind::Update, fields, commands)))
}

fn refuse_other_replication(topic: &Topic, wanted: &WantedTopic) -> Result<(), ApiError> {
    let current = topic.replication_factor;
    match wanted.replication_factor {
        Some(other) if other != current => Err(invalid(&format!(
            "it has replication factor {current} for good, and the manifest says {other}: say {current}, \
             or create a topic of another name"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// How many there are and how many there shall be, if that is more.
fn more_partitions(topic: &Topic, wanted: &WantedTopic) -> Result<Option<(u32, u32)>, ApiError> {
    let current = topic.partition_count();
    match wanted.partitions {
        Some(fewer) if fewer < current => Err(invalid(&format!(
            "it has {current} partitions and never loses one, and the manifest says {fewer}: say \
             {current} or more, or create a topic of another name"
        ))),
        Some(more) if more > current => Ok(Some((current, more))),
        Some(_) | None => Ok(None),
    }
}

fn changed_config(before: &TopicConfig, after: &TopicConfig) -> Vec<Field> {
    let pairs = before.entries().into_iter().zip(after.entries());
    let different = pairs.filter(|((_, before), (_, after))| before != after);
    different
        .map(|((key, before), (_, after))| field(key, Some(before), Some(after)))
        .collect()
}

fn version_text(version: u32) -> String {
    format!("version {version}")
}

fn field(name: &'static str, before: Option<String>, after: Option<String>) -> Field {
    Field {
        name,
        before,
        after,
    }
}
