//! `flotilla server`: from arguments to an exit code.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use flotilla_cli::OutputFormat;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::args::ServerArgs;
use crate::config::{self, ConfigError, Loaded, ServerConfig, Sources};
use crate::exit::ServerExit;
use crate::node::{self, NodeError, StopOrders};
use crate::telemetry::{MetricsRecorder, start_logs};

/// How long threads that are busy get to end after everything else has.
const RUNTIME_LIMIT: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &ServerArgs, format: OutputFormat) -> ServerExit {
    let loaded = match sources(args).and_then(|sources| config::load(&sources)) {
        Ok(loaded) => loaded,
        Err(error) => return complain(error, format),
    };
    if args.print_config {
        return print(&match format {
            OutputFormat::Table => config::to_toml(&loaded.config),
            OutputFormat::Json => line(&config::to_json(&loaded.config)),
        });
    }
    if args.check_config {
        return print(&checked(&loaded.warnings, format));
    }
    start_logs(&loaded.config.log);
    introduce(&loaded);
    let ended = start(&loaded.config, args.supervised);
    match ended {
        Ok(()) => ServerExit::Stopped,
        Err(error) => {
            tracing::error!(reason = format!("{error:#}"), "the node stops");
            match error.downcast_ref::<NodeError>() {
                Some(NodeError::Failed { .. }) => ServerExit::Failed,
                _ => ServerExit::CannotStart,
            }
        }
    }
}

fn start(config: &ServerConfig, supervised: bool) -> anyhow::Result<()> {
    let recorder = MetricsRecorder::install()?;
    let runtime = build_runtime(config)?;
    let ended = runtime.block_on(async {
        let orders = StopOrders::listen(supervised)?;
        Box::pin(node::run(config, recorder, orders)).await?;
        anyhow::Ok(())
    });
    runtime.shutdown_timeout(RUNTIME_LIMIT);
    ended
}

fn build_runtime(config: &ServerConfig) -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(config.runtime.worker_threads)
        .max_blocking_threads(config.runtime.blocking_threads_max)
        .thread_name("flotilla")
        .enable_all()
        .build()
}

fn sources(args: &ServerArgs) -> Result<Sources, ConfigError> {
    let mut flags = Vec::new();
    for pair in &args.set {
        let (key, value) = pair.split_once('=').ok_or_else(|| ConfigError::SetSyntax {
            found: pair.clone(),
        })?;
        flags.push((key.trim().to_owned(), value.trim().to_owned(), "set"));
    }
    for (key, value, flag) in args.settings() {
        flags.push((key.to_owned(), value.to_owned(), flag));
    }
    Ok(Sources {
        file: args.config.clone(),
        working_directory: PathBuf::new(),
        // A name or value that is not Unicode is not one of ours.
        environment: env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        flags,
    })
}

/// The first lines of the log: what starts, with which settings.
fn introduce(loaded: &Loaded) {
    let config = &loaded.config;
    for file in &loaded.files {
        tracing::info!(file = %file.display(), "read settings");
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = %config.node,
        cluster = config.cluster.name,
        cluster_id = %config.cluster.id,
        nodes = config.cluster.nodes.len(),
        data_dir = %config.storage.data_dir.display(),
        "starting"
    );
    if config.listen.client.is_loopback() {
        tracing::info!(
            "only this machine can connect; --listen-host 0.0.0.0 with --advertise-client HOST \
             opens the node to others"
        );
    }
}

/// What is said of settings that are fine.
fn checked(warnings: &[String], format: OutputFormat) -> String {
    match format {
        OutputFormat::Table => {
            for warning in warnings {
                note(&format!("warning: {warning}"));
            }
            "the settings are fine\n".to_owned()
        }
        OutputFormat::Json => line(&json!({ "valid": true, "warnings": warnings })),
    }
}

fn complain(error: ConfigError, format: OutputFormat) -> ServerExit {
    let message = format!("{:#}", anyhow::Error::new(error));
    match format {
        OutputFormat::Table => note(&format!("error: {message}")),
        OutputFormat::Json => {
            let error = json!({ "code": "CONFIG_INVALID", "message": message });
            note(&json!({ "error": error }).to_string());
        }
    }
    ServerExit::Settings
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn print(text: &str) -> ServerExit {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => ServerExit::Stopped,
        Err(error) => {
            note(&format!("error: cannot write to stdout: {error}"));
            ServerExit::CannotStart
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "there is no log before the settings are known"
)]
fn note(text: &str) {
    eprintln!("{text}");
}
