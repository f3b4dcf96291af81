//! `schema`: create, update, check, list.

mod arguments;
mod render;

use std::path::Path;

use flotilla_client::{Admin, ApiError, ErrorCode, SchemaVersion, TopicName};
use flotilla_schema::Schema;

pub(crate) use arguments::SchemaCommand;
use arguments::{GivenSchema, ListArgs};

use crate::failure::Failure;
use crate::output::OutputFormat;
use crate::prompt::Prompt;
use crate::source::Source;
use crate::{Exit, GlobalOptions, Io, Output};

const USAGE: &str = "flotilla schema create|update|check <TOPIC> --file <FILE> [OPTIONS]";
const HAS_ONE: &str = "the topic has a schema already: `schema update` gives it a new version";
const HAS_NONE: &str = "`schema create TOPIC --file F` gives it its first one";
const HAS_ANOTHER: &str = "somebody else gave it a new version just now: see `schema list TOPIC`";

pub(crate) async fn run(
    command: SchemaCommand,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let Io {
        input,
        output,
        interrupt,
        user,
    } = io;
    let format = global.output;
    let work = async {
        let prompt = Prompt::new(user.as_deref_mut(), output).with_usage(USAGE);
        match command {
            SchemaCommand::Create(given) => {
                let (topic, schema) = complete(given, prompt, input).await?;
                create(&topic, &schema, &global.admin().await?, format, output).await
            }
            SchemaCommand::Update(given) => {
                let (topic, schema) = complete(given, prompt, input).await?;
                update(&topic, &schema, &global.admin().await?, format, output).await
            }
            SchemaCommand::Check(given) => {
                let (topic, schema) = complete(given, prompt, input).await?;
                check(&topic, &schema, &global.admin().await?, format, output).await
            }
            SchemaCommand::List(args) => list(args, &global.admin().await?, format, output).await,
        }
    };
    interrupt.unless_raised(work).await
}

/// Asks for what is missing, and reads the schema: what is no schema is refused without the cluster.
async fn complete(
    given: GivenSchema,
    mut prompt: Prompt<'_>,
    input: &mut Box<dyn std::io::Read + Send>,
) -> Result<(TopicName, String), Failure> {
    let topic = prompt.required(given.topic, "<TOPIC>", "Topic", TopicName::parse);
    let topic = topic.await?;
    let question = "File with the JSON Schema";
    let file = prompt.required(given.file, "--file <FILE>", question, existing_file);
    let file = file.await?;
    let text = file.read(input).await?;
    Schema::parse(&text).map_err(|error| Failure::file(format!("{file}: {error}")))?;
    Ok((topic, text))
}

fn existing_file(text: &str) -> Result<Source, String> {
    match Path::new(text).is_file() {
        true => Source::parse(text),
        false => Err(format!("there is no file {text:?}")),
    }
}

async fn create(
    topic: &TopicName,
    schema: &str,
    admin: &Admin,
    format: OutputFormat,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let doing = format!("create a schema of topic {topic}");
    let registered = admin.register_schema(topic, schema, Some(0)).await;
    let conflict = ErrorCode::VersionConflict;
    let registered = registered.map_err(Failure::cluster_with_hint(doing, conflict, HAS_ONE))?;
    render::registered(topic, registered, format, output)?;
    Ok(Exit::Done)
}

async fn update(
    topic: &TopicName,
    schema: &str,
    admin: &Admin,
    format: OutputFormat,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let doing = format!("update the schema of topic {topic}");
    let versions = admin.list_schemas(topic).await;
    let versions = versions.map_err(Failure::cluster(doing.clone()))?;
    let Some(latest) = versions.last() else {
        let message = format!("topic {topic} has no schema");
        let error = ApiError::new(ErrorCode::UnknownSchema, message).into();
        let unknown = ErrorCode::UnknownSchema;
        return Err(Failure::cluster_with_hint(doing, unknown, HAS_NONE)(error));
    };
    let registered = admin.register_schema(topic, schema, Some(latest.version));
    let conflict = ErrorCode::VersionConflict;
    let failed = Failure::cluster_with_hint(doing, conflict, HAS_ANOTHER);
    let registered = registered.await.map_err(failed)?;
    render::registered(topic, registered, format, output)?;
    Ok(Exit::Done)
}

async fn check(
    topic: &TopicName,
    schema: &str,
    admin: &Admin,
    format: OutputFormat,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let checked = admin.check_schema(topic, schema).await;
    let doing = format!("give topic {topic} this schema");
    let checked = checked.map_err(Failure::cluster(doing))?;
    render::checked(topic, checked, format, output)?;
    Ok(Exit::Done)
}

async fn list(
    args: ListArgs,
    admin: &Admin,
    format: OutputFormat,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let topic = args.topic;
    let doing = format!("list the schemas of topic {topic}");
    let versions = admin.list_schemas(&topic).await;
    let versions = versions.map_err(Failure::cluster(doing.clone()))?;
    let Some(number) = args.version else {
        render::versions(&topic, &versions, format, output)?;
        return Ok(Exit::Done);
    };
    let version = find(&topic, &versions, number).map_err(Failure::cluster(doing))?;
    render::schema(&topic, version, format, output)?;
    Ok(Exit::Done)
}

fn find<'a>(
    topic: &TopicName,
    versions: &'a [SchemaVersion],
    number: u32,
) -> Result<&'a SchemaVersion, flotilla_client::ClientError> {
    let version = versions.iter().find(|version| version.version == number);
    version.ok_or_else(|| {
        let message = format!("the schema of topic {topic} has no version {number}");
        ApiError::new(ErrorCode::UnknownSchema, message).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Captured;
    use crate::prompt::Scripted;

    fn missing() -> GivenSchema {
        GivenSchema {
            topic: None,
            file: None,
        }
    }

    #[tokio::test]
    async fn topic_and_file_are_asked_for() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"type\": \"object\"}").unwrap();
        let path = file.path().display().to_string();
        let (mut output, captured) = Captured::new();
        let mut user = Scripted::new(["a/b", "orders", "/no/such/file", &path]);
        let prompt = Prompt::new(Some(&mut user), &mut output);
        let completed = complete(missing(), prompt, &mut (Box::new(std::io::empty()) as _)).await;
        let (topic, schema) = completed.unwrap();
        assert_eq!(
            (topic.as_str(), schema.as_str()),
            ("orders", "{\"type\": \"object\"}")
        );
        let notes = captured.notes();
        assert!(notes.contains("a topic name has no '/'"), "{notes}");
        assert!(notes.contains("there is no file"), "{notes}");
    }

    #[tokio::test]
    async fn without_a_user_the_missing_argument_is_named() {
        let (mut output, _) = Captured::new();
        let prompt = Prompt::new(None, &mut output);
        let completed = complete(missing(), prompt, &mut (Box::new(std::io::empty()) as _)).await;
        let failure = completed.unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.message().contains("<TOPIC>"), "{failure}");
    }

    #[tokio::test]
    async fn what_is_no_schema_is_refused_with_the_name_of_the_file() {
        let (mut output, _) = Captured::new();
        let prompt = Prompt::new(None, &mut output);
        let given = GivenSchema {
            topic: Some(TopicName::parse("orders").unwrap()),
            file: Some(Source::Stdin),
        };
        let input = "{\"$ref\": \"other\"}".as_bytes();
        let completed = complete(given, prompt, &mut (Box::new(input) as _)).await;
        let failure = completed.unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.message().starts_with("stdin: "), "{failure}");
    }
}
