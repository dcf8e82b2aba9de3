//! Versions compared by the package managers themselves, which have the last word. Each test skips loudly where its manager is missing.

use std::cmp::Ordering;
use std::process::Command;

use doorward_policy::PackageManager;
use doorward_policy::version::compare;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Pairs compared by dpkg, a process each.
const DPKG_PAIRS: usize = 400;
/// Pairs compared by rpm, all in one process.
const RPM_PAIRS: usize = 4_000;

/// Pairs of versions that are often alike, from alphabets small enough to meet every rule.
fn pairs(version: impl Strategy<Value = String>, count: usize) -> Vec<(String, String)> {
    let mut runner = TestRunner::deterministic();
    let strategy = (version, any::<proptest::sample::Index>(), "[0-9a.~+^-]{0,2}").prop_map(|(left, at, inserted)| {
        let at = at.index(left.len() + 1);
        let right = format!("{}{inserted}{}", &left[..at], &left[at..]);
        (left, right)
    });
    (0..count).map(|_| strategy.new_tree(&mut runner).expect("nothing is filtered").current()).collect()
}

fn has(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there {
        eprintln!("SKIPPED: {program} is not installed");
    }
    is_there
}

/// `None` when dpkg does not take one of them for a version.
fn dpkg_says(left: &str, relation: &str, right: &str) -> Option<bool> {
    let output = Command::new("dpkg").args(["--compare-versions", "--", left, relation, right]).output().expect("dpkg runs");
    match output.status.code() {
        Some(0) => Some(true),
        Some(1) => Some(false),
        _ => None,
    }
}

#[test]
fn debian_versions_are_in_dpkgs_own_order() {
    if !has("dpkg") {
        return;
    }
    let mut compared = 0;
    for (left, right) in pairs("([0-2]:)?[0-9][0-9a.~+-]{0,6}(-[0-9a.~+]{1,3})?", DPKG_PAIRS) {
        let relation = match compare(PackageManager::Dpkg, &left, &right) {
            Ordering::Less => "lt",
            Ordering::Equal => "eq",
            Ordering::Greater => "gt",
        };
        if let Some(agrees) = dpkg_says(&left, relation, &right) {
            assert!(agrees, "{left} is not {relation} {right}");
            compared += 1;
        }
    }
    assert!(compared > DPKG_PAIRS / 2, "dpkg took {compared} pairs");
}

#[test]
fn rpm_versions_are_in_rpms_own_order() {
    if !has("rpm") {
        return;
    }
    // rpm reads one dash as the start of the release; a version of its own never has two.
    let pairs: Vec<_> = pairs("([0-2]:)?[0-9a][0-9ab.~^_]{0,6}(-[0-9a.~^]{1,3})?", RPM_PAIRS)
        .into_iter()
        .filter(|(left, right)| [left, right].iter().all(|version| version.matches('-').count() <= 1 && !version.ends_with('-')))
        .collect();
    let literals: Vec<_> = pairs.iter().map(|(left, right)| format!("{left} {right}\n")).collect();
    let folder = std::env::temp_dir().join(format!("doorward-versions-{}", std::process::id()));
    std::fs::write(&folder, literals.concat()).expect("a file of pairs");
    let script = format!(
        "%{{lua:for line in io.lines(\"{}\") do local a, b = line:match(\"(%S+) (%S+)\") print(rpm.vercmp(a, b) .. \" \") end}}",
        folder.display()
    );
    let output = Command::new("rpm").args(["--eval", &script]).output().expect("rpm runs");
    std::fs::remove_file(&folder).expect("it was made a moment ago");
    let said: Vec<i32> =
        String::from_utf8_lossy(&output.stdout).split_whitespace().map(|number| number.parse().expect("a number")).collect();
    assert_eq!(said.len(), pairs.len(), "{output:?}");
    for ((left, right), rpms) in pairs.iter().zip(said) {
        assert_eq!(compare(PackageManager::Rpm, left, right) as i32, rpms, "{left} {right}");
    }
}
