//! Questions to the user about arguments that are missing.
//!
//! They are asked only where somebody sees them and can answer: stdin and stderr are terminals, and
//! `--no-input` was not given. Elsewhere a missing argument is an error, so that no script ever hangs.
//! Questions go to stderr, as everything does that is not data.

mod ask;

use std::fmt::Display;

pub(crate) use ask::Ask;
#[cfg(test)]
pub(crate) use ask::Scripted;
pub(crate) use ask::Terminal;

use crate::Output;
use crate::failure::Failure;

/// An answer that makes no sense is asked for again, until this many were given.
const ANSWERS_MAX: usize = 3;

/// Asks, if there is somebody to be asked.
pub(crate) struct Prompt<'a> {
    user: Option<&'a mut (dyn Ask + 'static)>,
    output: &'a mut Output,
    usage: &'static str,
}

impl<'a> Prompt<'a> {
    pub(crate) fn new(user: Option<&'a mut (dyn Ask + 'static)>, output: &'a mut Output) -> Self {
        Self {
            user,
            output,
            usage: "",
        }
    }

    /// How the command is written, for those who cannot be asked.
    pub(crate) fn with_usage(self, usage: &'static str) -> Self {
        Self { usage, ..self }
    }

    pub(crate) fn has_user(&self) -> bool {
        self.user.is_some()
    }

    /// What was given on the command line, or else what the user answers.
    ///
    /// `argument` is what usage calls it: where nobody can be asked, the failure says that it is missing.
    pub(crate) async fn required<T, E: Display>(
        &mut self,
        given: Option<T>,
        argument: &str,
        question: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, Failure> {
        match given {
            Some(given) => Ok(given),
            None if self.user.is_none() => Err(Failure::usage(format!(
                "the following required argument was not provided: {argument}\n\nUsage: {}",
                self.usage
            ))),
            None => self.ask(question, None, parse).await,
        }
    }

    /// What the user answers; an empty answer means `default`.
    pub(crate) async fn ask<T, E: Display>(
        &mut self,
        question: &str,
        default: Option<&str>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, Failure> {
        for _ in 0..ANSWERS_MAX {
            let answer = self.answer(question, default).await?;
            let answer = match (answer.trim(), default) {
                ("", Some(default)) => default,
                (answer, _) => answer,
            };
            match parse(answer) {
                Ok(value) => return Ok(value),
                Err(error) => self.output.note(error),
            }
        }
        let message = format!("{question}: {ANSWERS_MAX} answers made no sense");
        Err(Failure::usage(message))
    }

    /// Whether the user says yes. An empty answer is a no.
    pub(crate) async fn confirm(&mut self, question: &str) -> Result<bool, Failure> {
        let parse = |answer: &str| match answer.to_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("answer y or n"),
        };
        self.ask(question, Some("n"), parse).await
    }

    async fn answer(&mut self, question: &str, default: Option<&str>) -> Result<String, Failure> {
        let Some(user) = self.user.as_deref_mut() else {
            let message = format!("{question}: nobody can be asked");
            return Err(Failure::usage(message));
        };
        match default {
            Some(default) => self
                .output
                .question(format_args!("{question} [{default}]: ")),
            None => self.output.question(format_args!("{question}: ")),
        }
        let answer = user.answer().await.map_err(|source| Failure::Read {
            name: "the answer".to_owned(),
            source,
        })?;
        match answer {
            Some(answer) => {
                self.output.answered();
                Ok(answer)
            }
            None => Err(Failure::usage(format!("{question}: there was no answer"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;
    use crate::output::Captured;

    fn number(text: &str) -> Result<u32, String> {
        text.parse().map_err(|_| "a number is wanted".to_owned())
    }

    #[tokio::test]
    async fn what_is_given_is_not_asked_for() {
        let (mut output, captured) = Captured::new();
        let mut user = Scripted::new([]);
        let mut prompt = Prompt::new(Some(&mut user), &mut output);
        let given = prompt.required(Some(7), "N", "How many", number).await;
        assert_eq!(given.unwrap(), 7);
        assert_eq!(captured.notes(), "");
    }

    #[tokio::test]
    async fn a_senseless_answer_is_asked_for_again() {
        let (mut output, captured) = Captured::new();
        let mut user = Scripted::new(["x", " 5 "]);
        let mut prompt = Prompt::new(Some(&mut user), &mut output);
        let answer = prompt.required(None, "N", "How many", number).await;
        assert_eq!(answer.unwrap(), 5);
        assert_eq!(captured.notes(), "How many: a number is wanted\nHow many: ");
        assert_eq!(captured.data(), "");
    }

    #[tokio::test]
    async fn three_senseless_answers_are_enough() {
        let (mut output, _) = Captured::new();
        let mut user = Scripted::new(["x", "y", "z", "5"]);
        let mut prompt = Prompt::new(Some(&mut user), &mut output);
        let failed = prompt.required(None, "N", "How many", number).await;
        assert_eq!(failed.unwrap_err().exit(), Exit::Usage);
    }

    #[tokio::test]
    async fn an_empty_answer_is_the_default_and_no_more_answers_are_an_error() {
        let (mut output, captured) = Captured::new();
        let mut user = Scripted::new([""]);
        let mut prompt = Prompt::new(Some(&mut user), &mut output);
        assert_eq!(prompt.ask("How many", Some("1"), number).await.unwrap(), 1);
        let failed = prompt.ask("How many", Some("1"), number).await;
        assert_eq!(failed.unwrap_err().exit(), Exit::Usage);
        assert!(captured.notes().starts_with("How many [1]: "));
    }

    #[tokio::test]
    async fn without_a_user_a_missing_argument_is_named() {
        let (mut output, captured) = Captured::new();
        let mut prompt = Prompt::new(None, &mut output).with_usage("topic create <NAME>");
        let failed = prompt.required(None, "<NAME>", "Name", number).await;
        let failed = failed.unwrap_err();
        assert_eq!(failed.exit(), Exit::Usage);
        let message = failed.message();
        assert!(message.contains("not provided: <NAME>"), "{failed}");
        assert!(message.ends_with("Usage: topic create <NAME>"), "{failed}");
        assert_eq!(captured.notes(), "");
    }

    #[tokio::test]
    async fn only_a_yes_confirms() {
        for (answer, expected) in [("y", true), ("YES", true), ("", false), ("no", false)] {
            let (mut output, _) = Captured::new();
            let mut user = Scripted::new([answer]);
            let mut prompt = Prompt::new(Some(&mut user), &mut output);
            assert_eq!(
                prompt.confirm("Delete").await.unwrap(),
                expected,
                "{answer}"
            );
        }
    }
}
