//! Server processes of the peers: started in a directory of their own, gone with their handle.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// RabbitMQ takes half of it on two cores.
const START_LIMIT: Duration = Duration::from_secs(90);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

pub(crate) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Runs `command` in `directory` and in a process group of its own, so that its children end with it.
    pub(crate) fn start(mut command: Command, directory: &Path) -> Result<Self> {
        let log = directory.join("log");
        let output = File::create(&log)?;
        command
            .current_dir(directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| {
            format!("cannot run {program}: `make compare` installs what is compared with")
        })?;
        Ok(Self { child, log })
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until somebody listens on `port`, which is free before the server takes it.
    pub(crate) async fn wait_listening(&mut self, port: u16) -> Result<()> {
        let begun = Instant::now();
        loop {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("a server ended with {status}: {}", self.log_tail());
            }
            if begun.elapsed() > START_LIMIT {
                bail!("a server does not start: {}", self.log_tail());
            }
            // Another process cannot wake this one, so it is asked again.
            sleep(LOOK_INTERVAL).await;
        }
    }

    fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id().cast_signed());
        if let Some(group) = group {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// These processes and all their descendants. A server can be a script that runs the real one.
pub(crate) fn families(roots: &[u32]) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(id) = id else { continue };
        // One that has ended meanwhile is nobody's child.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(parent) = parse_parent(&stat) {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut found = Vec::new();
    let mut waiting = roots.to_vec();
    while let Some(id) = waiting.pop() {
        found.push(id);
        waiting.extend(children.remove(&id).unwrap_or_default());
    }
    found
}

fn parse_parent(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_everyone_below() {
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        let family = families(&[std::process::id()]);
        assert!(family.contains(&std::process::id()) && family.contains(&child.id()));
        assert_eq!(parse_parent("7 (a ) b) S 12 7"), Some(12));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn a_server_that_ends_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no room; exit 3"]);
        let mut server = Server::start(command, directory.path()).unwrap();
        let port = flotilla_tests::cluster::next_port();
        let error = server.wait_listening(port).await.unwrap_err().to_string();
        assert!(error.contains("no room"), "{error}");
    }
}
