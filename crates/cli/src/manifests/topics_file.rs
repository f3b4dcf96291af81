//! A topics file: the topics that a cluster shall have, as people write them down.
//!
//! ```yaml
//! cluster: "0123456789abcdef0123456789abcdef" # optional: no other cluster takes it
//! defaults: {partitions: 3, profile: kbroker} # optional: for topics that do not say it themselves
//! topics:
//!   - name: orders
//!     replication_factor: ${REPLICATION_FACTOR:-3}
//!     retention: 7d
//!     schema_file: schemas/orders.json
//! ```
//!
//! Of each setting the nearest counts: what a topic says, then its profile, then what the defaults say,
//! then their profile. Everything that is wrong is found in one pass and told with its place.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use flotilla_client::{Manifest, TopicName, TopicSpec};
use flotilla_schema::Schema;
use flotilla_types::ClusterId;
use flotilla_types::limits::{MANIFEST_TOPICS_MAX, REPLICATION_FACTOR_MAX, TOPIC_PARTITIONS_MAX};

use super::expansion::{self, Variables};
use super::fault::{Faults, Place};
use super::node::{Node, Value};
use super::section::Section;
use super::settings::Settings;
use crate::failure::Failure;
use crate::source;

const CLUSTER: &str = "cluster";
const DEFAULTS: &str = "defaults";
const TOPICS: &str = "topics";
const NAME: &str = "name";
const PARTITIONS: &str = "partitions";
const REPLICATION_FACTOR: &str = "replication_factor";
const DESCRIPTION: &str = "description";
const SCHEMA: &str = "schema";
const SCHEMA_FILE: &str = "schema_file";

const FILE_KEYS: [&str; 3] = [CLUSTER, DEFAULTS, TOPICS];
const DEFAULTS_KEYS: [&str; 2] = [PARTITIONS, REPLICATION_FACTOR];
const TOPIC_KEYS: [&str; 6] = [
    DESCRIPTION,
    NAME,
    PARTITIONS,
    REPLICATION_FACTOR,
    SCHEMA,
    SCHEMA_FILE,
];
const PARTITIONS_RANGE: RangeInclusive<u32> = 1..=TOPIC_PARTITIONS_MAX;
const REPLICATION_RANGE: RangeInclusive<u32> = 1..=REPLICATION_FACTOR_MAX;

/// What a topics file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicsFile {
    /// The only cluster that may take it.
    pub(super) cluster: Option<ClusterId>,
    pub(super) manifest: Manifest,
}

/// What the text of a topics file depends on.
pub(super) struct Surroundings<'a> {
    /// How the file is called in complaints.
    pub(super) name: &'a str,
    /// What `schema_file` is relative to.
    pub(super) directory: &'a Path,
    pub(super) variables: Variables<'a>,
}

/// What the section `defaults` says.
#[derive(Default)]
struct Defaults {
    partitions: Option<u32>,
    replication_factor: Option<u32>,
    settings: Settings,
}

impl TopicsFile {
    /// Reads a file, or finds everything that is wrong with it.
    pub(super) fn parse(text: &str, around: &Surroundings<'_>) -> Result<Self, Vec<Failure>> {
        let mut faults = Faults::default();
        let file = match Node::parse(text) {
            Ok(node) => read_file(node, around, &mut faults),
            Err(found) => return Err(found.into_failures(around.name)),
        };
        match file {
            Some(file) if faults.is_empty() => Ok(file),
            _ => Err(faults.into_failures(around.name)),
        }
    }
}

fn read_file(mut node: Node, around: &Surroundings<'_>, faults: &mut Faults) -> Option<TopicsFile> {
    expansion::expand(&mut node, around.variables, faults);
    let mut section = Section::open(node, "a topics file", faults)?;
    let cluster = section.take_text(CLUSTER, parse_cluster, faults);
    let defaults = section.take(DEFAULTS, faults);
    let defaults = defaults.and_then(|node| Section::open(node, DEFAULTS, faults));
    let defaults =
        defaults.map_or_else(Defaults::default, |section| read_defaults(section, faults));
    let place = section.place;
    let topics = section.take(TOPICS, faults);
    section.close(FILE_KEYS.into_iter(), faults);
    let Some(topics) = topics else {
        faults.add(
            place,
            "there is no list of topics: write `topics: []` if there are none",
        );
        return None;
    };
    let topics = read_topics(topics, &defaults, around, faults);
    Some(TopicsFile {
        cluster: cluster.map(|(cluster, _)| cluster),
        manifest: Manifest { topics },
    })
}

fn parse_cluster(text: &str) -> Result<ClusterId, &'static str> {
    ClusterId::parse(text).ok_or("cluster is an id of 32 hexadecimal digits: `export` shows it")
}

fn read_defaults(mut section: Section, faults: &mut Faults) -> Defaults {
    Defaults {
        partitions: section.take_u32(PARTITIONS, PARTITIONS_RANGE, faults),
        replication_factor: section.take_u32(REPLICATION_FACTOR, REPLICATION_RANGE, faults),
        settings: Settings::read(section, &DEFAULTS_KEYS, faults),
    }
}

fn read_topics(
    node: Node,
    defaults: &Defaults,
    around: &Surroundings<'_>,
    faults: &mut Faults,
) -> Vec<TopicSpec> {
    let (place, kind) = (node.place, node.kind());
    let Value::List(items) = node.value else {
        faults.add(place, format_args!("{TOPICS} is a list, not {kind}"));
        return Vec::new();
    };
    if items.len() > MANIFEST_TOPICS_MAX {
        let count = items.len();
        let message = format!("there are {count} topics, at most {MANIFEST_TOPICS_MAX} are taken");
        faults.add(place, message);
        return Vec::new();
    }
    let mut seen = BTreeMap::<TopicName, Place>::new();
    let mut topics = Vec::with_capacity(items.len());
    for item in items {
        let Some(section) = Section::open(item, "a topic", faults) else {
            continue;
        };
        let Some((topic, place)) = read_topic(section, defaults, around, faults) else {
            continue;
        };
        match seen.get(&topic.name) {
            Some(first) => {
                let (name, line) = (&topic.name, first.line);
                faults.add(
                    place,
                    format_args!("topic {name} is in line {line} already"),
                );
            }
            None => {
                seen.insert(topic.name.clone(), place);
                topics.push(topic);
            }
        }
    }
    topics
}

/// A topic, and the place of its name.
fn read_topic(
    mut section: Section,
    defaults: &Defaults,
    around: &Surroundings<'_>,
    faults: &mut Faults,
) -> Option<(TopicSpec, Place)> {
    let place = section.place;
    let has_name = section.has(NAME);
    let name = section.take_text(NAME, TopicName::parse, faults);
    if !has_name {
        faults.add(place, "the topic has no name");
    }
    // It is for those who read the file.
    let _ = section.take_text(DESCRIPTION, |_| Ok::<_, String>(()), faults);
    let partitions = section.take_u32(PARTITIONS, PARTITIONS_RANGE, faults);
    let replication_factor = section.take_u32(REPLICATION_FACTOR, REPLICATION_RANGE, faults);
    let schema = read_schema(&mut section, around, faults);
    let settings = Settings::read(section, &TOPIC_KEYS, faults);
    let (name, place) = name?;
    let topic = TopicSpec {
        name,
        partitions: partitions.or(defaults.partitions),
        replication_factor: replication_factor.or(defaults.replication_factor),
        config: settings.or(&defaults.settings).to_config(),
        schema,
    };
    Some((topic, place))
}

/// The JSON Schema that stands in the file or in another one.
fn read_schema(
    section: &mut Section,
    around: &Surroundings<'_>,
    faults: &mut Faults,
) -> Option<String> {
    let inline = section.take(SCHEMA, faults);
    let file = section.take_text(SCHEMA_FILE, |path| Ok::<_, String>(path.to_owned()), faults);
    let (text, place) = match (inline, file) {
        (None, None) => return None,
        (Some(_), Some((_, place))) => {
            let message = format!("{SCHEMA_FILE} says the same as {SCHEMA}: use one of them");
            faults.add(place, message);
            return None;
        }
        (Some(node), None) => (schema_text(&node), node.place),
        (None, Some((path, place))) => {
            let read = source::read_file(&around.directory.join(path));
            (read.map_err(|failure| failure.message()), place)
        }
    };
    let checked = text.and_then(|text| match Schema::parse(&text) {
        Ok(_) => Ok(text.trim().to_owned()),
        Err(error) => Err(error.to_string()),
    });
    checked.map_err(|message| faults.add(place, message)).ok()
}

/// A schema is a mapping, a truth value, or the text of one in JSON.
fn schema_text(node: &Node) -> Result<String, String> {
    match &node.value {
        Value::Text { text, .. } => Ok(text.clone()),
        _ => serde_json::to_string(node).map_err(|error| error.to_string()),
    }
}
