//! Log lines on stderr, for people or as JSON.

use std::io;
use std::panic;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;

use crate::config::{LogConfig, LogFormat};

/// What libraries say by default. openraft warns of every heartbeat that a lost peer does not answer,
/// in every group, and calls it an error when a group stops; what matters of it, our crates say once.
const QUIET: &str = "openraft=off";

/// Sends log lines to stderr from here on. Only the first call of a process has an effect.
pub(crate) fn start_logs(config: &LogConfig) {
    let filter = filter(&config.level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        // Whoever reads stderr may go away; that must not take the node down.
        .log_internal_errors(false);
    let lines = match config.format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
}

/// Whether a text can be the filter: a level, or directives like `info,flotilla_raft=debug`.
pub(crate) fn is_log_filter(text: &str) -> bool {
    text.split(',').all(|directive| {
        let level = directive
            .rsplit_once('=')
            .map_or(directive, |(_, level)| level);
        // The parser takes nothing at all for a level.
        !level.is_empty()
            && level.parse::<LevelFilter>().is_ok()
            && directive.parse::<Targets>().is_ok()
    })
}

fn filter(level: &str) -> Targets {
    let directives = format!("{QUIET},{level}");
    directives
        .parse()
        .expect("invariant: the level was checked with the settings")
}

/// A panic is a defect; it must be in the log, wherever that goes.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = panic.location().map(ToString::to_string);
    tracing::error!(
        reason = text.unwrap_or("unknown"),
        place = place.as_deref(),
        thread = std::thread::current().name(),
        "a part of the node panicked"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_filters_and_misspelt_ones_are_not() {
        for filter in [
            "info",
            "WARN",
            "off",
            "info,flotilla_raft=debug",
            "flotilla_broker=trace",
        ] {
            assert!(is_log_filter(filter), "{filter}");
        }
        for text in [
            "inof",
            "info,",
            "flotilla_raft",
            "flotilla_raft=loud",
            "",
            "info debug",
        ] {
            assert!(!is_log_filter(text), "{text:?}");
        }
    }

    #[test]
    fn libraries_are_quiet_unless_they_are_asked_for() {
        use tracing::Level;
        assert!(!filter("debug").would_enable("openraft::core", &Level::ERROR));
        assert!(filter("debug").would_enable("flotilla_raft::node", &Level::DEBUG));
        assert!(filter("info,openraft=debug").would_enable("openraft::core", &Level::DEBUG));
    }
}
