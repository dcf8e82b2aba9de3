//! Opens, where the profile covers them: what is loaded is judged like what is executed, and what is only read never is.

use std::time::Duration;

use doorward_tests::lab::{Ended, Lab, LabAgent};
use doorward_tests::site::{Site, eventually, sha256, unheard_of};
use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::bypass::TOOL;
use crate::coverage::{LOADER, c_library};
use crate::{CANARY_LIMIT, copy_of, debian, minimal};

/// What the kernel says of an open that was refused.
const REFUSED: &str = "Operation not permitted";
/// Longest the programs of a whole Debian take.
const DEBIAN_LIMIT: Duration = Duration::from_secs(300);

const SCRIPT: &[u8] = b"#!/bin/sh\n# of a test\necho it ran\n";
/// No kernel would run this, a shell does.
const TEXT: &[u8] = b"# of a test\necho it ran\n";

/// An agent that lets nothing run that nobody knows, or whatever is said.
fn covering<'a>(lab: &'a Lab, site: &Site, unverified_action: &str) -> LabAgent<'a> {
    let agent = lab.agent(site);
    agent.protects_opens(site, unverified_action);
    lab.assert_alive_within(CANARY_LIMIT);
    agent
}

/// What becomes of an attempt to load a file that nobody knows, where nothing unknown may run.
fn tried(path: &str, content: &[u8], command: &[&str]) -> Option<Ended> {
    let lab = minimal()?;
    let site = Site::start();
    lab.write(path, content, "755");
    let agent = covering(&lab, &site, "deny");
    let ended = lab.spawn_as(1000, command).ended();
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_opens(), "{}", agent.log());
    Some(ended)
}

fn refused(path: &str, content: &[u8], command: &[&str]) {
    let Some(ended) = tried(path, content, command) else { return };
    assert!(!ended.stdout.contains("it ran"), "{ended:?}");
    assert!(ended.stderr.contains(REFUSED), "{ended:?}");
}

#[test]
fn a_script_handed_to_its_interpreter() {
    refused("/opt/script", SCRIPT, &["sh", "/opt/script"]);
}

#[test]
fn a_text_that_is_the_argument_of_an_interpreter() {
    refused("/opt/text", TEXT, &["sh", "/opt/text"]);
    refused("/opt/text", TEXT, &["sh", "-e", "/opt/text"]);
}

#[test]
fn a_text_by_a_link_and_by_a_relative_path() {
    refused("/opt/text", TEXT, &["sh", "-c", "ln -s ../../opt/text /home/ann/link && exec sh /home/ann/link"]);
    refused("/opt/text", TEXT, &["sh", "-c", "cd /opt && exec sh text"]);
    refused("/opt/text", TEXT, &["sh", "-c", "exec sh /proc/self/fd/3 3</opt/text"]);
}

#[test]
fn a_text_that_is_named_like_a_script_and_sourced() {
    refused("/opt/text.sh", TEXT, &["sh", "-c", ". /opt/text.sh"]);
}

#[test]
fn a_script_that_a_shell_is_to_read_from_its_input() {
    refused("/opt/script", SCRIPT, &["sh", "-c", "exec sh </opt/script"]);
}

#[test]
fn a_program_handed_to_the_loader() {
    let program = copy_of("echo", "handed to the loader");
    refused(TOOL, &program, &[LOADER, TOOL, "it ran"]);
}

#[test]
fn a_library_preloaded_into_an_allowed_program() {
    let Some(ended) = tried("/opt/library.so", &c_library(), &["sh", "-c", "LD_PRELOAD=/opt/library.so exec cat /proc/self/maps"]) else {
        return;
    };
    assert!(!ended.stdout.contains("/opt/library.so"), "{ended:?}");
}

#[test]
fn a_library_that_audits_an_allowed_program() {
    let Some(ended) = tried("/opt/library.so", &c_library(), &["sh", "-c", "LD_AUDIT=/opt/library.so exec cat /proc/self/maps"]) else {
        return;
    };
    assert!(!ended.stdout.contains("/opt/library.so"), "{ended:?}");
}

#[test]
fn a_library_in_the_place_of_one_that_a_program_needs() {
    let Some(ended) = tried("/opt/libc.so.6", &c_library(), &["sh", "-c", "LD_LIBRARY_PATH=/opt exec cat /proc/self/maps"]) else { return };
    assert!(!ended.stdout.contains("/opt/libc.so.6"), "{ended:?}");
}

#[test]
fn a_denied_load_is_explained_and_told_with_its_opener() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    lab.write("/opt/text", TEXT, "644");
    let agent = covering(&lab, &site, "allow");
    let run = || lab.spawn_as(1000, &["sh", "/opt/text"]).ended();
    assert_eq!(run().stdout, "it ran\n", "nothing denies it yet");
    let seen = site.file_with_reason(&sha256(TEXT), "unknown");
    assert_eq!(seen["observations"][0]["use"], "load", "{seen}");
    let shell = std::fs::read("/bin/dash").unwrap();
    // The shell has a name once it was read some time after it was written, which in a new lab may be later than its first start.
    eventually("the opener is told", || {
        assert_eq!(run().stdout, "it ran\n");
        let file = site.file(&sha256(TEXT))?;
        let executions = file["executions"].as_array()?;
        executions.iter().any(|execution| execution["opener"] == sha256(&shell).to_string()).then_some(())
    });
    agent.decided(&site, "deny", &sha256(TEXT), "/opt/text");
    let ended = run();
    assert!(ended.stderr.contains(REFUSED), "{ended:?}");
    let why = agent.why("/opt/text");
    assert_eq!((&why["judgement"]["verdict"], &why["response"]), (&"deny".into(), &"deny".into()), "{why}");
    let known = eventually("the denial is known to the CMS", || {
        let file = site.file(&sha256(TEXT))?;
        file.to_string().contains("\"fate\":\"refused\"").then_some(file)
    });
    assert!(known.to_string().contains("/opt/text"), "{known}");
    let incident = site.incident("threat_executed", &sha256(TEXT));
    let shown = site.cms_says(&["incident", "show", incident["id"].as_str().unwrap()]);
    assert_eq!((&shown["detail"]["use"], &shown["detail"]["opener"]), (&"load".into(), &sha256(&shell).to_string().into()), "{shown}");
    assert_eq!(lab.spawn_as(1000, &["cat", "/opt/text"]).ended().stdout.as_bytes(), TEXT, "reading it is no use of it");
    agent.decided(&site, "allow", &sha256(TEXT), "/opt/text");
    assert_eq!(run().stdout, "it ran\n", "a decision taken back lets it run again");
}

#[test]
fn reading_and_writing_what_nobody_knows() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let program = unheard_of("only read");
    lab.install("script", &[("usr/share/known.sh", b"#!/bin/sh\necho known\n")]);
    for (name, content) in [("program", program.as_slice()), ("library.so", &c_library()), ("script", SCRIPT), ("text.sh", TEXT)] {
        lab.write(&format!("/opt/tree/{name}"), content, "755");
    }
    lab.must(&["chown", "-R", "1000:1000", "/opt/tree", "/home/ann"]);
    let agent = covering(&lab, &site, "deny");
    let work = "cd /opt/tree && cp -r . /home/ann/copy && for f in *; do cat $f >/dev/null && head -c 10 $f >/dev/null && \
                od $f >/dev/null && dd if=$f of=/home/ann/dd 2>/dev/null && grep -q x $f; [ $? -le 1 ] || exit 9; done && \
                find . -type f -exec cat {} + >/dev/null && mv script moved && echo more >>moved && echo new >moved && sort moved >/dev/null && \
                env LD_BIND_NOW=1 cat library.so >/dev/null && sh /usr/share/known.sh";
    for _ in 0..2 {
        let ended = lab.spawn_as(1000, &["sh", "-ec", &format!("{work}; mv moved script; rm -r /home/ann/copy")]).ended();
        assert_eq!((ended.success(), ended.stdout.as_str(), ended.stderr.as_str()), (true, "known\n", ""), "{ended:?}");
    }
    assert!(lab.spawn_as(1000, &["sh", "-c", "ulimit -s unlimited; exec cat /opt/tree/program"]).ended().success());
    assert!(lab.spawn_as(1000, &[LOADER, "/bin/cat", "/opt/tree/library.so"]).ended().success(), "a packaged program reads by the loader");
    assert!(agent.holds_opens(), "{}", agent.log());
}

#[test]
fn a_place_the_profile_excludes_is_left_alone_by_opens_and_not_by_executions() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    lab.write("/opt/data/script.sh", SCRIPT, "755");
    lab.write("/opt/database/script.sh", SCRIPT, "755");
    let _ = site.cms_says(&["profile", "set", "default", "open_exclusions=/opt/data"]);
    let _agent = covering(&lab, &site, "deny");
    assert_eq!(lab.spawn_as(1000, &["sh", "/opt/data/script.sh"]).ended().stdout, "it ran\n");
    assert!(lab.spawn_as(1000, &["sh", "/opt/database/script.sh"]).ended().stderr.contains(REFUSED));
    assert_eq!(lab.spawn_as(1000, &["/opt/data/script.sh"]).ended().refusal(), Some(Errno::EPERM));
}

#[test]
fn another_coverage_is_taken_over_without_a_gap() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    lab.write("/opt/script", SCRIPT, "755");
    let agent = lab.agent(&site);
    agent.protects(&site, "deny");
    let run = || lab.spawn_as(1000, &["sh", "/opt/script"]).ended();
    assert!(run().success() && !agent.holds_opens());
    agent.protects_opens(&site, "deny");
    assert!(run().stderr.contains(REFUSED));
    let _ = site.cms_says(&["profile", "set", "default", "coverage=exec"]);
    let _ = site.cms_says(&["profile", "publish", "default"]);
    eventually("opens are no longer held", || {
        assert!(agent.holds_executions(), "executions are, all the time");
        (!agent.holds_opens()).then_some(())
    });
    assert!(run().success());
}

#[test]
fn system_files_are_opened_without_the_agent_being_asked() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    lab.install("texts", &[("usr/share/text", b"only words\n")]);
    lab.write("/usr/share/cache", b"\0\x01binary", "644");
    lab.write("/usr/share/own.sh", TEXT, "644");
    let agent = covering(&lab, &site, "deny");
    for path in ["/usr/bin/sort", "/usr/share/text", "/usr/share/cache"] {
        eventually(&format!("the kernel is quiet about {path}"), || {
            let _ = lab.spawn_as(1000, &["cat", path]).ended();
            agent.ignores(path).then_some(())
        });
    }
    let _ = lab.run(&["cat", "/usr/share/own.sh"]);
    assert!(lab.run(&["sh", "/usr/share/own.sh"]).stderr.contains(REFUSED));
    assert!(!agent.ignores("/usr/share/own.sh"), "text that no package vouches for is told of to the last");
}

#[test]
fn loads_are_noticed_where_nobody_is_held() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let library = c_library();
    lab.write("/opt/text.sh", TEXT, "644");
    lab.write("/opt/library.so", &library, "755");
    let _ = site.cms_says(&["profile", "set", "default", "coverage=exec_and_open"]);
    let _ = site.cms_says(&["profile", "publish", "default"]);
    let agent = lab.agent(&site);
    eventually("the agent watches opens", || (agent.status()["watches"] == "exec_and_open").then_some(()));
    assert!(!agent.holds_executions());
    for (file, command) in
        [(TEXT, ["sh", "-c", ". /opt/text.sh; sleep 1"]), (&library, ["sh", "-c", "LD_PRELOAD=/opt/library.so exec sleep 2"])]
    {
        let seen = eventually("the load is known to the CMS", || {
            let _ = lab.spawn_as(1000, &command).ended();
            site.file(&sha256(file))
        });
        assert_eq!(seen["observations"][0]["use"], "load", "{seen}");
    }
    assert!(lab.spawn_as(1000, &["cat", "/opt/library.so"]).ended().success());
}

/// A Debian with what people back up, build and script with.
fn equipped() -> Option<Lab> {
    let lab = debian()?;
    let installed = lab.apt_install(&["python3-minimal", "git", "binutils", "tar", "perl"]);
    installed.inspect_err(|error| eprintln!("SKIPPED: what needs Python and git: {error}")).ok()?;
    Some(lab)
}

#[test]
fn backups_archives_and_tools_read_a_tree_of_what_nobody_knows() {
    let Some(lab) = equipped() else { return };
    let site = Site::start();
    for (name, content) in [
        ("program", unheard_of("backed up").as_slice()),
        ("library.so", &c_library()),
        ("script.sh", SCRIPT),
        ("module.py", b"print('it ran')\n"),
        ("module.pl", b"print 'it ran';\n"),
    ] {
        lab.write(&format!("/srv/tree/{name}"), content, "755");
    }
    lab.must(&["sh", "-c", "useradd -m -u 1000 ann; chown -R ann /srv/tree"]);
    let agent = covering(&lab, &site, "deny");
    let work = "cd /srv/tree && tar -cf ~/tree.tar . && tar -xf ~/tree.tar -C ~ && strip -o ~/stripped program && cp -a . ~/again && \
                git init -q ~/again && cd ~/again && git add . && git -c user.name=x -c user.email=x commit -qm x && git status -s && \
                git gc -q && cd / && git clone -q ~/again ~/clone && tar -cf /dev/null -C / srv home/ann && readelf -h ~/clone/program >/dev/null";
    let ended = lab.spawn_as(1000, &["sh", "-ec", &format!("export HOME=/home/ann; {work}")]).ended_within(DEBIAN_LIMIT);
    assert!(ended.success() && !ended.stderr.contains(REFUSED), "{ended:?}");
    assert!(agent.holds_opens(), "{}", agent.log());
}

#[test]
fn modules_and_extensions_of_interpreters() {
    let Some(lab) = equipped() else { return };
    let site = Site::start();
    lab.write("/opt/x/module.py", b"print('it ran')\n", "644");
    lab.write("/opt/x/Module.pm", b"package Module; print 'it ran'; 1;\n", "644");
    lab.write("/opt/x/library.so", &c_library(), "755");
    lab.write("/opt/x/data", b"print('it ran')\n", "644");
    let agent = covering(&lab, &site, "deny");
    let run = |command: &[&str]| lab.spawn_as(1000, command).ended();
    assert!(run(&["python3", "-c", "print('known')"]).success(), "Python itself is packaged");
    let compiled = run(&["python3", "-v", "-c", "import getopt"]).stderr;
    assert!(
        compiled.contains("code object from '/usr/lib/python3"),
        "what was compiled on the host is trusted with its source: {compiled}"
    );
    assert!(run(&["perl", "-MFile::Spec", "-e", "print 1"]).success());
    let python = |code: &str| run(&["env", "PYTHONPATH=/opt/x", "python3", "-c", code]);
    let skipped = run(&["perl", "-I/opt/x", "-MModule", "-e", "1"]);
    assert!(!skipped.success() && skipped.stderr.contains("Can't locate"), "Perl looks on: {skipped:?}");
    for refused in [
        python("import module"),
        run(&["python3", "/opt/x/data"]),
        run(&["perl", "-e", "require DynaLoader; DynaLoader::dl_load_file('/opt/x/library.so') or die DynaLoader::dl_error()"]),
    ] {
        assert!(!refused.success() && !refused.stdout.contains("it ran") && refused.stderr.contains(REFUSED), "{refused:?}");
    }
    for read in [
        python("print(len(open('/opt/x/library.so', 'rb').read()))"),
        python("print(open('/opt/x/data').read())"),
        run(&["perl", "-ne", "print", "/opt/x/data"]),
    ] {
        assert!(read.success() && read.stderr.is_empty(), "{read:?}");
    }
    assert!(agent.holds_opens(), "{}", agent.log());
}

#[test]
fn a_stopped_or_killed_agent_lets_opens_go() {
    for signal in [Signal::SIGKILL, Signal::SIGSTOP, Signal::SIGTERM] {
        let Some(lab) = minimal() else { return };
        let site = Site::start();
        lab.write("/opt/script", SCRIPT, "755");
        let agent = covering(&lab, &site, "hold");
        let mut held = lab.spawn(&["sh", "/opt/script"]);
        assert!(held.within(Duration::from_millis(200)).is_none(), "it is held");
        agent.signal(signal);
        // Its guard ends one that stands still.
        lab.assert_alive_within(Duration::from_secs(6));
        assert!(held.within(Duration::from_secs(6)).is_some(), "what was held is released");
        lab.assert_alive_within(CANARY_LIMIT);
    }
}

#[test]
fn many_opens_of_one_user_while_another_works() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    lab.must(&["sh", "-c", "mkdir /opt/storm; i=0; while [ $i -lt 500 ]; do echo \"echo $i\" >/opt/storm/$i.sh; i=$((i+1)); done"]);
    let agent = covering(&lab, &site, "hold");
    let script =
        "i=0; while [ $i -lt 500 ]; do sh /opt/storm/$i.sh >/dev/null 2>&1 & cat /opt/storm/$i.sh >/dev/null & i=$((i+1)); done; wait";
    let mut storm = lab.spawn_as(1000, &["sh", "-c", script]);
    let mut ended = None;
    while ended.is_none() {
        let canary = lab.canary_exec_as(1001);
        assert!(canary.errno.is_none() && canary.took.is_some_and(|took| took < 3 * CANARY_LIMIT), "{canary:?}");
        ended = storm.within(Duration::from_millis(50));
    }
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_opens(), "{}", agent.log());
}
