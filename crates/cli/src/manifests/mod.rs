//! `apply`, `diff`, `export` and `validate`: all topics of a cluster as one file.
//!
//! The cluster compares and changes: what is shown before a change is its own answer to a dry run, and
//! the change is made only if nothing happened in between.

mod arguments;
mod expansion;
mod export;
mod fault;
mod node;
mod plan;
mod section;
mod settings;
mod topics_file;

use std::io::Read;

use flotilla_client::{
    Admin, AppliedManifest, ApplyOptions, ErrorCode, TopicChangeKind, TopicName,
};
use flotilla_types::ClusterId;

pub(crate) use arguments::{ApplyArgs, DiffArgs, ExportArgs, ValidateArgs};
use plan::Counts;
use topics_file::{Surroundings, TopicsFile};

use crate::failure::Failure;
use crate::output::OutputFormat;
use crate::prompt::Prompt;
use crate::source::Source;
use crate::{Exit, GlobalOptions, Io, Output};

/// The most topics that a question names.
const NAMES_SHOWN_MAX: usize = 5;

pub(crate) async fn apply(
    args: ApplyArgs,
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
        let file = read(&args.file, input, format, output).await?;
        let admin = global.admin().await?;
        let look = ApplyOptions {
            if_etag: args.if_etag.clone(),
            ..to_look(&file, args.prune)
        };
        let plan = ask_cluster(&file, &look, &args.file, &admin).await?;
        if args.dry_run || plan.changes.is_empty() {
            show(&plan, !args.dry_run, format, output)?;
            return Ok(Exit::Done);
        }
        if format == OutputFormat::Table {
            plan::print(&plan, output)?;
            // The plan comes before the question.
            output.flush()?;
        }
        if Counts::of(&plan).deleted > 0 && !args.yes {
            let mut prompt = Prompt::new(user.as_deref_mut(), output);
            if !prompt.has_user() {
                if format == OutputFormat::Json {
                    output.json(&plan::to_json(&plan, false))?;
                    output.flush()?;
                }
                let message = "nothing was changed: --yes deletes topics without asking";
                return Err(Failure::usage(message));
            }
            if !prompt.confirm(&deletion_question(&plan)).await? {
                output.note("nothing was changed");
                return Ok(Exit::Failed);
            }
        }
        let change = ApplyOptions {
            dry_run: false,
            if_etag: Some(plan.etag),
            ..look
        };
        let applied = ask_cluster(&file, &change, &args.file, &admin).await?;
        match format {
            OutputFormat::Table => plan::print_done(&applied, output)?,
            OutputFormat::Json => output.json(&plan::to_json(&applied, true))?,
        }
        Ok(Exit::Done)
    };
    interrupt.unless_raised(work).await
}

pub(crate) async fn diff(
    args: DiffArgs,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let Io {
        input,
        output,
        interrupt,
        ..
    } = io;
    let work = async {
        let file = read(&args.file, input, global.output, output).await?;
        let admin = global.admin().await?;
        let look = to_look(&file, args.prune);
        let plan = ask_cluster(&file, &look, &args.file, &admin).await?;
        show(&plan, false, global.output, output)?;
        Ok(match args.exit_code && !plan.changes.is_empty() {
            true => Exit::Different,
            false => Exit::Done,
        })
    };
    interrupt.unless_raised(work).await
}

pub(crate) async fn export(
    args: ExportArgs,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let Io {
        output, interrupt, ..
    } = io;
    let work = async {
        let admin = global.admin().await?;
        let exported = admin.export_manifest().await;
        let exported = exported.map_err(Failure::cluster("export the topics"))?;
        let text = export::write(&exported, global.output);
        let Some(path) = args.file else {
            output.data(text.as_bytes())?;
            return Ok(Exit::Done);
        };
        export::save(&path, &text, args.force)?;
        let (count, path) = (exported.manifest.topics.len(), path.display());
        match global.output {
            OutputFormat::Table => output.line(format_args!("{count} topics are in {path}"))?,
            OutputFormat::Json => output.json(&serde_json::json!({
                "file": path.to_string(),
                "topics": count,
                "etag": exported.etag,
            }))?,
        }
        Ok(Exit::Done)
    };
    interrupt.unless_raised(work).await
}

/// Only says what would change.
fn to_look(file: &TopicsFile, prune: bool) -> ApplyOptions {
    ApplyOptions {
        prune,
        dry_run: true,
        if_etag: None,
        cluster_id: file.cluster.as_ref().map(ClusterId::to_string),
    }
}

/// Asks no cluster, and says what only the cluster can tell.
pub(crate) async fn validate(
    args: ValidateArgs,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let Io {
        input,
        output,
        interrupt,
        ..
    } = io;
    let work = async {
        let file = read(&args.file, input, global.output, output).await?;
        let topics = file.manifest.topics;
        let count = topics.len();
        match global.output {
            OutputFormat::Table => {
                output.line(format_args!("{}: {count} topics are valid", args.file))?;
                output.note(
                    "whether schemas are compatible with those there are, and whether there are \
                     nodes enough, only the cluster knows: `diff` asks it",
                );
            }
            OutputFormat::Json => {
                let names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
                output.json(&serde_json::json!({
                    "file": args.file.to_string(),
                    "valid": true,
                    "topics": names,
                    "not_checked": ["schema_compatibility", "placement"],
                }))?;
            }
        }
        Ok(Exit::Done)
    };
    interrupt.unless_raised(work).await
}

/// Reads a topics file. All that is wrong with it is reported, the last of it by the failure.
async fn read(
    source: &Source,
    input: &mut Box<dyn Read + Send>,
    format: OutputFormat,
    output: &mut Output,
) -> Result<TopicsFile, Failure> {
    let text = source.read(input).await?;
    let around = Surroundings {
        name: &source.to_string(),
        directory: source.directory(),
        variables: &|name| std::env::var(name).ok(),
    };
    TopicsFile::parse(&text, &around).map_err(|mut failures| {
        let last = failures.pop();
        for failure in &failures {
            failure.report(output, format);
        }
        last.expect("invariant: a file is refused for a reason")
    })
}

async fn ask_cluster(
    file: &TopicsFile,
    options: &ApplyOptions,
    source: &Source,
    admin: &Admin,
) -> Result<AppliedManifest, Failure> {
    let doing = match options.dry_run {
        true => format!("compare the topics with {source}"),
        false => format!("apply {source}"),
    };
    let applied = admin.apply_manifest(&file.manifest, options).await;
    applied.map_err(Failure::cluster_with_hint(
        doing,
        ErrorCode::ClusterMismatch,
        "the topics file names another cluster: is --bootstrap right?",
    ))
}

fn show(
    plan: &AppliedManifest,
    is_applied: bool,
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => plan::print(plan, output),
        OutputFormat::Json => output.json(&plan::to_json(plan, is_applied)),
    }
}

fn deletion_question(plan: &AppliedManifest) -> String {
    let changes = plan.changes.iter();
    let deleted = changes.filter(|change| change.kind == TopicChangeKind::Delete);
    let names: Vec<_> = deleted.map(|change| &change.topic).collect();
    let shown = names.iter().take(NAMES_SHOWN_MAX);
    let shown: Vec<_> = shown.copied().map(TopicName::as_str).collect();
    let more = match names.len().saturating_sub(NAMES_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("Delete {}{more} with all records (y/n)", shown.join(", "))
}

#[cfg(test)]
mod topics_file_test;
