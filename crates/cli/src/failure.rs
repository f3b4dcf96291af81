//! Why a command ended without doing all of its work, and how that is told.

use std::io;

use flotilla_client::ClientError;
use flotilla_types::{ErrorChain, ErrorCode};
use serde::Serialize;

use crate::Exit;
use crate::hint;
use crate::output::{Output, OutputFormat};
use crate::records::InputFault;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The cluster refused or could not be asked.
    #[error("cannot {doing}")]
    Cluster {
        /// In the infinitive: `create topic orders`.
        doing: String,
        #[source]
        source: Box<ClientError>,
        /// What to do next, where more is known than the code says.
        hint: Option<&'static str>,
    },
    /// Arguments that clap lets pass do not go together.
    #[error("{message}")]
    Usage { message: String },
    /// Understood, but not there in this version.
    #[error("{what} are not served yet by this version")]
    NotServed {
        what: &'static str,
        hint: &'static str,
    },
    /// A file that was read makes no sense.
    #[error("{message}")]
    File { message: String },
    /// A file that would be overwritten.
    #[error("{name} exists")]
    Exists { name: String },
    /// A file that cannot be written.
    #[error("cannot write {name}")]
    Save {
        name: String,
        #[source]
        source: io::Error,
    },
    /// A line of the input is no record.
    #[error("line {line} of the input")]
    Input {
        line: u64,
        #[source]
        source: InputFault,
    },
    #[error("cannot read {name}")]
    Read {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the output")]
    Write(#[source] io::Error),
    /// The work was done, but what came out is not what must come out.
    #[error("{message}")]
    Check { message: String },
    #[error("interrupted")]
    Interrupted,
}

/// An error in JSON mode.
#[derive(Serialize)]
struct ErrorJson {
    code: &'static str,
    message: String,
    definite: bool,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

impl Failure {
    /// For `map_err`: says what was being done.
    pub(crate) fn cluster(doing: impl Into<String>) -> impl FnOnce(ClientError) -> Self {
        let doing = doing.into();
        move |source| Self::Cluster {
            doing,
            source: Box::new(source),
            hint: None,
        }
    }

    /// As [`Self::cluster`], with what to do after an error with this code.
    pub(crate) fn cluster_with_hint(
        doing: impl Into<String>,
        code: ErrorCode,
        hint: &'static str,
    ) -> impl FnOnce(ClientError) -> Self {
        let doing = doing.into();
        move |source| Self::Cluster {
            hint: (source.code() == code).then_some(hint),
            doing,
            source: Box::new(source),
        }
    }

    pub(crate) fn file(message: impl Into<String>) -> Self {
        Self::File {
            message: message.into(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Cluster { source, .. } => Exit::of(source.code()),
            Self::Usage { .. } | Self::NotServed { .. } | Self::File { .. } => Exit::Usage,
            Self::Exists { .. } => Exit::Conflict,
            Self::Input { .. }
            | Self::Read { .. }
            | Self::Save { .. }
            | Self::Write(_)
            | Self::Check { .. } => Exit::Failed,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// The reader of stdout has gone away, as `head` does: no reason to complain.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Tells the user, on stderr.
    pub(crate) fn report(&self, output: &mut Output, format: OutputFormat) {
        match format {
            OutputFormat::Table => {
                output.note(format_args!("error: {} [{}]", self.message(), self.code()));
                if let Some(hint) = self.hint() {
                    output.note(format_args!("hint: {hint}"));
                }
            }
            OutputFormat::Json => {
                let error = ErrorJson {
                    code: self.code(),
                    message: self.message(),
                    definite: self.is_definite(),
                    retryable: self.is_retryable(),
                    hint: self.hint(),
                };
                output.note_json(&serde_json::json!({ "error": error }));
            }
        }
    }

    /// This error and what caused it, in one line.
    pub(crate) fn message(&self) -> String {
        ErrorChain(self).to_string()
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Cluster { source, .. } => source.code().as_str(),
            Self::Usage { .. } => "USAGE",
            Self::Input { .. } => "INPUT_MALFORMED",
            Self::NotServed { .. } => "NOT_SERVED",
            Self::File { .. } => "FILE_INVALID",
            Self::Exists { .. } => "FILE_EXISTS",
            Self::Read { .. } | Self::Save { .. } | Self::Write(_) => "IO",
            Self::Check { .. } => "CHECK_FAILED",
            Self::Interrupted => "INTERRUPTED",
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Cluster { source, hint, .. } => hint
                .or_else(|| hint::about_encryption(&self.message()))
                .or_else(|| hint::of(source.code())),
            Self::Usage { .. } => Some("--help shows the arguments"),
            Self::NotServed { hint, .. } => Some(hint),
            Self::Exists { .. } => Some("--force overwrites it"),
            Self::Input { .. } => Some("--on-error skip goes on with the next line"),
            Self::File { .. }
            | Self::Read { .. }
            | Self::Save { .. }
            | Self::Write(_)
            | Self::Check { .. }
            | Self::Interrupted => None,
        }
    }

    fn is_definite(&self) -> bool {
        match self {
            Self::Cluster { source, .. } => source.is_definite(),
            Self::Usage { .. }
            | Self::NotServed { .. }
            | Self::File { .. }
            | Self::Exists { .. }
            | Self::Input { .. }
            | Self::Read { .. } => true,
            Self::Save { .. } | Self::Write(_) | Self::Check { .. } | Self::Interrupted => false,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Cluster { source, .. } => source.is_retryable(),
            Self::Usage { .. }
            | Self::NotServed { .. }
            | Self::File { .. }
            | Self::Exists { .. }
            | Self::Input { .. }
            | Self::Read { .. }
            | Self::Save { .. }
            | Self::Write(_)
            | Self::Check { .. } => false,
            Self::Interrupted => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use flotilla_client::ApiError;

    use super::*;
    use crate::output::Captured;

    fn refused() -> Failure {
        let source = ApiError::new(ErrorCode::TopicExists, "there is a topic orders");
        Failure::cluster("create topic orders")(source.into())
    }

    #[test]
    fn people_get_the_message_the_code_and_a_hint() {
        let (mut output, captured) = Captured::new();
        refused().report(&mut output, OutputFormat::Table);
        assert_eq!(
            captured.notes(),
            "error: cannot create topic orders: there is a topic orders [TOPIC_EXISTS]\n\
             hint: --if-not-exists accepts a topic that exists\n"
        );
        assert_eq!(captured.data(), "");
        assert_eq!(refused().exit(), Exit::Conflict);
    }

    #[test]
    fn programs_get_an_object_on_stderr() {
        let (mut output, captured) = Captured::new();
        refused().report(&mut output, OutputFormat::Json);
        let told: serde_json::Value = serde_json::from_str(&captured.notes()).unwrap();
        assert_eq!(told["error"]["code"], "TOPIC_EXISTS");
        assert_eq!(told["error"]["definite"], true);
        assert_eq!(told["error"]["retryable"], false);
        assert_eq!(captured.data(), "");
    }

    #[test]
    fn a_broken_pipe_is_told_from_other_write_errors() {
        assert!(Failure::Write(io::ErrorKind::BrokenPipe.into()).is_broken_pipe());
        assert!(!Failure::Write(io::ErrorKind::StorageFull.into()).is_broken_pipe());
    }
}
