//! The demo as a command: `make demo`.

#![expect(clippy::print_stdout, reason = "the demo is there to be read")]

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use flotilla_client::TopicName;
use flotilla_tests::demo::{self, DemoOptions, ForeignFleet, Verdict};
use futures::FutureExt;

/// Writes the changelogs of this machine's packages to a cluster of three nodes, kills a node half
/// way, starts it again, and compares everything that can be read back with what went in
///
/// The last line on stdout is the verdict. The exit code is 0 if it is PASS, and 1 otherwise.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Arguments {
    /// How many records
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    records: usize,
    /// Directory with a directory per package
    #[arg(long, value_name = "DIR", default_value = "/usr/share/doc")]
    documents: PathBuf,
    /// Topic to create; it must not exist
    #[arg(long, value_name = "NAME", value_parser = TopicName::parse, default_value = "changelogs")]
    topic: TopicName,
    /// Use this cluster instead of starting one
    #[arg(
        long,
        value_name = "HOST:PORT,..",
        value_delimiter = ',',
        requires = "kill_command",
        requires = "restart_command"
    )]
    bootstrap: Vec<String>,
    /// Shell command that kills a node of that cluster; {node} stands for its id
    #[arg(long, value_name = "COMMAND", requires = "bootstrap")]
    kill_command: Option<String>,
    /// Shell command that starts the node again; {node} stands for its id
    #[arg(long, value_name = "COMMAND", requires = "bootstrap")]
    restart_command: Option<String>,
}

impl From<Arguments> for DemoOptions {
    fn from(arguments: Arguments) -> Self {
        let commands = arguments.kill_command.zip(arguments.restart_command);
        let foreign = commands.map(|(kill_command, restart_command)| ForeignFleet {
            bootstrap: arguments.bootstrap,
            kill_command,
            restart_command,
        });
        Self {
            record_count: arguments.records,
            documents: arguments.documents,
            topic: arguments.topic,
            foreign,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = DemoOptions::from(Arguments::parse());
    // The harness panics when a node does not come up, and that is a verdict too.
    let verdict = match AssertUnwindSafe(demo::run(options)).catch_unwind().await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => Verdict::Fail(format!("{error:#}")),
        Err(_) => Verdict::Fail("the demo could not go on".to_owned()),
    };
    match verdict {
        Verdict::Pass(summary) => {
            println!("verdict: PASS {summary}");
            ExitCode::SUCCESS
        }
        Verdict::Fail(summary) => {
            println!("verdict: FAIL {summary}");
            ExitCode::FAILURE
        }
    }
}
