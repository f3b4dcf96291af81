//! The binary as an operator meets it: settings, ports, directories, signals, exit codes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command line in a directory of its own, without the variables of this process.
fn flotilla(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flotilla"));
    command.args(arguments).current_dir(directory);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FLOTILLA_") {
            command.env_remove(name);
        }
    }
    command
}

fn outcome(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = flotilla(directory, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// Ports that were free a moment ago, as flags.
fn free_ports() -> Vec<String> {
    let taken: Vec<_> = (0..4)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let ports = taken
        .iter()
        .map(|listener| listener.local_addr().unwrap().port());
    let keys = ["listen.client", "listen.peer", "listen.http", "listen.text"];
    keys.iter()
        .zip(ports)
        .map(|(key, port)| format!("--set={key}={port}"))
        .collect()
}

/// A process whose stdin we hold and whose first line on stdout we wait for.
struct Supervised {
    process: Child,
    first_line: mpsc::Receiver<String>,
    errors: PathBuf,
}

impl Supervised {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        Self::spawn(directory, flotilla(directory, arguments))
    }

    /// A node that sees an error where it would write too much to a file, instead of a signal.
    fn node_with_errors_for_large_files(directory: &Path, ports: &[String]) -> Self {
        let mut command = Command::new("sh");
        let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
        let binary = env!("CARGO_BIN_EXE_flotilla");
        command.args(["-c", script, binary, "server", "--supervised"]);
        command.args(ports).current_dir(directory);
        Self::spawn(directory, command)
    }

    fn spawn(directory: &Path, mut command: Command) -> Self {
        let errors = tempfile::NamedTempFile::new_in(directory).unwrap();
        let (file, errors) = errors.keep().unwrap();
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .unwrap();
        let stdout = process.stdout.take().unwrap();
        let (sender, first_line) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            process,
            first_line,
            errors,
        }
    }

    fn node(directory: &Path, ports: &[String], more: &[&str]) -> Self {
        let mut arguments = vec!["server", "--supervised"];
        arguments.extend(ports.iter().map(String::as_str));
        arguments.extend(more);
        Self::start(directory, &arguments)
    }

    fn wait_ready(&self) -> String {
        let line = self.first_line.recv_timeout(PATIENCE);
        line.unwrap_or_else(|error| panic!("not ready ({error}):\n{}", self.errors()))
    }

    fn errors(&self) -> String {
        fs::read_to_string(&self.errors).unwrap()
    }

    fn signal(&self, signal: &str) {
        send(signal, self.process.id());
    }

    fn wait_end(&mut self) -> ExitStatus {
        let process = &mut self.process;
        until("the process ends", || process.try_wait().unwrap())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // It has ended, unless a test has failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Every shell has this built in.
fn send(signal: &str, pid: u32) {
    let command = format!("kill -{signal} {pid}");
    assert!(
        Command::new("sh")
            .args(["-c", &command])
            .status()
            .unwrap()
            .success(),
        "{command}"
    );
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "{what}: not after {PATIENCE:?}"
        );
        thread::park_timeout(Duration::from_millis(10));
    }
}

fn get(address: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn http_address(ports: &[String]) -> String {
    format!("127.0.0.1:{}", ports[2].rsplit_once('=').unwrap().1)
}

/// Whether a process runs. One that has ended may stay in the table until somebody asks for its
/// exit code, and an orphan has nobody.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

#[test]
fn printed_settings_are_settings() {
    let directory = TempDir::new().unwrap();
    let (code, printed, _) = outcome(directory.path(), &["server", "--print-config"]);
    assert_eq!(code, Some(0));
    assert!(printed.contains("\n[storage]\n"), "{printed}");
    fs::write(directory.path().join("again.toml"), printed).unwrap();
    let check = ["server", "--check-config", "--config", "again.toml"];
    let (code, told, errors) = outcome(directory.path(), &check);
    assert_eq!(
        (code, told.as_str()),
        (Some(0), "the settings are fine\n"),
        "{errors}"
    );
    let entries = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(entries, 1, "looking at settings leaves nothing behind");
}

#[test]
fn settings_that_make_no_sense_end_with_2_and_one_line() {
    let directory = TempDir::new().unwrap();
    for arguments in [
        ["server", "--set=raft.hartbeat_ms=1"],
        ["server", "--node-id=zero"],
    ] {
        let (code, told, errors) = outcome(directory.path(), &arguments);
        assert_eq!(code, Some(2), "{errors}");
        assert_eq!(told, "");
        assert!(errors.starts_with("error: "), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}

#[test]
fn a_node_alone_gets_ready_and_stops_in_order() {
    let directory = TempDir::new().unwrap();
    let ports = free_ports();
    let mut node = Supervised::node(directory.path(), &ports, &[]);
    assert_eq!(node.wait_ready(), "ready");
    let http = http_address(&ports);
    assert!(get(&http, "/readyz").unwrap().starts_with("HTTP/1.1 200"));
    let health = get(&http, "/health").unwrap();
    assert!(health.contains(r#""status":"healthy""#), "{health}");
    let metrics = get(&http, "/metrics").unwrap();
    assert!(metrics.contains("flotilla_build_info{"), "{metrics}");
    assert!(
        metrics.contains("process_resident_memory_bytes "),
        "{metrics}"
    );

    node.signal("TERM");
    assert_eq!(node.wait_end().code(), Some(0), "{}", node.errors());
    let errors = node.errors();
    assert!(errors.trim_end().ends_with("stopped"), "{errors}");
    assert!(!errors.contains(" ERROR "), "{errors}");
}

#[test]
fn a_directory_with_a_config_json_serves_the_text_protocol_where_it_says() {
    let directory = TempDir::new().unwrap();
    let ports = free_ports();
    let (text, others) = ports.split_last().unwrap();
    let port: u16 = text.rsplit_once('=').unwrap().1.parse().unwrap();
    let written = format!(
        r#"{{"server": {{"host": "127.0.0.1", "port": {port}}}, "storage": {{"path": "./messages"}}}}"#
    );
    fs::write(directory.path().join("config.json"), written).unwrap();
    let mut node = Supervised::node(directory.path(), others, &[]);
    assert_eq!(node.wait_ready(), "ready");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let order = r#"{"order_id":101}"#;
    write!(stream, "PUB orders 16\r\n{order}\r\nFETCH orders 0\r\n").unwrap();
    let expected = format!("OK 0\r\nMSG 0 16\r\n{order}");
    let mut answers = vec![0; expected.len()];
    stream.read_exact(&mut answers).unwrap();
    assert_eq!(String::from_utf8(answers).unwrap(), expected);
    assert!(directory.path().join("messages").is_dir());

    node.signal("TERM");
    assert_eq!(node.wait_end().code(), Some(0), "{}", node.errors());
    let mut last_words = String::new();
    stream.read_to_string(&mut last_words).unwrap();
    assert!(last_words.starts_with("ERR SHUTTING_DOWN "), "{last_words}");
}

#[test]
fn a_node_stops_when_its_supervisor_is_gone() {
    let directory = TempDir::new().unwrap();
    let mut node = Supervised::node(directory.path(), &free_ports(), &[]);
    node.wait_ready();
    drop(node.process.stdin.take());
    assert_eq!(node.wait_end().code(), Some(0), "{}", node.errors());
}

#[test]
fn a_taken_port_is_named_and_nothing_is_changed() {
    let directory = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, errors) = outcome(directory.path(), &["server", "--listen-client", &port]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.contains(&format!("port {port} is in use")),
        "{errors}"
    );
    assert!(errors.contains("--listen-client"), "{errors}");
    assert!(!directory.path().join("data").exists());
}

#[test]
fn a_directory_serves_one_process_and_one_node() {
    let directory = TempDir::new().unwrap();
    let mut first = Supervised::node(directory.path(), &free_ports(), &[]);
    first.wait_ready();
    let mut second = Supervised::node(directory.path(), &free_ports(), &[]);
    assert_eq!(second.wait_end().code(), Some(1));
    let errors = second.errors();
    assert!(errors.contains("is in use by another process"), "{errors}");
    first.signal("INT");
    assert_eq!(first.wait_end().code(), Some(0));

    for foreign in ["--cluster-name=other", "--node-id=2"] {
        let mut node = Supervised::node(directory.path(), &free_ports(), &[foreign]);
        assert_eq!(node.wait_end().code(), Some(1));
        let errors = node.errors();
        assert!(errors.contains("belongs to node 1 of cluster"), "{errors}");
        assert!(errors.contains("--data-dir"), "{errors}");
    }
    let mut again = Supervised::node(directory.path(), &free_ports(), &[]);
    again.wait_ready();
    again.signal("TERM");
    assert_eq!(again.wait_end().code(), Some(0), "{}", again.errors());
}

#[test]
fn a_node_whose_journal_cannot_be_written_ends_with_70() {
    let directory = TempDir::new().unwrap();
    let ports = free_ports();
    let mut node = Supervised::node_with_errors_for_large_files(directory.path(), &ports);
    node.wait_ready();

    // From now on the disk takes only the first pages of each file.
    let few = Rlimit {
        current: Some(100_000),
        maximum: Some(100_000),
    };
    let pid = Pid::from_raw(i32::try_from(node.process.id()).unwrap());
    prlimit(pid, Resource::Fsize, few).unwrap();
    fs::write(
        directory.path().join("input"),
        "a line of text\n".repeat(20_000),
    )
    .unwrap();
    let bootstrap = format!(
        "--bootstrap=127.0.0.1:{}",
        ports[0].rsplit_once('=').unwrap().1
    );
    let create = ["topic", "create", "t", &bootstrap, "--timeout=3s"];
    let produce = [
        "produce",
        "t",
        "--file=input",
        &bootstrap,
        "--delivery-timeout=3s",
    ];
    let (created, _, refusal) = outcome(directory.path(), &create);
    assert_eq!(created, Some(0), "{refusal}");
    assert_ne!(
        outcome(directory.path(), &produce).0,
        Some(0),
        "nothing can be acknowledged"
    );

    assert_eq!(node.wait_end().code(), Some(70), "{}", node.errors());
    let errors = node.errors();
    let last = errors.lines().last().unwrap();
    assert!(
        last.contains("ERROR") && last.contains("storage failed"),
        "{errors}"
    );
}

/// A base port for a cluster of three whose ports are all free.
fn free_base_port() -> String {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let start = 20_000 + u16::try_from(std::process::id() % 20_000).unwrap();
    let mut bases = (start..60_000).step_by(40);
    let base = bases.find(|base| (0..24).all(|offset| is_free(base + offset)));
    base.unwrap().to_string()
}

#[test]
fn a_cluster_for_trying_out_survives_a_node_and_leaves_nothing_behind() {
    let directory = TempDir::new().unwrap();
    let base = free_base_port();
    let arguments = ["dev", "--data-dir=d", "--base-port", &base];
    let mut cluster = Supervised::start(directory.path(), &arguments);
    let line = cluster.wait_ready();
    assert!(
        line.starts_with(&format!("ready: bootstrap 127.0.0.1:{base},")),
        "{line}"
    );
    let http = line.rsplit_once(" http ").unwrap().1;
    let http: Vec<_> = http
        .split(',')
        .map(|url| url.strip_prefix("http://").unwrap())
        .collect();
    assert_eq!(http.len(), 3);

    // One node is killed; the others go on without it.
    let pid = |node: u16| -> u32 {
        let file = directory.path().join(format!("d/node-{node}.pid"));
        fs::read_to_string(file).unwrap().trim().parse().unwrap()
    };
    let pids = [pid(1), pid(2), pid(3)];
    send("KILL", pids[1]);
    until("the loss is reported", || {
        cluster.errors().contains("node-2 ended").then_some(())
    });
    assert!(get(http[0], "/readyz").unwrap().starts_with("HTTP/1.1 200"));
    assert!(get(http[1], "/readyz").is_err());

    // A second cluster leaves the first one's files alone.
    let settings = directory.path().join("d/node-2.toml");
    let written = fs::read_to_string(&settings).unwrap();
    let elsewhere = free_base_port();
    let arguments = ["dev", "--data-dir=d", "--base-port", &elsewhere];
    let mut second = Supervised::start(directory.path(), &arguments);
    assert_eq!(second.wait_end().code(), Some(1), "{}", second.errors());
    assert!(second.errors().contains("is in use by another"));
    assert_eq!(fs::read_to_string(&settings).unwrap(), written);

    // It comes back by hand, with the settings that were written for it.
    let ports = [];
    let settings = ["--config", settings.to_str().unwrap()];
    let mut back = Supervised::node(directory.path(), &ports, &settings);
    back.wait_ready();
    back.signal("TERM");
    assert_eq!(back.wait_end().code(), Some(0), "{}", back.errors());

    cluster.signal("TERM");
    assert_eq!(cluster.wait_end().code(), Some(0), "{}", cluster.errors());
    for pid in pids {
        assert!(!is_alive(pid), "process {pid} is left");
    }
    assert!(
        cluster.first_line.recv().is_err(),
        "one line is all that is printed"
    );
}

#[test]
fn the_nodes_of_a_cluster_end_with_the_process_that_started_them() {
    let directory = TempDir::new().unwrap();
    let base = free_base_port();
    let arguments = ["dev", "--nodes=1", "--data-dir=d", "--base-port", &base];
    let mut cluster = Supervised::start(directory.path(), &arguments);
    cluster.wait_ready();
    let pid = fs::read_to_string(directory.path().join("d/node-1.pid")).unwrap();
    let pid: u32 = pid.trim().parse().unwrap();
    assert!(is_alive(pid));
    cluster.signal("KILL");
    cluster.wait_end();
    until("the node ends", || (!is_alive(pid)).then_some(()));
}
