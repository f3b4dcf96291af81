//! One node: its directory, its disk, its ports and, while it runs, its process.

mod id;
mod log;
mod ports;
mod process;
mod readiness;
mod settings;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::disk::Disk;
use process::Process;

pub use id::NodeId;
pub use ports::Ports;
pub(crate) use settings::{Advertised, Birth, Settings};

/// The file in the directory of a node that tells which process it is.
pub(crate) const PROCESS_ID_FILE: &str = "process";
const LOG_FILE: &str = "log";
const SETTINGS_FILE: &str = "flotilla.toml";

/// A node that was asked to stop and still runs by then hangs.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// A process that was paused stands still by then, unless its disk hangs.
const STANDSTILL_LIMIT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);
/// Between two questions to a node that starts.
const ASK_INTERVAL: Duration = Duration::from_millis(25);
/// So much of a log is shown with an error.
const TAIL_LINES: usize = 30;

pub struct Node {
    id: NodeId,
    directory: PathBuf,
    binary: PathBuf,
    ports: Ports,
    start_count: u32,
    // What uses the disk goes before the disk does.
    process: Option<Process>,
    disk: Disk,
}

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not started, or ended by us.
    Down,
    Up,
    Paused,
    /// It has ended by itself.
    Ended(ExitStatus),
}

/// Why something could not be done to a node, or what it did instead.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("node {node}: cannot {what}")]
    System {
        node: NodeId,
        what: &'static str,
        source: io::Error,
    },
    #[error("node {0} runs already")]
    Runs(NodeId),
    #[error("node {0} does not run")]
    DoesNotRun(NodeId),
    #[error("node {node} has ended by itself: {status}\n{log}")]
    Ended {
        node: NodeId,
        status: ExitStatus,
        log: String,
    },
    #[error("node {node} is not ready after {limit:?}: {said}\n{log}")]
    NotReady {
        node: NodeId,
        limit: Duration,
        said: String,
        log: String,
    },
    #[error("node {node} was asked to stop and did not\n{log}")]
    DoesNotStop { node: NodeId, log: String },
}

impl Node {
    pub(crate) fn new(
        id: NodeId,
        directory: PathBuf,
        binary: PathBuf,
        disk: Disk,
    ) -> Result<Self, NodeError> {
        let ports = Ports::find(id).map_err(|source| NodeError::System {
            node: id,
            what: "find free ports",
            source,
        })?;
        Ok(Self {
            id,
            directory,
            binary,
            ports,
            start_count: 0,
            process: None,
            disk,
        })
    }

    pub(crate) fn configure(
        &self,
        advertised: Advertised,
        cluster: Birth,
        more: &[(String, String)],
    ) -> Result<(), NodeError> {
        let settings = Settings {
            id: self.id,
            data: self.data_directory().display().to_string(),
            ports: self.ports,
            advertised,
            cluster,
            more: more.to_vec(),
        };
        let file = self.directory.join(SETTINGS_FILE);
        let written = fs::write(file, settings.to_toml());
        written.map_err(self.system("write its settings"))
    }

    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Where the node itself listens, behind the proxy.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    pub fn disk_mut(&mut self) -> &mut Disk {
        &mut self.disk
    }

    pub fn data_directory(&self) -> PathBuf {
        self.disk.path().join("data")
    }

    pub fn log_file(&self) -> PathBuf {
        self.directory.join(LOG_FILE)
    }

    /// `None` if the node does not run.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// How often it was started again.
    pub fn restart_count(&self) -> u32 {
        self.start_count.saturating_sub(1)
    }

    pub fn status(&mut self) -> Status {
        let Some(process) = &mut self.process else {
            return Status::Down;
        };
        match process.end() {
            Ok(Some(status)) => Status::Ended(status),
            _ if process.is_paused() => Status::Paused,
            _ => Status::Up,
        }
    }

    /// Whether there is a process that has not ended. One that is paused is alive.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.status(), Status::Up | Status::Paused)
    }

    /// Starts the node; it may take its time to be ready.
    pub fn start(&mut self) -> Result<(), NodeError> {
        if self.is_alive() {
            return Err(NodeError::Runs(self.id));
        }
        self.process = None;
        let process = Process::start(&self.binary, &self.directory, &self.log_file());
        let process = process.map_err(self.system("start its process"))?;
        let id = process.id().to_string();
        self.process = Some(process);
        self.start_count += 1;
        let written = fs::write(self.directory.join(PROCESS_ID_FILE), id);
        written.map_err(self.system("write down its process"))
    }

    /// Ends the process at once, also if it is paused. Does nothing if it does not run.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Sends SIGKILL without waiting for the end.
    pub(crate) fn begin_kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.begin_kill();
        }
    }

    /// Stops the process where it is (SIGSTOP).
    pub fn pause(&mut self) -> Result<(), NodeError> {
        let paused = self.running()?.pause();
        paused.map_err(self.system("pause its process"))
    }

    /// Lets a process that was paused go on (SIGCONT).
    pub fn resume(&mut self) -> Result<(), NodeError> {
        let resumed = self.running()?.resume();
        resumed.map_err(self.system("resume its process"))
    }

    /// Waits until a process that was paused does nothing any more.
    pub(crate) async fn wait_for_standstill(&self) {
        let limit = Instant::now() + STANDSTILL_LIMIT;
        while let Some(process) = &self.process {
            if process.stands_still() || Instant::now() > limit {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks the node to stop (SIGTERM), and waits until it has.
    pub async fn stop(&mut self) -> Result<ExitStatus, NodeError> {
        let asked = self.running()?.ask_to_stop();
        asked.map_err(self.system("ask its process to stop"))?;
        let limit = Instant::now() + STOP_LIMIT;
        loop {
            let ended = self.running()?.end();
            if let Some(status) = ended.map_err(self.system("look after its process"))? {
                self.process = None;
                return Ok(status);
            }
            if Instant::now() > limit {
                return Err(NodeError::DoesNotStop {
                    node: self.id,
                    log: self.log_tail(TAIL_LINES),
                });
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits until the node says that it is ready. It is asked without the proxy between.
    pub async fn wait_ready(&mut self, limit: Duration) -> Result<(), NodeError> {
        let end = Instant::now() + limit;
        loop {
            let said = match readiness::ask(self.ports.http).await {
                Ok(()) => return Ok(()),
                Err(said) => said,
            };
            match self.status() {
                Status::Up | Status::Paused => {}
                Status::Down => return Err(NodeError::DoesNotRun(self.id)),
                Status::Ended(status) => {
                    return Err(NodeError::Ended {
                        node: self.id,
                        status,
                        log: self.log_tail(TAIL_LINES),
                    });
                }
            }
            if Instant::now() > end {
                return Err(NodeError::NotReady {
                    node: self.id,
                    limit,
                    said,
                    log: self.log_tail(TAIL_LINES),
                });
            }
            sleep(ASK_INTERVAL).await;
        }
    }

    /// Everything that the node has said so far, in all its lives.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn log_tail(&self, line_count: usize) -> String {
        log::tail(&self.log(), line_count)
    }

    /// Where and why its threads panicked, in all its lives.
    pub fn panics(&self) -> Vec<String> {
        log::panics(&self.log())
    }

    fn running(&mut self) -> Result<&mut Process, NodeError> {
        let process = self.process.as_mut();
        process.ok_or(NodeError::DoesNotRun(self.id))
    }

    fn system(&self, what: &'static str) -> impl FnOnce(io::Error) -> NodeError + use<> {
        let node = self.id;
        move |source| NodeError::System { node, what, source }
    }
}
