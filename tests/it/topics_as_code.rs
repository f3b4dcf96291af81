//! Topics and their schemas as files, as a shell script meets them.

use std::path::Path;

use flotilla_tests::cluster::{Cluster, CommandOutcome, flotilla, flotilla_binary};
use flotilla_tests::phase::phase;
use serde_json::{Value, json};
use tempfile::TempDir;

const ORDER: &str = r#"{"type": "object", "properties": {"id": {"type": "string"}}}"#;
const ORDER_WITH_NOTE: &str =
    r#"{"type": "object", "properties": {"id": {"type": "string"}, "note": {}}}"#;
const NUMBERED_ORDER: &str = r#"{"type": "object", "properties": {"id": {"type": "number"}}}"#;
const TOPICS: &str = "\
defaults:
  partitions: 2
topics:
  - name: orders
    retention: 1d
    profile: kbroker
    schema_file: schemas/order.json
  - name: audit
    protected: true
    replication_factor: ${REPLICATION_FACTOR:-1}
";

/// A shell that talks to one cluster, in a directory of its own.
struct Shell {
    bootstrap: String,
    directory: TempDir,
}

impl Shell {
    fn of(cluster: &Cluster) -> Self {
        Self {
            bootstrap: cluster.bootstrap_argument(),
            directory: TempDir::with_prefix("flotilla-files-").unwrap(),
        }
    }

    /// The path of a file.
    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Writes a file and tells its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs a line of words with an input.
    async fn feed(&self, line: &str, input: &str) -> CommandOutcome {
        let mut arguments: Vec<_> = line.split(' ').collect();
        arguments.push(&self.bootstrap);
        flotilla(&arguments, input).await
    }

    /// Runs a line of words, which has to end with this code, and gives stdout and stderr.
    async fn ends(&self, line: &str, code: i32) -> (String, String) {
        let outcome = self.feed(line, "").await;
        let CommandOutcome {
            code: actual,
            stdout,
            stderr,
        } = outcome;
        assert_eq!(actual, Some(code), "{line}: {stdout}{stderr}");
        (stdout, stderr)
    }

    async fn json(&self, line: &str) -> Value {
        let (stdout, _) = self.ends(&format!("{line} -o json"), 0).await;
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{line}: {error}: {stdout}"))
    }

    async fn topic_names(&self) -> Vec<String> {
        let listed = self.json("topic list").await;
        let topics = listed["topics"].as_array().unwrap().iter();
        let names = topics.map(|topic| topic["name"].as_str().unwrap().to_owned());
        names.collect()
    }
}

fn kinds(plan: &Value) -> Vec<(&str, &str)> {
    let changes = plan["changes"].as_array().unwrap().iter();
    changes
        .map(|change| {
            let text = |name: &str| change[name].as_str().unwrap();
            (text("kind"), text("topic"))
        })
        .collect()
}

/// Goal: a file makes the topics, what is exported changes nothing, and only what the file does not
/// name is deleted, if that is wanted and confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_what_the_topics_are() {
    let cluster = Cluster::start(1).await;
    let shell = Shell::of(&cluster);
    shell.file("schemas/order.json", ORDER);
    let file = shell.file("topics.yaml", TOPICS);

    phase("look before anything is there");
    let (plan, _) = shell.ends(&format!("diff -f {file}"), 0).await;
    assert!(plan.contains("+ create orders\n"), "{plan}");
    assert!(
        plan.ends_with("2 to create, 0 to update, 0 to delete, 0 unchanged\n"),
        "{plan}"
    );
    shell.ends(&format!("diff -f {file} --exit-code"), 9).await;
    let dry = shell.json(&format!("apply -f {file} --dry-run")).await;
    assert_eq!(dry["applied"], false);
    assert_eq!(shell.topic_names().await, Vec::<String>::new());

    phase("apply");
    let applied = shell.json(&format!("apply -f {file}")).await;
    assert_eq!(
        (&applied["applied"], &applied["created"]),
        (&json!(true), &json!(2))
    );
    let described = shell.json("topic describe orders").await;
    let orders = &described["topics"][0];
    assert_eq!(orders["partitions"].as_array().unwrap().len(), 2);
    assert_eq!(orders["config"]["max_record_bytes"], "65536");
    assert_eq!(orders["config"]["retention_ms"], "86400000");
    shell.ends(&format!("diff -f {file} --exit-code"), 0).await;
    let (again, _) = shell.ends(&format!("apply -f {file}"), 0).await;
    assert_eq!(
        again,
        "0 to create, 0 to update, 0 to delete, 2 unchanged\n"
    );

    phase("export changes nothing");
    let copy = shell.path("copy.yaml");
    shell.ends(&format!("export -f {copy}"), 0).await;
    shell.ends(&format!("export -f {copy}"), 5).await;
    shell.ends(&format!("export -f {copy} --force"), 0).await;
    shell.ends(&format!("validate -f {copy}"), 0).await;
    shell
        .ends(&format!("diff -f {copy} --prune --exit-code"), 0)
        .await;
    let (as_json, _) = shell.ends("export -o json", 0).await;
    let from_stdin = shell.feed("diff -f - --prune --exit-code", &as_json).await;
    assert_eq!(
        from_stdin.code,
        Some(0),
        "{}{}",
        from_stdin.stdout,
        from_stdin.stderr
    );

    phase("update");
    let longer = TOPICS.replace("retention: 1d", "retention: 2d");
    let file = shell.file("topics.yaml", &longer);
    let (told, _) = shell.ends(&format!("apply -f {file}"), 0).await;
    assert!(
        told.contains("~ update orders\n    retention_ms: 86400000 -> 172800000\n"),
        "{told}"
    );
    assert!(
        told.ends_with("0 created, 1 updated, 0 deleted, 1 unchanged\n"),
        "{told}"
    );
    let (_, stderr) = shell.ends(&format!("apply -f {file} --if-etag 0"), 5).await;
    assert!(stderr.contains("VERSION_CONFLICT"), "{stderr}");

    phase("prune");
    shell.ends("topic create stray", 0).await;
    let empty = shell.file("empty.yaml", "topics: []\n");
    let planned = shell.json(&format!("diff -f {empty} --prune")).await;
    assert_eq!(kinds(&planned), [("delete", "orders"), ("delete", "stray")]);
    assert_eq!(planned["protected"], json!(["audit"]));
    let (stdout, stderr) = shell.ends(&format!("apply -f {empty} --prune"), 2).await;
    assert!(
        stdout.contains("- delete stray\n") && stdout.contains("= keep audit"),
        "{stdout}"
    );
    assert!(stderr.contains("--yes"), "{stderr}");
    assert_eq!(shell.topic_names().await, ["audit", "orders", "stray"]);
    shell
        .ends(&format!("apply -f {file} --prune --yes"), 0)
        .await;
    assert_eq!(shell.topic_names().await, ["audit", "orders"]);
}

/// Goal: what is wrong with a file is told with its place, and nothing happens.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_makes_no_sense_changes_nothing() {
    let cluster = Cluster::start(1).await;
    let shell = Shell::of(&cluster);
    let other_cluster = format!(
        "cluster: \"{}\"\ntopics: []\n",
        "0123456789abcdef".repeat(2)
    );
    for (text, code, expected) in [
        (
            "topics:\n  - name: a\n    retentoin: 7d\n",
            2,
            "f.yaml:3:5: unknown key retentoin",
        ),
        (
            "topics:\n  - name: a\n  - name: a\n",
            2,
            "f.yaml:3:11: topic a is in line 2 already",
        ),
        (
            "topics:\n  - name: ${FLEET_NAME}\n",
            2,
            "FLEET_NAME is not set",
        ),
        (
            "topics:\n  - name: a\n    schema: {$ref: b}\n",
            2,
            "f.yaml:3:13: ",
        ),
        (
            "topics: []\nsubscriptions: []\n",
            2,
            "unknown key subscriptions",
        ),
        (&other_cluster, 1, "CLUSTER_MISMATCH"),
        (
            "topics:\n  - {name: a, replication_factor: 3}\n",
            3,
            "NOT_ENOUGH_NODES",
        ),
    ] {
        let file = shell.file("f.yaml", text);
        for command in ["apply", "diff"] {
            let (stdout, stderr) = shell.ends(&format!("{command} -f {file}"), code).await;
            assert_eq!(stdout, "", "{text}");
            assert!(stderr.contains(expected), "{text}: {stderr}");
        }
    }
    let directory = shell.path("");
    let (_, stderr) = shell.ends(&format!("validate -f {directory}"), 2).await;
    assert!(stderr.contains("is a directory"), "{stderr}");
    assert_eq!(shell.topic_names().await, Vec::<String>::new());
}

/// Goal: a topic gets a schema once, newer versions that fit it after that, and shows all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_gets_schemas_from_files() {
    let cluster = Cluster::start(1).await;
    let shell = Shell::of(&cluster);
    let order = shell.file("order.json", ORDER);
    let with_note = shell.file("with-note.json", ORDER_WITH_NOTE);
    let numbered = shell.file("numbered.json", NUMBERED_ORDER);
    let (_, told) = shell
        .ends("topic create orders --public --partitions 1", 0)
        .await;
    assert!(told.contains("schema create orders"), "{told}");

    phase("create");
    let (_, stderr) = shell
        .ends(&format!("schema update orders --file {order}"), 4)
        .await;
    assert!(stderr.contains("schema create"), "{stderr}");
    let checked = shell
        .json(&format!("schema check orders --file {order}"))
        .await;
    assert_eq!(
        (&checked["version"], &checked["is_new"]),
        (&json!(1), &json!(true))
    );
    let created = shell
        .json(&format!("schema create orders --file {order}"))
        .await;
    assert_eq!(
        (&created["version"], &created["created"]),
        (&json!(1), &json!(true))
    );
    let (_, stderr) = shell
        .ends(&format!("schema create orders --file {with_note}"), 5)
        .await;
    assert!(stderr.contains("schema update"), "{stderr}");

    phase("update");
    let from_stdin = shell
        .feed("schema update orders --file -", ORDER_WITH_NOTE)
        .await;
    assert_eq!(from_stdin.code, Some(0), "{}", from_stdin.stderr);
    let same = shell
        .json(&format!("schema update orders --file {with_note}"))
        .await;
    assert_eq!(
        (&same["version"], &same["created"]),
        (&json!(2), &json!(false))
    );
    for command in ["update", "check"] {
        let line = format!("schema {command} orders --file {numbered}");
        let (_, stderr) = shell.ends(&line, 5).await;
        assert!(stderr.contains("SCHEMA_INCOMPATIBLE"), "{stderr}");
        assert!(stderr.contains("/properties/id"), "{stderr}");
    }

    phase("look");
    let listed = shell.json("schema list orders").await;
    assert_eq!(listed["versions"].as_array().unwrap().len(), 2);
    let text: Value = serde_json::from_str(ORDER).unwrap();
    assert_eq!(listed["versions"][0]["schema"], text);
    let (printed, _) = shell.ends("schema list orders --version 1", 0).await;
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), text);
    shell.ends("schema list orders --version 3", 4).await;

    phase("what cannot work");
    let missing = shell.path("missing.json");
    shell
        .ends(&format!("schema create orders --file {missing}"), 1)
        .await;
    shell
        .ends(&format!("schema create nobody --file {order}"), 4)
        .await;
    let broken = shell.feed("schema check orders --file -", "{").await;
    assert_eq!(broken.code, Some(2), "{}", broken.stderr);
    assert!(broken.stderr.contains("stdin: "), "{}", broken.stderr);
}

/// Goal: the command lines of KBroker work through a link, what is not served says so, and nothing waits
/// for an answer where there is no terminal.
#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_kbroker_are_taken_literally() {
    let cluster = Cluster::start(1).await;
    let shell = Shell::of(&cluster);
    let order = shell.file("order.json", ORDER);
    let kavak = shell.directory.path().join("kavak");
    std::os::unix::fs::symlink(flotilla_binary(), &kavak).unwrap();
    let run = async |line: &str| {
        let mut command = tokio::process::Command::new(&kavak);
        command.args(line.split(' ')).arg(&shell.bootstrap);
        let output = command.output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };

    phase("topics and schemas");
    let (code, _, stderr) = run("kbroker topic create invoices --public --partitions 1").await;
    assert_eq!(code, Some(0), "{stderr}");
    let described = shell.json("topic describe invoices").await;
    assert_eq!(
        described["topics"][0]["config"]["max_record_bytes"],
        "65536"
    );
    assert_eq!(described["topics"][0]["config"]["visibility"], "public");
    let (code, _, stderr) = run(&format!("kbroker schema create invoices --file {order}")).await;
    assert_eq!(code, Some(0), "{stderr}");

    phase("what is missing and what is not served");
    for (line, expected) in [
        ("kbroker topic create", "<NAME>"),
        ("kbroker schema create", "<TOPIC>"),
        ("kbroker schema update invoices", "--file <FILE>"),
        (
            "kbroker subscription create",
            "push subscriptions are not served yet",
        ),
        (
            "kbroker subscription pause mine",
            "push subscriptions are not served yet",
        ),
        (
            "kbroker subscription resume mine",
            "push subscriptions are not served yet",
        ),
        (
            "kbroker subscription lag mine",
            "push subscriptions are not served yet",
        ),
        (
            "kbroker subscription rewind mine 3",
            "push subscriptions are not served yet",
        ),
        (
            "kbroker subscription redrive mine --max-messages=10",
            "push subscriptions are not served yet",
        ),
        ("kbroker connector create", "connectors are not served yet"),
    ] {
        let (code, stdout, stderr) = run(line).await;
        assert_eq!(code, Some(2), "{line}: {stderr}");
        assert_eq!(stdout, "", "{line}");
        assert!(stderr.contains(expected), "{line}: {stderr}");
    }

    phase("completions and help bear the name");
    let completions = std::process::Command::new(&kavak)
        .args(["completions", "bash"])
        .output()
        .unwrap();
    let script = String::from_utf8(completions.stdout).unwrap();
    assert!(
        script.contains("kavak") && script.contains("redrive"),
        "{script}"
    );
}
