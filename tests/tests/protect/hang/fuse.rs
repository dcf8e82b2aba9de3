//! A filesystem whose server in user space never answers anything.

use std::time::Duration;

use doorward_tests::site::{Site, eventually};

use super::holding;
use crate::{CANARY_LIMIT, minimal};

#[test]
fn a_dead_server_of_a_filesystem() {
    let Some(lab) = minimal() else { return };
    let _before = match lab.dead_server("/mnt/before") {
        Ok(server) => server,
        Err(reason) => return eprintln!("SKIPPED: {reason}"),
    };
    let site = Site::start();
    let agent = holding(&lab, &site);
    let _after = lab.dead_server("/mnt/after").unwrap();
    // These wait for the server, which is nobody's fault but its own.
    let mut stuck: Vec<_> = ["/mnt/before/tool", "/mnt/after/tool"].map(|tool| lab.spawn_as(1000, &[tool])).into();
    stuck.push(lab.spawn(&["cat", "/mnt/after/text"]));
    for _ in 0..5 {
        lab.assert_alive_within(CANARY_LIMIT);
    }
    for process in &mut stuck {
        assert!(process.within(Duration::ZERO).is_none(), "nobody answered it");
    }
    eventually("both are told as not covered", || {
        (agent.status()["coverage"]["uncovered"].as_array().map(Vec::len) == Some(2)).then_some(())
    });
    assert!(agent.holds_executions(), "{}", agent.log());
}
