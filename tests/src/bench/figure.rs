//! What a bench prints: a table for people, one JSON object for programs.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::machine::Machine;

/// One figure beside its peer's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// `bench.figure`.
    pub name: Cow<'static, str>,
    /// Of both numbers.
    pub unit: &'static str,
    /// The project's.
    pub ours: f64,
    /// The peer's, in the same call; `None` where it is not installed or there is none.
    pub peer: Option<f64>,
    /// What the peer is.
    pub peer_name: Option<&'static str>,
    /// For costs ours / peer, for rates peer / ours: smaller is always better.
    pub ratio: Option<f64>,
}

impl Row {
    /// A cost: less is better.
    #[must_use]
    pub fn cost(name: impl Into<Cow<'static, str>>, unit: &'static str, ours: f64, peer_name: &'static str, peer: Option<f64>) -> Self {
        let name = name.into();
        let ratio = peer.filter(|peer| *peer > 0.0).map(|peer| rounded(ours / peer));
        Self { name, unit, ours: rounded(ours), peer: peer.map(rounded), peer_name: Some(peer_name), ratio }
    }

    /// A figure that stands alone.
    #[must_use]
    pub fn alone(name: impl Into<Cow<'static, str>>, unit: &'static str, ours: f64) -> Self {
        let name = name.into();
        Self { name, unit, ours: rounded(ours), peer: None, peer_name: None, ratio: None }
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// A whole bench.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Which one.
    pub bench: &'static str,
    /// Where and how it was measured.
    pub machine: Machine,
    /// In the order in which they were measured.
    pub rows: Vec<Row>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24} {:>10} {:>10} {:>7}  {:<4} peer", "figure", "ours", "peer", "ratio", "unit")?;
        for row in &self.rows {
            let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| format!("{number:.3}"));
            let (ours, peer, ratio) = (number(Some(row.ours)), number(row.peer), number(row.ratio));
            writeln!(f, "{:<24} {ours:>10} {peer:>10} {ratio:>7}  {:<4} {}", row.name, row.unit, row.peer_name.unwrap_or("-"))?;
        }
        write!(f, "{}", self.machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_peer_gives_no_ratio_and_json_says_null() {
        let row = Row::cost("scan.packaged", "s", 4.0, "debsums -s", None);
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["peer"], serde_json::Value::Null);
        assert_eq!(json["ratio"], serde_json::Value::Null);
        assert_eq!(Row::cost("scan.rescan", "s", 3.0, "find", Some(2.0)).ratio, Some(1.5));
    }
}
