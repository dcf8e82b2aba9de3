//! What a host is to know: settings, policy, commands, verdicts, in this order, whenever one of them changed. It looks into the store
//! each time, so a doubled or late wake-up does no harm, and what was sent is remembered for the stream's life only.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use doorward_proto::limit::VERDICTS_MAX;
use doorward_proto::snapshot::Position;
use doorward_proto::uplink::CmsMessage;
use uuid::Uuid;

use super::reader::is_news;
use super::{End, Outbox, Session};
use crate::store::{Ahead, VerdictCursor, VerdictPage};
use crate::uplink::nudge::Due;

/// How long verdicts gather. Marking a batch of look-ups wakes a host many times.
const VERDICT_GATHER: Duration = Duration::from_millis(50);

/// Longest a session goes without looking at everything, whoever nudged it or forgot to. Each look is a handful of indexed queries.
const LOOK: Duration = Duration::from_secs(30);

/// Whole policies one stream gets on request. A host that needs more reconnects, and waits longer each time.
const SNAPSHOTS_MAX: u32 = 16;

/// How long a whole policy may take to send. It holds one of few places.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(600);

/// Commands sent and not yet answered.
const COMMANDS_MAX: u32 = 32;

pub(super) struct Pusher<'a> {
    session: &'a Session,
    outbox: &'a Outbox,
    /// Policy sent last, or in force when the stream began.
    policy: Position,
    /// Settings sent last, or in force when the stream began.
    settings: u64,
    commands: BTreeSet<Uuid>,
    /// Verdicts up to here were sent.
    told: VerdictCursor,
    snapshots: u32,
    /// That the host is ahead was dealt with; once for each stream, or it would be told anew at every look.
    was_ahead: bool,
}

impl<'a> Pusher<'a> {
    pub(super) fn new(session: &'a Session, outbox: &'a Outbox) -> Self {
        let hello = &session.hello;
        Self {
            session,
            outbox,
            policy: Position { epoch: hello.policy_epoch, revision: hello.policy_revision },
            settings: hello.settings_revision,
            commands: BTreeSet::new(),
            // A host may have missed any verdict while it was away, and says nothing about which it has.
            told: VerdictCursor::default(),
            snapshots: 0,
            was_ahead: false,
        }
    }

    pub(super) async fn run(mut self) -> End {
        loop {
            let due = self.session.place.nudge().take_within(LOOK).await;
            if let Err(end) = self.push(due).await {
                return end;
            }
        }
    }

    async fn push(&mut self, due: Due) -> Result<(), End> {
        if due.has(Due::REMOVED) {
            self.still_there().await?;
        }
        if due.has(Due::SETTINGS) {
            self.settings().await?;
        }
        if due.has(Due::SNAPSHOT) {
            self.snapshots += 1;
            if self.snapshots > SNAPSHOTS_MAX {
                return Err(End::Greedy);
            }
            self.snapshot().await?;
        } else if due.has(Due::POLICY) {
            self.policy().await?;
        }
        if due.has(Due::COMMANDS) {
            self.commands().await?;
        }
        if due.has(Due::VERDICTS) {
            self.verdicts().await?;
        }
        Ok(())
    }

    async fn still_there(&self) -> Result<(), End> {
        let host = self.session.shared.store.host(self.session.host).await?;
        if host.is_some_and(|host| host.removed_at.is_none()) { Ok(()) } else { Err(End::Removed) }
    }

    async fn settings(&mut self) -> Result<(), End> {
        let Some(settings) = self.session.shared.store.host_settings(self.session.host).await? else {
            return Err(End::Removed);
        };
        if settings.revision > self.settings {
            self.settings = settings.revision;
            self.outbox.send(CmsMessage::Settings(settings)).await?;
        }
        Ok(())
    }

    /// The step from what the host has, where there is one; else the whole policy.
    async fn policy(&mut self) -> Result<(), End> {
        let policies = self.session.shared.allowlist.policies();
        let mut current = policies.current(self.session.profile).await?.head().position();
        if current < self.policy && !std::mem::replace(&mut self.was_ahead, true) {
            self.come_from_behind(current).await?;
            current = policies.current(self.session.profile).await?.head().position();
        }
        if current <= self.policy {
            return Ok(());
        }
        if self.policy == Position::default() {
            return self.snapshot().await;
        }
        match policies.delta(self.session.profile, self.policy).await? {
            Some(delta) => {
                self.policy = delta.head.head.position();
                self.outbox.send(CmsMessage::PolicyDelta(delta)).await
            }
            None => self.snapshot().await,
        }
    }

    /// A host never goes back, so a server whose database was restored from an older copy begins a new line of policies above it.
    ///
    /// SECURITY: it is the host that says how far it is, and the whole profile is sent a policy anew for it. A restore needs a restart,
    /// so a profile begins one epoch in a server's life and no more: whoever lies again changes nothing.
    async fn come_from_behind(&self, current: Position) -> Result<(), End> {
        let Session { shared, host, profile, .. } = self.session;
        let (host, profile, position) = (*host, *profile, self.policy);
        let first = shared.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(profile);
        tracing::error!(%host, has = %position, %current, first, "a host has a newer policy than this server: was the database restored?");
        let ahead = Ahead { host, profile, position };
        let now = shared.clock.now_micros();
        let begun = shared.allowlist.change(|store| async move { store.begin_epoch(&ahead, first, now).await }).await?;
        if begun {
            tracing::warn!(%profile, "a new epoch of the policy was begun; every host of the profile follows it");
        }
        Ok(())
    }

    async fn snapshot(&mut self) -> Result<(), End> {
        let shared = &self.session.shared;
        let _place = shared.snapshots.acquire().await.map_err(|_| End::Stopping)?;
        // Taken once the turn has come, so that it is the newest.
        let policy = shared.allowlist.policies().current(self.session.profile).await?;
        let send = async {
            for part in policy.parts() {
                self.outbox.send(CmsMessage::PolicySnapshot(part)).await?;
            }
            Ok(())
        };
        tokio::time::timeout(SNAPSHOT_DEADLINE, send).await.unwrap_or(Err(End::Slow))?;
        self.policy = policy.head().position();
        Ok(())
    }

    async fn commands(&mut self) -> Result<(), End> {
        let due = self.session.shared.store.commands_due(self.session.host, COMMANDS_MAX).await?;
        // What is no longer due was answered.
        self.commands.retain(|sent| due.iter().any(|command| command.id == *sent));
        for command in due {
            if self.commands.insert(command.id) {
                self.outbox.send(CmsMessage::Command(command)).await?;
            }
        }
        Ok(())
    }

    async fn verdicts(&mut self) -> Result<(), End> {
        tokio::time::sleep(VERDICT_GATHER).await;
        let Session { shared, host, place, .. } = self.session;
        loop {
            let VerdictPage { mut verdicts, cursor, is_last } = shared.store.verdicts_after(*host, self.told, VERDICTS_MAX as u32).await?;
            verdicts.retain(is_news);
            if !verdicts.is_empty() {
                self.outbox.send(CmsMessage::Verdicts(verdicts)).await?;
            }
            self.told = cursor;
            if is_last {
                return Ok(());
            }
            // A long list must not keep a new deny waiting.
            if place.nudge().has(Due::REMOVED.and(Due::SETTINGS).and(Due::POLICY).and(Due::SNAPSHOT).and(Due::COMMANDS)) {
                place.nudge().nudge(Due::VERDICTS);
                return Ok(());
            }
        }
    }
}
