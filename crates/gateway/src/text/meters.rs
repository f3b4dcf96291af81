//! What is counted, for `GET /metrics`. A recorder must be installed before the port opens.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use super::answer::Answer;
use super::command::Verb;

const CONNECTIONS: &str = "flotilla_text_connections";
const CONNECTIONS_REFUSED: &str = "flotilla_text_connections_refused_total";
const COMMANDS: &str = "flotilla_text_commands_total";

pub(super) struct Meters {
    pub(super) connections: Gauge,
    pub(super) connections_refused: Counter,
}

impl Meters {
    pub(super) fn new() -> Self {
        describe_gauge!(CONNECTIONS, "Connections of the text protocol");
        describe_counter!(
            CONNECTIONS_REFUSED,
            "Connections of the text protocol that were one too many"
        );
        describe_counter!(
            COMMANDS,
            "Commands of the text protocol that were answered, by verb, and ok or the code of the error"
        );
        Self {
            connections: gauge!(CONNECTIONS),
            connections_refused: counter!(CONNECTIONS_REFUSED),
        }
    }
}

/// An answer was given to a command, or to what was none.
pub(super) fn count(verb: Option<Verb>, answer: &Answer) {
    let verb = verb.map_or("none", Verb::as_str);
    counter!(COMMANDS, "verb" => verb, "outcome" => answer.outcome()).increment(1);
}
