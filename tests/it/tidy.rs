//! The repository keeps its own rules. The rules are proven in `flotilla_tests::tidy`; here are the
//! tables, and their application to what is checked in.

use flotilla_tests::tidy::manifests::{self, Manifest, Rows};
use flotilla_tests::tidy::sizes::{self, Budget};
use flotilla_tests::tidy::{TextFile, Workspace, assert_none, documents, sources, words};

/// The house: each crate, and the crates of ours that it uses.
const HOUSE: &Rows<'_> = &[
    ("types", &[]),
    ("protocol", &["types"]),
    ("storage", &["types"]),
    ("state", &["types"]),
    ("schema", &["types"]),
    ("identity", &["types"]),
    ("net", &["types"]),
    ("raft", &["net", "storage", "state", "protocol", "types"]),
    (
        "broker",
        &[
            "identity", "net", "raft", "schema", "state", "protocol", "types",
        ],
    ),
    ("client", &["net", "protocol", "types"]),
    ("gateway", &["client", "net", "types"]),
    ("cli", &["client", "identity", "net", "schema", "types"]),
    (
        "server",
        &[
            "broker", "cli", "client", "gateway", "net", "raft", "storage", "types",
        ],
    ),
];

/// Foreign crates that only some of ours may know.
const OWNERS: &Rows<'_> = &[
    ("anyhow", &["server", "cli"]),
    ("axum", &["gateway"]),
    ("clap", &["cli", "server"]),
    ("clap_complete", &["cli"]),
    ("jsonschema", &["schema"]),
    ("jsonwebtoken", &["identity"]),
    ("openraft", &["raft"]),
    ("openraft-macros", &["raft"]),
    ("openraft-rt", &["raft"]),
    ("openraft-rt-tokio", &["raft"]),
    ("prost", &["protocol"]),
    ("prost-types", &["protocol"]),
    ("protox", &["protocol"]),
    ("rcgen", &["identity", "net"]),
    ("reqwest", &["identity"]),
    ("rocksdb", &["storage"]),
    ("rustls", &["identity", "net"]),
    ("serde", &["cli", "gateway", "identity", "server"]),
    ("tokio-rustls", &["identity", "net"]),
    ("tonic-health", &["broker"]),
    ("tonic-prost", &["protocol"]),
    ("tonic-prost-build", &["protocol"]),
    ("tonic-reflection", &["broker"]),
    ("x509-parser", &["net"]),
];

/// Crates that decide alike everywhere, and what would keep them from it.
const PURE: &[&str] = &["types", "state", "schema"];
const IMPURE: &[&str] = &[
    "crossbeam-channel",
    "futures",
    "metrics",
    "rand",
    "rustix",
    "tempfile",
    "tokio",
    "tokio-stream",
    "tokio-util",
    "tonic",
    "tracing",
    "uuid",
];

const BUDGET: Budget = Budget {
    production_lines_max: 500,
    test_lines_max: 800,
};

/// `types` is words and rules. Without a bound, everything that two crates share would end there.
const TYPES_LINES_MAX: usize = 3_200;

fn manifests() -> Vec<Manifest> {
    let workspace = Workspace::here();
    let directories = workspace.directories("crates");
    let paths = directories
        .iter()
        .map(|name| format!("crates/{name}/Cargo.toml"));
    paths
        .map(|path| Manifest::parse(&TextFile::new(&path, &workspace.read(&path))))
        .map(|parsed| parsed.unwrap_or_else(|finding| panic!("{finding}")))
        .collect()
}

fn rust_files() -> Vec<TextFile> {
    Workspace::here().files(&[".rs"])
}

fn written_files() -> Vec<TextFile> {
    Workspace::here().files(&[".rs", ".proto", ".md", ".toml", ".yml", ".yaml", ".sh"])
}

#[test]
fn crates_use_one_another_as_the_house_is_drawn() {
    assert_none(&manifests::check_arrows(&manifests(), HOUSE));
}

#[test]
fn foreign_crates_stay_with_their_owners() {
    assert_none(&manifests::check_owners(&manifests(), OWNERS));
}

#[test]
fn pure_crates_have_no_clock_no_chance_and_no_runtime() {
    assert_none(&manifests::check_pure(&manifests(), PURE, IMPURE));
}

#[test]
fn lints_and_versions_come_from_the_workspace() {
    assert_none(&manifests::check_inheritance(&manifests()));
}

#[test]
fn files_are_within_their_size_budgets() {
    let ratchet = sizes::parse_ratchet(&Workspace::here().read("tests/it/tidy_sizes.txt"));
    assert_none(&sizes::check_files(
        &rust_files(),
        BUDGET,
        &ratchet.unwrap(),
    ));
}

#[test]
fn the_words_crate_stays_small() {
    assert_none(&sizes::check_directory(
        &rust_files(),
        "crates/types/",
        TYPES_LINES_MAX,
    ));
}

#[test]
fn files_have_names_that_say_something() {
    assert_none(&words::check_names(&written_files()));
}

#[test]
fn words_come_from_the_glossary() {
    assert_none(&words::check_words(&written_files()));
}

#[test]
fn notes_name_an_issue() {
    assert_none(&words::check_notes(&written_files()));
}

#[test]
fn module_roots_begin_with_their_doc() {
    assert_none(&sources::check_module_docs(&rust_files()));
}

#[test]
fn every_file_is_in_the_module_tree() {
    assert_none(&sources::check_module_tree(&rust_files()));
}

#[test]
fn tests_wait_for_conditions() {
    assert_none(&sources::check_sleeps(&rust_files()));
}

#[test]
fn links_lead_somewhere() {
    let workspace = Workspace::here();
    let exists = |path: &std::path::Path| workspace.root().join(path).exists();
    assert_none(&documents::check_links(&workspace.files(&[".md"]), exists));
}

#[test]
fn the_map_shows_every_crate() {
    let workspace = Workspace::here();
    let page = TextFile::new("ARCHITECTURE.md", &workspace.read("ARCHITECTURE.md"));
    assert_none(&documents::check_map(
        &page,
        &workspace.directories("crates"),
    ));
}
