//! One node as a process.

use std::env;
use std::fs;
use std::io;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::log_copy::copy_log;
use super::plan::NodePlan;
use super::say;

/// What happens to a node, with its position in the plan.
#[derive(Debug)]
pub(super) enum Event {
    Ready(usize),
    Ended(usize, io::Result<ExitStatus>),
}

/// A node that runs. It stops when this is dropped.
pub(super) struct Child {
    /// The node stops when this closes.
    _stdin: ChildStdin,
    kill: CancellationToken,
}

impl Child {
    /// Starts the node at `index` of the plan. What happens to it is told to `events` by tasks that
    /// end with the process.
    pub(super) fn start(
        (index, node): (usize, &NodePlan),
        events: &mpsc::Sender<Event>,
        tasks: &mut JoinSet<()>,
    ) -> io::Result<Self> {
        let mut process = command(node)?.spawn()?;
        let taken = (
            process.stdin.take(),
            process.stdout.take(),
            process.stderr.take(),
        );
        let (Some(stdin), Some(stdout), Some(stderr)) = taken else {
            return Err(io::Error::other("the process has no pipes"));
        };
        if let Some(pid) = process.id() {
            fs::write(node.pid_file(), format!("{pid}\n"))?;
        }
        let kill = CancellationToken::new();
        let (killed, node, events) = (kill.clone(), node.clone(), events.clone());
        tasks.spawn(async move {
            let (name, log) = (node.name(), node.log_file());
            let log = copy_log(name.clone(), stderr, &log);
            let ready = tell_ready(index, stdout, &events);
            let ended = async {
                tokio::select! {
                    ended = process.wait() => ended,
                    () = killed.cancelled() => {
                        process.start_kill()?;
                        process.wait().await
                    }
                }
            };
            let (ended, log, ()) = tokio::join!(ended, log, ready);
            if let Err(error) = log {
                say(&format!("{name}: its log could not be written: {error}"));
            }
            // The file only helps people; a stale one does no harm.
            let _ = fs::remove_file(node.pid_file());
            let _ = events.send(Event::Ended(index, ended)).await;
        });
        Ok(Self {
            _stdin: stdin,
            kill,
        })
    }

    /// Asks the node to stop. Cancelling what it returns ends the process at once.
    pub(super) fn stop(self) -> CancellationToken {
        self.kill
    }
}

fn command(node: &NodePlan) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command
        .arg("server")
        .arg("--config")
        .arg(node.settings_file())
        .arg("--supervised")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A Ctrl-C on the terminal is for this process, which then stops the nodes in order.
        .process_group(0)
        .kill_on_drop(true);
    // Settings for a single node make no sense for all of them.
    for (name, _) in env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("FLOTILLA_"))
        {
            command.env_remove(name);
        }
    }
    Ok(command)
}

async fn tell_ready(index: usize, stdout: ChildStdout, events: &mpsc::Sender<Event>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == "ready" {
            let _ = events.send(Event::Ready(index)).await;
        }
    }
}
