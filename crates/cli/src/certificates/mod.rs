//! `cert`: certificates for trying out.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use flotilla_net::{DevAuthority, DevAuthorityError, IssuedFor, NodeDomain};
use flotilla_types::{ErrorChain, NodeId};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{OutputFormat, Table};
use crate::{Exit, GlobalOptions, Io, Output};

const DAY: Duration = Duration::from_secs(86_400);
/// Names of this machine, for itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

#[derive(Clone, Debug, Subcommand)]
pub enum CertificateCommand {
    /// Make an authority of your own, and certificates of it for nodes and clients
    ///
    /// For trying out and for tests: whoever reads ca-key.pem can be any node and any client. What is in the
    /// directory stays, so that a node or a client can be added later; --renew makes all of them anew.
    #[command(
        after_help = "Example: flotilla cert dev --nodes 3 --host broker.example --client billing\n\
                            Then:    flotilla server --set tls.certificate_file=flotilla-certs/node-1.pem \
                            --set tls.key_file=flotilla-certs/node-1-key.pem --set tls.ca_file=flotilla-certs/ca.pem\n\
                            And:     flotilla topic list --ca-file flotilla-certs/ca.pem"
    )]
    Dev(DevArgs),
}

#[derive(Args, Clone, Debug)]
pub struct DevArgs {
    /// Where the files are
    #[arg(long, value_name = "DIR", default_value = "./flotilla-certs")]
    pub dir: PathBuf,
    /// How many nodes, from 1
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    pub nodes: u64,
    /// A name or an address by which clients reach the nodes, beside those of this machine for itself
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// A client, whose principal is certificate:NAME
    #[arg(long = "client", value_name = "NAME", value_parser = parse_client)]
    pub clients: Vec<String>,
    /// For how many days they count
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub days: u32,
    /// Domain of the names of nodes, as in tls.node_domain
    #[arg(long, value_name = "DOMAIN", default_value = NodeDomain::DEFAULT, value_parser = parse_domain)]
    pub node_domain: NodeDomain,
    /// Make certificates anew that are there already
    #[arg(long)]
    pub renew: bool,
}

/// One certificate that is there now.
struct Made {
    whom: String,
    certificate: PathBuf,
    key: PathBuf,
    is_new: bool,
}

pub(crate) fn run(
    command: CertificateCommand,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let CertificateCommand::Dev(args) = command;
    let now = u64::try_from(global.now().as_millis()).unwrap_or_default();
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now);
    let authority = DevAuthority::open(&args.dir, now, DAY * args.days);
    let authority = authority.map_err(failed)?;
    if args.renew {
        authority.renew().map_err(failed)?;
    }
    let nodes = (1..=args.nodes).map(|node| IssuedFor::Node {
        node: NodeId::new(node),
        domain: args.node_domain.clone(),
        hosts: hosts(&args.hosts),
    });
    let clients = args.clients.iter().cloned().map(IssuedFor::Client);
    let made = nodes.chain(clients).map(|whom| {
        let files = authority.files(&whom);
        let is_new = args.renew || !files.certificate.exists() || !files.key.exists();
        if is_new {
            authority.issue(&whom).map_err(failed)?;
        }
        Ok(Made {
            whom: describe(&whom),
            certificate: files.certificate,
            key: files.key,
            is_new,
        })
    });
    let made: Vec<_> = made.collect::<Result<_, Failure>>()?;
    print(&authority, &made, global.output, &mut io.output)?;
    Ok(Exit::Done)
}

fn hosts(given: &[String]) -> Vec<String> {
    let loopback = LOOPBACK.iter().map(|host| (*host).to_owned());
    loopback.chain(given.iter().cloned()).collect()
}

fn describe(whom: &IssuedFor) -> String {
    match whom {
        IssuedFor::Node { node, .. } => format!("node {node}"),
        IssuedFor::Client(name) => format!("certificate:{name}"),
    }
}

fn print(
    authority: &DevAuthority,
    made: &[Made],
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    let ca = authority.file().display().to_string();
    match format {
        OutputFormat::Table => {
            let mut table = Table::new(["FOR", "CERTIFICATE", "KEY", ""]);
            for one in made {
                let is_new = if one.is_new { "new" } else { "kept as it was" };
                let (certificate, key) = (one.certificate.display(), one.key.display());
                table.row([
                    one.whom.clone(),
                    certificate.to_string(),
                    key.to_string(),
                    is_new.to_owned(),
                ]);
            }
            output.line(format!("authority: {ca}"))?;
            output.line(table)
        }
        OutputFormat::Json => {
            let certificates = made.iter().map(|one| {
                json!({
                    "for": one.whom,
                    "certificate_file": one.certificate.display().to_string(),
                    "key_file": one.key.display().to_string(),
                    "new": one.is_new,
                })
            });
            let certificates: Value = certificates.collect();
            output.json(&json!({ "ca_file": ca, "certificates": certificates }))
        }
    }
}

fn failed(error: DevAuthorityError) -> Failure {
    Failure::file(ErrorChain(&error).to_string())
}

fn parse_domain(text: &str) -> Result<NodeDomain, String> {
    let domain = NodeDomain::new(text);
    domain.ok_or_else(|| "expected lower case letters, digits, dots and hyphens".to_owned())
}

/// It becomes part of a file's name.
fn parse_client(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fits = text.chars().all(is_plain) && (1..=128).contains(&text.len());
    match fits && !text.ends_with("-key") {
        true => Ok(text.to_owned()),
        false => Err(
            "expected letters, digits, dots, hyphens and underscores, and not -key at the end"
                .to_owned(),
        ),
    }
}
