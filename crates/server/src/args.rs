//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use flotilla_cli::{ClientCommand, CompletionsArgs, GlobalOptions};

use crate::exit::ServerExit;

/// A message broker in which every topic partition is a Raft group
#[derive(Debug, Parser)]
#[command(name = "flotilla", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: GlobalOptions,
}

impl Arguments {
    /// The name by which users of KBroker call this program, through a link.
    const KAVAK: &'static str = "kavak";

    /// Reads the command line of this process.
    pub(crate) fn of_this_process() -> Self {
        let matches = Self::command_called(std::env::args_os().next()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// The command line, by the name that the program was called by: help and completions show it.
    pub(crate) fn command_called(program: Option<OsString>) -> clap::Command {
        let program = program.map(PathBuf::from);
        let name = program.as_deref().and_then(Path::file_name);
        match name.is_some_and(|name| name == Self::KAVAK) {
            true => Self::command().name(Self::KAVAK),
            false => Self::command(),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node
    ///
    /// Without any settings it is a cluster of one node, which keeps its data in ./data and listens
    /// on this machine only. Settings come from flags, then FLOTILLA_* variables, then a TOML file,
    /// then defaults; --print-config shows all of them.
    #[command(after_help = ServerExit::HELP)]
    Server(Box<ServerArgs>),
    /// Run a whole cluster on this machine, for trying out
    ///
    /// Every node is a process of its own with its own data, settings, log and pid file in the data
    /// directory. One line on stdout says when all are ready.
    #[command(after_help = ServerExit::HELP)]
    Dev(DevArgs),
    /// Print a script that completes commands in a shell
    Completions(CompletionsArgs),
    #[command(flatten)]
    Client(ClientCommand),
}

/// Settings that have a flag. Every other one can be given with `--set`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArgs {
    /// Settings file, in TOML, or a config.json or config.yaml of the systems that they come from,
    /// told by the ending. Without it, flotilla.toml, config.json and config.yaml of the
    /// working directory are read if they exist
    #[arg(long, value_name = "FILE", env = "FLOTILLA_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// node.id: number of this node in its cluster
    #[arg(long, value_name = "N")]
    node_id: Option<String>,
    /// node.data_dir: directory that holds everything the node must not lose
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// cluster.name: nodes of clusters with different names refuse each other
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<String>,
    /// cluster.nodes: every node of the cluster, as 1=host:port,2=host:port
    #[arg(long, value_name = "NODES")]
    cluster_nodes: Option<String>,
    /// cluster.join: nodes of a running cluster to join, as host:port,host:port of their peer ports
    #[arg(long, value_name = "ADDRESSES")]
    join: Option<String>,
    /// listen.host: interface to listen on; 0.0.0.0 takes connections from everywhere
    #[arg(long, value_name = "HOST")]
    listen_host: Option<String>,
    /// listen.client: where clients connect, by gRPC
    #[arg(long, value_name = "ADDRESS")]
    listen_client: Option<String>,
    /// listen.peer: where the other nodes connect
    #[arg(long, value_name = "ADDRESS")]
    listen_peer: Option<String>,
    /// listen.http: where metrics and health are served
    #[arg(long, value_name = "ADDRESS")]
    listen_http: Option<String>,
    /// advertise.client: where clients reach this node, as others are told
    #[arg(long, value_name = "ADDRESS")]
    advertise_client: Option<String>,
    /// advertise.peer: where the other nodes reach this node, as they are told
    #[arg(long, value_name = "ADDRESS")]
    advertise_peer: Option<String>,
    /// log.format: text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// log.level: error, warn, info, debug or trace, or directives for single modules
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Any setting, by its key in the file
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print the settings in effect as a commented TOML file, and end
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Check the settings, and end
    #[arg(long, conflicts_with = "print_config")]
    pub(crate) check_config: bool,
    /// Say "ready" on stdout, and stop when stdin ends
    #[arg(long, hide = true)]
    pub(crate) supervised: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DevArgs {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) nodes: u16,
    /// Directory for the data, settings, logs and pid files of all nodes
    #[arg(long, value_name = "DIR", default_value = "./flotilla-dev")]
    pub(crate) data_dir: PathBuf,
    /// First port: node n, from 0, gets this one plus 10 n for clients, and the three that follow
    /// for peers, HTTP and text
    #[arg(long, value_name = "PORT", default_value_t = 7400, value_parser = clap::value_parser!(u16).range(1..=65_000))]
    pub(crate) base_port: u16,
    /// Encrypt all connections, with certificates of an authority in the data directory
    #[arg(long)]
    pub(crate) tls: bool,
    /// Start a node that died again
    #[arg(long)]
    pub(crate) restart: bool,
    /// A setting for every node, by its key in the file
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Stop when stdin ends
    #[arg(long, hide = true)]
    pub(crate) supervised: bool,
}

impl ServerArgs {
    /// The settings that were given with a flag of their own: key, value, flag.
    pub(crate) fn settings(&self) -> Vec<(&'static str, &str, &'static str)> {
        let all = [
            ("node.id", &self.node_id, "node-id"),
            ("node.data_dir", &self.data_dir, "data-dir"),
            ("cluster.name", &self.cluster_name, "cluster-name"),
            ("cluster.nodes", &self.cluster_nodes, "cluster-nodes"),
            ("cluster.join", &self.join, "join"),
            ("listen.host", &self.listen_host, "listen-host"),
            ("listen.client", &self.listen_client, "listen-client"),
            ("listen.peer", &self.listen_peer, "listen-peer"),
            ("listen.http", &self.listen_http, "listen-http"),
            (
                "advertise.client",
                &self.advertise_client,
                "advertise-client",
            ),
            ("advertise.peer", &self.advertise_peer, "advertise-peer"),
            ("log.format", &self.log_format, "log-format"),
            ("log.level", &self.log_level, "log-level"),
        ];
        let given = all.into_iter();
        given
            .filter_map(|(key, value, flag)| Some((key, value.as_deref()?, flag)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_link_of_another_name_is_the_same_program() {
        for (program, name) in [
            ("/usr/local/bin/kavak", "kavak"),
            ("kavak", "kavak"),
            ("./flotilla", "flotilla"),
            ("kavak/flotilla", "flotilla"),
        ] {
            let command = Arguments::command_called(Some(program.into()));
            assert_eq!(command.get_name(), name, "{program}");
            let line = [program, "kbroker", "schema", "update"];
            assert!(command.try_get_matches_from(line).is_ok(), "{program}");
        }
        assert_eq!(Arguments::command_called(None).get_name(), "flotilla");
    }

    #[test]
    fn every_flag_sets_a_setting_that_exists_and_names_it_in_its_help() {
        let mut command = Arguments::command();
        let server = command.find_subcommand_mut("server").unwrap();
        let mut flags = 0;
        for argument in server.get_arguments() {
            let help = argument
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let Some((key, _)) = help.split_once(": ") else {
                continue;
            };
            if !key.contains('.') || key.contains(' ') {
                continue;
            }
            flags += 1;
            assert!(
                settings::ALL.iter().any(|setting| setting.key() == key),
                "{key}"
            );
            let flag = argument.get_long().unwrap();
            let arguments = ["flotilla", "server", &format!("--{flag}"), "x"];
            let Command::Server(args) = Arguments::parse_from(arguments).command else {
                panic!("server was asked for");
            };
            assert_eq!(args.settings(), [(key, "x", flag)]);
        }
        assert_eq!(flags, 13);
    }
}
