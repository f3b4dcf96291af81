//! `/v1/topics`: list, describe, create, change, delete.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flotilla_client::{NewTopic, TopicDescription, TopicSummary};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{InBody, InPath, InQuery, Visitor};
use super::problem::{Problem, ProblemBody};
use super::publish::topic_name;

const PAGE_MAX: usize = 1_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// Most lines, 1 to 1,000; by default 1,000.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<usize>,
    /// Only names after this one: `next` of the page before.
    after: Option<String>,
}

/// A page of a list, and where the next one begins.
pub(crate) struct Page<T> {
    pub(crate) lines: Vec<T>,
    pub(crate) next: Option<String>,
}

impl PageQuery {
    /// Cuts the page out of lines that are sorted by name.
    pub(crate) fn cut<T>(self, lines: Vec<T>, name: fn(&T) -> &str) -> Result<Page<T>, Problem> {
        let limit = self.limit.unwrap_or(PAGE_MAX);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(Problem::invalid(format!("limit is 1 to {PAGE_MAX}")));
        }
        let is_wanted = |line: &T| match &self.after {
            Some(after) => name(line) > after.as_str(),
            None => true,
        };
        let mut lines: Vec<_> = lines.into_iter().filter(is_wanted).collect();
        let has_more = lines.len() > limit;
        lines.truncate(limit);
        let last = lines.last().map(|line| name(line).to_owned());
        Ok(Page {
            next: last.filter(|_| has_more),
            lines,
        })
    }
}

/// Topics by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopicsBody {
    topics: Vec<TopicLine>,
    /// There are more: ask again with this as `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopicLine {
    name: String,
    #[schema(minimum = 1)]
    partitions: u32,
    #[schema(minimum = 1)]
    replication_factor: u32,
}

/// A topic to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTopicBody {
    #[schema(max_length = 249, pattern = "^[A-Za-z0-9._-]+$")]
    name: String,
    /// By default 1.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 4_096)]
    partitions: Option<u32>,
    /// By default 3, or the number of nodes if there are fewer.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 7)]
    replication_factor: Option<u32>,
    /// Keys of the topic configuration that differ from their defaults.
    #[serde(default)]
    config: BTreeMap<String, String>,
}

/// A topic as the cluster knows it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopicBody {
    name: String,
    #[schema(minimum = 1)]
    replication_factor: u32,
    /// Every key of the topic configuration with its value.
    config: BTreeMap<String, String>,
    /// By number.
    partitions: Vec<PartitionBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartitionBody {
    #[schema(minimum = 0)]
    partition: u32,
    /// The node that leads it; absent while none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<u64>,
    /// The nodes that hold it.
    replicas: Vec<u64>,
}

/// Changes of a topic's configuration: all of them or none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopicChangeBody {
    /// Keys with their new values; null puts a key back to its default.
    #[serde(default)]
    config: BTreeMap<String, Option<String>>,
    /// More partitions than before. Keys may go to other partitions from then on.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 4_096)]
    partitions: Option<u32>,
}

impl From<TopicSummary> for TopicLine {
    fn from(topic: TopicSummary) -> Self {
        Self {
            name: topic.name.to_string(),
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
        }
    }
}

impl From<TopicDescription> for TopicBody {
    fn from(topic: TopicDescription) -> Self {
        let partitions = topic.partitions.into_iter();
        let partitions = partitions.map(|partition| PartitionBody {
            partition: partition.index.get(),
            leader: partition.leader.map(|leader| leader.node.get()),
            replicas: partition.replicas.iter().map(|node| node.get()).collect(),
        });
        Self {
            name: topic.name.to_string(),
            replication_factor: topic.replication_factor,
            config: topic.config,
            partitions: partitions.collect(),
        }
    }
}

/// List topics.
#[utoipa::path(
    get,
    path = "/v1/topics",
    tag = "topics",
    params(PageQuery),
    responses(
        (status = 200, description = "Topics by name", body = TopicsBody),
        (status = "default", description = "They cannot be listed",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    Visitor(door): Visitor,
    InQuery(query): InQuery<PageQuery>,
) -> Result<Json<TopicsBody>, Problem> {
    let topics = door.client.admin().list_topics().await?;
    let page = query.cut(topics, |topic| topic.name.as_str())?;
    Ok(Json(TopicsBody {
        topics: page.lines.into_iter().map(TopicLine::from).collect(),
        next: page.next,
    }))
}

/// Create a topic.
///
/// The answer comes when its partitions have leaders.
#[utoipa::path(
    post,
    path = "/v1/topics",
    tag = "topics",
    request_body = NewTopicBody,
    responses(
        (status = 201, description = "The topic is created", body = TopicBody,
            headers(("Location" = String, description = "Path of the topic"))),
        (status = "default", description = "It is not created, or may be: see `definite`",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create(
    Visitor(door): Visitor,
    InBody(body): InBody<NewTopicBody>,
) -> Result<Response, Problem> {
    let name = topic_name(&body.name)?;
    let topic = NewTopic {
        partitions: body.partitions,
        replication_factor: body.replication_factor,
        config: body.config,
        ..NewTopic::new(name)
    };
    let created = door.client.admin().create_topic(topic).await?;
    let place = HeaderValue::try_from(format!("/v1/topics/{}", created.name));
    let place = place.expect("invariant: a name has no characters that headers have not");
    let body = Json(TopicBody::from(created));
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], body).into_response())
}

/// Describe a topic.
#[utoipa::path(
    get,
    path = "/v1/topics/{topic}",
    tag = "topics",
    params(("topic" = String, Path, description = "Name of the topic", max_length = 249, pattern = "^[A-Za-z0-9._-]+$")),
    responses(
        (status = 200, description = "The topic", body = TopicBody),
        (status = "default", description = "It cannot be described",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn describe(
    Visitor(door): Visitor,
    InPath(topic): InPath<String>,
) -> Result<Json<TopicBody>, Problem> {
    let topic = topic_name(&topic)?;
    let described = door.client.admin().describe_topic(&topic).await?;
    Ok(Json(described.into()))
}

/// Change a topic's configuration, or give it more partitions.
#[utoipa::path(
    patch,
    path = "/v1/topics/{topic}",
    tag = "topics",
    params(("topic" = String, Path, description = "Name of the topic", max_length = 249, pattern = "^[A-Za-z0-9._-]+$")),
    request_body = TopicChangeBody,
    responses(
        (status = 200, description = "The topic as it is now", body = TopicBody),
        (status = "default", description = "It is not changed, or may be: see `definite`",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn change(
    Visitor(door): Visitor,
    InPath(topic): InPath<String>,
    InBody(body): InBody<TopicChangeBody>,
) -> Result<Json<TopicBody>, Problem> {
    let topic = topic_name(&topic)?;
    let admin = door.client.admin();
    let changes_config = !body.config.is_empty();
    let (mut set, mut reset) = (BTreeMap::new(), Vec::new());
    for (key, value) in body.config {
        match value {
            Some(value) => drop(set.insert(key, value)),
            None => reset.push(key),
        }
    }
    let mut described = match changes_config {
        true => admin.alter_topic(&topic, set, reset).await?,
        false => admin.describe_topic(&topic).await?,
    };
    if let Some(partitions) = body.partitions
        && partitions as usize != described.partitions.len()
    {
        described = admin.add_partitions(&topic, partitions).await?;
    }
    Ok(Json(described.into()))
}

/// Delete a topic with its records.
///
/// It cannot be undone.
#[utoipa::path(
    delete,
    path = "/v1/topics/{topic}",
    tag = "topics",
    params(("topic" = String, Path, description = "Name of the topic", max_length = 249, pattern = "^[A-Za-z0-9._-]+$")),
    responses(
        (status = 204, description = "The topic is deleted"),
        (status = "default", description = "It is not deleted, or may be: see `definite`",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn delete(
    Visitor(door): Visitor,
    InPath(topic): InPath<String>,
) -> Result<StatusCode, Problem> {
    let topic = topic_name(&topic)?;
    door.client.admin().delete_topic(&topic).await?;
    Ok(StatusCode::NO_CONTENT)
}
