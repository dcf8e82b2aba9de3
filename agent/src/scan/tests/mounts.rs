//! Mounts below the root, in a mount namespace of the test's own thread.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::*;

const NOTHING: Option<&str> = None;

/// Whether this thread may mount, without anybody else seeing it.
fn in_namespace_of_its_own(test: &str) -> bool {
    let is_alone =
        unshare(CloneFlags::CLONE_NEWNS).and_then(|()| mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING));
    is_alone.inspect_err(|error| eprintln!("SKIPPED: {test} because mounting is not permitted: {error}")).is_ok()
}

fn make_folder(root: &TestRoot, path: &str) -> PathBuf {
    let place = root.at(path);
    fs::create_dir_all(&place).unwrap();
    place
}

#[test]
fn local_mounts_are_scanned_once_and_others_left_alone() {
    if !in_namespace_of_its_own("local_mounts_are_scanned_once_and_others_left_alone") {
        return;
    }
    let root = TestRoot::bare().with("own/run", script("own")).with("own/sub/run", script("sub"));
    let (tmpfs, bind, proc, late) =
        (make_folder(&root, "tmpfs"), make_folder(&root, "bind"), make_folder(&root, "proc"), make_folder(&root, "late"));
    let shadowed = make_folder(&root, "shadowed");
    mount(Some("tmpfs"), &tmpfs, Some("tmpfs"), MsFlags::empty(), NOTHING).unwrap();
    root.write("tmpfs/part/run", script("tmpfs"));
    mount(Some(&root.at("own/sub")), &bind, NOTHING, MsFlags::MS_BIND, NOTHING).unwrap();
    mount(Some(&root.at("tmpfs/part")), &late, NOTHING, MsFlags::MS_BIND, NOTHING).unwrap();
    mount(Some("proc"), &proc, Some("proc"), MsFlags::empty(), NOTHING).unwrap();
    mount(Some("tmpfs"), &shadowed, Some("tmpfs"), MsFlags::empty(), NOTHING).unwrap();
    root.write("shadowed/hidden", script("hidden"));
    mount(Some("tmpfs"), &shadowed, Some("tmpfs"), MsFlags::empty(), NOTHING).unwrap();
    root.write("shadowed/shown", script("shown"));
    fs::write(root.at("own/over"), script("under")).unwrap();
    mount(Some(&root.at("own/run")), &root.at("own/over"), NOTHING, MsFlags::MS_BIND, NOTHING).unwrap();

    let state = TempDir::new().unwrap();
    let scanned = TestScan::of(&root, &state).run();
    let mut expected = set(&["/own/run", "/own/sub/run", "/tmpfs/part/run", "/shadowed/shown"]);
    // Mounted over from the same file system: its content is met under this name as well.
    expected.insert("/own/over".to_owned());
    assert_eq!(scanned.paths(), expected);
    let uncovered: BTreeMap<_, _> =
        scanned.summary.uncovered.iter().map(|uncovered| (uncovered.mount_point.to_string(), uncovered.filesystem.clone())).collect();
    assert_eq!(uncovered["/proc"], "proc");
    assert!(uncovered.contains_key("/bind") && uncovered.contains_key("/late"), "{uncovered:?}");

    let mut alone = TestScan::of(&root, &TempDir::new().unwrap());
    alone.options.one_filesystem = true;
    assert_eq!(alone.run().paths(), set(&["/own/run", "/own/sub/run", "/own/over"]));
    // A rescan of everything knows what lies on each of them.
    assert_eq!(TestScan::of(&root, &state).run().summary.counts.digested_files, 0);
}

#[test]
fn a_file_system_mounted_whole_beside_a_part_of_it_is_not_walked_twice() {
    if !in_namespace_of_its_own("a_file_system_mounted_whole_beside_a_part_of_it_is_not_walked_twice") {
        return;
    }
    let root = TestRoot::bare();
    let (whole, part) = (make_folder(&root, "whole"), make_folder(&root, "part"));
    mount(Some("tmpfs"), &whole, Some("tmpfs"), MsFlags::empty(), NOTHING).unwrap();
    root.write("whole/sub/run", script("sub"));
    root.write("whole/top", script("top"));
    mount(Some(&root.at("whole/sub")), &part, NOTHING, MsFlags::MS_BIND, NOTHING).unwrap();
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).only(&["/part", "/whole"]).run();
    assert_eq!(scanned.paths(), set(&["/part/run", "/whole/top"]));
    assert_eq!(scanned.summary.counts.skipped, 0);
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).only(&["/whole", "/part"]).run();
    assert_eq!(scanned.paths(), set(&["/whole/sub/run", "/whole/top"]));
}

#[test]
fn an_overlay_over_several_file_systems_hides_no_file_and_takes_none_for_another() {
    if !in_namespace_of_its_own("an_overlay_over_several_file_systems_hides_no_file_and_takes_none_for_another") {
        return;
    }
    let root = TestRoot::bare();
    let merged = make_folder(&root, "merged");
    let layers = ["upper", "lower"].map(|name| make_folder(&root, name));
    for layer in &layers {
        mount(Some("tmpfs"), layer, Some("tmpfs"), MsFlags::empty(), NOTHING).unwrap();
    }
    // The first files made on two such file systems have the same inode numbers.
    root.write("upper/files/new", script("upper"));
    root.write("lower/files/old", script("lower"));
    fs::create_dir(root.at("upper/work")).unwrap();
    let options = format!(
        "lowerdir={lower}/files,upperdir={upper}/files,workdir={upper}/work,xino=off",
        upper = layers[0].display(),
        lower = layers[1].display()
    );
    if let Err(error) = mount(Some("overlay"), &merged, Some("overlay"), MsFlags::empty(), Some(options.as_str())) {
        return eprintln!("SKIPPED: an_overlay_over_several_file_systems because there is no overlay here: {error}");
    }
    let over = root.at("merged/over");
    fs::write(&over, script("under")).unwrap();
    mount(Some(&root.at("lower/files/old")), &over, NOTHING, MsFlags::MS_BIND, NOTHING).unwrap();
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).only(&["/merged"]).run();
    assert_eq!(scanned.paths(), set(&["/merged/new", "/merged/old"]));
    assert_eq!(scanned.skips(), [("/merged/over".to_owned(), SkipReason::MountedOver)].into());
    let identities: BTreeSet<_> = scanned.findings.iter().map(|finding| finding.file.identity.filesystem).collect();
    assert_eq!(identities.len(), 2, "an inode number counts on its layer");
}

#[test]
fn a_mount_below_a_folder_for_everybody_is_told_as_such() {
    use std::os::unix::fs::PermissionsExt;
    if !in_namespace_of_its_own("a_mount_below_a_folder_for_everybody_is_told_as_such") {
        return;
    }
    let root = TestRoot::bare();
    let (open, shut) = (make_folder(&root, "open/disk"), make_folder(&root, "shut/disk"));
    fs::set_permissions(root.at("open"), fs::Permissions::from_mode(0o777)).unwrap();
    for (point, path) in [(&open, "open/disk/run"), (&shut, "shut/disk/run")] {
        mount(Some("tmpfs"), point, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).unwrap();
        root.write(path, script(path));
    }
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
    let told: BTreeMap<_, _> = scanned.findings.iter().map(|finding| (finding.path.to_string(), finding.user_writable_folder)).collect();
    assert_eq!(told, [("/open/disk/run".to_owned(), true), ("/shut/disk/run".to_owned(), false)].into());
}
