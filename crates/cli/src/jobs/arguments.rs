//! The arguments of `job`.

use clap::Subcommand;

#[derive(Clone, Debug, Subcommand)]
pub enum JobCommand {
    /// List all jobs, with the process that owns each
    List,
}
