//! The queue: reports in, counted together, handed out in order, acknowledged away, and dropped when there is no room.

use doorward_proto::report::{Report, ReportBody};

use super::{Class, Fault, Join, Place, Record, Sheet, Slot, Store};
use crate::pending::collapse::Key;
use crate::pending::error::PendingError;
use crate::pending::key::{self, HELD};

impl Store {
    /// Takes all of the sheets or refuses all of them.
    pub(in crate::pending) fn add(&mut self, sheets: Vec<Sheet>, now: i64) -> Result<(), Fault> {
        self.make_room(&sheets)?;
        sheets.into_iter().try_for_each(|sheet| self.add_one(sheet, now))
    }

    fn add_one(&mut self, sheet: Sheet, now: i64) -> Result<(), Fault> {
        // A finding of a scan is nobody's to wait for: the scan goes on, and nothing that runs depends on it.
        if let Some(observed) = sheet.record.observed().filter(|observed| observed.is_execution()) {
            self.await_file(&observed.file.sha256, now)?;
        }
        match (sheet.join, self.windows.place(&sheet.key)) {
            (Join::Not, _) | (_, None) => self.enqueue(&sheet, now),
            (_, Some(Place::Queued(sequence))) if sequence > self.handed_out => {
                if self.join(&Slot::queued(sequence), &sheet)? {
                    Ok(())
                } else {
                    self.enqueue(&sheet, now)
                }
            }
            (Join::Count, Some(Place::Queued(_))) => self.hold(&sheet, now),
            (_, Some(Place::Queued(_))) => self.enqueue(&sheet, now),
            (_, Some(Place::Held)) => {
                if self.join(&Slot::held(&sheet.key), &sheet)? {
                    Ok(())
                } else {
                    self.hold(&sheet, now)
                }
            }
        }
    }

    fn enqueue(&mut self, sheet: &Sheet, now: i64) -> Result<(), Fault> {
        self.last += 1;
        self.insert(&Slot::queued(self.last), &sheet.value)?;
        if sheet.class == Class::Expendable {
            self.expendable.push_back(self.last);
        }
        if sheet.join != Join::Not {
            self.windows.set(sheet.key, Place::Queued(self.last), now);
        }
        Ok(())
    }

    fn hold(&mut self, sheet: &Sheet, now: i64) -> Result<(), Fault> {
        self.insert(&Slot::held(&sheet.key), &sheet.value)?;
        self.windows.set(sheet.key, Place::Held, now);
        Ok(())
    }

    fn insert(&mut self, slot: &Slot, value: &[u8]) -> Result<(), Fault> {
        slot.put(&self.queue, value, 0)?;
        self.tally.records += 1;
        self.tally.bytes += value.len() as u64;
        Ok(())
    }

    /// Takes another occurrence into a stored report; false when that is not there any more.
    fn join(&mut self, slot: &Slot, sheet: &Sheet) -> Result<bool, Fault> {
        let Some(old) = slot.read(&self.queue)? else {
            return Ok(false);
        };
        let Ok(mut record) = Record::decode(&old) else {
            return Ok(false);
        };
        let is_counted = sheet.join == Join::Count && record.count_in(&sheet.record);
        if !is_counted {
            record = sheet.record.clone();
        }
        let new = record.encode(sheet.class);
        slot.put(&self.queue, &new, old.len())?;
        self.tally.bytes = (self.tally.bytes + new.len() as u64).saturating_sub(old.len() as u64);
        Ok(true)
    }

    /// Ends the windows whose minute is over and queues what they held. True when something was queued.
    pub(in crate::pending) fn close_windows(&mut self, now: i64) -> Result<bool, Fault> {
        let before = self.last;
        while let Some((key, place)) = self.windows.close_next(now) {
            if place == Place::Held {
                self.release(&key)?;
            }
        }
        Ok(self.last > before)
    }

    /// When the next window ends, on the clock that `now` is read from.
    pub(in crate::pending) fn next_window_close(&self) -> Option<i64> {
        self.windows.next_close()
    }

    pub(super) fn release(&mut self, key: &Key) -> Result<(), Fault> {
        let slot = Slot::held(key);
        let Some(value) = slot.read(&self.queue)? else {
            return Ok(());
        };
        self.last += 1;
        let mut batch = sled::Batch::default();
        slot.put_in(&mut batch, &[], value.len());
        Slot::queued(self.last).put_in(&mut batch, &value, 0);
        Ok(self.queue.apply_batch(batch)?)
    }

    /// Refuses what would exceed the bounds, or drops older expendable reports for executions and denials.
    fn make_room(&mut self, sheets: &[Sheet]) -> Result<(), Fault> {
        let count = sheets.len() as u64;
        let bytes: u64 = sheets.iter().map(|sheet| sheet.value.len() as u64).sum();
        let important = sheets.iter().any(|sheet| sheet.class == Class::Kept);
        let droppable = if important { self.expendable.len() as u64 } else { 0 };
        if self.tally.records + count > self.limits.records_max + droppable || bytes > self.limits.bytes_max {
            return Err(PendingError::Full { records: self.tally.records, bytes: self.tally.bytes }.into());
        }
        while self.tally.records + count > self.limits.records_max || self.tally.bytes + bytes > self.limits.bytes_max {
            let dropped = important && self.drop_oldest_expendable()?;
            if !dropped {
                return Err(PendingError::Full { records: self.tally.records, bytes: self.tally.bytes }.into());
            }
        }
        Ok(())
    }

    fn drop_oldest_expendable(&mut self) -> Result<bool, Fault> {
        while let Some(sequence) = self.expendable.pop_front() {
            let slot = Slot::queued(sequence);
            if let Some(value) = slot.read(&self.queue)? {
                slot.remove(&self.queue, value.len())?;
                self.forget(value.len());
                self.count_dropped(1)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Hands out reports after a sequence, in order; from then on they never change.
    pub(in crate::pending) fn hand_out(&mut self, after: u64, count_max: usize, bytes_max: usize) -> Result<Vec<Report>, Fault> {
        let (mut reports, mut unreadable) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        let mut values = Values { rows: self.queue.range(after.saturating_add(1).to_be_bytes().to_vec()..vec![HELD]).peekable() };
        while reports.len() < count_max && bytes < bytes_max {
            let Some((sequence, value)) = values.next_value()? else { break };
            bytes += value.len();
            match Record::decode(&value).and_then(ReportBody::try_from) {
                Ok(body) => reports.push(Report { sequence, body }),
                Err(why) => unreadable.push((sequence, value.len(), why)),
            }
        }
        self.handed_out = self.handed_out.max(reports.last().map_or(0, |report| report.sequence));
        for (sequence, len, why) in unreadable {
            self.drop_unreadable(&Slot::queued(sequence), len, &why)?;
        }
        Ok(reports)
    }

    /// Forgets everything up to and including a sequence: it is on the CMS's disk.
    pub(in crate::pending) fn acknowledge(&mut self, sequence: u64) -> Result<(), Fault> {
        if sequence > self.handed_out {
            return Err(PendingError::NotHandedOut { acknowledged: sequence, handed_out: self.handed_out }.into());
        }
        for row in self.queue.range(..(sequence + 1).to_be_bytes().to_vec()) {
            let (key, value) = row?;
            self.queue.remove(&key)?;
            self.tally.bytes = self.tally.bytes.saturating_sub(value.len() as u64);
            self.tally.records = self.tally.records.saturating_sub(u64::from(matches!(key::parse(&key), Some((_, 0)))));
        }
        while self.expendable.front().is_some_and(|oldest| *oldest <= sequence) {
            self.expendable.pop_front();
        }
        Ok(())
    }

    /// Counts every report as handed out: somebody else may have sent them.
    pub(in crate::pending) fn seal(&mut self) {
        self.handed_out = self.last;
    }
}

/// Joins the parts of values.
struct Values<I: Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>> {
    rows: std::iter::Peekable<I>,
}

impl<I: Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>> Values<I> {
    fn next_value(&mut self) -> sled::Result<Option<(u64, Vec<u8>)>> {
        let (sequence, part) = loop {
            let Some(row) = self.rows.next() else { return Ok(None) };
            let (key, part) = row?;
            // A kill in the middle of an acknowledgement leaves later parts without their first; the next one takes them along.
            if let Some((sequence, 0)) = key::parse(&key) {
                break (sequence, part);
            }
        };
        let mut value = part.to_vec();
        while let Some(Ok((_, part))) = self.rows.next_if(|row| belongs(row, sequence)) {
            value.extend_from_slice(&part);
        }
        Ok(Some((sequence, value)))
    }
}

fn belongs(row: &sled::Result<(sled::IVec, sled::IVec)>, sequence: u64) -> bool {
    row.as_ref().is_ok_and(|(key, _)| matches!(key::parse(key), Some((of, part)) if of == sequence && part > 0))
}
