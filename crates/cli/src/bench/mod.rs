//! `bench`: how many records a cluster takes and gives, and how long each one takes.
//!
//! Latencies go into HDR histograms, one for each client, added up at the end. What is measured is
//! part of the result, because a percentile means nothing without it.

mod arguments;
mod consume;
mod latencies;
mod load;
mod payloads;
mod produce;
mod report;
mod supervise;

pub(crate) use arguments::BenchCommand;

use crate::failure::Failure;
use crate::{Exit, GlobalOptions, Io};

pub(crate) async fn run(
    command: BenchCommand,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    match command {
        BenchCommand::Produce(args) => produce::run(args, global, io).await,
        BenchCommand::Consume(args) => consume::run(args, global, io).await,
    }
}
