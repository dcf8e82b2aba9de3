//! Stories with an agent that may hold executions. Each has a lab: a file system and mounts of its own, apart from the machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by panicking")]

mod apart;
mod attack;
mod bypass;
mod closure;
mod container;
mod coverage;
mod denial;
mod detect;
mod hang;
mod hold;
mod ignore;
mod load;
mod mount;
mod nspawn;
mod package;
mod publisher;
mod refused;
mod rpm;
mod signed;
mod source;
mod turned;
mod unprotected;

use std::time::Duration;

use doorward_tests::lab::Lab;

/// Nothing on a watched filesystem ever waits longer while the agent is well.
const CANARY_LIMIT: Duration = Duration::from_secs(1);

/// A small lab, or `None` after saying loudly why there is none.
fn minimal() -> Option<Lab> {
    made(Lab::minimal())
}

/// A lab with a real Debian, likewise.
fn debian() -> Option<Lab> {
    made(Lab::debian())
}

fn made(lab: Result<Lab, String>) -> Option<Lab> {
    lab.inspect_err(|reason| eprintln!("SKIPPED: {reason}")).ok()
}

/// The bytes of a real program that ends with 1 and that no other test and no machine has.
fn failing(name: &str) -> Vec<u8> {
    let mut bytes = std::fs::read("/bin/false").expect("every machine has /bin/false");
    bytes.extend_from_slice(format!("\0doorward test program {name}").as_bytes());
    bytes
}

/// The bytes of a program of the machine's that do what it does and that no other test and no machine has.
fn copy_of(program: &str, name: &str) -> Vec<u8> {
    let path = ["/usr/bin", "/bin"].map(|folder| std::path::Path::new(folder).join(program)).into_iter().find(|path| path.is_file());
    let mut bytes = std::fs::read(path.expect("the program is on the machine")).expect("a program can be read");
    bytes.extend_from_slice(format!("\0doorward test program {name}").as_bytes());
    bytes
}

/// How many rounds an attack gets.
fn rounds(long: u32) -> u32 {
    if std::env::var_os("DOORWARD_TEST_LONG").is_some() { long } else { long / 20 }
}
