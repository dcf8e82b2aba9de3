//! rpm's database by what rpm itself says of the same files. Nothing here is a stand-in: packages, signatures and databases
//! are made by the programs that make them elsewhere. Two formats cannot be written by Debian's rpm: Berkeley DB's own
//! loader writes one, from headers that rpm wrote, and the other is laid out here around them.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use doorward_policy::{DigestAlgorithm, Fit, Level, PackageManager, PathBytes};

use super::fixture::{RpmRoot, Spec, digests, digests_of, done};
use super::*;
use crate::trust::verify::{Finding, verify};
use crate::trust::{PackageTrust, Trust, Watch, transaction_holders, transaction_is_open};

/// Longest wait for another process or for the watch.
const PATIENCE: Duration = Duration::from_secs(60);

const SCRIPT: &str = "#!/bin/sh\\necho";

/// Every kind of file in one package.
fn every_kind(root: &RpmRoot) {
    let install = format!(
        "cd %{{buildroot}}; mkdir -p usr/bin usr/sbin etc/cron.daily opt/tool/bin var/log usr/share/doc\n\
         printf '{SCRIPT} tool\\n' > usr/bin/tool; ln usr/bin/tool usr/bin/tool-link; ln -s tool usr/bin/tool-sym\n\
         printf '{SCRIPT} cron\\n' > etc/cron.daily/tool; printf 'a = 1\\n' > etc/tool.conf; cp etc/tool.conf etc/tool.extra\n\
         printf '{SCRIPT} moved\\n' > opt/tool/bin/run; printf '{SCRIPT} unchecked\\n' > usr/bin/unchecked\n\
         printf 'text\\n' > usr/share/doc/tool; printf '{SCRIPT} same\\n' > usr/bin/same; printf '{SCRIPT} gone\\n' > usr/bin/gone\n\
         truncate -s 5G var/log/huge.log"
    );
    let files = "/usr/bin/tool\n/usr/bin/tool-link\n/usr/bin/tool-sym\n%config /etc/cron.daily/tool\n\
                 %config(noreplace) /etc/tool.conf\n%config(missingok) /etc/tool.extra\n/opt/tool/bin/run\n\
                 %verify(not md5) /usr/bin/unchecked\n%ghost /var/log/tool.log\n%doc /usr/share/doc/tool\n/usr/bin/same\n/usr/bin/gone\n\
                 %ghost /var/log/huge.log";
    let spec = Spec { name: "tool", preamble: "Prefix: /opt/tool", install: &install, files, ..Spec::default() };
    root.install(&spec, &["--relocate", "/opt/tool=/srv/tool"]);
}

/// One program in a package of its own, with a digest of this algorithm.
fn by_algorithm(root: &RpmRoot, name: &str, algorithm: u8, is_signed: bool) {
    let install = format!("mkdir -p %{{buildroot}}/usr/bin; printf '{SCRIPT} {name}\\n' > %{{buildroot}}/usr/bin/{name}");
    let files = format!("/usr/bin/{name}");
    root.install(&Spec { name, install: &install, files: &files, algorithm, is_signed, ..Spec::default() }, &[]);
}

fn load(root: &RpmRoot) -> PackageTrust {
    PackageTrust::load(&root.root()).unwrap().unwrap()
}

fn fit(trust: &PackageTrust, root: &RpmRoot, path: &str) -> Option<Fit> {
    let digests = digests_of(trust, path, &root.at(path.trim_start_matches('/')));
    trust.evidence(&PathBytes::new(path), &digests).map(|evidence| evidence.fit)
}

fn change(root: &RpmRoot, path: &str) {
    let mut file = OpenOptions::new().append(true).open(root.at(path)).unwrap();
    file.write_all(b"echo changed\n").unwrap();
}

#[test]
fn files_are_vouched_for_as_rpm_itself_verifies_them() {
    let Some(root) = RpmRoot::new().map(RpmRoot::with_key) else { return };
    every_kind(&root);
    for (name, algorithm) in [("md5", 1), ("sha1", 2), ("sha224", 11), ("sha384", 9), ("sha512", 10)] {
        by_algorithm(&root, name, algorithm, true);
        by_algorithm(&root, &format!("{name}-unsigned"), algorithm, false);
    }
    for path in ["usr/bin/tool", "etc/cron.daily/tool", "etc/tool.conf", "srv/tool/bin/run", "usr/bin/unchecked", "usr/bin/sha512"] {
        change(&root, path);
    }
    fs::create_dir_all(root.at("var/log")).unwrap();
    fs::write(root.at("var/log/tool.log"), "#!/bin/sh\n").unwrap();
    fs::remove_file(root.at("usr/bin/gone")).unwrap();
    fs::remove_file(root.at("etc/tool.extra")).unwrap();

    let trust = load(&root);
    assert_eq!(trust.problems(PackageManager::Rpm).unwrap().total(), 0);
    assert_eq!((trust.packages(), trust.incompleteness()), (11, None));
    let by_rpm: BTreeMap<_, _> = root.verified_by_rpm().into_iter().collect();
    let mut compared = 0;
    for (path, flags) in root.files() {
        if !root.at(path.trim_start_matches('/')).exists() {
            continue;
        }
        let differs = by_rpm.get(&path).is_some_and(|line| line.as_bytes().get(2) == Some(&b'5'));
        let has_no_word = flags.contains('g') || path == "/usr/bin/unchecked";
        let is_weak = matches!(path.as_str(), "/usr/bin/md5-unsigned" | "/usr/bin/sha1-unsigned");
        let expected = match (has_no_word || is_weak, differs) {
            (true, _) => Fit::NoDigest,
            (false, true) => Fit::Modified,
            (false, false) => Fit::Match,
        };
        assert_eq!(fit(&trust, &root, &path), Some(expected), "{path}: rpm says {:?}", by_rpm.get(&path));
        compared += 1;
    }
    assert!(compared >= 19, "{compared} files compared");
    assert_eq!(fit(&trust, &root, "/usr/bin/tool-link"), Some(Fit::Modified), "another name of the file that was changed");
    assert!(trust.owner(&PathBytes::new("/opt/tool/bin/run")).is_none(), "nothing lies where the relocation took it from");
    assert!(trust.owner(&PathBytes::new("/usr/bin/tool-sym")).is_none(), "a link's target counts, not the link");

    let evidence =
        trust.evidence(&PathBytes::new("/usr/bin/same"), &digests_of(&trust, "/usr/bin/same", &root.at("usr/bin/same"))).unwrap();
    assert_eq!((evidence.manager, evidence.level, evidence.fit), (PackageManager::Rpm, Level::Database, Fit::Match));
    assert_eq!((evidence.name.as_str(), evidence.version.as_str(), evidence.origin.as_str()), ("tool", "2:1.0-3", "Example Vendor"));
    for (name, wanted) in [("same", None), ("md5", Some(DigestAlgorithm::Md5)), ("sha512", Some(DigestAlgorithm::Sha512))] {
        assert_eq!(trust.wanted_digest(&PathBytes::new(format!("/usr/bin/{name}"))), wanted, "{name}");
    }

    // `verify` leaves configuration to its administrator and finds everything else that rpm finds.
    let is_ours = |line: &str| !line.contains(" c") && (line.as_bytes().get(2) == Some(&b'5') || line.starts_with("missing"));
    let mut expected: Vec<_> = by_rpm.iter().filter(|(_, line)| is_ours(line)).map(|(path, _)| path.clone()).collect();
    expected.sort();
    let mut found = verify(&root.root(), 2).unwrap().unwrap();
    found.named.sort();
    assert_eq!(found.named.iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>(), expected);
    assert_eq!(found.missing, 1);
    assert!(found.named.contains(&(PathBytes::new("/usr/bin/tool"), Finding::Modified)));
    let sizes = root.rpm(&["-q", "tool", "--qf", "%{LONGFILESIZES}"]);
    assert!(sizes.chars().all(|digit| digit.is_ascii_digit()), "sizes of more than four bytes: {sizes}");
}

#[test]
fn broken_digests_count_by_a_key_of_the_keyring_alone() {
    let Some(root) = RpmRoot::new().map(RpmRoot::with_key) else { return };
    by_algorithm(&root, "md5", 1, true);
    let path = PathBytes::new("/usr/bin/md5");
    let content = fs::read(root.at("usr/bin/md5")).unwrap();
    let fit = |root: &RpmRoot| load(root).evidence(&path, &digests(Some(DigestAlgorithm::Md5), &content)).unwrap().fit;
    assert_eq!(fit(&root), Fit::Match);
    // The same header, once its key has left the keyring: a file of the key somewhere else makes no difference.
    let keys = root.rpm(&["-q", "gpg-pubkey"]);
    root.rpm(&["-e", "--allmatches", keys.trim()]);
    fs::create_dir_all(root.at("etc/pki/rpm-gpg")).unwrap();
    fs::write(root.at("etc/pki/rpm-gpg/RPM-GPG-KEY"), "a key").unwrap();
    assert_eq!(fit(&root), Fit::NoDigest);
}

#[test]
fn a_signed_header_that_somebody_changed_proves_nothing_with_broken_digests() {
    let Some(root) = RpmRoot::new().map(RpmRoot::with_key) else { return };
    by_algorithm(&root, "sha1", 2, true);
    let headers = root.headers();
    let blob = &headers.last().unwrap().1;
    let package = Package::of(Header::new(blob).unwrap()).unwrap();
    let mut keyring = Keyring::default();
    headers.iter().for_each(|(_, blob)| keyring.take(blob));
    let signed = keyring.signer(&package).expect("rpm's own signature counts");
    assert!(signed.name.contains("Test Signer"), "{signed:?}");
    // A single bit anywhere in what is sealed: the beginning of the index, and the beginning of the data behind all of the index.
    let sealed = package.header().sealed().unwrap();
    let (index, data) = (sealed.parts()[2].len(), sealed.parts()[3].len());
    let behind_index = 8 + u32::from_be_bytes(blob[..4].try_into().unwrap()) as usize * 16;
    for at in (8..8 + index).step_by(131).chain((behind_index..behind_index + data).step_by(131)) {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        let is_signed = Header::new(&changed).and_then(Package::of).is_ok_and(|package| keyring.signer(&package).is_some());
        assert!(!is_signed, "changed at {at}");
    }
}

/// The two formats that Debian's rpm does not write, around headers that it wrote.
fn rewrite_as_ndb(root: &RpmRoot) {
    let (mut slots, mut blobs, first_block) = (Vec::new(), Vec::new(), 4096 / 16);
    for (number, blob) in root.headers() {
        let mut bytes =
            [b"BlbS".to_vec(), number.to_le_bytes().to_vec(), vec![0; 4], (blob.len() as u32).to_le_bytes().to_vec(), blob].concat();
        let length = bytes.len() - 16;
        bytes.resize((bytes.len() + 12).next_multiple_of(16) - 12, 0);
        let (low, high) = bytes.iter().fold((1u32, 0u32), |(low, high), byte| {
            let low = (low + u32::from(*byte)) % 65_521;
            (low, (high + low) % 65_521)
        });
        bytes.extend((high << 16 | low).to_le_bytes());
        bytes.extend((length as u32).to_le_bytes());
        bytes.extend(b"BlbE");
        slots.extend([*b"Slot", number.to_le_bytes(), ((first_block + blobs.len() / 16) as u32).to_le_bytes()].concat());
        slots.extend(((bytes.len() / 16) as u32).to_le_bytes());
        blobs.extend(bytes);
    }
    let mut file = [b"RpmP".to_vec(), vec![0; 4], 7u32.to_le_bytes().to_vec(), 1u32.to_le_bytes().to_vec(), vec![0; 16]].concat();
    file.extend(slots);
    while file.len() < 4096 {
        file.extend(b"Slot\0\0\0\0\0\0\0\0\0\0\0\0");
    }
    file.extend(blobs);
    forget_sqlite(root);
    fs::write(root.database().join("Packages.db"), file).unwrap();
}

fn rewrite_as_bdb(root: &RpmRoot, order: &str, page_bytes: u32) {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = |number: u32| if order == "1234" { number.to_le_bytes() } else { number.to_be_bytes() };
    let mut dump = format!("VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize={page_bytes}\ndb_lorder={order}\nHEADER=END\n");
    let headers = root.headers();
    dump.push_str(&format!(" {}\n {}\n", hex(&key(0)), hex(&key(headers.last().unwrap().0))));
    for (number, blob) in headers {
        dump.push_str(&format!(" {}\n {}\n", hex(&key(number)), hex(&blob)));
    }
    dump.push_str("DATA=END\n");
    let text = root.database().join("dump");
    fs::write(&text, dump).unwrap();
    let _ = fs::remove_file(root.database().join("Packages"));
    done(Command::new("db5.3_load").arg("-f").arg(&text).arg(root.database().join("Packages")));
    fs::remove_file(text).unwrap();
}

fn forget_sqlite(root: &RpmRoot) {
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(root.database().join(format!("rpmdb.sqlite{ending}")));
    }
}

#[test]
fn all_three_formats_say_the_same() {
    let Some(root) = RpmRoot::new().map(RpmRoot::with_key) else { return };
    every_kind(&root);
    by_algorithm(&root, "md5", 1, true);
    by_algorithm(&root, "sha512", 10, false);
    change(&root, "usr/bin/tool");
    let paths: Vec<_> = root.files().into_iter().map(|(path, _)| path).collect();
    let word = |root: &RpmRoot| {
        let trust = load(root);
        let of = |path: &String| {
            let file = root.at(path.trim_start_matches('/'));
            file.exists().then(|| trust.evidence(&PathBytes::new(path.as_str()), &digests_of(&trust, path, &file)))
        };
        paths.iter().map(of).collect::<Vec<_>>()
    };
    let by_sqlite = word(&root);
    assert!(by_sqlite.iter().flatten().flatten().filter(|evidence| evidence.fit == Fit::Match).count() >= 5);
    if Command::new("db5.3_load").arg("-V").output().is_err() {
        eprintln!("SKIPPED: Berkeley DB's format needs db5.3_load");
    } else {
        let sqlite = fs::read(root.database().join("rpmdb.sqlite")).unwrap();
        for (order, page_bytes) in [("1234", 4096), ("4321", 4096), ("1234", 512), ("1234", 65536)] {
            fs::write(root.database().join("rpmdb.sqlite"), &sqlite).unwrap();
            rewrite_as_bdb(&root, order, page_bytes);
            forget_sqlite(&root);
            assert_eq!(word(&root), by_sqlite, "Berkeley DB, {order}, pages of {page_bytes}");
        }
        let native = root.rpm(&["-qa", "--define", "_db_backend bdb_ro"]);
        assert!(native.contains("sha512-1.0-3"), "rpm reads it too, when it is of this machine's order: {native}");
        fs::write(root.database().join("rpmdb.sqlite"), &sqlite).unwrap();
    }
    rewrite_as_ndb(&root);
    assert_eq!(word(&root), by_sqlite, "NDB, and what was left of an older format does not count");
}

#[test]
fn a_snapshot_holds_what_lies_in_the_log_and_leaves_nothing_beside_the_database() {
    let Some(root) = RpmRoot::new() else { return };
    by_algorithm(&root, "before", 8, false);
    let headers = root.headers();
    let file = root.database().join("rpmdb.sqlite");
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(root.database().join(format!("rpmdb.sqlite{ending}")));
    }
    assert_eq!(load(&root).packages(), 1);
    assert!(!root.database().join("rpmdb.sqlite-shm").exists() && !root.database().join("rpmdb.sqlite-wal").exists());
    // rpm in the middle of its work, as far as the file can tell: committed to the log, and not yet to the database.
    let writer = rusqlite::Connection::open(&file).unwrap();
    writer.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    writer.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    writer.execute("INSERT INTO Packages (blob) VALUES (?1)", [&headers[0].1]).unwrap();
    let log = fs::metadata(root.database().join("rpmdb.sqlite-wal")).unwrap().len();
    assert!(log > 0);
    assert_eq!(load(&root).packages(), 2);
    writer.execute_batch("BEGIN IMMEDIATE; DELETE FROM Packages").unwrap();
    assert_eq!(load(&root).packages(), 2, "what is not committed does not count, and nobody waits for it");
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(load(&root).packages(), 0);
    writer
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0).map(|busy| assert_eq!(busy, 0, "nobody reads")))
        .unwrap();
}

#[test]
fn rpm_works_on_undisturbed_while_its_database_is_read_all_the_time() {
    let Some(root) = RpmRoot::new() else { return };
    by_algorithm(&root, "stays", 8, false);
    let install = format!("mkdir -p %{{buildroot}}/usr/bin; printf '{SCRIPT} comes\\n' > %{{buildroot}}/usr/bin/comes");
    let comes = root.build(&Spec { name: "comes", install: &install, files: "/usr/bin/comes", ..Spec::default() });
    let stays = PathBytes::new("/usr/bin/stays");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut read, mut unsettled) = (0, 0);
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                match PackageTrust::load(&root.root()) {
                    Ok(trust) => {
                        assert!(trust.unwrap().owner(&stays).is_some(), "what is installed all the time is there all the time");
                        read += 1;
                    }
                    Err(_) => unsettled += 1,
                }
            }
            (read, unsettled)
        });
        for _ in 0..8 {
            root.rpm(&["-i", "--nodeps", comes.to_str().unwrap()]);
            root.rpm(&["-e", "--nodeps", "comes"]);
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        let (read, unsettled) = reader.join().unwrap();
        assert!(read > unsettled, "{read} readings, {unsettled} of a database that changed three times meanwhile");
    });
    root.rpm(&["--verifydb"]);
}

#[test]
fn a_damaged_database_never_replaces_one_that_was_whole() {
    let Some(root) = RpmRoot::new() else { return };
    by_algorithm(&root, "kept", 8, false);
    let (trust, problems) = Trust::open(&root.root());
    assert!(problems.is_empty(), "{problems:?}");
    let generation = trust.generation();
    trust.reload(PackageManager::Rpm).unwrap();
    assert_eq!(trust.generation(), generation, "nothing changed");
    let file = root.database().join("rpmdb.sqlite");
    let whole = fs::read(&file).unwrap();
    let vandals: [&dyn Fn(); 5] = [
        &|| fs::write(&file, &whole[..whole.len() / 2]).unwrap(),
        &|| fs::write(&file, b"").unwrap(),
        &|| fs::write(&file, [&b"not SQLite at all"[..], &whole[17..]].concat()).unwrap(),
        &|| {
            let database = rusqlite::Connection::open(&file).unwrap();
            database.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
            database.execute("UPDATE Packages SET blob = zeroblob(100)", []).unwrap();
        },
        &|| {
            let database = rusqlite::Connection::open(&file).unwrap();
            let view = "ALTER TABLE Packages RENAME TO p; CREATE VIEW Packages AS SELECT hnum, blob FROM p";
            database.execute_batch(view).unwrap();
        },
    ];
    for (number, vandal) in vandals.iter().enumerate() {
        fs::write(&file, &whole).unwrap();
        vandal();
        assert!(trust.reload(PackageManager::Rpm).is_err(), "vandal {number}");
        assert!(trust.current().unwrap().owner(&PathBytes::new("/usr/bin/kept")).is_some());
    }
    forget_sqlite(&root);
    assert!(matches!(trust.reload(PackageManager::Rpm), Err(TrustError::Incomplete(_))));
    fs::create_dir(&file).unwrap();
    assert!(matches!(trust.reload(PackageManager::Rpm), Err(TrustError::Unreadable { .. })));
    fs::remove_dir(&file).unwrap();
    fs::write(&file, &whole).unwrap();
    trust.reload(PackageManager::Rpm).unwrap();
    assert!(trust.current().unwrap().owner(&PathBytes::new("/usr/bin/kept")).is_some());
}

#[test]
fn the_watch_notices_a_database_that_was_not_there_and_every_later_package() {
    let Some(root) = RpmRoot::new() else { return };
    forget_sqlite(&root);
    fs::remove_dir_all(root.database()).unwrap();
    let trust = Arc::new(Trust::open(&root.root()).0);
    assert!(trust.current().is_none());
    let (told, outcomes) = sync_channel(64);
    let watch = Watch::start(Arc::clone(&trust), move |outcome| drop(told.try_send(outcome))).unwrap();
    fs::create_dir(root.database()).unwrap();
    root.rpm(&["--initdb"]);
    for name in ["first", "second"] {
        by_algorithm(&root, name, 8, false);
        let path = PathBytes::new(format!("/usr/bin/{name}"));
        while trust.current().is_none_or(|trust| trust.owner(&path).is_none()) {
            outcomes.recv_timeout(PATIENCE).expect("the change is noticed in time").unwrap();
        }
    }
    while outcomes.recv_timeout(Duration::from_secs(2)).is_ok() {}
    let generation = trust.generation();
    assert!(root.rpm(&["-qa"]).contains("second"));
    while outcomes.recv_timeout(Duration::from_secs(2)).is_ok() {}
    assert_eq!(trust.generation(), generation, "looking changes nothing");
    drop(watch);
}

#[test]
fn during_its_own_script_a_package_is_known_though_the_database_is_still_in_work() {
    let Some(root) = RpmRoot::new() else { return };
    by_algorithm(&root, "before", 8, false);
    let install = format!("mkdir -p %{{buildroot}}/usr/bin; printf '{SCRIPT} busy\\n' > %{{buildroot}}/usr/bin/busy");
    let files = "/usr/bin/busy\n%post -p <lua>\nlocal file = io.open('/started', 'w'); file:close()\n\
                 for i = 1, 60 do if posix.stat('/go') then break end; posix.sleep(1) end";
    let package = root.build(&Spec { name: "busy", install: &install, files, ..Spec::default() });
    let trust = Trust::open(&root.root()).0;
    assert!(!trust.is_behind() && !transaction_is_open(&root.root()));
    let mut rpm = root.start_rpm(&["-i", "--nodeps", package.to_str().unwrap()]);
    let began = Instant::now();
    while !root.at("started").exists() {
        assert!(began.elapsed() < PATIENCE, "the script begins");
        std::thread::sleep(Duration::from_millis(20));
    }
    let holders: Vec<_> = transaction_holders(&root.root()).collect();
    assert_eq!(holders, [(PackageManager::Rpm, rpm.id().cast_signed())]);
    assert!(transaction_is_open(&root.root()) && trust.is_behind());
    let path = PathBytes::new("/usr/bin/busy");
    assert!(trust.current().unwrap().owner(&path).is_none(), "not before the database was read again");
    let content = fs::read(root.at("usr/bin/busy")).unwrap();
    assert_eq!(trust.wanted_of_unpacked(&path), None);
    assert!(trust.was_unpacked(&path, &digests(None, &content)));
    assert!(!trust.was_unpacked(&path, &digests(None, b"#!/bin/sh\necho foreign\n")));
    assert!(!trust.was_unpacked(&PathBytes::new("/usr/bin/before"), &digests(None, &content)), "read already");
    fs::write(root.at("go"), "").unwrap();
    assert!(rpm.wait().unwrap().success());
    assert!(!transaction_is_open(&root.root()));
    trust.reload(PackageManager::Rpm).unwrap();
    assert_eq!(fit(&trust.current().unwrap(), &root, "/usr/bin/busy"), Some(Fit::Match));
    assert!(!trust.is_behind());
}
