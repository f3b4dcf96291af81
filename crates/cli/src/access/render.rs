//! Access rules, keys and reasons as text and as JSON.

use chrono::{DateTime, SecondsFormat};
use flotilla_client::{
    AccessAnswer, AccessQuestion, ChangedRules, KeySummary, Timestamp, TokenExplanation,
};
use serde_json::json;

use crate::Output;
use crate::failure::Failure;
use crate::output::{OutputFormat, Table, or_dash};

pub(super) fn rules(
    rules: &[String],
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => {
            let mut table = Table::new(["PRINCIPAL", "ACTION", "RESOURCE"]);
            for rule in rules {
                let mut words = rule.splitn(3, ' ').map(str::to_owned);
                table.row([(); 3].map(|()| words.next().unwrap_or_default()));
            }
            output.line(table)
        }
        OutputFormat::Json => output.json(&json!({ "rules": rules })),
    }
}

pub(super) fn changed(
    changed: ChangedRules,
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    let ChangedRules { granted, revoked } = changed;
    match format {
        OutputFormat::Table if granted + revoked == 0 => output.line("nothing to change"),
        OutputFormat::Table => output.line(format!("{granted} granted, {revoked} revoked")),
        OutputFormat::Json => output.json(&json!({ "granted": granted, "revoked": revoked })),
    }
}

pub(super) fn answer(
    question: &AccessQuestion,
    answer: &AccessAnswer,
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => {
            let may = if answer.allowed { "may" } else { "may not" };
            output.line(format!(
                "{} {may} {} {}: {}",
                answer.principal,
                question.action,
                question.resource,
                answer.rule.as_ref().unwrap_or(&answer.reason)
            ))
        }
        OutputFormat::Json => output.json(&json!({
            "principal": answer.principal,
            "action": question.action,
            "resource": question.resource,
            "allowed": answer.allowed,
            "rule": answer.rule,
            "reason": answer.reason,
        })),
    }
}

pub(super) fn explanation(
    explained: &TokenExplanation,
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => {
            let mut table = Table::new(["CHECK", "", "SEEN"]);
            for finding in &explained.findings {
                let outcome = if finding.passed { "passed" } else { "FAILED" };
                table.row([
                    finding.check.clone(),
                    outcome.to_owned(),
                    finding.seen.clone(),
                ]);
            }
            output.line(table)?;
            match &explained.principal {
                Some(principal) => output.line(format!("it is {principal}")),
                None => output.line("nobody is known by it"),
            }
        }
        OutputFormat::Json => {
            let findings = explained.findings.iter().map(|finding| {
                json!({ "check": finding.check, "passed": finding.passed, "seen": finding.seen })
            });
            output.json(&json!({
                "principal": explained.principal,
                "scopes": explained.scopes,
                "claims": explained.claims,
                "findings": findings.collect::<Vec<_>>(),
            }))
        }
    }
}

/// The key alone on stdout, so that it can go straight into a file.
pub(super) fn key(
    name: &str,
    key: &str,
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => output.line(key),
        OutputFormat::Json => output.json(&json!({ "name": name, "key": key })),
    }
}

pub(super) fn keys(
    keys: &[KeySummary],
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => {
            let mut table = Table::new(["KEY", "ID", "CREATED"]);
            for key in keys {
                table.row([
                    key.name.clone(),
                    key.id.clone(),
                    or_dash(time_text(key.created_at)),
                ]);
            }
            output.line(table)
        }
        OutputFormat::Json => {
            let keys = keys.iter().map(|key| {
                let created_at_ms = key.created_at.as_millis();
                json!({ "name": key.name, "id": key.id, "created_at_ms": created_at_ms })
            });
            output.json(&json!({ "keys": keys.collect::<Vec<_>>() }))
        }
    }
}

fn time_text(time: Timestamp) -> Option<String> {
    let time = DateTime::from_timestamp_millis(time.as_millis())?;
    Some(time.to_rfc3339_opts(SecondsFormat::Secs, true))
}
