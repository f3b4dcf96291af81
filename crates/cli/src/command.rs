//! The client commands, and how one is run.

use clap::Subcommand;

use crate::access::{self, AclCommand, AuthCommand, KeyCommand};
use crate::bench::{self, BenchCommand};
use crate::certificates::{self, CertificateCommand};
use crate::cluster::{self, ClusterCommand};
use crate::failure::Failure;
use crate::groups::{self, GroupCommand};
use crate::jobs::{self, JobCommand};
use crate::kbroker::{self, KbrokerCommand};
use crate::manifests::{self, ApplyArgs, DiffArgs, ExportArgs, ValidateArgs};
use crate::records::{self, ConsumeArgs, ProduceArgs};
use crate::schemas::{self, SchemaCommand};
use crate::topics::{self, TopicCommand};
use crate::{Exit, GlobalOptions, Io};

/// What a client can do.
#[derive(Clone, Debug, Subcommand)]
pub enum ClientCommand {
    /// Create, look at, change and delete topics
    #[command(subcommand, after_help = Exit::HELP)]
    Topic(TopicCommand),
    /// Give topics schemas, and look at them
    #[command(subcommand, after_help = Exit::HELP)]
    Schema(SchemaCommand),
    /// Make the cluster's topics as a file says: all of it, or nothing
    #[command(after_help = Exit::HELP)]
    Apply(ApplyArgs),
    /// Show what `apply` would change
    #[command(after_help = Exit::HELP)]
    Diff(DiffArgs),
    /// Write the cluster's topics as a file that `apply` takes
    #[command(after_help = Exit::HELP)]
    Export(ExportArgs),
    /// Check a file for `apply`, without a cluster
    #[command(after_help = Exit::HELP)]
    Validate(ValidateArgs),
    /// Write records from a file or from stdin
    #[command(after_help = Exit::HELP)]
    Produce(Box<ProduceArgs>),
    /// Read records and print them
    #[command(after_help = Exit::HELP)]
    Consume(Box<ConsumeArgs>),
    /// Look at consumer groups, set their offsets and delete them
    #[command(subcommand, after_help = Exit::HELP)]
    Group(GroupCommand),
    /// Look at jobs, which one process at a time owns
    #[command(subcommand, after_help = Exit::HELP)]
    Job(JobCommand),
    /// Look at the cluster, move leaders, and add, drain and replace nodes
    #[command(subcommand, after_help = Exit::HELP)]
    Cluster(ClusterCommand),
    /// Say who may do what
    #[command(subcommand, after_help = Exit::HELP)]
    Acl(AclCommand),
    /// Find out why somebody is let in or not
    #[command(subcommand, after_help = Exit::HELP)]
    Auth(AuthCommand),
    /// Make, list and delete keys, with which programs prove who they are
    #[command(subcommand, after_help = Exit::HELP)]
    Key(KeyCommand),
    /// Make certificates for trying out encrypted connections
    #[command(subcommand, after_help = Exit::HELP)]
    Cert(CertificateCommand),
    /// Measure throughput and latency
    #[command(subcommand, after_help = Exit::HELP)]
    Bench(BenchCommand),
    /// The command lines of KBroker, as they are
    ///
    /// Topics that are created here have its profile. A link of the name `kavak` to this program takes
    /// them literally: `kavak kbroker topic create`.
    #[command(subcommand, after_help = Exit::HELP)]
    Kbroker(KbrokerCommand),
}

/// Runs a command to its end and tells the user what went wrong, if anything did.
///
/// It expects a multi-threaded runtime: it may wait for the reader of its output.
pub async fn run(command: ClientCommand, global: GlobalOptions, mut io: Io) -> Exit {
    if global.no_input {
        io.user = None;
    }
    let ended = dispatch(command, &global, &mut io).await;
    io.output.clear_progress();
    let ended = ended.and_then(|exit| io.output.flush().map(|()| exit));
    match ended {
        Ok(exit) => exit,
        Err(failure) if failure.is_broken_pipe() => Exit::Done,
        Err(failure) => {
            failure.report(&mut io.output, global.output);
            // What was printed before the failure still counts; a second failure adds nothing.
            let _ = io.output.flush();
            failure.exit()
        }
    }
}

async fn dispatch(
    command: ClientCommand,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    match command {
        ClientCommand::Topic(command) => topics::run(command, global, io).await,
        ClientCommand::Schema(command) => schemas::run(command, global, io).await,
        ClientCommand::Apply(args) => manifests::apply(args, global, io).await,
        ClientCommand::Diff(args) => manifests::diff(args, global, io).await,
        ClientCommand::Export(args) => manifests::export(args, global, io).await,
        ClientCommand::Validate(args) => manifests::validate(args, global, io).await,
        ClientCommand::Produce(args) => records::produce(*args, global, io).await,
        ClientCommand::Consume(args) => records::consume(*args, global, io).await,
        ClientCommand::Group(command) => groups::run(command, global, io).await,
        ClientCommand::Job(command) => jobs::run(command, global, io).await,
        ClientCommand::Cluster(command) => cluster::run(command, global, io).await,
        ClientCommand::Acl(command) => access::run_acl(command, global, io).await,
        ClientCommand::Auth(command) => access::run_auth(command, global, io).await,
        ClientCommand::Key(command) => access::run_keys(command, global, io).await,
        ClientCommand::Cert(command) => certificates::run(command, global, io),
        ClientCommand::Bench(command) => bench::run(command, global, io).await,
        ClientCommand::Kbroker(command) => kbroker::run(command, global, io).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        _command: ClientCommand,
        #[command(flatten)]
        global: GlobalOptions,
    }

    fn parse(line: &str) -> Result<Line, clap::Error> {
        Line::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn common_lines_are_understood() {
        for line in [
            "flotilla topic create a --partitions 12 --replication-factor 3 --config a=b --config c=d",
            "flotilla topic create",
            "flotilla topic create a --profile kbroker --public --no-input",
            "flotilla apply -f topics.yaml --prune --yes --if-etag 7",
            "flotilla apply -f - --dry-run",
            "flotilla diff -f topics.yaml --prune --exit-code",
            "flotilla export",
            "flotilla export -f topics.yaml --force",
            "flotilla validate -f topics.yaml -o json",
            "flotilla schema create a --file -",
            "flotilla schema update",
            "flotilla schema check a -f a.json",
            "flotilla schema list a --version 2",
            "kavak kbroker topic create",
            "kavak kbroker topic create a --private",
            "kavak kbroker schema create",
            "kavak kbroker schema update a --file a.json",
            "kavak kbroker subscription create",
            "kavak kbroker subscription pause a",
            "kavak kbroker subscription resume a",
            "kavak kbroker subscription lag a",
            "kavak kbroker subscription rewind a 3",
            "kavak kbroker subscription redrive a --max-messages=10",
            "kavak kbroker connector create",
            "flotilla topic describe a b",
            "flotilla topic alter a --reset retention_ms --partitions 24",
            "flotilla produce a --key-separator : --rate 10k/s --compression zstd --linger 5ms",
            "flotilla consume a --partition 0 --partition 3 --from -10m --follow --format %k",
            "flotilla consume a --from 2024-05-01T12:00:00Z --count 5",
            "flotilla consume a b --group g --from end --count 5",
            "flotilla consume --group g --pattern ord.*",
            "flotilla group list -o json",
            "flotilla group describe g",
            "flotilla group delete g",
            "flotilla group reset g --topic a --to earliest --dry-run",
            "flotilla group reset g --topic a --partition 0 --partition 3 --to -10m --yes",
            "flotilla group reset g --topic a --to 2024-05-01T12:00:00Z",
            "flotilla job list -o json",
            "flotilla cluster transfer-leader a 0 --to 2",
            "flotilla cluster add-node 4 --dry-run",
            "flotilla cluster drain 3 --yes --wait",
            "flotilla cluster drain 3 --cancel",
            "flotilla cluster replace 2 --with 4 --force",
            "flotilla cluster rebalance --yes",
            "flotilla acl list -o json",
            "flotilla acl grant token:a publish,describe topic:integrations.{claim:client_id}.data",
            "flotilla acl revoke * all topic:*",
            "flotilla acl test --as token:a --scope s --claim a=b --publish t",
            "flotilla acl test --do alter cluster",
            "flotilla auth explain --token-file f",
            "flotilla key create a",
            "flotilla key generate",
            "flotilla bench produce --topic a --records 5 --record-size 1KiB --window 1 --clients 2",
            "flotilla bench consume --topic a --records 5 --record-size 100 --window 9 --clients 2",
        ] {
            parse(line).unwrap();
        }
    }

    #[test]
    fn global_options_can_follow_the_command() {
        let line =
            parse("flotilla topic list --bootstrap a:1,b:2 -o json --timeout 250ms").unwrap();
        assert_eq!(line.global.bootstrap, ["a:1", "b:2"]);
        assert_eq!(line.global.output, crate::OutputFormat::Json);
        assert_eq!(line.global.timeout.as_millis(), 250);
    }

    #[test]
    fn senseless_lines_end_with_the_exit_code_of_usage() {
        for line in [
            "flotilla topic create a/b",
            "flotilla topic create a --public --private",
            "flotilla topic create a --profile x",
            "flotilla apply",
            "flotilla apply -f a --dry-run --yes",
            "flotilla export --force",
            "flotilla schema list",
            "flotilla schema create a/b",
            "flotilla topic create .. --partitions 1",
            "flotilla topic create a --config novalue",
            "flotilla produce a --compression brotli",
            "flotilla produce a --rate 0",
            "flotilla consume a --from yesterday",
            "flotilla consume a --format %x",
            "flotilla consume",
            "flotilla consume a --pattern b",
            "flotilla consume a --pattern b --group g",
            "flotilla consume a --group g --partition 0",
            "flotilla consume a --group a/b",
            "flotilla group describe",
            "flotilla group delete ..",
            "flotilla group reset g --to latest",
            "flotilla group reset g --topic a",
            "flotilla group reset g --topic a --to yesterday",
            "flotilla group reset g --topic a --to 5 --dry-run --yes",
            "flotilla cluster transfer-leader a x --to 1",
            "flotilla cluster add-node",
            "flotilla cluster drain 3 --dry-run --wait",
            "flotilla acl test --publish a --consume b",
            "flotilla acl test",
            "flotilla acl grant token:a publish",
            "flotilla bench produce --topic a --window 0",
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{line}");
        }
    }

    #[test]
    fn every_command_shows_the_exit_codes() {
        for command in Line::command().get_subcommands_mut() {
            let help = command.render_help().to_string();
            assert!(help.contains(Exit::HELP), "{}", command.get_name());
        }
    }
}
