//! The binary as a command: arguments and input in, output and exit code out.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::binary::flotilla_binary;

/// A command that runs longer hangs.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutcome {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the binary with `input` as its stdin, without the variables that it reads settings from.
///
/// # Panics
///
/// If it does not end within a minute, or prints what is no text.
pub async fn flotilla(arguments: &[&str], input: &str) -> CommandOutcome {
    let mut command = Command::new(flotilla_binary());
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FLOTILLA_") {
            command.env_remove(name);
        }
    }
    let mut process = command.spawn().expect("the binary starts");
    let mut stdin = process.stdin.take().expect("stdin is a pipe");
    let feeding = async move {
        // A command that reads nothing may have closed its end.
        let _ = stdin.write_all(input.as_bytes()).await;
    };
    let running = async { tokio::join!(process.wait_with_output(), feeding).0 };
    let output = timeout(COMMAND_LIMIT, running).await;
    let output = output.unwrap_or_else(|_| panic!("{arguments:?} hangs"));
    let output = output.expect("the command was started here");
    let text = |bytes| String::from_utf8(bytes).expect("the command prints text");
    CommandOutcome {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}
