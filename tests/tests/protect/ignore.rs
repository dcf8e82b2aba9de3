//! What the kernel no longer asks about must be what was allowed: whoever changes the content makes it ask again, and what leaves the
//! content alone keeps nothing from starting.

use doorward_tests::lab::alteration::Alteration;
use doorward_tests::lab::{Lab, LabAgent};
use doorward_tests::site::{Site, eventually, sha256, unheard_of};
use nix::errno::Errno;

use crate::minimal;

/// A program of root's, of a package of its own.
const TOOL: &str = "/usr/bin/tool";
/// Where a layer's own file lies, which is seen at [`LAID`] too.
const UPPER: &str = "/var/upper/tool";
/// The same, through the layers.
const LAID: &str = "/mnt/laid/tool";

/// As allowed.
fn original() -> Vec<u8> {
    unheard_of("as it was")
}

/// Of the same length, does the same, and nobody knows it.
fn changed() -> Vec<u8> {
    unheard_of("otherwise")
}

/// The kernel asks about [`TOOL`] no more.
fn quiet(test: impl FnOnce(&Lab)) {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    lab.install("tool", &[(TOOL.trim_start_matches('/'), &original())]);
    let agent = lab.agent(&site);
    agent.protects(&site, "deny");
    quieten(&lab, &agent, TOOL, TOOL);
    test(&lab);
}

/// Executes a program until the kernel asks no more about the file at `path`, which is the same or lies below it.
fn quieten(lab: &Lab, agent: &LabAgent<'_>, program: &str, path: &str) {
    eventually(&format!("executions of {path} are ignored"), || {
        let ended = lab.run(&[program]);
        assert!(ended.success(), "{ended:?}");
        agent.ignores(path).then_some(())
    });
}

/// After it, [`TOOL`] must not start.
fn change(change: impl FnOnce(&Lab)) {
    quiet(|lab| {
        change(lab);
        assert_eq!(lab.run(&[TOOL]).refusal(), Some(Errno::EPERM));
        assert_eq!(lab.spawn_as(1000, &[TOOL]).ended().refusal(), Some(Errno::EPERM));
    });
}

/// After it, [`TOOL`] must start.
fn leave_alone(command: &[&str]) {
    quiet(|lab| {
        lab.must(command);
        for user in [0, 1000] {
            let ended = lab.spawn_as(user, &[TOOL]).ended();
            assert!(ended.success(), "{ended:?}");
        }
    });
}

#[test]
fn writing_to_it() {
    change(|lab| lab.alter(Alteration::Write, TOOL, &changed()));
}

#[test]
fn cutting_its_end_off() {
    change(|lab| lab.alter(Alteration::Truncate, TOOL, &original()[..original().len() - 4]));
}

#[test]
fn punching_a_hole_into_it() {
    change(|lab| lab.alter(Alteration::Fallocate, TOOL, &original()));
}

#[test]
fn having_the_kernel_copy_into_it() {
    change(|lab| lab.alter(Alteration::CopyFileRange, TOOL, &changed()));
}

#[test]
fn renaming_another_over_it() {
    change(|lab| {
        lab.add_program("/usr/bin/other", &changed());
        lab.must(&["mv", "/usr/bin/other", TOOL]);
    });
}

#[test]
fn storing_into_it_through_a_mapping() {
    quiet(|lab| {
        lab.alter(Alteration::Mapped, TOOL, &changed());
        // The kernel tells of it when the mapping is gone, and waits for nobody.
        eventually("it does not start any more", || (lab.run(&[TOOL]).refusal() == Some(Errno::EPERM)).then_some(()));
        assert_eq!(lab.spawn_as(1000, &[TOOL]).ended().refusal(), Some(Errno::EPERM));
    });
}

#[test]
fn other_permissions() {
    leave_alone(&["chmod", "711", TOOL]);
}

#[test]
fn another_owner() {
    leave_alone(&["chown", "1001:1001", TOOL]);
}

#[test]
fn other_times() {
    leave_alone(&["touch", "-d", "2001-01-01", TOOL]);
}

#[test]
fn an_attribute() {
    quiet(|lab| {
        lab.alter(Alteration::Attribute, TOOL, b"");
        assert!(lab.run(&[TOOL]).success());
    });
}

#[test]
fn another_name() {
    quiet(|lab| {
        lab.must(&["ln", TOOL, "/usr/bin/linked"]);
        assert!(lab.run(&[TOOL]).success());
        lab.alter(Alteration::Write, TOOL, &changed());
        assert_eq!(lab.run(&["/usr/bin/linked"]).refusal(), Some(Errno::EPERM));
        assert_eq!(lab.run(&[TOOL]).refusal(), Some(Errno::EPERM));
    });
}

/// The kernel asks no more about the layer's file; then it is changed by one of its two names.
fn change_below_layers(altered: &str) {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let script = "mkdir -p /var/lower /var/work /mnt/laid && \
                  mount -t overlay none -o lowerdir=/var/lower,upperdir=/var/upper,workdir=/var/work /mnt/laid";
    lab.add_program(UPPER, &original());
    lab.must(&["sh", "-c", script]);
    let agent = lab.agent(&site);
    let _ = agent.reference_scan(&site);
    agent.protects(&site, "deny");
    agent.decided(&site, "allow", &sha256(&original()), UPPER);
    quieten(&lab, &agent, UPPER, UPPER);
    quieten(&lab, &agent, LAID, UPPER);
    lab.alter(Alteration::Write, altered, &changed());
    for path in [LAID, UPPER] {
        assert_eq!(lab.run(&[path]).refusal(), Some(Errno::EPERM), "{path}");
        assert_eq!(lab.spawn_as(1000, &[path]).ended().refusal(), Some(Errno::EPERM), "{path}");
    }
}

#[test]
fn writing_through_layers() {
    change_below_layers(LAID);
}

#[test]
fn writing_to_the_file_below_layers() {
    change_below_layers(UPPER);
}
