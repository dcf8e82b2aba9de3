//! Containers: a root of layers that only its own processes see. What runs in there is judged by content; the host's paths, and what
//! its packages say about them, mean nothing there.

use doorward_tests::lab::{Ended, Lab, LabAgent};
use doorward_tests::site::{Site, eventually, sha256, unheard_of};
use nix::sys::signal::Signal;

use crate::{CANARY_LIMIT, copy_of, minimal};

/// The packaged program whose path an image gives to something else.
pub(crate) const TRUSTED: &str = "/usr/bin/hello";
/// What a shell, or another program that starts programs, ends with when it was refused.
pub(crate) const CANNOT_EXECUTE: i32 = 126;

/// The file that stands at [`TRUSTED`] in the image.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    /// What somebody allowed.
    Allowed,
    /// What the host has there, of which nobody but the host's package says anything.
    Packaged,
    /// What somebody denied.
    Denied,
    /// What nobody knows.
    Unknown,
}

/// Who makes the container.
#[derive(Debug, Clone, Copy)]
enum Maker {
    Root,
    User,
}

/// Where the container's upper layer is.
#[derive(Debug, Clone, Copy)]
enum Upper {
    /// On the host's disk.
    Disk,
    /// In memory that only the container sees.
    Memory,
}

/// What a shell takes, on the machine and in the image: nobody vouches for the image's copies.
const SHELL: [(&str, &str); 3] = [
    ("/usr/bin/dash", "/opt/image/usr/bin/dash"),
    ("/usr/bin/ls", "/opt/image/usr/bin/ls"),
    ("/lib64/ld-linux-x86-64.so.2", "/opt/image/usr/lib64/ld-linux-x86-64.so.2"),
];

/// Starts in one container.
const STARTS: u32 = 40;

/// Where the container's maker has folders of his own.
const HOME: &str = "/home/ann/box";

impl Maker {
    const fn user(self) -> u32 {
        match self {
            Self::Root => 0,
            Self::User => 1000,
        }
    }

    const fn unshare(self) -> &'static str {
        match self {
            Self::Root => "-m",
            Self::User => "-Urm",
        }
    }
}

/// An agent in protect that knows what an image is made of, and `/opt/content`, which is to stand at [`TRUSTED`] in it.
pub(crate) fn prepared<'a>(lab: &'a Lab, site: &Site, content: Content) -> LabAgent<'a> {
    let (packaged, allowed) = (unheard_of("of the host's package"), copy_of("sleep", "allowed everywhere"));
    let denied = copy_of("sleep", "denied everywhere");
    lab.install("hello", &[(TRUSTED.trim_start_matches('/'), &packaged)]);
    lab.add_program("/opt/allowed", &allowed);
    lab.add_program("/opt/denied", &denied);
    image(lab);
    let agent = lab.agent(site);
    let _ = agent.reference_scan(site);
    agent.protects(site, "deny");
    agent.decided(site, "deny", &sha256(&denied), "/opt/denied");
    agent.decided(site, "allow", &sha256(&allowed), "/opt/allowed");
    for (program, copy) in SHELL {
        agent.decided(site, "allow", &sha256(&std::fs::read(program).unwrap()), copy);
    }
    let content = match content {
        Content::Allowed => allowed,
        Content::Packaged => packaged,
        Content::Denied => denied,
        Content::Unknown => copy_of("sleep", "of the image alone"),
    };
    lab.write("/opt/content", &content, "755");
    agent
}

/// Makes a container whose image is the host's programs with this file laid over, and executes a command in it.
fn run(maker: Maker, upper: Upper, content: Content, command: &str) -> Option<Ended> {
    let lab = minimal()?;
    let site = Site::start();
    let agent = prepared(&lab, &site, content);
    let ended = lab.spawn_as(maker.user(), &["unshare", maker.unshare(), "sh", "-c", &script(upper, command)]).ended();
    assert!(lab.run(&[TRUSTED]).success(), "the host's own is still trusted");
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_executions(), "{}", agent.log());
    Some(ended)
}

/// The host's programs as the lower layer, and folders for the rest that the user owns.
fn image(lab: &Lab) {
    let links = "for link in bin sbin lib lib64; do ln -s usr/$link /opt/image/$link; done";
    let script = format!(
        "mkdir -p /opt/image/usr {HOME} && cp -a /usr/bin /usr/lib /usr/lib64 /opt/image/usr/ && {links} && chown -R 1000:1000 {HOME}"
    );
    lab.must(&["sh", "-c", &script]);
}

fn script(upper: Upper, command: &str) -> String {
    let place = match upper {
        Upper::Disk => HOME.to_owned(),
        Upper::Memory => format!("{HOME}/memory"),
    };
    let mount = match upper {
        Upper::Disk => String::new(),
        Upper::Memory => format!("mkdir {place} && mount -t tmpfs none {place} && "),
    };
    format!(
        "{mount}mkdir -p {place}/upper/usr/bin {place}/work {HOME}/root && cp /opt/content {place}/upper{TRUSTED} && \
         mount -t overlay none -o lowerdir=/opt/image,upperdir={place}/upper,workdir={place}/work,userxattr {HOME}/root && \
         {command}; echo \"ended $?\""
    )
}

/// Refused before it began.
fn refused(maker: Maker, content: Content) {
    let Some(ended) = run(maker, Upper::Disk, content, &format!("unshare --root={HOME}/root {TRUSTED} 600")) else { return };
    assert_eq!(ended.stdout, format!("ended {CANNOT_EXECUTE}\n"), "{ended:?}");
    assert!(ended.stderr.contains("Operation not permitted"), "{ended:?}");
}

/// Begun unseen and ended, or refused once its file system is known.
fn ended(maker: Maker, content: Content) {
    let Some(ended) = run(maker, Upper::Memory, content, &format!("unshare --root={HOME}/root {TRUSTED} 600")) else { return };
    let killed = 128 + Signal::SIGKILL as i32;
    assert!([CANNOT_EXECUTE, killed].iter().any(|code| ended.stdout == format!("ended {code}\n")), "{ended:?}");
}

fn runs(maker: Maker) {
    let Some(ended) = run(maker, Upper::Disk, Content::Allowed, &format!("unshare --root={HOME}/root sh -c '{TRUSTED} 0 && ls {TRUSTED}'"))
    else {
        return;
    };
    assert_eq!(ended.stdout, format!("{TRUSTED}\nended 0\n"), "{ended:?}");
}

#[test]
fn allowed_content_runs_in_one_of_roots() {
    runs(Maker::Root);
}

#[test]
fn allowed_content_runs_in_one_of_a_users() {
    runs(Maker::User);
}

#[test]
fn what_is_allowed_is_not_told_from_the_rest_on_layers_in_memory() {
    // The process has a root of its own, so its mount table does not say what its layers lie on: nobody reads the file.
    ended(Maker::User, Content::Allowed);
}

#[test]
fn whoever_starts_something_there_is_let_be() {
    // Each file is new, so that the one who wants to become it waits, with a root of its own and a program of the host's.
    let command = format!(
        "file={HOME}/root{TRUSTED}; i=0; while [ $i -lt {STARTS} ]; do echo $i >>$file; unshare --root={HOME}/root {TRUSTED} 600 2>&1; \
         code=$?; [ $code -eq {CANNOT_EXECUTE} ] || {{ echo start $i ended $code; exit 3; }}; i=$((i + 1)); done; true"
    );
    let Some(ended) = run(Maker::User, Upper::Disk, Content::Unknown, &command) else { return };
    assert!(ended.success() && ended.stdout.ends_with("ended 0\n"), "{ended:?}");
}

#[test]
fn the_hosts_path_trusts_nothing_unknown_in_one_of_roots() {
    refused(Maker::Root, Content::Unknown);
}

#[test]
fn the_hosts_path_trusts_nothing_unknown_in_one_of_a_users() {
    refused(Maker::User, Content::Unknown);
}

#[test]
fn the_hosts_package_vouches_for_nothing_in_one_of_roots() {
    refused(Maker::Root, Content::Packaged);
}

#[test]
fn the_hosts_package_vouches_for_nothing_in_one_of_a_users() {
    refused(Maker::User, Content::Packaged);
}

#[test]
fn the_hosts_path_trusts_nothing_denied_in_one_of_roots() {
    refused(Maker::Root, Content::Denied);
}

#[test]
fn the_hosts_path_trusts_nothing_denied_in_one_of_a_users() {
    refused(Maker::User, Content::Denied);
}

#[test]
fn what_is_unknown_is_ended_on_layers_in_memory() {
    ended(Maker::Root, Content::Unknown);
    ended(Maker::User, Content::Unknown);
}

#[test]
fn what_is_denied_is_ended_on_layers_in_memory() {
    ended(Maker::Root, Content::Denied);
    ended(Maker::User, Content::Denied);
}

/// What people are told of the layer of a file that ran in a container of this maker: whether it is the upper one, and its folder.
fn told_layers(maker: Maker) {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let (of_image, put_there) = (copy_of("sleep", "of the image"), copy_of("sleep", "put there since"));
    image(&lab);
    lab.write("/opt/image/usr/bin/of-image", &of_image, "755");
    lab.write("/opt/content", &put_there, "755");
    let agent = lab.agent(&site);
    agent.protects(&site, "allow");
    let command = format!("unshare --root={HOME}/root sh -c '/usr/bin/of-image 0 && {TRUSTED} 0'");
    let ended = lab.spawn_as(maker.user(), &["unshare", maker.unshare(), "sh", "-c", &script(Upper::Disk, &command)]).ended();
    assert_eq!(ended.stdout, "ended 0\n", "{ended:?}");
    for (content, upper, folder) in [(&of_image, false, "/opt/image".to_owned()), (&put_there, true, format!("{HOME}/upper"))] {
        let file = eventually("the execution is told", || site.file(&sha256(content)));
        let layers: Vec<_> = file["observations"].as_array().into_iter().flatten().map(|met| met["layer"].clone()).collect();
        assert!(layers.contains(&serde_json::json!({"upper": upper, "folder": folder})), "{file}");
    }
}

#[test]
fn what_an_image_brought_is_told_from_what_was_put_there_in_one_of_roots() {
    told_layers(Maker::Root);
}

#[test]
fn what_an_image_brought_is_told_from_what_was_put_there_in_one_of_a_users() {
    told_layers(Maker::User);
}
