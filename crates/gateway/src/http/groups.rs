//! `/v1/groups`: consumer groups and how far they have come.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use flotilla_client::{GroupId, GroupSummary, Offset, PartitionIndex, PartitionLag, PartitionName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::at_most::AtMost;
use super::extract::{InBody, InPath, InQuery, Visitor};
use super::from_object::FromObject;
use super::problem::{Problem, ProblemBody};
use super::publish::topic_name;
use super::topics::PageQuery;

/// Most partitions whose offsets are set in one request.
const OFFSETS_MAX: usize = 10_000;

/// Consumer groups by id.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupsBody {
    groups: Vec<GroupLine>,
    /// There are more: ask again with this as `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupLine {
    group: String,
    #[schema(minimum = 0)]
    members: u32,
    /// Grows with every new distribution of partitions.
    #[schema(minimum = 0)]
    generation: u64,
}

/// A consumer group at a moment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupBody {
    group: String,
    /// Grows with every new distribution of partitions.
    #[schema(minimum = 0)]
    generation: u64,
    /// By id.
    members: Vec<MemberBody>,
    /// Every partition with a committed offset or a member.
    partitions: Vec<LagBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberBody {
    member: String,
    /// What the program calls itself.
    client_name: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LagBody {
    topic: String,
    #[schema(minimum = 0)]
    partition: u32,
    /// The member that reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<String>,
    /// The next offset to be read: everything below is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    committed_offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    high_watermark: Option<u64>,
    /// Records that wait: high watermark minus committed offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    lag: Option<u64>,
    /// How old the first record is that waits, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<f64>,
}

/// Where a group shall go on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OffsetsBody {
    #[schema(value_type = Vec<OffsetBody>, min_items = 1, max_items = 10_000)]
    offsets: AtMost<FromObject<OffsetBody>, OFFSETS_MAX>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OffsetBody {
    #[schema(max_length = 249, pattern = "^[A-Za-z0-9._-]+$")]
    topic: String,
    #[schema(minimum = 0)]
    partition: u32,
    /// Of the next record to be read.
    #[schema(minimum = 0)]
    offset: u64,
}

impl From<GroupSummary> for GroupLine {
    fn from(group: GroupSummary) -> Self {
        Self {
            group: group.group.to_string(),
            members: group.members,
            generation: group.generation.get(),
        }
    }
}

impl From<PartitionLag> for LagBody {
    fn from(lag: PartitionLag) -> Self {
        Self {
            topic: lag.name.topic.to_string(),
            partition: lag.name.partition.get(),
            member: lag.owner.map(|member| member.to_string()),
            committed_offset: lag.committed.map(Offset::get),
            high_watermark: lag.high_watermark.map(Offset::get),
            lag: lag.records,
            lag_seconds: lag.time.map(|time| time.as_secs_f64()),
        }
    }
}

/// List consumer groups.
#[utoipa::path(
    get,
    path = "/v1/groups",
    tag = "groups",
    params(PageQuery),
    responses(
        (status = 200, description = "Consumer groups by id", body = GroupsBody),
        (status = "default", description = "They cannot be listed",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    Visitor(door): Visitor,
    InQuery(query): InQuery<PageQuery>,
) -> Result<Json<GroupsBody>, Problem> {
    let groups = door.client.admin().list_groups().await?;
    let page = query.cut(groups, |group| group.group.as_str())?;
    Ok(Json(GroupsBody {
        groups: page.lines.into_iter().map(GroupLine::from).collect(),
        next: page.next,
    }))
}

/// Describe a consumer group: its members, and how far it has come.
#[utoipa::path(
    get,
    path = "/v1/groups/{group}",
    tag = "groups",
    params(("group" = String, Path, description = "Id of the consumer group", max_length = 249, pattern = "^[A-Za-z0-9._-]+$")),
    responses(
        (status = 200, description = "The group", body = GroupBody),
        (status = "default", description = "It cannot be described",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn describe(
    Visitor(door): Visitor,
    InPath(group): InPath<String>,
) -> Result<Json<GroupBody>, Problem> {
    let group = group_id(&group)?;
    let admin = door.client.admin();
    let described = admin.describe_group(&group).await?;
    let lags = admin.lag_of(&described).await?;
    let members = described.members.into_iter().map(|member| MemberBody {
        member: member.member.to_string(),
        client_name: member.client_name,
    });
    Ok(Json(GroupBody {
        group: group.to_string(),
        generation: described.generation.get(),
        members: members.collect(),
        partitions: lags.into_iter().map(LagBody::from).collect(),
    }))
}

/// Say where a consumer group goes on, and create it if there is none.
///
/// It is refused while the group has members. Either all offsets are set or the answer is the first
/// problem.
#[utoipa::path(
    put,
    path = "/v1/groups/{group}/offsets",
    tag = "groups",
    params(("group" = String, Path, description = "Id of the consumer group", max_length = 249, pattern = "^[A-Za-z0-9._-]+$")),
    request_body = OffsetsBody,
    responses(
        (status = 204, description = "The offsets are set"),
        (status = "default", description = "Not all offsets are set",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn set_offsets(
    Visitor(door): Visitor,
    InPath(group): InPath<String>,
    InBody(body): InBody<OffsetsBody>,
) -> Result<StatusCode, Problem> {
    let group = group_id(&group)?;
    let AtMost(given) = body.offsets;
    if given.is_empty() {
        return Err(Problem::invalid(format!("send 1 to {OFFSETS_MAX} offsets")));
    }
    let mut offsets = BTreeMap::new();
    for FromObject(one) in given {
        let partition = PartitionIndex::new(one.partition);
        let name = PartitionName::new(topic_name(&one.topic)?, partition);
        if let Some(before) = offsets.insert(name.clone(), Offset::new(one.offset))
            && before.get() != one.offset
        {
            return Err(Problem::invalid(format!("{name} has two offsets")));
        }
    }
    let outcomes = door.client.admin().commit_offsets(&group, &offsets).await?;
    for (_, outcome) in outcomes {
        outcome?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Delete a consumer group without members, with its offsets.
#[utoipa::path(
    delete,
    path = "/v1/groups/{group}",
    tag = "groups",
    params(("group" = String, Path, description = "Id of the consumer group", max_length = 249, pattern = "^[A-Za-z0-9._-]+$")),
    responses(
        (status = 204, description = "The group is deleted"),
        (status = "default", description = "It is not deleted, or may be: see `definite`",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn delete(
    Visitor(door): Visitor,
    InPath(group): InPath<String>,
) -> Result<StatusCode, Problem> {
    let group = group_id(&group)?;
    door.client.admin().delete_group(&group).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn group_id(text: &str) -> Result<GroupId, Problem> {
    GroupId::parse(text).map_err(|error| Problem::of_code(error.code(), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_objects_and_not_too_many() {
        let offset = r#"{"topic":"orders","partition":0,"offset":1}"#;
        let read = |offsets: Vec<&str>| {
            let body = format!(r#"{{"offsets":[{}]}}"#, offsets.join(","));
            serde_json::from_str::<OffsetsBody>(&body).is_ok()
        };
        assert!(read(vec![offset; OFFSETS_MAX]));
        assert!(!read(vec![offset; OFFSETS_MAX + 1]));
        assert!(!read(vec![r#"["orders",0,1]"#]));
    }
}
