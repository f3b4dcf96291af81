//! One node: its directory, its ports and, while it runs, its process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use super::ports::next_port;

pub(super) struct Node {
    id: usize,
    binary: PathBuf,
    directory: PathBuf,
    client: u16,
    peer: u16,
    http: u16,
    text: u16,
    process: Option<Child>,
    is_paused: bool,
    /// Ends that nobody had asked for.
    surprises: Vec<String>,
}

impl Node {
    pub(super) fn new(id: usize, binary: &Path, parent: &Path) -> anyhow::Result<Self> {
        let directory = parent.join(format!("node-{id}"));
        fs::create_dir(&directory).context("no directory for a node")?;
        Ok(Self {
            id,
            binary: binary.to_owned(),
            directory,
            client: next_port()?,
            peer: next_port()?,
            http: next_port()?,
            text: next_port()?,
            process: None,
            is_paused: false,
            surprises: Vec::new(),
        })
    }

    pub(super) fn client_address(&self) -> String {
        format!("127.0.0.1:{}", self.client)
    }

    pub(super) fn http_address(&self) -> String {
        format!("127.0.0.1:{}", self.http)
    }

    /// The node's line in everybody's `cluster.nodes`.
    pub(super) fn as_written(&self) -> String {
        let Self {
            id, peer, client, ..
        } = self;
        format!("{{ id = {id}, peer = \"127.0.0.1:{peer}\", client = \"127.0.0.1:{client}\" }}")
    }

    /// It runs and is not paused.
    pub(super) const fn is_at_work(&self) -> bool {
        self.process.is_some() && !self.is_paused
    }

    pub(super) fn configure(&self, members: &[String]) -> anyhow::Result<()> {
        let (id, members) = (self.id, members.join(", "));
        let (client, peer, http, text) = (self.client, self.peer, self.http, self.text);
        let written = format!(
            "node.id = {id}\nnode.data_dir = \"data\"\ncluster.nodes = [{members}]\n\
             listen.client = {client}\nlisten.peer = {peer}\nlisten.http = {http}\n\
             listen.text = {text}\n"
        );
        fs::write(self.directory.join("flotilla.toml"), written)?;
        Ok(())
    }

    /// Does nothing if the process runs.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        self.notice_end()?;
        if self.process.is_some() {
            return Ok(());
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())?;
        let mut command = Command::new(&self.binary);
        command
            .arg("server")
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // The node reads its settings from such variables, and these are about the run.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FLOTILLA_") {
                command.env_remove(name);
            }
        }
        self.process = Some(command.spawn().context("the binary does not start")?);
        Ok(())
    }

    /// Does nothing if the process does not run.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.notice_end()?;
        self.is_paused = false;
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    pub(super) fn pause(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)?;
        self.is_paused = true;
        Ok(())
    }

    /// Does nothing if the process is not paused, which it is no more once it was killed.
    pub(super) fn resume(&mut self) -> anyhow::Result<()> {
        if !self.is_paused {
            return Ok(());
        }
        self.is_paused = false;
        self.signal(Signal::CONT)
    }

    /// Where the node panicked, and where it ended by itself.
    pub(super) fn troubles(&mut self) -> Vec<String> {
        let noticed = self.notice_end();
        let log = fs::read(self.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let panics = log.lines().filter(|line| line.contains("panicked at"));
        let mut troubles: Vec<_> = panics
            .map(|line| format!("node {}: {line}", self.id))
            .collect();
        troubles.extend(noticed.err().map(|error| format!("{error:#}")));
        troubles.extend(self.surprises.iter().cloned());
        troubles
    }

    fn notice_end(&mut self) -> anyhow::Result<()> {
        if let Some(process) = &mut self.process
            && let Some(status) = process.try_wait()?
        {
            self.process = None;
            self.is_paused = false;
            let surprise = format!("node {} ended by itself: {status}", self.id);
            self.surprises.push(surprise);
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let process = self.process.as_ref().context("the node does not run")?;
        let id = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        kill_process(id.context("a process has an id")?, signal)?;
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended by itself; then there is nobody to kill, only to bury.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
