//! Running the client commands and printing completions.

use std::io;

use flotilla_cli::{ClientCommand, CompletionsArgs, Exit, GlobalOptions, Io, write_completions};

use crate::args::Arguments;

/// Runs a client command in a runtime of its own.
pub(crate) fn run(command: ClientCommand, global: GlobalOptions) -> Exit {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return cannot("start", &error),
    };
    let exit = runtime.block_on(async {
        match Io::process() {
            Ok(io) => flotilla_cli::run(command, global, io).await,
            Err(error) => cannot("listen for signals", &error),
        }
    });
    // A thread may still wait for stdin; the process need not wait for it.
    runtime.shutdown_background();
    exit
}

/// Prints the completion script for everything that the binary can do.
pub(crate) fn completions(args: &CompletionsArgs) -> Exit {
    let command = Arguments::command_called(std::env::args_os().next());
    match write_completions(args, command, &mut io::stdout().lock()) {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => cannot("write to stdout", &error),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "this is where a command tells what went wrong"
)]
fn cannot(doing: &str, error: &io::Error) -> Exit {
    eprintln!("error: cannot {doing}: {error}");
    Exit::Failed
}
