//! One life of a node.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    is_paused: bool,
}

impl Process {
    /// Starts the server in `directory`, where its settings are.
    pub(super) fn start(binary: &Path, directory: &Path, log: &Path) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(binary);
        command.arg("server").current_dir(directory);
        command.stdin(Stdio::null()).stdout(log.try_clone()?);
        command.stderr(log).env("RUST_BACKTRACE", "1");
        // The node reads its settings from such variables, and these are not for it.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FLOTILLA_") {
                command.env_remove(name);
            }
        }
        Ok(Self {
            child: command.spawn()?,
            is_paused: false,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// How it ended, if it has.
    pub(super) fn end(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    pub(super) fn pause(&mut self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        self.is_paused = true;
        Ok(())
    }

    pub(super) fn resume(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT)?;
        self.is_paused = false;
        Ok(())
    }

    /// Asks it to stop.
    pub(super) fn ask_to_stop(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Whether the kernel has stopped all that it does. That comes a little after the order to pause.
    pub(super) fn stands_still(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id()));
        let mut tasks = tasks.into_iter().flatten().flatten();
        tasks.all(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            is_stopped(&stat)
        })
    }

    /// Sends SIGKILL without waiting for the end.
    pub(super) fn begin_kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.begin_kill();
        // Somebody else has buried it if this fails.
        let _ = self.child.wait();
    }
}

/// `stat` is the kernel's line about a thread. One that has ended does nothing either.
fn is_stopped(stat: &str) -> bool {
    // The name before may hold anything.
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    matches!(state, None | Some('T' | 'Z' | 'X'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_thread_stands_behind_its_name() {
        assert!(is_stopped("7 (a) R (b) T 1 7 7"));
        assert!(!is_stopped("7 (T) D 1 7 7"));
        assert!(is_stopped(""), "it is gone");
    }
}
