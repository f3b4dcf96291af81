//! The arguments of `apply`, `diff`, `export` and `validate`.

use std::path::PathBuf;

use clap::Args;

use crate::source::Source;

#[derive(Args, Clone, Debug)]
pub struct ApplyArgs {
    /// Topics file, in YAML or JSON; - is stdin
    #[arg(short, long, value_name = "FILE", value_parser = Source::parse)]
    pub(super) file: Source,
    /// Delete the topics that the file does not name, with their records; protected ones stay
    #[arg(long)]
    pub(super) prune: bool,
    /// Show what would be done, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Delete topics without asking
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) yes: bool,
    /// Fail if topics have changed since `diff -o json` or `export` told this etag
    #[arg(long, value_name = "ETAG")]
    pub(super) if_etag: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub struct DiffArgs {
    /// Topics file, in YAML or JSON; - is stdin
    #[arg(short, long, value_name = "FILE", value_parser = Source::parse)]
    pub(super) file: Source,
    /// Count the topics that the file does not name as differences
    #[arg(long)]
    pub(super) prune: bool,
    /// End with exit code 9 if there are differences
    #[arg(long)]
    pub(super) exit_code: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Where to write it [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Overwrite the file
    #[arg(long, requires = "file")]
    pub(super) force: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ValidateArgs {
    /// Topics file, in YAML or JSON; - is stdin
    #[arg(short, long, value_name = "FILE", value_parser = Source::parse)]
    pub(super) file: Source,
}
