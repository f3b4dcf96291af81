//! The one binary: a node, a cluster for trying out, and the client commands.

mod args;
mod client_command;
mod config;
mod dev;
mod exit;
mod node;
mod server_command;
mod telemetry;

use std::process::ExitCode;

use args::{Arguments, Command};

fn main() -> ExitCode {
    flotilla_types::keep_freed_memory();
    let arguments = Arguments::of_this_process();
    match arguments.command {
        Command::Server(args) => server_command::run(&args, arguments.global.output).into(),
        Command::Dev(args) => dev::run(args).into(),
        Command::Completions(args) => client_command::completions(&args).into(),
        Command::Client(command) => client_command::run(command, arguments.global).into(),
    }
}
