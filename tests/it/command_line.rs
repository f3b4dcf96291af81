//! The commands, as a shell script meets them: stdin, stdout, stderr and exit codes.

use std::time::Duration;

use flotilla_client::{JobConfig, JobName};
use flotilla_tests::cluster::{Cluster, CommandOutcome, flotilla, next_port};
use flotilla_tests::condition::until;
use flotilla_tests::phase::phase;
use serde_json::{Value, json};

const INPUT: &str = "ann:1\nbob:2\nann:3\n";
const WELL_LIMIT: Duration = Duration::from_secs(20);

/// A shell that talks to one cluster.
struct Shell {
    bootstrap: String,
}

impl Shell {
    /// Runs a line of words.
    async fn run(&self, line: &str, input: &str) -> CommandOutcome {
        let mut arguments: Vec<_> = line.split(' ').collect();
        arguments.push(&self.bootstrap);
        flotilla(&arguments, input).await
    }

    /// The stdout of a line that has to work.
    async fn output(&self, line: &str, input: &str) -> String {
        let CommandOutcome {
            code,
            stdout,
            stderr,
        } = self.run(line, input).await;
        assert_eq!(code, Some(0), "{line}: {stderr}");
        stdout
    }

    async fn json(&self, line: &str, input: &str) -> Value {
        let stdout = self.output(&format!("{line} -o json"), input).await;
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{line}: {error}: {stdout}"))
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// Goal: what goes in by `produce` comes out by `consume`, as text and as JSON, and `topic` and
/// `cluster` show what there is.
#[tokio::test(flavor = "multi_thread")]
async fn records_go_in_and_come_out_of_a_shell() {
    let cluster = Cluster::start(3).await;
    let shell = Shell {
        bootstrap: cluster.bootstrap_argument(),
    };

    phase("topic");
    let create =
        "topic create orders --partitions 3 --replication-factor 3 --config retention_ms=-1";
    let created = shell.json(create, "").await;
    assert_eq!(created["topics"][0]["config"]["retention_ms"], "-1");
    let listed = shell.json("topic list", "").await;
    assert_eq!(listed["topics"][0]["name"], "orders");
    assert_eq!(listed["topics"][0]["partitions"], 3);
    let altered = shell
        .json("topic alter orders --reset retention_ms --partitions 4", "")
        .await;
    assert_eq!(
        altered["topics"][0]["partitions"].as_array().unwrap().len(),
        4
    );
    let described = shell.json("topic describe orders", "").await;
    assert_eq!(
        described["topics"][0]["config"]["retention_ms"],
        "604800000"
    );

    phase("produce and consume");
    let summary = shell.json("produce orders --key-separator :", INPUT).await;
    assert_eq!(summary["records"], 3);
    let text = shell.output("consume orders --format %k:%v\\n", "").await;
    assert_eq!(sorted(&text), ["ann:1", "ann:3", "bob:2"]);
    assert!(
        text.find("ann:1") < text.find("ann:3"),
        "a key keeps its order: {text}"
    );
    let values = shell.output("consume orders", "").await;
    assert_eq!(sorted(&values), ["1", "2", "3"]);

    phase("copy by JSON lines");
    let lines = shell.output("consume orders -o json", "").await;
    assert_eq!(lines.lines().count(), 3);
    for line in lines.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["topic"], "orders");
        assert!(
            record["offset"].is_u64() && record["timestamp"].is_i64(),
            "{line}"
        );
    }
    shell.output("topic create copy --partitions 4", "").await;
    let summary = shell.json("produce copy --format jsonl", &lines).await;
    assert_eq!(summary["records"], 3);
    let copied = shell.output("consume copy --format %k:%v\\n", "").await;
    assert_eq!(sorted(&copied), ["ann:1", "ann:3", "bob:2"]);

    phase("cluster");
    // The youngest topic's replicas may still be coming.
    let status = until("the cluster is well", WELL_LIMIT, async || {
        let status = shell.json("cluster status", "").await;
        (status["is_well"] == true).then_some(status)
    })
    .await;
    assert_eq!(status["nodes"].as_array().unwrap().len(), 3);
    let follower = match described["topics"][0]["partitions"][0]["leader"].as_u64() {
        Some(1) => 2,
        _ => 1,
    };
    let transfer = format!("cluster transfer-leader orders 0 --to {follower}");
    shell.output(&transfer, "").await;

    phase("bench");
    shell.output("topic create load --partitions 2", "").await;
    let produced = shell
        .json(
            "bench produce --topic load --records 2000 --record-size 100 --window 100 --clients 2",
            "",
        )
        .await;
    assert!(produced["records_per_second"].as_f64().unwrap() > 0.0);
    for percentile in ["p50", "p99", "p999", "max"] {
        assert!(produced["latency_ms"][percentile].is_number(), "{produced}");
    }
    let consumed = shell.json(
        "bench consume --topic load --records 2000 --record-size 100 --clients 2",
        "",
    );
    assert_eq!(consumed.await["records"], 2000);

    phase("delete");
    let deleted = shell.json("topic delete copy", "").await;
    assert_eq!(deleted, json!({ "deleted": "copy" }));
    assert_eq!(shell.run("topic describe copy", "").await.code, Some(4));
}

/// Goal: each failure has its exit code, a message and, as JSON, its code on stderr; stdout stays
/// empty.
#[tokio::test(flavor = "multi_thread")]
async fn failures_have_exit_codes() {
    let cluster = Cluster::start(1).await;
    let shell = Shell {
        bootstrap: cluster.bootstrap_argument(),
    };
    let nobody = Shell {
        bootstrap: format!("--bootstrap=127.0.0.1:{}", next_port()),
    };
    shell.output("topic create orders", "").await;
    for (shell, line, code, error_code) in [
        (&shell, "topic create orders", 5, "TOPIC_EXISTS"),
        (
            &shell,
            "topic create more --replication-factor 3",
            3,
            "NOT_ENOUGH_NODES",
        ),
        (
            &shell,
            "topic create none --partitions 0",
            2,
            "INVALID_ARGUMENT",
        ),
        (
            &shell,
            "topic create odd --config colour=red",
            2,
            "CONFIG_INVALID",
        ),
        (&shell, "topic describe missing", 4, "UNKNOWN_TOPIC"),
        (&shell, "topic delete missing", 4, "UNKNOWN_TOPIC"),
        (&shell, "produce missing", 4, "UNKNOWN_TOPIC"),
        (&shell, "consume missing", 4, "UNKNOWN_TOPIC"),
        (
            &shell,
            "consume orders --partition 7",
            4,
            "UNKNOWN_PARTITION",
        ),
        (&shell, "consume orders --from 5", 1, "OFFSET_OUT_OF_RANGE"),
        (
            &shell,
            "cluster transfer-leader orders 0 --to 9",
            4,
            "UNKNOWN_NODE",
        ),
        (&nobody, "topic list --timeout 300ms", 3, "TIMEOUT"),
    ] {
        let CommandOutcome {
            code: actual,
            stdout,
            stderr,
        } = shell.run(&format!("{line} -o json"), "").await;
        assert_eq!(actual, Some(code), "{line}: {stderr}");
        assert_eq!(stdout, "", "{line}");
        let told: Value = serde_json::from_str(stderr.lines().last().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{line}: {error}: {stderr}"));
        assert_eq!(told["error"]["code"], error_code, "{line}: {stderr}");
        let plain = shell.run(line, "").await;
        assert!(
            plain.stderr.starts_with("error: "),
            "{line}: {}",
            plain.stderr
        );
        assert!(
            plain.stderr.contains(error_code),
            "{line}: {}",
            plain.stderr
        );
    }
    let usage = shell.run("topic create ../x", "").await;
    assert_eq!((usage.code, usage.stdout.as_str()), (Some(2), ""));
}

/// Goal: one malformed line stops a producer with the number of the line, and what came before it is
/// stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_line_is_named() {
    let cluster = Cluster::start(1).await;
    let shell = Shell {
        bootstrap: cluster.bootstrap_argument(),
    };
    shell.output("topic create orders", "").await;
    let lines = "{\"value\": \"good\"}\n{\"value\": \nnonsense\n";
    let stopped = shell.run("produce orders --format jsonl", lines).await;
    assert_eq!(stopped.code, Some(6), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("line 2"), "{}", stopped.stderr);
    assert_eq!(shell.output("consume orders", "").await, "good\n");
}

/// Goal: what one run of a member has consumed the next one does not see again, and `group` shows,
/// resets and deletes what is remembered.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_remembers_between_runs() {
    let cluster = Cluster::start(1).await;
    let shell = Shell {
        bootstrap: cluster.bootstrap_argument(),
    };
    shell.output("topic create orders --partitions 2", "").await;
    shell
        .output("produce orders --key-separator :", INPUT)
        .await;

    phase("consume as a member");
    let consume = "consume orders --group billing --format %k:%v\\n --count";
    let first = shell.output(&format!("{consume} 3"), "").await;
    assert_eq!(sorted(&first), sorted(INPUT));
    shell
        .output("produce orders --key-separator :", "cid:4\n")
        .await;
    assert_eq!(shell.output(&format!("{consume} 1"), "").await, "cid:4\n");

    phase("look");
    let listed = shell.json("group list", "").await;
    assert_eq!(listed["groups"][0]["group"], "billing");
    let described = shell.json("group describe billing", "").await;
    let lag = |described: &Value| {
        let partitions = described["partitions"].as_array().unwrap().iter();
        partitions
            .map(|one| one["lag_records"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(described["members"], json!([]), "it has left");
    assert_eq!(lag(&described), 0);

    phase("reset");
    let reset = "group reset billing --topic orders --to earliest";
    shell.output(&format!("{reset} --dry-run"), "").await;
    assert_eq!(lag(&shell.json("group describe billing", "").await), 0);
    let refused = shell.run(reset, "").await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    shell.output(&format!("{reset} --yes"), "").await;
    assert_eq!(lag(&shell.json("group describe billing", "").await), 4);
    let again = shell.output(&format!("{consume} 4"), "").await;
    assert_eq!(sorted(&again), ["ann:1", "ann:3", "bob:2", "cid:4"]);

    phase("delete");
    shell.output("group delete billing", "").await;
    let gone = shell.run("group describe billing", "").await;
    assert_eq!(gone.code, Some(4), "{}", gone.stderr);
    assert!(gone.stderr.contains("UNKNOWN_GROUP"), "{}", gone.stderr);
}

/// Goal: `job list` shows who owns what.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_in_a_shell() {
    let cluster = Cluster::start(1).await;
    let shell = Shell {
        bootstrap: cluster.bootstrap_argument(),
    };
    assert_eq!(shell.json("job list", "").await, json!({ "jobs": [] }));
    let config = JobConfig {
        client_name: "exporter".to_owned(),
        ..JobConfig::new(JobName::parse("export").unwrap())
    };
    let client = cluster.client().await;
    let ownership = client.jobs().acquire(config).await.unwrap();
    let listed = shell.json("job list", "").await;
    assert_eq!(listed["jobs"][0]["job"], "export");
    assert_eq!(listed["jobs"][0]["token"], ownership.token().get());
    assert_eq!(listed["jobs"][0]["owner"]["client_name"], "exporter");
    let table = shell.output("job list", "").await;
    assert!(table.contains("exporter ("), "{table}");
    ownership.release().await.unwrap();
    let listed = shell.json("job list", "").await;
    assert_eq!(listed["jobs"][0]["owner"], Value::Null);
}
