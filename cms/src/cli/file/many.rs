//! `file allow|deny|reset --from FILE`: the same decision on every file that a list names, sent in parts that are each in force as a
//! whole, with a report of what was left out and why.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::Path;

use doorward_policy::Sha256;
use doorward_service::Exit;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::allowlist::Because;
use crate::api::limit::DECISIONS_MAX;
use crate::cli::Session;
use crate::cli::failure::Failure;
use crate::cli::output::sentence;
use crate::cli::scope::reach;

/// Longest line that is read, in bytes. A name takes 64; what `sha256sum` prints behind it is a path.
const LINE_BYTES_MAX: u64 = 8_192;
/// Files left out that are named in the report; the others are counted.
const REFUSED_NAMED_MAX: usize = 1_000;
/// Of those, how many people are shown of each kind.
const REFUSED_SHOWN_MAX: usize = 20;
/// Means standard input.
const STANDARD_INPUT: &str = "-";

/// What one part came to.
#[derive(Debug, Deserialize)]
struct Part {
    decided: u64,
    unchanged: u64,
    refused: Vec<Refused>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Refused {
    file: String,
    because: Because,
    detail: String,
}

/// What all of it came to.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Report {
    decision: String,
    profile: Option<String>,
    decided: u64,
    unchanged: u64,
    refused: BTreeMap<Because, u64>,
    /// The first of them.
    refused_files: Vec<Refused>,
}

/// Sends every file the list names, with `body` saying what is decided of them. Something left out is a failure, after the report.
pub(super) async fn put(session: &mut Session<'_>, list: &Path, body: Map<String, Value>) -> Result<(), Failure> {
    let word = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut report = Report { decision: word("decision").unwrap_or_default(), profile: word("profile"), ..Report::default() };
    let mut names = Names::open(list)?;
    let mut files = Vec::new();
    loop {
        let line = names.next()?;
        let is_over = line.is_none();
        match line {
            Some(Ok(file)) => files.push(file),
            Some(Err(refused)) => report.leave_out(refused),
            None => {}
        }
        if files.len() >= DECISIONS_MAX || is_over && !files.is_empty() {
            send(session, &mut report, std::mem::take(&mut files), &body).await?;
        }
        if is_over {
            break;
        }
    }
    if report.decided + report.unchanged > DECISIONS_MAX as u64 {
        session.output.progress_done();
    }
    let refused: u64 = report.refused.values().sum();
    let answer = serde_json::to_value(&report).map_err(Failure::answer)?;
    session.output.show(answer, |report: Report| report.text())?;
    match refused {
        0 => Ok(()),
        _ => Err(Failure::new(Exit::Failure, format!("{refused} of the files that were named are not decided; all others are"))),
    }
}

async fn send(session: &mut Session<'_>, report: &mut Report, files: Vec<Sha256>, body: &Map<String, Value>) -> Result<(), Failure> {
    let is_one_of_many = files.len() >= DECISIONS_MAX;
    let mut body = body.clone();
    body.insert("files".to_owned(), json!(files));
    let answer = session.client.post(&["files", "decisions"], &Value::Object(body)).await;
    let done = report.decided + report.unchanged;
    let answer = answer.map_err(|failure| match done {
        0 => failure,
        _ => failure.next(format!("{done} files were decided before that; repeat the command: what is decided already stays as it is")),
    })?;
    let part: Part = serde_json::from_value(answer).map_err(Failure::answer)?;
    report.decided += part.decided;
    report.unchanged += part.unchanged;
    part.refused.into_iter().for_each(|refused| report.leave_out(refused));
    if is_one_of_many {
        session.output.progress(&format!("{} files so far", report.decided + report.unchanged));
    }
    Ok(())
}

impl Report {
    fn leave_out(&mut self, refused: Refused) {
        *self.refused.entry(refused.because).or_default() += 1;
        if self.refused_files.len() < REFUSED_NAMED_MAX {
            self.refused_files.push(refused);
        }
    }

    fn text(&self) -> String {
        let (decision, reach) = (self.decision.to_uppercase(), reach(self.profile.as_deref()));
        let mut text = sentence(format!("{} files are {decision} in {reach}, in force now; {} were before", self.decided, self.unchanged));
        for (because, count) in &self.refused {
            text += &sentence(format!("left out, {}: {count}", because.words()));
            let of_kind = self.refused_files.iter().filter(|refused| refused.because == *because);
            for refused in of_kind.take(REFUSED_SHOWN_MAX) {
                text += &sentence(format!("  {}: {}", refused.file, refused.detail));
            }
            if *count > REFUSED_SHOWN_MAX as u64 {
                text += &sentence(format!("  and {} more; --json names up to {REFUSED_NAMED_MAX}", count - REFUSED_SHOWN_MAX as u64));
            }
        }
        text
    }
}

impl Because {
    const fn words(self) -> &'static str {
        match self {
            Self::Closure => "hosts cannot do without them",
            Self::Threat => "they are threats",
            Self::Malformed => "they are no SHA-256",
        }
    }
}

/// The list, line by line: a SHA-256 and whatever stands behind it, as `sha256sum` prints it. Empty lines and those that begin with `#`
/// are passed over.
struct Names {
    lines: Box<dyn BufRead>,
    path: String,
    number: u64,
}

impl Names {
    fn open(list: &Path) -> Result<Self, Failure> {
        let path = list.display().to_string();
        let lines: Box<dyn BufRead> = if list == Path::new(STANDARD_INPUT) {
            Box::new(stdin().lock())
        } else {
            let file = File::open(list).map_err(|error| Failure::new(Exit::NoInput, format!("cannot read {path}: {error}")))?;
            Box::new(BufReader::new(file))
        };
        Ok(Self { lines, path, number: 0 })
    }

    /// The next file, or why its line names none; `None` at the end.
    fn next(&mut self) -> Result<Option<Result<Sha256, Refused>>, Failure> {
        loop {
            let mut line = Vec::new();
            let read = self.lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            let length = read.map_err(|error| Failure::new(Exit::Io, format!("cannot read {}: {error}", self.path)))?;
            if length == 0 {
                return Ok(None);
            }
            self.number += 1;
            if line.last() != Some(&b'\n') && length as u64 == LINE_BYTES_MAX {
                let detail = format!("line {} has more than {LINE_BYTES_MAX} bytes; nothing behind it was read", self.number);
                return Err(Failure::new(Exit::Data, detail));
            }
            let line = String::from_utf8_lossy(&line);
            let Some(name) = line.split_whitespace().next().filter(|name| !name.starts_with('#')) else { continue };
            return Ok(Some(name.parse().map_err(|error| {
                let file = format!("line {}", self.number);
                Refused { file, because: Because::Malformed, detail: format!("{error}") }
            })));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_sha256sum_prints_is_a_list_and_lines_that_name_nothing_are_told_by_number() {
        let mut list = tempfile::NamedTempFile::new().unwrap();
        let (one, two) = (Sha256::new([1; 32]), Sha256::new([2; 32]));
        write!(list, "# ours\n\n{one}  ./a path\n  {two}\nnonsense\n\u{fffd}\n").unwrap();
        let mut names = Names::open(list.path()).unwrap();
        let mut all = Vec::new();
        while let Some(name) = names.next().unwrap() {
            all.push(name.map_err(|refused| refused.file));
        }
        assert_eq!(all, [Ok(one), Ok(two), Err("line 5".to_owned()), Err("line 6".to_owned())]);
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_in_memory() {
        let mut list = tempfile::NamedTempFile::new().unwrap();
        list.write_all(&vec![b'a'; 1 << 20]).unwrap();
        assert_eq!(Names::open(list.path()).unwrap().next().unwrap_err().exit, Exit::Data);
    }
}
