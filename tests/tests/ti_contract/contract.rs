//! Checks by name: all of them are made, and the failure lists every one that did not hold.

use serde_json::Value;

/// Observations, name -> what the script noted, and what became of the checks on them.
pub(crate) struct Contract {
    seen: Value,
    held: usize,
    broken: Vec<String>,
}

impl Contract {
    pub(crate) fn new(seen: Value) -> Self {
        Self { seen, held: 0, broken: Vec::new() }
    }

    /// `pointer` is a JSON pointer into the observation.
    pub(crate) fn equals(&mut self, name: &str, pointer: &str, wanted: impl Into<Value>) {
        let wanted = wanted.into();
        self.check(name, pointer, &format!("{wanted}"), |found| found == Some(&wanted));
    }

    pub(crate) fn starts(&mut self, name: &str, pointer: &str, wanted: &str) {
        self.check(name, pointer, &format!("text that starts with {wanted:?}"), |found| {
            found.and_then(Value::as_str).is_some_and(|text| text.starts_with(wanted))
        });
    }

    pub(crate) fn length(&mut self, name: &str, pointer: &str, wanted: usize) {
        self.check(name, pointer, &format!("an array of {wanted}"), |found| {
            found.and_then(Value::as_array).is_some_and(|array| array.len() == wanted)
        });
    }

    /// The observation was made and has nothing there.
    pub(crate) fn absent(&mut self, name: &str, pointer: &str) {
        self.check(name, pointer, "nothing", |found| found.is_none());
    }

    fn check(&mut self, name: &str, pointer: &str, wanted: &str, holds: impl Fn(Option<&Value>) -> bool) {
        let Some(observation) = self.seen.get(name) else {
            self.broken.push(format!("{name}: the script did not observe it"));
            return;
        };
        let found = observation.pointer(pointer);
        if holds(found) {
            self.held += 1;
        } else {
            let found = found.map_or_else(|| format!("nothing, in {observation}"), Value::to_string);
            self.broken.push(format!("{name}{pointer}: wanted {wanted}, found {found}"));
        }
    }

    /// Fails with every check that did not hold.
    pub(crate) fn hold(self) {
        assert!(self.broken.is_empty(), "{} checks held, {} did not:\n{}", self.held, self.broken.len(), self.broken.join("\n"));
        println!("{} checks held", self.held);
    }
}
