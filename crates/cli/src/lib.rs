//! The client commands of the binary `flotilla`: topics, one by one and as a file, their schemas,
//! records, groups, jobs, cluster, benchmarks.
//!
//! A library, so that one binary can hold these commands and the server. It knows clap, the
//! public Rust client and what a schema is. It does not know how a server is configured or started, nor what the nodes
//! say to one another.
//!
//! Data goes to stdout and everything else to stderr, both through [`Output`]. Every command ends
//! with an [`Exit`] of one fixed table.

mod access;
mod bench;
mod certificates;
mod cluster;
mod command;
mod completions;
mod exit;
mod failure;
mod global;
mod groups;
mod hint;
mod interrupt;
mod io;
mod jobs;
mod json_text;
mod kbroker;
mod manifests;
mod output;
mod pace;
mod prompt;
mod records;
mod schemas;
mod source;
mod topics;
mod values;

pub use command::{ClientCommand, run};
pub use completions::{CompletionsArgs, write_completions};
pub use exit::Exit;
pub use global::GlobalOptions;
pub use interrupt::Interrupt;
pub use io::Io;
pub use output::{Output, OutputFormat};
