//! `/v1/topics/{topic}/schemas`: what the payloads of a topic look like.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flotilla_client::{ErrorCode, SchemaVersion};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::extract::{InBody, InPath, InQuery, Visitor};
use super::problem::{Problem, ProblemBody};
use super::publish::topic_name;
use super::record::in_words;

/// The versions of a topic's schema, the first one first.
#[derive(Serialize, ToSchema)]
pub(crate) struct SchemasBody {
    versions: Vec<SchemaBody>,
}

/// One version of a topic's schema.
#[derive(Serialize, ToSchema)]
pub(crate) struct SchemaBody {
    /// From 1, without gaps.
    #[schema(minimum = 1)]
    version: u32,
    /// A JSON Schema.
    #[schema(value_type = serde_json::Value)]
    schema: Box<RawValue>,
    /// When it was taken, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

/// Where a schema stands after it was registered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegisteredBody {
    #[schema(minimum = 1)]
    version: u32,
    /// It was not the latest version before.
    created: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterQuery {
    /// The latest version as the caller knows it, 0 for none: 409 if it is another one.
    #[param(minimum = 0)]
    latest_version: Option<u32>,
}

impl SchemaBody {
    fn of(version: SchemaVersion) -> Result<Self, Problem> {
        let schema = RawValue::from_string(version.schema);
        let schema = schema.map_err(|_| {
            Problem::of_code(ErrorCode::Internal, "the schema is not JSON".to_owned())
        })?;
        Ok(Self {
            version: version.version,
            schema,
            created_at: in_words(version.created_at),
        })
    }
}

/// List the versions of a topic's schema.
#[utoipa::path(
    get,
    path = "/v1/topics/{topic}/schemas",
    tag = "schemas",
    params(("topic" = String, Path, description = "Name of the topic", max_length = 249, pattern = "^[A-Za-z0-9._-]+$")),
    responses(
        (status = 200, description = "The versions", body = SchemasBody),
        (status = "default", description = "They cannot be listed",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    Visitor(door): Visitor,
    InPath(topic): InPath<String>,
) -> Result<Json<SchemasBody>, Problem> {
    let topic = topic_name(&topic)?;
    let versions = door.client.admin().list_schemas(&topic).await?;
    let versions = versions.into_iter().map(SchemaBody::of);
    Ok(Json(SchemasBody {
        versions: versions.collect::<Result<_, _>>()?,
    }))
}

/// Give a topic a new version of its schema.
///
/// The body is the JSON Schema. The same as the latest one is no new version. What is asked of a new one
/// is up to `schema_compatibility` of the topic.
#[utoipa::path(
    post,
    path = "/v1/topics/{topic}/schemas",
    tag = "schemas",
    params(
        ("topic" = String, Path, description = "Name of the topic", max_length = 249, pattern = "^[A-Za-z0-9._-]+$"),
        RegisterQuery,
    ),
    request_body(content = serde_json::Value, description = "A JSON Schema without references, at most 65,536 bytes"),
    responses(
        (status = 200, description = "It is the latest version already", body = RegisteredBody),
        (status = 201, description = "It is the latest version now", body = RegisteredBody),
        (status = "default", description = "It is not taken",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn register(
    Visitor(door): Visitor,
    InPath(topic): InPath<String>,
    InQuery(query): InQuery<RegisterQuery>,
    InBody(schema): InBody<Box<RawValue>>,
) -> Result<Response, Problem> {
    let topic = topic_name(&topic)?;
    let admin = door.client.admin();
    let registered = admin
        .register_schema(&topic, schema.get(), query.latest_version)
        .await?;
    let status = match registered.created {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let body = RegisteredBody {
        version: registered.version,
        created: registered.created,
    };
    Ok((status, Json(body)).into_response())
}

/// Show one version of a topic's schema.
#[utoipa::path(
    get,
    path = "/v1/topics/{topic}/schemas/{version}",
    tag = "schemas",
    params(
        ("topic" = String, Path, description = "Name of the topic", max_length = 249, pattern = "^[A-Za-z0-9._-]+$"),
        ("version" = String, Path, description = "Number of the version, or `latest`", pattern = "^([0-9]{1,9}|latest)$"),
    ),
    responses(
        (status = 200, description = "The version", body = SchemaBody),
        (status = "default", description = "It cannot be shown",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn describe(
    Visitor(door): Visitor,
    InPath((topic, version)): InPath<(String, String)>,
) -> Result<Json<SchemaBody>, Problem> {
    let topic = topic_name(&topic)?;
    let wanted: Option<u32> = match version.as_str() {
        "latest" => None,
        number => Some(number.parse().map_err(|_| {
            Problem::invalid(format!(
                "{number:?} is not a version: write a number or latest"
            ))
        })?),
    };
    let mut versions = door.client.admin().list_schemas(&topic).await?;
    let found = match wanted {
        None => versions.pop(),
        Some(wanted) => versions.into_iter().find(|one| one.version == wanted),
    };
    match found {
        Some(version) => SchemaBody::of(version).map(Json),
        None => {
            let detail = format!("topic {topic} has no schema of version {version}");
            Err(Problem::of_code(ErrorCode::UnknownSchema, detail))
        }
    }
}
