//! Programs of the system that this crate runs, and the packages that they are in.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

pub(crate) const LOSETUP: Program = Program::new("losetup", "mount");
pub(crate) const MKFS: Program = Program::new("mkfs.ext4", "e2fsprogs");
pub(crate) const MOUNT: Program = Program::new("mount", "mount");
pub(crate) const UMOUNT: Program = Program::new("umount", "mount");
pub(crate) const XFS_IO: Program = Program::new("xfs_io", "xfsprogs");

/// Where programs for administrators are, which `PATH` may leave out.
const MORE_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    name: &'static str,
    package: &'static str,
}

/// Why a program did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("the program {program} is missing: install the package {package}")]
    Missing {
        program: &'static str,
        package: &'static str,
    },
    #[error("cannot run {program}")]
    Run {
        program: &'static str,
        source: io::Error,
    },
    #[error("{program} failed: {said}")]
    Failed { program: &'static str, said: String },
}

impl Program {
    const fn new(name: &'static str, package: &'static str) -> Self {
        Self { name, package }
    }

    /// Runs it to its end. When this is cancelled, the program is killed.
    pub(crate) async fn run(&self, arguments: &[&OsStr]) -> Result<(), ProgramError> {
        let mut command = tokio::process::Command::new(self.find()?);
        command.args(arguments).stdin(Stdio::null());
        let output = command.kill_on_drop(true).output().await;
        self.judge(output)
    }

    /// As [`run`](Self::run), where nobody can wait: when something is dropped.
    pub(crate) fn run_now(&self, arguments: &[&OsStr]) -> Result<(), ProgramError> {
        let mut command = std::process::Command::new(self.find()?);
        self.judge(command.args(arguments).stdin(Stdio::null()).output())
    }

    pub(crate) fn find(&self) -> Result<PathBuf, ProgramError> {
        let path = env::var_os("PATH").unwrap_or_default();
        let more = MORE_DIRECTORIES.into_iter().map(PathBuf::from);
        let mut files = env::split_paths(&path)
            .chain(more)
            .map(|directory| directory.join(self.name));
        files
            .find(|file| Path::is_file(file))
            .ok_or(ProgramError::Missing {
                program: self.name,
                package: self.package,
            })
    }

    fn judge(&self, output: io::Result<Output>) -> Result<(), ProgramError> {
        let program = self.name;
        let output = output.map_err(|source| ProgramError::Run { program, source })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(ProgramError::Failed { program, said })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let program = Program::new("no-such-program", "no-such-package");
        let error = program.run_now(&[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the program no-such-program is missing: install the package no-such-package"
        );
    }

    #[test]
    fn a_program_that_fails_is_quoted() {
        let program = Program::new("ls", "coreutils");
        let error = program.run_now(&["/no/such/file".as_ref()]).unwrap_err();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }
}
