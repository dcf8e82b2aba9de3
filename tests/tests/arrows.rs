//! The arrows between the crates, as ARCHITECTURE.md draws them, held against what cargo says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Crates each crate may use in what it ships. What is not here may not be there.
const ARROWS: &[(&str, &[&str])] = &[
    ("policy", &[]),
    ("formats", &["policy"]),
    ("proto", &["policy"]),
    ("service", &[]),
    ("agent", &["formats", "policy", "proto", "service"]),
    ("cms", &["formats", "policy", "proto", "service"]),
    ("tests", &["agent", "cms", "formats", "policy", "proto", "service"]),
    ("xtask", &[]),
];

/// Crates of others that the pure crates must not even reach through somebody else.
const IMPURE: &[&str] = &["tokio", "mio", "nix", "libc", "tracing", "sled", "sqlx", "reqwest"];

#[test]
fn crates_use_only_what_the_house_allows() {
    let metadata = metadata();
    let uses = workspace_uses(&metadata);
    let allowed: BTreeMap<_, BTreeSet<_>> =
        ARROWS.iter().map(|(name, uses)| ((*name).to_owned(), uses.iter().map(|used| (*used).to_owned()).collect())).collect();
    assert_eq!(uses.keys().collect::<Vec<_>>(), allowed.keys().collect::<Vec<_>>(), "every crate has its row, and every row its crate");
    for (name, used) in &uses {
        let beyond: Vec<_> = used.difference(&allowed[name]).collect();
        assert!(beyond.is_empty(), "doorward-{name} must not use {beyond:?}");
    }
}

#[test]
fn pure_crates_reach_nothing_impure() {
    let metadata = metadata();
    for name in ["policy", "formats"] {
        let direct = dependencies(&metadata, &format!("doorward-{name}"));
        let impure: Vec<_> = direct.iter().filter(|used| IMPURE.contains(&used.as_str())).collect();
        assert!(impure.is_empty(), "doorward-{name} must not use {impure:?}");
    }
}

#[test]
fn every_crate_but_the_agent_forbids_unsafe_code() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    for (name, _) in ARROWS.iter().filter(|(name, _)| *name != "agent") {
        let start = if *name == "xtask" { "main" } else { "lib" };
        let start = std::fs::read_to_string(format!("{root}/{name}/src/{start}.rs")).unwrap();
        assert!(start.contains("#![forbid(unsafe_code)]"), "doorward-{name} must forbid unsafe code");
    }
    let agent = std::fs::read_to_string(format!("{root}/agent/src/lib.rs")).unwrap();
    assert!(agent.contains("#![deny(unsafe_code)]"), "doorward-agent must deny unsafe code outside system/");
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Names of the crates a crate declares for what it ships, dev-dependencies left out.
fn dependencies(metadata: &Value, package: &str) -> BTreeSet<String> {
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|candidate| candidate["name"] == package).unwrap();
    let shipped = package["dependencies"].as_array().unwrap().iter().filter(|dependency| dependency["kind"] != "dev");
    shipped.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
}

fn workspace_uses(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata["packages"].as_array().unwrap();
    let names = packages.iter().map(|package| package["name"].as_str().unwrap());
    names
        .map(|name| {
            let used = dependencies(metadata, name).iter().filter_map(|used| used.strip_prefix("doorward-").map(str::to_owned)).collect();
            (name.strip_prefix("doorward-").unwrap_or(name).to_owned(), used)
        })
        .collect()
}
