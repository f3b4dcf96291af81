//! `job`: list.

mod arguments;
mod render;

use flotilla_client::Jobs;

pub(crate) use arguments::JobCommand;

use crate::failure::Failure;
use crate::output::OutputFormat;
use crate::{Exit, GlobalOptions, Io, Output};

pub(crate) async fn run(
    command: JobCommand,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let Io {
        output, interrupt, ..
    } = io;
    let work = async {
        let jobs = global.connect().await?.jobs();
        match command {
            JobCommand::List => list(&jobs, global.output, output).await,
        }
    };
    interrupt.unless_raised(work).await
}

async fn list(jobs: &Jobs, format: OutputFormat, output: &mut Output) -> Result<Exit, Failure> {
    let jobs = jobs.list().await.map_err(Failure::cluster("list jobs"))?;
    render::jobs(&jobs, format, output)?;
    Ok(Exit::Done)
}
