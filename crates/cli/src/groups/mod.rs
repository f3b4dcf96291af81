//! `group`: list, describe, delete, reset.

mod arguments;
mod render;
mod reset;

use flotilla_client::Admin;

pub(crate) use arguments::GroupCommand;
use arguments::{DeleteArgs, DescribeArgs};

use crate::failure::Failure;
use crate::output::OutputFormat;
use crate::{Exit, GlobalOptions, Io, Output};

pub(crate) async fn run(
    command: GroupCommand,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let Io {
        output, interrupt, ..
    } = io;
    let work = async {
        let admin = global.connect().await?.admin();
        match command {
            GroupCommand::List => list(&admin, global.output, output).await,
            GroupCommand::Describe(args) => describe(args, &admin, global.output, output).await,
            GroupCommand::Delete(args) => delete(args, &admin, global.output, output).await,
            GroupCommand::Reset(args) => reset::reset(args, &admin, global, output).await,
        }
    };
    interrupt.unless_raised(work).await
}

async fn list(admin: &Admin, format: OutputFormat, output: &mut Output) -> Result<Exit, Failure> {
    let groups = admin.list_groups().await;
    let groups = groups.map_err(Failure::cluster("list groups"))?;
    render::summaries(&groups, format, output)?;
    Ok(Exit::Done)
}

async fn describe(
    args: DescribeArgs,
    admin: &Admin,
    format: OutputFormat,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let doing = format!("describe group {}", args.group);
    let group = admin.describe_group(&args.group).await;
    let group = group.map_err(Failure::cluster(doing.clone()))?;
    let lags = admin.lag_of(&group).await;
    let lags = lags.map_err(Failure::cluster(doing))?;
    render::group(&group, &lags, format, output)?;
    Ok(Exit::Done)
}

async fn delete(
    args: DeleteArgs,
    admin: &Admin,
    format: OutputFormat,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let group = args.group;
    let deleted = admin.delete_group(&group).await;
    deleted.map_err(Failure::cluster(format!("delete group {group}")))?;
    match format {
        OutputFormat::Table => output.line(format_args!("deleted group {group}"))?,
        OutputFormat::Json => output.json(&serde_json::json!({ "deleted": group.as_str() }))?,
    }
    Ok(Exit::Done)
}
