//! How `server` and `dev` end. The client commands have a table of their own that agrees with this.

use std::process::ExitCode;

/// How a server process ended. A code never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerExit {
    /// It was told to stop and stopped in order.
    Stopped,
    /// It did not start: a port or the data directory is taken, or the directory cannot be used.
    CannotStart,
    /// The settings make no sense.
    Settings,
    /// Something happened after which the node must not go on. Its last ERROR line says what.
    Failed,
    /// It was told to stop twice, or took too long, and did not wait for the work in hand.
    Interrupted,
}

impl ServerExit {
    /// The table as `--help` shows it.
    pub(crate) const HELP: &'static str = "\
Exit codes:
  0    told to stop, and stopped in order
  1    could not start
  2    settings or arguments make no sense
  70   failed: something happened after which a node must not go on
  130  told to stop a second time, or killed because stopping took too long";

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Stopped => 0,
            Self::CannotStart => 1,
            Self::Settings => 2,
            Self::Failed => 70,
            Self::Interrupted => 130,
        }
    }
}

impl From<ServerExit> for ExitCode {
    fn from(exit: ServerExit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_every_code_and_no_other() {
        let listed: Vec<u8> = ServerExit::HELP
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
            .collect();
        let all = [
            ServerExit::Stopped,
            ServerExit::CannotStart,
            ServerExit::Settings,
            ServerExit::Failed,
            ServerExit::Interrupted,
        ];
        assert_eq!(listed, all.map(ServerExit::code));
    }
}
