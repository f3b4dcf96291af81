//! Scripts that complete command lines in a shell.

use std::io;

use clap::{Args, Command};
use clap_complete::Shell;

/// Print a script that completes `flotilla` commands in a shell
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_parser = clap::builder::EnumValueParser::<Shell>::new())]
    pub shell: Shell,
}

/// Writes the script for all of `command`, which must be the whole command line of the binary.
pub fn write_completions(
    args: &CompletionsArgs,
    mut command: Command,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let name = command.get_name().to_owned();
    // The generator panics when it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    out.write_all(&script)
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_names_the_commands() {
        for shell in ["bash", "zsh", "fish"] {
            let given = CompletionsArgs::augment_args(Command::new("completions"))
                .get_matches_from(["completions", shell]);
            let args = CompletionsArgs::from_arg_matches(&given).unwrap();
            let whole = Command::new("flotilla").subcommand(Command::new("transfer-leader"));
            let mut script = Vec::new();
            write_completions(&args, whole, &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("transfer-leader"), "{shell}");
        }
    }
}
