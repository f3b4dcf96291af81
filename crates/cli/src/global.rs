//! Options that every client command takes.

use std::time::Duration;

use clap::Args;
use flotilla_client::{Admin, Client, ClientConfig};
use flotilla_types::Timestamp;

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
        Client::connect(self.client_config())
            .await
            .map_err(Failure::cluster(doing))
    }

    pub(crate) async fn admin(&self) -> Result<Admin, Failure> {
        Ok(self.connect().await?.admin())
    }

    /// This moment by the same clock that stamps records.
    pub(crate) fn now(&self) -> Timestamp {
        (self.client_config().clock)()
    }

    fn client_config(&self) -> ClientConfig {
        ClientConfig {
            deadline: self.timeout,
            ..ClientConfig::new(self.bootstrap.iter().cloned())
        }
    }
}
