//! The arguments of `acl`, `auth` and `key`.

use clap::{Args, Subcommand};

#[derive(Clone, Debug, Subcommand)]
pub enum AclCommand {
    /// List the access rules
    List,
    /// Add access rules
    ///
    /// Nothing is allowed unless a rule says so. A principal is `*` (anybody who has proven who it is),
    /// `anonymous`, `token:NAME`, `token:*`, the same with `key` and `certificate`, or `scope:SCOPE`. Actions on
    /// `topic:NAME` are publish, consume, describe, create, alter and delete; on `group:NAME` consume, describe, alter and
    /// delete; on `job:NAME` own and describe; on `cluster` and `access` describe and alter; `all` is all of
    /// them. In a name `*` stands for any characters, `{claim:NAME}` for a claim of the caller's token and
    /// `{name}` for the caller's name.
    #[command(after_help = "Example: flotilla acl grant 'token:*' publish \
                            'topic:integrations.{claim:client_id}.data'")]
    Grant(RuleArgs),
    /// Take access rules away
    Revoke(RuleArgs),
    /// Say whether somebody may do something, and why
    ///
    /// The exit code is 0 if it is allowed and 7 if it is not.
    Test(TestArgs),
}

#[derive(Args, Clone, Debug)]
pub struct RuleArgs {
    /// Who, as in token:weather
    pub principal: String,
    /// What may be done, as in publish; several with commas between
    #[arg(value_delimiter = ',', required = true)]
    pub actions: Vec<String>,
    /// To what, as in topic:orders
    pub resource: String,
}

#[derive(Args, Clone, Debug)]
pub struct TestArgs {
    /// Who, as in token:weather; by default whoever asks
    #[arg(long = "as", value_name = "PRINCIPAL")]
    pub principal: Option<String>,
    /// A scope that its token would have
    #[arg(long = "scope", value_name = "SCOPE", requires = "principal")]
    pub scopes: Vec<String>,
    /// A claim that its token would have
    #[arg(long = "claim", value_name = "NAME=VALUE", requires = "principal",
          value_parser = parse_claim)]
    pub claims: Vec<(String, String)>,
    #[command(flatten)]
    pub what: WhatArgs,
}

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct WhatArgs {
    /// Publish to this topic
    #[arg(long, value_name = "TOPIC")]
    pub publish: Option<String>,
    /// Consume this topic
    #[arg(long, value_name = "TOPIC")]
    pub consume: Option<String>,
    /// Anything else, as in `alter topic:orders`
    #[arg(long = "do", value_name = "ACTION RESOURCE", num_args = 2)]
    pub anything: Option<Vec<String>>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum AuthCommand {
    /// Say which checks a token passes, and who it is
    ///
    /// The token is read from --token-file, FLOTILLA_TOKEN or else stdin, and sent to the node that is
    /// asked, which judges it as if it came with a request. It is never printed.
    Explain,
}

#[derive(Clone, Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key, whose principal is key:NAME, and print it: this is the only time that it is shown
    Create { name: String },
    /// List the keys, without what is secret about them
    List,
    /// Make a key worthless
    Delete { name: String },
    /// Print a key that no cluster knows yet, for auth.bootstrap_key_file
    Generate,
}

fn parse_claim(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
