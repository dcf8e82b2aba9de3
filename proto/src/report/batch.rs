//! Reports on their way to the CMS, never more of them than one message may carry.

use prost::Message;

use super::Report;
use super::inventory::encoded_width;
use crate::{limit, v1};

/// Reports in rising order of sequence that fit one message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    reports: Vec<Report>,
    bytes: usize,
}

/// The report that no longer fits; it opens the next batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full(pub Box<Report>);

impl Batch {
    /// Adds a report, or hands it back when the batch is full. A report always fits an empty batch, since outward conversion keeps
    /// every list within [`limit::LIST_BYTES_MAX`].
    ///
    /// # Errors
    /// [`Full`] when the batch has no room for it.
    pub fn push(&mut self, report: Report) -> Result<(), Full> {
        let width = encoded_width(v1::Report::from(report.clone()).encoded_len());
        if !self.reports.is_empty() && (self.reports.len() >= limit::BATCH_REPORTS_MAX || self.bytes + width > limit::BATCH_BYTES_MAX) {
            return Err(Full(Box::new(report)));
        }
        self.bytes += width;
        self.reports.push(report);
        Ok(())
    }

    /// The reports, in rising order of sequence.
    #[must_use]
    pub fn reports(&self) -> &[Report] {
        &self.reports
    }

    /// Gives the reports away.
    #[must_use]
    pub fn into_reports(self) -> Vec<Report> {
        self.reports
    }

    /// Sequence of the last report, which an acknowledgement of the whole batch names.
    #[must_use]
    pub fn last_sequence(&self) -> Option<u64> {
        self.reports.last().map(|report| report.sequence)
    }

    /// Takes reports that came in one message, whose encoded size was checked there.
    pub(crate) const fn received(reports: Vec<Report>, bytes: usize) -> Self {
        Self { reports, bytes }
    }
}
