//! Jobs as a table and as JSON.

use chrono::{DateTime, SecondsFormat};
use flotilla_client::{JobDescription, JobOwner, Timestamp};
use serde::Serialize;

use crate::Output;
use crate::failure::Failure;
use crate::output::{OutputFormat, Table, or_dash};

#[derive(Serialize)]
struct JobJson<'a> {
    job: &'a str,
    token: u64,
    owner: Option<OwnerJson<'a>>,
}

#[derive(Serialize)]
struct OwnerJson<'a> {
    id: &'a str,
    client_name: &'a str,
    session_timeout_ms: u64,
    acquired_at_ms: i64,
}

pub(super) fn jobs(
    jobs: &[JobDescription],
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => {
            let mut table = Table::new(["JOB", "OWNER", "TOKEN", "SINCE"]);
            for job in jobs {
                let owner = job.owner.as_ref();
                table.row([
                    job.job.to_string(),
                    or_dash(owner.map(owner_text)),
                    job.token.to_string(),
                    or_dash(owner.and_then(|owner| time_text(owner.acquired_at))),
                ]);
            }
            output.line(table)
        }
        OutputFormat::Json => {
            let jobs: Vec<_> = jobs.iter().map(job_json).collect();
            output.json(&serde_json::json!({ "jobs": jobs }))
        }
    }
}

/// The program first, for that is what people know.
fn owner_text(owner: &JobOwner) -> String {
    match owner.client_name.is_empty() {
        true => owner.id.to_string(),
        false => format!("{} ({})", owner.client_name, owner.id),
    }
}

fn time_text(time: Timestamp) -> Option<String> {
    let time = DateTime::from_timestamp_millis(time.as_millis())?;
    Some(time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn job_json(job: &JobDescription) -> JobJson<'_> {
    JobJson {
        job: job.job.as_str(),
        token: job.token.get(),
        owner: job.owner.as_ref().map(|owner| OwnerJson {
            id: owner.id.as_str(),
            client_name: &owner.client_name,
            session_timeout_ms: owner.session_timeout.as_millis() as u64,
            acquired_at_ms: owner.acquired_at.as_millis(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flotilla_client::{FencingToken, JobName, MemberId};

    use super::*;
    use crate::output::Captured;

    fn job(name: &str, token: u64, client_name: Option<&str>) -> JobDescription {
        JobDescription {
            job: JobName::parse(name).unwrap(),
            token: FencingToken::new(token),
            owner: client_name.map(|client_name| JobOwner {
                id: MemberId::parse("4f2a").unwrap(),
                client_name: client_name.to_owned(),
                session_timeout: Duration::from_secs(10),
                acquired_at: Timestamp::from_millis(1_714_564_800_500),
            }),
        }
    }

    #[test]
    fn a_list_has_one_line_a_job() {
        let all = [
            job("clean-up", 7, None),
            job("export", 12, Some("exporter")),
            job("import", 3, Some("")),
        ];
        let (mut output, captured) = Captured::new();
        jobs(&all, OutputFormat::Table, &mut output).unwrap();
        assert_eq!(
            captured.data(),
            "JOB       OWNER            TOKEN  SINCE\n\
             clean-up  -                    7  -\n\
             export    exporter (4f2a)     12  2024-05-01T12:00:00Z\n\
             import    4f2a                 3  2024-05-01T12:00:00Z\n"
        );
    }

    #[test]
    fn json_says_that_nobody_owns_a_job_with_null() {
        let all = [job("clean-up", 7, None), job("export", 12, Some("x"))];
        let (mut output, captured) = Captured::new();
        jobs(&all, OutputFormat::Json, &mut output).unwrap();
        let told: serde_json::Value = serde_json::from_str(&captured.data()).unwrap();
        assert_eq!(told["jobs"][0]["owner"], serde_json::Value::Null);
        assert_eq!(told["jobs"][1]["token"], 12);
        assert_eq!(told["jobs"][1]["owner"]["id"], "4f2a");
        assert_eq!(told["jobs"][1]["owner"]["session_timeout_ms"], 10_000);
    }
}
