//! Containers made with `systemd-nspawn`, from a folder and with layers over it: what runs in there is judged by content, and the paths it
//! has there mean nothing.

use std::time::Duration;

use doorward_tests::lab::{Ended, Lab};
use doorward_tests::site::Site;

use crate::container::{CANNOT_EXECUTE, Content, TRUSTED, prepared};
use crate::{CANARY_LIMIT, minimal};

/// Longest a container takes from its beginning to its end.
const CONTAINER_LIMIT: Duration = Duration::from_secs(60);

/// What the container's root is.
#[derive(Debug, Clone, Copy)]
enum Root {
    /// The image's folder.
    Folder,
    /// The same with a layer over its programs, on the host's disk.
    Layers,
    /// Layers: the image below, memory of the container's own above.
    Memory,
}

impl Root {
    const fn options(self) -> &'static str {
        match self {
            Self::Folder => "--volatile=no",
            Self::Layers => "--overlay=/opt/image/usr/bin:/opt/upper:/usr/bin",
            Self::Memory => "--volatile=overlay",
        }
    }
}

/// A lab in which containers can be made, or `None` after saying loudly why there is none.
fn lab() -> Option<Lab> {
    let lab = minimal()?;
    if let Err(reason) = lab.install_from_machine("systemd-container", "systemd-nspawn") {
        eprintln!("SKIPPED: {reason}");
        return None;
    }
    lab.mount_control_groups();
    // Shown to the container as what its host is.
    lab.write("/usr/lib/os-release", b"ID=lab\n", "644");
    Some(lab)
}

/// Executes a command of a shell in a container. Nothing is registered with anybody, and no network or users are made.
fn nspawn(lab: &Lab, root: Root, command: &str) -> Ended {
    let quiet = ["--quiet", "--register=no", "--keep-unit", "--settings=no", "--link-journal=no", "--resolv-conf=off", "--timezone=off"];
    let mut arguments = vec!["systemd-nspawn"];
    arguments.extend(quiet);
    arguments.extend(["--console=pipe", "--as-pid2", root.options(), "--directory=/opt/image", "/bin/sh", "-c", command]);
    lab.spawn(&arguments).ended_within(CONTAINER_LIMIT)
}

/// Whether containers can be made here at all, with nobody watching.
fn can_be_made(lab: &Lab) -> bool {
    let ended = nspawn(lab, Root::Folder, "exit 7");
    let can = ended.status.code() == Some(7);
    if !can {
        eprintln!("SKIPPED: systemd-nspawn makes no container here: {ended:?}");
    }
    can
}

/// How a shell in the container ends that starts the file at [`TRUSTED`] there, whose content this is.
fn start(root: Root, content: Content) -> Option<Ended> {
    let lab = lab()?;
    let site = Site::start();
    let agent = prepared(&lab, &site, content);
    let place = if matches!(root, Root::Layers) { "/opt/upper/hello".to_owned() } else { format!("/opt/image{TRUSTED}") };
    lab.must(&["sh", "-c", &format!("mkdir -p /opt/upper && cp /opt/content {place}")]);
    if !can_be_made(&lab) {
        return None;
    }
    let ended = nspawn(&lab, root, &format!("{TRUSTED} 0; code=$?; echo \"ended $code\"; exit $code"));
    assert!(lab.run(&[TRUSTED]).success(), "the host's own is still trusted");
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_executions(), "{}", agent.log());
    Some(ended)
}

fn refused(root: Root, content: Content) {
    let Some(ended) = start(root, content) else { return };
    assert_eq!(ended.stdout.trim(), format!("ended {CANNOT_EXECUTE}"), "{ended:?}");
    assert!(ended.stderr.contains("Operation not permitted"), "{ended:?}");
}

#[test]
fn allowed_content_runs_in_one_from_a_folder() {
    let Some(ended) = start(Root::Folder, Content::Allowed) else { return };
    assert_eq!(ended.stdout.trim(), "ended 0", "{ended:?}");
}

#[test]
fn allowed_content_runs_on_layers() {
    let Some(ended) = start(Root::Layers, Content::Allowed) else { return };
    assert_eq!(ended.stdout.trim(), "ended 0", "{ended:?}");
}

#[test]
fn the_hosts_path_trusts_nothing_unknown() {
    refused(Root::Folder, Content::Unknown);
    refused(Root::Layers, Content::Unknown);
}

#[test]
fn the_hosts_package_vouches_for_nothing() {
    refused(Root::Folder, Content::Packaged);
    refused(Root::Layers, Content::Packaged);
}

#[test]
fn the_hosts_path_trusts_nothing_denied() {
    refused(Root::Folder, Content::Denied);
    refused(Root::Layers, Content::Denied);
}

#[test]
fn on_layers_in_memory_nothing_is_told_from_the_rest_and_nothing_runs() {
    // Not even the shell: what its layers lie on cannot be proved from outside, so nobody reads the file.
    let Some(ended) = start(Root::Memory, Content::Allowed) else { return };
    assert!(ended.stdout.is_empty() && !ended.success(), "{ended:?}");
}
