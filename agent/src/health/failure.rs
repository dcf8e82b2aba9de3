//! The failure table: everything that can go wrong in the daemon, and the one thing that is done about it.
//!
//! Codes are stable: they stand in `status`, in health reports and in the CMS. A new kind of failure is a new row here, and the
//! test below holds every row to what it promises.

/// What is done about a failure, besides counting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureAction {
    /// Nothing more: it is expected now and then and harmless by itself.
    Count,
    /// The CMS is told at once, since something was not seen or not kept.
    Report,
    /// The execution that waits is answered at once as the profile's fallback says; the CMS is told.
    FallBack,
    /// What was in force before stays in force; the CMS is told.
    KeepLast,
    /// The same thing is tried again after a pause, without end; the CMS is told.
    Retry,
    /// The part of the daemon that failed is made anew; the CMS is told.
    Remake,
    /// The daemon ends and the service manager starts it again: going on would mean pretending.
    Stop,
}

impl FailureAction {
    /// Whether a health report is due.
    #[must_use]
    pub const fn is_reported(self) -> bool {
        !matches!(self, Self::Count)
    }
}

macro_rules! failures {
    ($($(#[$doc:meta])* $reason:ident, $code:literal, $action:ident;)*) => {
        /// Something that went wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FailureReason {
            $($(#[$doc])* $reason,)*
        }

        impl FailureReason {
            /// Every row of the table.
            pub const ALL: [Self; [$($code),*].len()] = [$(Self::$reason),*];

            /// The row's code, at most 64 bytes of snake_case.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$reason => $code,)* }
            }

            /// What is done about it.
            #[must_use]
            pub const fn action(self) -> FailureAction {
                match self { $(Self::$reason => FailureAction::$action,)* }
            }

            /// The row with this code.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|reason| reason.code() == code)
            }

            pub(super) const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

failures! {
    /// Watching: the workers are behind and the bounded queue is full; the event was let go unjudged.
    QueueFull, "queue_full", Report;
    /// Watching: the kernel's own queue ran over and events were lost.
    EventsLost, "events_lost", Report;
    /// Watching: opens were not looked at, so loads among them were not seen; in protect nothing goes unseen.
    OpensUnseen, "opens_unseen", Report;
    /// Watching: an event that this program cannot read; the group is closed and made anew.
    EventMalformed, "event_malformed", Remake;
    /// Watching: out of file descriptors; the event was lost.
    DescriptorsExhausted, "descriptors_exhausted", Report;
    /// Watching: a local filesystem could not be marked; it stands in the coverage report.
    MarkFailed, "mark_failed", Retry;
    /// Watching: the reader thread ended with an error; the group is closed and made anew.
    ReaderFailed, "reader_failed", Remake;
    /// Watching: a worker met a defect of this program; the event is lost, the worker goes on with the next.
    WorkerPanicked, "worker_panicked", Report;
    /// Protect: somebody has the file open for writing, so what would run cannot be told; denied.
    BeingWritten, "being_written", Report;
    /// Protect: what is done after an answer found no room: an ignore mark or a lease is missing, nothing else.
    AftermathFull, "aftermath_full", Count;
    /// Holding: an event ran out of its budget unjudged; identifying its file goes on.
    DeadlineMissed, "deadline_missed", FallBack;
    /// Holding: the kernel refused an answer, so nobody knows how that execution went on.
    AnswerRefused, "answer_refused", Report;
    /// Holding: one user has as many events in flight as a user may; those of others are not affected.
    OverUserCap, "over_user_cap", FallBack;
    /// Holding: all users together have as many events in flight as the descriptors allow.
    OverTotalCap, "over_total_cap", FallBack;
    /// Holding: whoever owned an event let go of it without answering, a defect of this program.
    HeldDropped, "held_dropped", FallBack;
    /// Holding: the kernel could not open a file for us and denied its execution before anybody judged it.
    DeniedUnjudged, "denied_unjudged", Report;
    /// Holding: a file was another when its execution was over than when it was judged.
    ChangedDuringExec, "changed_during_exec", Report;
    /// Holding: a process that should have been ended could not be; it runs on.
    KillFailed, "kill_failed", Report;
    /// Watching: the kernel kept marks of files that may no longer run; closing the group ends them all.
    MarkFlushFailed, "mark_flush_failed", Remake;
    /// Watching: the process events ran over or ended; they are asked for anew and running processes are looked through.
    SensorLost, "sensor_lost", Remake;
    /// Watching: the kernel gives no process events; what the marks cannot see stands in the coverage report.
    SensorUnavailable, "sensor_unavailable", Retry;
    /// Watching: a program ran from a file system that somebody else answers for, so nobody here could read it.
    UnwatchedFilesystem, "unwatched_filesystem", Report;
    /// Watching: this host should hold executions and the kernel refuses; they are watched, and holding is tried again.
    ProtectRefused, "protect_refused", Retry;
    /// The daemon: its guard process is gone; a new one is started.
    GuardLost, "guard_lost", Remake;
    /// The daemon: a sandboxed helper ended or could not be started; what it read is no evidence, and another one is started.
    SandboxLost, "sandbox_lost", Remake;
    /// The daemon: a sandboxed helper did not answer in time; what it read is no evidence.
    SandboxTimeout, "sandbox_timeout", Report;
    /// Identifying: the file vanished or could not be read.
    FileUnreadable, "file_unreadable", Count;
    /// Identifying: reading took longer than its budget; the execution is reported when the file is met again.
    IdentifyTimeout, "identify_timeout", Report;
    /// Identifying: the file changed while it was read, again and again.
    DigestChanged, "digest_changed", Report;
    /// Identifying: the file is larger than the limit for digesting, so it has no name.
    FileTooLarge, "file_too_large", Report;
    /// Identifying: the identity store could not be written; files are read again instead.
    IdentityStoreError, "identity_store_error", Report;
    /// Trust: dpkg's database could not be read; the last generation stays valid.
    DpkgError, "dpkg_error", KeepLast;
    /// Trust: rpm's database could not be read; the last generation stays valid.
    RpmError, "rpm_error", KeepLast;
    /// Trust: a file of anchors cannot be used; the others count.
    PublisherAnchorError, "publisher_anchor_error", Report;
    /// Trust: the ledger of signed archives could not be read or written; what is in memory counts.
    LedgerError, "ledger_error", Report;
    /// Trust: an archive that was brought stands in no index signed by a key that counts; nothing it brings is vouched for.
    ArchiveNotSigned, "archive_not_signed", Report;
    /// Trust: an archive that a signed index lists could not be read; nothing it brings is vouched for.
    ArchiveUnusable, "archive_unusable", Report;
    /// Reports: the store is full; a scan waits, executions push out the oldest.
    PendingFull, "pending_full", Retry;
    /// Reports: the disk is full; whoever brought the report waits and tries again.
    PendingDiskFull, "pending_disk_full", Retry;
    /// Reports: the store failed and is opened again.
    PendingBroken, "pending_broken", Retry;
    /// Reports: one larger than the bound; it is dropped.
    PendingTooLarge, "pending_too_large", Report;
    /// Reports: the disk did not answer in time.
    PendingTimeout, "pending_timeout", Retry;
    /// Reports: brought after the store was closed, while the daemon ends.
    PendingClosed, "pending_closed", Count;
    /// Reports: the CMS acknowledged what it was never sent.
    PendingNotHandedOut, "pending_not_handed_out", Report;
    /// Reports: the store would not open and was put aside for an empty one.
    PendingQuarantined, "pending_quarantined", Report;
    /// Reports: the store came back empty and was put aside.
    PendingCameBackEmpty, "pending_came_back_empty", Report;
    /// Reports: the store came back older than it should be.
    PendingRolledBack, "pending_rolled_back", Report;
    /// Reports: single ones could not be read and were dropped.
    PendingUnreadable, "pending_unreadable", Report;
    /// Reports: dropped by whoever brought them, after trying or because the daemon ends.
    ReportDropped, "report_dropped", Report;
    /// Lists: the policy on disk is damaged or wrongly signed; none is in force until the CMS sends one.
    PolicyFileRefused, "policy_file_refused", Retry;
    /// Lists: the settings on disk are damaged; the defaults are in force until the CMS sends some.
    SettingsFileMalformed, "settings_file_malformed", Retry;
    /// Lists: a file of them cannot be read or written.
    ListFileUnusable, "list_file_unusable", Report;
    /// Uplink: a policy was cut, out of order, older or wrongly signed.
    PolicyRefused, "policy_refused", KeepLast;
    /// Uplink: settings were older or held a value this program does not know.
    SettingsRefused, "settings_refused", KeepLast;
    /// Uplink: the CMS sent something against the contract; the stream is closed and opened again.
    UplinkMalformed, "uplink_malformed", Retry;
    /// Uplink: the CMS refuses this host's certificate.
    UplinkRefused, "uplink_refused", Retry;
    /// Scan: a scan ended early because of an error.
    ScanFailed, "scan_failed", Report;
    /// The daemon: a thread that waits for a disk has made no progress for long; starting anew would not help it.
    WorkerStuck, "worker_stuck", Report;
    /// Control: a request was malformed, too long, too slow, or one too many.
    RequestRefused, "request_refused", Count;
    /// The daemon: a part of it gave a code that this table does not have.
    Unlisted, "unlisted", Report;
    /// The daemon: a loop has made no progress within its limit.
    LoopStuck, "loop_stuck", Stop;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line per row, written by hand: changing a row's promise means changing this line too.
    #[test]
    fn every_row_has_its_code_and_its_action() {
        use FailureAction as Do;
        use FailureReason as Why;
        let rows = [
            (Why::QueueFull, "queue_full", Do::Report),
            (Why::EventsLost, "events_lost", Do::Report),
            (Why::OpensUnseen, "opens_unseen", Do::Report),
            (Why::EventMalformed, "event_malformed", Do::Remake),
            (Why::DescriptorsExhausted, "descriptors_exhausted", Do::Report),
            (Why::MarkFailed, "mark_failed", Do::Retry),
            (Why::ReaderFailed, "reader_failed", Do::Remake),
            (Why::WorkerPanicked, "worker_panicked", Do::Report),
            (Why::BeingWritten, "being_written", Do::Report),
            (Why::AftermathFull, "aftermath_full", Do::Count),
            (Why::DeadlineMissed, "deadline_missed", Do::FallBack),
            (Why::AnswerRefused, "answer_refused", Do::Report),
            (Why::OverUserCap, "over_user_cap", Do::FallBack),
            (Why::OverTotalCap, "over_total_cap", Do::FallBack),
            (Why::HeldDropped, "held_dropped", Do::FallBack),
            (Why::DeniedUnjudged, "denied_unjudged", Do::Report),
            (Why::ChangedDuringExec, "changed_during_exec", Do::Report),
            (Why::KillFailed, "kill_failed", Do::Report),
            (Why::MarkFlushFailed, "mark_flush_failed", Do::Remake),
            (Why::SensorLost, "sensor_lost", Do::Remake),
            (Why::SensorUnavailable, "sensor_unavailable", Do::Retry),
            (Why::UnwatchedFilesystem, "unwatched_filesystem", Do::Report),
            (Why::ProtectRefused, "protect_refused", Do::Retry),
            (Why::GuardLost, "guard_lost", Do::Remake),
            (Why::SandboxLost, "sandbox_lost", Do::Remake),
            (Why::SandboxTimeout, "sandbox_timeout", Do::Report),
            (Why::FileUnreadable, "file_unreadable", Do::Count),
            (Why::IdentifyTimeout, "identify_timeout", Do::Report),
            (Why::DigestChanged, "digest_changed", Do::Report),
            (Why::FileTooLarge, "file_too_large", Do::Report),
            (Why::IdentityStoreError, "identity_store_error", Do::Report),
            (Why::DpkgError, "dpkg_error", Do::KeepLast),
            (Why::RpmError, "rpm_error", Do::KeepLast),
            (Why::PublisherAnchorError, "publisher_anchor_error", Do::Report),
            (Why::LedgerError, "ledger_error", Do::Report),
            (Why::ArchiveNotSigned, "archive_not_signed", Do::Report),
            (Why::ArchiveUnusable, "archive_unusable", Do::Report),
            (Why::PendingFull, "pending_full", Do::Retry),
            (Why::PendingDiskFull, "pending_disk_full", Do::Retry),
            (Why::PendingBroken, "pending_broken", Do::Retry),
            (Why::PendingTooLarge, "pending_too_large", Do::Report),
            (Why::PendingTimeout, "pending_timeout", Do::Retry),
            (Why::PendingClosed, "pending_closed", Do::Count),
            (Why::PendingNotHandedOut, "pending_not_handed_out", Do::Report),
            (Why::PendingQuarantined, "pending_quarantined", Do::Report),
            (Why::PendingCameBackEmpty, "pending_came_back_empty", Do::Report),
            (Why::PendingRolledBack, "pending_rolled_back", Do::Report),
            (Why::PendingUnreadable, "pending_unreadable", Do::Report),
            (Why::ReportDropped, "report_dropped", Do::Report),
            (Why::PolicyFileRefused, "policy_file_refused", Do::Retry),
            (Why::SettingsFileMalformed, "settings_file_malformed", Do::Retry),
            (Why::ListFileUnusable, "list_file_unusable", Do::Report),
            (Why::PolicyRefused, "policy_refused", Do::KeepLast),
            (Why::SettingsRefused, "settings_refused", Do::KeepLast),
            (Why::UplinkMalformed, "uplink_malformed", Do::Retry),
            (Why::UplinkRefused, "uplink_refused", Do::Retry),
            (Why::ScanFailed, "scan_failed", Do::Report),
            (Why::WorkerStuck, "worker_stuck", Do::Report),
            (Why::RequestRefused, "request_refused", Do::Count),
            (Why::Unlisted, "unlisted", Do::Report),
            (Why::LoopStuck, "loop_stuck", Do::Stop),
        ];
        assert_eq!(rows.map(|row| row.0), FailureReason::ALL, "a row is missing here or in the table");
        for (reason, code, action) in rows {
            assert_eq!((reason.code(), reason.action()), (code, action), "{reason:?}");
            assert!(code.len() <= 64 && code.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()), "{code}");
        }
    }

    #[test]
    fn every_row_stands_in_the_specification() {
        let specification = include_str!("../../../docs/SPECIFICATION.md");
        let table = specification.split("## Failures").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the table of failures");
        let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split(" | ").next()).collect();
        for reason in FailureReason::ALL {
            let named = rows.iter().filter(|row| row.contains(&format!("`{}`", reason.code()))).count();
            assert_eq!(named, 1, "{} stands {named} times in the table", reason.code());
        }
    }

    #[test]
    fn a_health_report_has_room_for_every_row() {
        assert!(FailureReason::ALL.len() <= 64);
    }
}
