//! Options that every client command takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use flotilla_client::{
    Admin, Client, ClientConfig, ClientError, ClientTls, ClientTlsFiles, Credentials, KeyFiles,
};
use flotilla_types::{ErrorChain, Timestamp};

use crate::failure::Failure;
use crate::output::OutputFormat;
use crate::values;

#[derive(Args, Clone, Debug)]
pub struct GlobalOptions {
    /// Nodes to ask first; one that answers is enough
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "HOST:PORT,..",
        value_delimiter = ',',
        env = "FLOTILLA_BOOTSTRAP",
        default_value = "127.0.0.1:7400"
    )]
    pub bootstrap: Vec<String>,
    /// File with a token or a key that is shown to the nodes
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "FILE",
        env = "FLOTILLA_TOKEN_FILE"
    )]
    pub token_file: Option<PathBuf>,
    /// The token or key itself, only from the environment: a command line is seen by others
    #[arg(
        long,
        global = true,
        hide = true,
        env = "FLOTILLA_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// Encrypt the connections. Without --ca-file, the authorities that this machine believes count
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        env = "FLOTILLA_TLS",
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub tls: bool,
    /// File with the authorities that the nodes have their certificates from; implies --tls
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "FILE",
        env = "FLOTILLA_CA_FILE"
    )]
    pub ca_file: Option<PathBuf>,
    /// File with a certificate that is shown to the nodes; implies --tls
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "FILE",
        env = "FLOTILLA_CERTIFICATE_FILE"
    )]
    pub certificate_file: Option<PathBuf>,
    /// File with the private key of --certificate-file
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "FILE",
        env = "FLOTILLA_KEY_FILE"
    )]
    pub key_file: Option<PathBuf>,
    /// How results and errors are printed
    #[arg(
        short,
        long,
        global = true,
        help_heading = "Global options",
        value_enum,
        default_value_t
    )]
    pub output: OutputFormat,
    /// Longest time for connecting and for one look-up or administrative call
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "TIME",
        value_parser = values::parse_duration,
        default_value = "10s"
    )]
    pub timeout: Duration,
    /// Never ask for missing arguments or for a confirmation, not even on a terminal
    #[arg(long, global = true, help_heading = "Global options")]
    pub no_input: bool,
}

impl GlobalOptions {
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        let doing = format!("connect to {}", self.bootstrap.join(","));
        let mut config = self.client_config()?;
        config.credentials = self.credentials()?;
        Client::connect(config)
            .await
            .map_err(Failure::cluster(doing))
    }

    pub(crate) async fn admin(&self) -> Result<Admin, Failure> {
        Ok(self.connect().await?.admin())
    }

    /// Shows nothing, as somebody whose token is in question.
    pub(crate) fn admin_as_nobody(&self) -> Result<Admin, Failure> {
        let client = Client::unconnected(self.client_config()?);
        let client = client.map_err(Failure::cluster("connect"))?;
        Ok(client.admin())
    }

    /// What is shown to the nodes, if anything is.
    pub(crate) fn token(&self) -> Result<Option<String>, Failure> {
        match &self.token_file {
            None => Ok(self.token.clone()),
            Some(file) => match std::fs::read_to_string(file) {
                Ok(token) => Ok(Some(token)),
                Err(error) => {
                    let message = format!("cannot read {}: {error}", file.display());
                    Err(Failure::usage(message))
                }
            },
        }
    }

    fn credentials(&self) -> Result<Option<Credentials>, Failure> {
        let token = self.token()?;
        let credentials = token.map(|token| Credentials::bearer(&token));
        let refuse = |error: ClientError| Failure::usage(error.to_string());
        credentials.transpose().map_err(refuse)
    }

    /// This moment by the same clock that stamps records.
    pub(crate) fn now(&self) -> Timestamp {
        (ClientConfig::new(self.bootstrap.iter().cloned()).clock)()
    }

    /// The variables that these options can be given by.
    pub fn variables() -> Vec<String> {
        let options = Self::augment_args(clap::Command::new("flotilla"));
        let variables = options.get_arguments().filter_map(clap::Arg::get_env);
        variables
            .filter_map(|name| name.to_str().map(str::to_owned))
            .collect()
    }

    fn client_config(&self) -> Result<ClientConfig, Failure> {
        Ok(ClientConfig {
            deadline: self.timeout,
            tls: self.client_tls()?,
            ..ClientConfig::new(self.bootstrap.iter().cloned())
        })
    }

    fn client_tls(&self) -> Result<Option<ClientTls>, Failure> {
        let own = match (&self.certificate_file, &self.key_file) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(KeyFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            (Some(_), None) => return Err(Failure::usage("--certificate-file needs --key-file")),
            (None, Some(_)) => return Err(Failure::usage("--key-file needs --certificate-file")),
        };
        if !self.tls && self.ca_file.is_none() && own.is_none() {
            return Ok(None);
        }
        let files = ClientTlsFiles {
            authorities: self.ca_file.clone(),
            own,
        };
        let loaded = ClientTls::load(&files);
        loaded
            .map(Some)
            .map_err(|error| Failure::usage(ErrorChain(&error).to_string()))
    }
}
