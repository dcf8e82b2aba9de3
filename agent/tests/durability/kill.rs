//! kill -9 at random moments.

use std::time::{Duration, Instant};

use crate::story::{Dice, Promises, numbers, open, rounds};
use crate::writer::Writer;

#[tokio::test]
async fn nothing_kept_is_lost_when_the_agent_is_killed_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let (mut dice, mut promises) = (Dice::new(1), Promises::default());
    for round in 0..rounds(10, 100) {
        let mut writer = Writer::start(folder.path(), promises);
        writer.hear(1 + dice.below(40));
        spin(Duration::from_micros(dice.below(15_000)));
        promises = writer.kill();
        let opened = open(folder.path(), 0);
        assert_eq!(opened.recovered, [], "round {round}");
        let there = numbers(&opened.pending).await;
        promises.check(&there);
        promises.kept = promises.kept.max(there.last().copied().unwrap_or(0));
        opened.pending.close().await;
    }
    eprintln!("{} reports kept and {} released over all rounds", promises.kept, promises.released);
}

/// Waits for a moment between two of the writer's words.
pub(crate) fn spin(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::thread::yield_now();
    }
}
