//! rpm at work under protect: what it installs runs, what somebody changes of it does not.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use doorward_tests::lab::{COMMAND_LIMIT, Lab};
use doorward_tests::site::{Site, eventually};
use nix::errno::Errno;

use crate::{CANARY_LIMIT, debian};

/// Longest that fetching and installing rpm takes.
const APT_LIMIT: Duration = Duration::from_secs(300);

/// Debian's rpm would look in a user's own folder.
const DATABASE: [&str; 2] = ["--dbpath", "/var/lib/rpm"];

/// A package with a program, and with a script that runs it as soon as it is there.
const SPEC: &str = "\
Name: greeter
Version: 1.0
Release: 1
Summary: A greeting
License: MIT
AutoReqProv: no
BuildArch: noarch
%define _build_id_links none
%description
A greeting
%install
mkdir -p %{buildroot}/usr/bin
printf '#!/bin/sh\\necho greetings\\n' > %{buildroot}/usr/bin/greet
%files
%attr(755,root,root) /usr/bin/greet
%post
/usr/bin/greet > /var/greeted
";

/// Builds the package with the machine's rpmbuild; `None` where there is none.
fn package() -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("greeter.spec"), SPEC).unwrap();
    let top = format!("_topdir {}", folder.path().display());
    let built = Command::new("rpmbuild").args(["-bb", "--define", &top]).arg(folder.path().join("greeter.spec")).output();
    let Ok(built) = built else {
        eprintln!("SKIPPED: rpmbuild is not installed");
        return None;
    };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(fs::read(folder.path().join(Path::new("RPMS/noarch/greeter-1.0-1.noarch.rpm"))).unwrap())
}

fn rpm(lab: &Lab, arguments: &[&str]) {
    let ended = lab.spawn(&[&["rpm"], &DATABASE[..], arguments].concat()).ended_within(COMMAND_LIMIT);
    assert!(ended.success(), "rpm {}: {} {}", arguments.join(" "), ended.stdout, ended.stderr);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!said.contains("Operation not permitted"), "{said}");
}

#[test]
fn what_rpm_installs_runs_and_what_is_changed_afterwards_does_not() {
    let Some(package) = package() else { return };
    let Some(lab) = debian() else { return };
    for arguments in [&["update"][..], &["install", "rpm"]] {
        let ended = lab.spawn(&[&["apt-get", "-qq", "-y"], arguments].concat()).ended_within(APT_LIMIT);
        assert!(ended.success(), "{ended:?}");
    }
    lab.write("/opt/greeter.rpm", &package, "644");
    let site = Site::start();
    let agent = lab.agent(&site);
    agent.protects(&site, "deny");

    rpm(&lab, &["-i", "--nodeps", "/opt/greeter.rpm"]);
    assert_eq!(lab.run(&["cat", "/var/greeted"]).stdout, "greetings\n", "its own script ran it before the transaction was over");
    eventually("what was installed is trusted", || lab.run(&["greet"]).success().then_some(()));
    let why = agent.judged("/usr/bin/greet", "package");
    assert_eq!((&why["evidence"]["package"]["manager"], &why["evidence"]["package"]["name"]), (&"rpm".into(), &"greeter".into()), "{why}");
    assert_eq!(agent.why("/usr/bin/rpm")["evidence"]["package"]["manager"], "dpkg", "each by its own manager");

    lab.add_program("/usr/bin/greet", b"#!/bin/sh\necho foreign\n");
    assert_eq!(lab.run(&["greet"]).refusal(), Some(Errno::EPERM));
    assert_eq!(agent.why("/usr/bin/greet")["evidence"]["package"]["fit"], "modified");

    rpm(&lab, &["-U", "--nodeps", "--replacepkgs", "/opt/greeter.rpm"]);
    eventually("what was put back is trusted", || lab.run(&["greet"]).success().then_some(()));
    rpm(&lab, &["-e", "--nodeps", "greeter"]);
    assert_eq!(lab.run(&["greet"]).refusal(), Some(Errno::ENOENT));
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_executions(), "{}", agent.log());
}
