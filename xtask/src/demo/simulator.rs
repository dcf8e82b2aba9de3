//! The threat-intelligence simulator as seen from outside: what it printed at its start, and its control plane.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::Duration;

use serde_json::Value;

use crate::step::{Failure, Outcome};

/// Longest wait for an answer of the control plane.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Simulator {
    pub(crate) url: String,
    pub(crate) ca_file: String,
    control: String,
}

impl Simulator {
    /// Reads the one line the simulator prints when it is ready.
    pub(crate) fn greet(child: &mut Child) -> Outcome<Self> {
        let stdout = child.stdout.take().ok_or_else(|| Failure::new("the simulator's output is not connected"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line).map_err(|error| Failure::new(format!("the simulator said {line:?}: {error}")))?;
        let field = |name: &str| {
            ready[name].as_str().map(str::to_owned).ok_or_else(|| Failure::new(format!("the simulator did not say its {name}")))
        };
        Ok(Self { url: field("url")?, ca_file: field("ca")?, control: field("control_url")? })
    }

    /// Sets what the simulator answers from now on about one file.
    pub(crate) fn put_record(&self, record: &Value) -> Outcome {
        self.request("PUT", "/records", &record.to_string()).map(drop)
    }

    /// What the simulator itself counted.
    pub(crate) fn stats(&self) -> Outcome<Value> {
        let body = self.request("GET", "/stats", "")?;
        serde_json::from_str(&body).map_err(|error| Failure::new(format!("the simulator's stats are no JSON: {error}")))
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Outcome<String> {
        let address = self.control.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(CONTROL_TIMEOUT))?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) =
            answer.split_once("\r\n\r\n").ok_or_else(|| Failure::new("the simulator's control plane cut its answer short"))?;
        if !head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
            return Err(Failure::new(format!("the simulator refused {method} {path}: {head}")));
        }
        Ok(body.to_owned())
    }
}
