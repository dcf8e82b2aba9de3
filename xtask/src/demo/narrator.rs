//! Tells the story: to standard output for people, to standard error when standard output is for a program.

use std::time::Instant;

use super::story::Ending;

pub(crate) struct Narrator {
    json: bool,
    began: Instant,
}

impl Narrator {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, began: Instant::now() }
    }

    /// Opens a part of the story.
    pub(crate) fn chapter(&self, title: &str) {
        self.line(&format!("\n== {title}"));
    }

    /// One thing that happened, with the seconds since the story began.
    pub(crate) fn say(&self, what: &str) {
        self.line(&format!("[{:6.1}s] {what}", self.began.elapsed().as_secs_f64()));
    }

    /// The figures the story ends with.
    pub(crate) fn table(&self, ending: &Ending) {
        self.chapter("In figures");
        for (name, value) in ending.rows() {
            self.line(&format!("  {name:<28} {value:>16}"));
        }
        for skipped in &ending.skipped {
            self.line(&format!("  skipped: {skipped}"));
        }
        self.line(if ending.ok { "\nEvery live step was observed." } else { "\nNot every live step was observed." });
    }

    fn line(&self, line: &str) {
        if self.json {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    }
}
