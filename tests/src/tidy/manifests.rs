//! Who may depend on whom: the arrows between our crates, and who owns which foreign crate.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::{Finding, TextFile};

/// A table of names, each with the names that it may have.
pub type Rows<'a> = [(&'a str, &'a [&'a str])];

/// What the rules need to know of one `Cargo.toml`.
#[derive(Debug)]
pub struct Manifest {
    path: String,
    /// The name in the house: `types` for the package `flotilla-types`, `server` for the binary.
    house_name: String,
    /// Dependencies that end in the product, build scripts included.
    product: BTreeSet<String>,
    /// Dependencies of tests, examples and benches.
    tests: BTreeSet<String>,
    /// Dependencies that do not take their version from the workspace.
    own_versions: BTreeSet<String>,
    inherits_lints: bool,
}

impl Manifest {
    pub fn parse(file: &TextFile) -> Result<Self, Finding> {
        let broken = |what: &str| Finding::new(&file.path, what);
        let table: Table = file
            .text
            .parse()
            .map_err(|error| broken(&format!("does not parse: {error}")))?;
        let package = table
            .get("package")
            .and_then(|package| package.get("name"))
            .and_then(Value::as_str)
            .ok_or_else(|| broken("has no package name"))?;
        let lints = table.get("lints").and_then(|lints| lints.get("workspace"));
        let mut manifest = Self {
            path: file.path.clone(),
            house_name: house_name(package).unwrap_or(package).to_owned(),
            product: BTreeSet::new(),
            tests: BTreeSet::new(),
            own_versions: BTreeSet::new(),
            inherits_lints: lints == Some(&Value::Boolean(true)),
        };
        manifest.read_sections(&table);
        for target in tables_of(table.get("target")) {
            manifest.read_sections(target);
        }
        Ok(manifest)
    }

    pub fn house_name(&self) -> &str {
        &self.house_name
    }

    fn read_sections(&mut self, table: &Table) {
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let Some(Value::Table(entries)) = table.get(section) else {
                continue;
            };
            let names = match section {
                "dev-dependencies" => &mut self.tests,
                _ => &mut self.product,
            };
            for (name, entry) in entries {
                names.insert(name.clone());
                if entry.get("workspace") != Some(&Value::Boolean(true)) {
                    self.own_versions.insert(name.clone());
                }
            }
        }
    }

    fn arrows(&self) -> BTreeSet<&str> {
        self.product
            .iter()
            .filter_map(|name| house_name(name))
            .collect()
    }
}

/// The name in the house of one of our packages.
fn house_name(package: &str) -> Option<&str> {
    match package {
        "flotilla" => Some("server"),
        _ => package.strip_prefix("flotilla-"),
    }
}

fn tables_of(value: Option<&Value>) -> impl Iterator<Item = &Table> {
    let table = value.and_then(Value::as_table);
    table
        .into_iter()
        .flat_map(|table| table.values().filter_map(Value::as_table))
}

/// The arrows of every crate equal its row, and no row is left over. Tests of a crate may look at any
/// crate below it.
pub fn check_arrows(manifests: &[Manifest], house: &Rows<'_>) -> Vec<Finding> {
    let rows: BTreeMap<_, _> = house.iter().copied().collect();
    let mut findings = Vec::new();
    for manifest in manifests {
        let name = manifest.house_name();
        let Some(row) = rows.get(name) else {
            findings.push(Finding::new(
                &manifest.path,
                format!("{name} has no row in the house"),
            ));
            continue;
        };
        let allowed: BTreeSet<_> = row.iter().copied().collect();
        let arrows = manifest.arrows();
        for extra in arrows.difference(&allowed) {
            findings.push(Finding::new(
                &manifest.path,
                format!("{name} may not use {extra}"),
            ));
        }
        for missing in allowed.difference(&arrows) {
            let what = format!("{name} does not use {missing}: take the arrow out of the house");
            findings.push(Finding::new(&manifest.path, what));
        }
        let below = closure(name, &rows);
        let ours = manifest.tests.iter().filter_map(|name| house_name(name));
        for extra in ours.filter(|test| !below.contains(test)) {
            let what = format!("tests of {name} may not use {extra}, which is not below it");
            findings.push(Finding::new(&manifest.path, what));
        }
    }
    for (name, _) in house {
        if !manifests
            .iter()
            .any(|manifest| manifest.house_name() == *name)
        {
            findings.push(Finding::new(
                *name,
                "is in the house, but there is no such crate",
            ));
        }
    }
    findings
}

/// Everything that `name` reaches by arrows.
fn closure<'a>(name: &str, rows: &BTreeMap<&str, &'a [&'a str]>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<_> = rows.get(name).into_iter().copied().flatten().collect();
    while let Some(next) = waiting.pop() {
        if reached.insert(*next) {
            waiting.extend(rows.get(next).into_iter().copied().flatten());
        }
    }
    reached
}

/// A foreign crate with a row is named by the crates in its row and by no other, tests included.
pub fn check_owners(manifests: &[Manifest], owners: &Rows<'_>) -> Vec<Finding> {
    let owners: BTreeMap<_, _> = owners.iter().copied().collect();
    let mut findings = Vec::new();
    for manifest in manifests {
        for dependency in manifest.product.union(&manifest.tests) {
            let Some(row) = owners.get(dependency.as_str()) else {
                continue;
            };
            if !row.contains(&manifest.house_name()) {
                let what = format!("only {} may name {dependency}", row.join(" and "));
                findings.push(Finding::new(&manifest.path, what));
            }
        }
    }
    findings
}

/// A pure crate has no dependency that brings a clock, randomness, I/O or a runtime.
pub fn check_pure(manifests: &[Manifest], pure: &[&str], impure: &[&str]) -> Vec<Finding> {
    let is_pure = |manifest: &&Manifest| pure.contains(&manifest.house_name());
    let mut findings = Vec::new();
    for manifest in manifests.iter().filter(is_pure) {
        for dependency in &manifest.product {
            if impure.contains(&dependency.as_str()) {
                let what = format!(
                    "{} is pure and may not use {dependency}",
                    manifest.house_name()
                );
                findings.push(Finding::new(&manifest.path, what));
            }
        }
    }
    findings
}

/// Lints and versions come from the workspace.
pub fn check_inheritance(manifests: &[Manifest]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in manifests {
        if !manifest.inherits_lints {
            findings.push(Finding::new(
                &manifest.path,
                "does not inherit the workspace's lints",
            ));
        }
        for name in &manifest.own_versions {
            let what = format!("{name} does not take its version from the workspace");
            findings.push(Finding::new(&manifest.path, what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUSE: &Rows<'_> = &[
        ("types", &[]),
        ("storage", &["types"]),
        ("raft", &["storage"]),
    ];

    fn manifest(package: &str, sections: &str) -> Manifest {
        let text =
            format!("[package]\nname = \"{package}\"\n[lints]\nworkspace = true\n{sections}");
        Manifest::parse(&TextFile::new("Cargo.toml", &text)).unwrap()
    }

    fn house() -> Vec<Manifest> {
        vec![
            manifest("flotilla-types", ""),
            manifest(
                "flotilla-storage",
                "[dependencies]\nflotilla-types.workspace = true",
            ),
            manifest(
                "flotilla-raft",
                "[dependencies]\nflotilla-storage.workspace = true",
            ),
        ]
    }

    fn replaced(package: &str, sections: &str) -> Vec<Manifest> {
        let new = manifest(package, sections);
        let mut all = house();
        all.retain(|manifest| manifest.house_name() != new.house_name());
        all.push(new);
        all
    }

    #[test]
    fn a_house_that_equals_its_table_has_no_findings() {
        assert_eq!(check_arrows(&house(), HOUSE), []);
        assert_eq!(check_inheritance(&house()), []);
    }

    #[test]
    fn an_arrow_up_is_found_in_every_section() {
        for section in [
            "dependencies",
            "build-dependencies",
            "dev-dependencies",
            "target.'cfg(unix)'.dependencies",
        ] {
            let up = format!("[{section}]\nflotilla-raft.workspace = true");
            assert_eq!(
                check_arrows(&replaced("flotilla-types", &up), HOUSE).len(),
                1,
                "{section}"
            );
        }
    }

    #[test]
    fn tests_may_look_at_everything_below() {
        let sections = "[dependencies]\nflotilla-storage.workspace = true\n\
                        [dev-dependencies]\nflotilla-types.workspace = true";
        assert_eq!(
            check_arrows(&replaced("flotilla-raft", sections), HOUSE),
            []
        );
    }

    #[test]
    fn an_unused_arrow_a_missing_row_and_a_missing_crate_are_found() {
        assert_eq!(check_arrows(&replaced("flotilla-raft", ""), HOUSE).len(), 1);
        assert_eq!(check_arrows(&replaced("flotilla-push", ""), HOUSE).len(), 1);
        assert_eq!(check_arrows(&house()[..2], HOUSE).len(), 1);
    }

    #[test]
    fn a_foreign_crate_in_the_wrong_hands_is_found() {
        let owners: &Rows<'_> = &[("rocksdb", &["storage"])];
        let owned = replaced(
            "flotilla-storage",
            "[dependencies]\nflotilla-types.workspace = true\nrocksdb.workspace = true",
        );
        assert_eq!(check_owners(&owned, owners), []);
        let stray = replaced(
            "flotilla-types",
            "[dev-dependencies]\nrocksdb.workspace = true",
        );
        assert_eq!(check_owners(&stray, owners).len(), 1);
    }

    #[test]
    fn a_runtime_in_a_pure_crate_is_found() {
        let all = replaced("flotilla-types", "[dependencies]\ntokio.workspace = true");
        assert_eq!(check_pure(&all, &["types"], &["tokio"]).len(), 1);
        assert_eq!(check_pure(&all, &["storage"], &["tokio"]), []);
    }

    #[test]
    fn own_versions_and_own_lints_are_found() {
        let all = [manifest("flotilla-types", "[dependencies]\nbytes = \"1\"")];
        assert_eq!(check_inheritance(&all).len(), 1);
        let text = "[package]\nname = \"flotilla-types\"";
        let bare = Manifest::parse(&TextFile::new("Cargo.toml", text)).unwrap();
        assert_eq!(check_inheritance(&[bare]).len(), 1);
    }

    #[test]
    fn a_manifest_that_does_not_parse_is_a_finding() {
        assert!(Manifest::parse(&TextFile::new("Cargo.toml", "[package")).is_err());
        assert!(Manifest::parse(&TextFile::new("Cargo.toml", "[workspace]")).is_err());
    }
}
