//! Walks in a mount namespace of the test's own, past a FUSE program that never answers.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use doorward_policy::PathBytes;
use nix::mount::{MsFlags, mount as mount_there};
use nix::sched::{CloneFlags, unshare};

use doorward_proto::uplink::CoverageKind;

use super::*;
use crate::exec::coverage::Marks;
use crate::exec::location::{Location, find};
use crate::exec::mount::MOUNTINFO;
use crate::health::Health;
use crate::system::group::{Class, Group};

const NOTHING: Option<&str> = None;
/// Nothing that waits for no server takes this long.
const PROMPT: Duration = Duration::from_secs(20);
/// Whoever waits for a dead server still waits after this.
const STILL_WAITING: Duration = Duration::from_millis(500);

/// A folder in a mount namespace of this thread alone; `None`, loudly, where none can be made.
fn ground(test: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    let is_alone =
        unshare(CloneFlags::CLONE_NEWNS).and_then(|()| mount_there(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING));
    is_alone.inspect_err(|error| eprintln!("SKIPPED: {test} because mounting is not permitted: {error}")).ok()?;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().canonicalize().unwrap();
    tmpfs(&path);
    Some((folder, path))
}

fn tmpfs(path: &Path) {
    fs::create_dir_all(path).unwrap();
    mount_there(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).unwrap();
}

/// A filesystem of a program that never answers, until the file is closed.
fn dead_fuse(path: &Path, test: &str) -> Option<File> {
    let server = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let server = server.inspect_err(|error| eprintln!("SKIPPED: {test} because /dev/fuse cannot be opened: {error}")).ok()?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
    mount_there(Some("dead"), path, Some("fuse.dead"), MsFlags::empty(), Some(options.as_str())).unwrap();
    Some(server)
}

fn mounts() -> Mounts {
    Mounts::read(Path::new(MOUNTINFO)).unwrap()
}

fn to(path: &Path, mounts: &Mounts) -> Result<Place, Obstacle> {
    walk(path.as_os_str().as_bytes(), mounts)
}

/// Does something on another thread; whether it was over in time.
fn is_prompt(limit: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    let (sender, receiver) = sync_channel::<()>(1);
    let worker = thread::spawn(move || {
        let _kept = sender;
        work();
    });
    let is_over = receiver.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected);
    if is_over {
        worker.join().unwrap();
    }
    is_over
}

#[test]
fn a_dead_server_over_the_folder_of_a_local_filesystem_holds_nobody() {
    let test = "a_dead_server_over_the_folder_of_a_local_filesystem_holds_nobody";
    let Some((_kept, base)) = ground(test) else { return };
    let (home, disk) = (base.join("home"), base.join("home/disk"));
    tmpfs(&disk);
    let tool = disk.join("tool");
    fs::write(&tool, "x").unwrap();
    let file = File::open(&tool).unwrap();
    let before = mounts();
    assert!(to(&tool, &before).is_ok());
    let Some(server) = dead_fuse(&home, test) else { return };
    let now = mounts();

    let looked_up = tool.clone();
    assert!(!is_prompt(STILL_WAITING, move || drop(fs::metadata(looked_up))), "the server is not as dead as it should be");
    let is_prompt = is_prompt(PROMPT, move || {
        assert_eq!(to(&tool, &now).unwrap_err(), Obstacle::Foreign("a FUSE program answers for it"));
        assert_eq!(to(&disk, &now).unwrap_err(), Obstacle::Foreign("a FUSE program answers for it"));
        assert_eq!(to(&tool, &before).unwrap_err(), Obstacle::Changed, "mounted since the table was read");
        for table in [&now, &before] {
            let found = find(&file, table);
            assert!(matches!(found.location, Location::Elsewhere(_)) && found.user_writable_folder);
        }
    });
    drop(server);
    assert!(is_prompt, "the walk was held");
}

#[test]
fn a_dead_server_over_a_mount_point_itself_holds_nobody() {
    let test = "a_dead_server_over_a_mount_point_itself_holds_nobody";
    let Some((_kept, base)) = ground(test) else { return };
    let disk = base.join("disk");
    tmpfs(&disk);
    fs::write(disk.join("tool"), "x").unwrap();
    let before = mounts();
    let Some(server) = dead_fuse(&disk, test) else { return };
    let now = mounts();
    let is_prompt = is_prompt(PROMPT, move || {
        assert_eq!(to(&disk.join("tool"), &now).unwrap_err(), Obstacle::Foreign("a FUSE program answers for it"));
        assert_eq!(to(&disk.join("tool"), &before).unwrap_err(), Obstacle::Changed, "mounted since the table was read");
    });
    drop(server);
    assert!(is_prompt, "the walk was held");
}

#[test]
fn marks_are_set_past_a_dead_server_and_what_it_hides_is_said_to_be_uncovered() {
    let test = "marks_are_set_past_a_dead_server_and_what_it_hides_is_said_to_be_uncovered";
    let Some((_kept, base)) = ground(test) else { return };
    let (home, disk) = (base.join("home"), base.join("home/disk"));
    tmpfs(&disk);
    let group = match Group::new(Class::Notification, CoverageKind::Exec) {
        Ok(group) => Arc::new(group),
        Err(error) => return eprintln!("SKIPPED: {test} because {error}"),
    };
    let marks = Marks {
        group: Arc::downgrade(&group),
        fresh: Arc::default(),
        is_told: Arc::new(std::sync::atomic::AtomicBool::new(true)),
        health: Health::default(),
    };
    let point = |path: &Path| PathBytes::new(path.as_os_str().as_bytes());
    assert!(marks.renew(&mounts()).covered.contains(&point(&disk)));
    let Some(server) = dead_fuse(&home, test) else { return };
    let now = mounts();
    let is_prompt = is_prompt(PROMPT, move || {
        let coverage = marks.renew(&now);
        assert!(coverage.covered.contains(&point(&base)) && !coverage.covered.contains(&point(&disk)), "{coverage:?}");
        let reason = |path: &Path| {
            let entry = coverage.uncovered.iter().find(|entry| entry.mount_point == point(path)).unwrap();
            (entry.filesystem.clone(), entry.reason.clone())
        };
        assert_eq!(reason(&home), ("fuse.dead".into(), "a FUSE program answers for it, and it could stop all watching".into()));
        assert_eq!(reason(&disk), ("tmpfs".into(), "another mount hides it, so no path leads to it from here".into()));
    });
    drop(server);
    assert!(is_prompt, "marking was held");
}

#[test]
fn a_walk_passes_local_mounts_and_tells_who_may_write_above() {
    let Some((_kept, base)) = ground("a_walk_passes_local_mounts_and_tells_who_may_write_above") else { return };
    let (disk, open) = (base.join("disk"), base.join("disk/open"));
    tmpfs(&disk);
    // Another over it: what counts is the topmost.
    tmpfs(&disk);
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let (shut, tool) = (disk.join("tool"), open.join("tool"));
    fs::write(&shut, "x").unwrap();
    fs::write(&tool, "x").unwrap();
    let mounts = mounts();
    let own = |path: &Path| to(path, &mounts).unwrap().user_writable.split_off(base.components().count());
    assert_eq!(own(&shut), [false]);
    assert_eq!(own(&tool), [false, true]);
    let found = find(&File::open(&tool).unwrap(), &mounts);
    assert!(found.location.proven().is_some() && found.user_writable_folder);
}

#[test]
fn links_and_dots_lead_nowhere_and_mounts_that_went_are_noticed() {
    let Some((_kept, base)) = ground("links_and_dots_lead_nowhere_and_mounts_that_went_are_noticed") else { return };
    let disk = base.join("disk");
    tmpfs(&disk);
    fs::write(disk.join("tool"), "x").unwrap();
    std::os::unix::fs::symlink(&disk, base.join("link")).unwrap();
    let before = mounts();
    assert_eq!(to(&base.join("link/tool"), &before).unwrap_err(), Obstacle::Refused(Errno::ENOTDIR));
    assert_eq!(to(&base.join("disk/../disk/tool"), &before).unwrap_err(), Obstacle::Changed);
    assert_eq!(to(&base.join("nothing"), &before).unwrap_err(), Obstacle::Refused(Errno::ENOENT));
    assert_eq!(to(Path::new("/proc/version"), &before).unwrap_err(), Obstacle::Foreign("it holds no programs"));
    nix::mount::umount(&disk).unwrap();
    fs::write(disk.join("tool"), "y").unwrap();
    assert_eq!(to(&disk.join("tool"), &before).unwrap_err(), Obstacle::Changed);
}

#[test]
fn nothing_walked_past_is_kept_busy() {
    let Some((_kept, base)) = ground("nothing_walked_past_is_kept_busy") else { return };
    let disk = base.join("disk");
    tmpfs(&disk);
    fs::write(disk.join("tool"), "x").unwrap();
    let file = File::open(disk.join("tool")).unwrap();
    assert!(find(&file, &mounts()).location.proven().is_some());
    drop(file);
    nix::mount::umount(&disk).unwrap();
}

#[test]
fn a_group_that_is_roots_own_may_write() {
    let folder = |uid, gid, mode: u32| {
        let mut stat = fstat(File::open("/").unwrap()).unwrap();
        (stat.st_uid, stat.st_gid, stat.st_mode) = (uid, gid, 0o40_000 | mode);
        is_user_writable(&stat)
    };
    for safe in [(0, 0, 0o755), (0, 0, 0o775), (0, 50, 0o755)] {
        assert!(!folder(safe.0, safe.1, safe.2), "{safe:?}");
    }
    for open in [(0, 50, 0o775), (0, 0, 0o777), (1000, 0, 0o700), (0, 0, 0o1777)] {
        assert!(folder(open.0, open.1, open.2), "{open:?}");
    }
}
