//! What the server says, taken whole or refused. A refusal changes nothing; what breaks the contract ends the session.
//!
//! Policies and settings this agent cannot take are answered with the reason and leave the old ones in force, since a later server
//! may well say what an earlier agent cannot know. Everything else that does not parse is a broken server.

use std::sync::Arc;

use doorward_proto::ConvertError;
use doorward_proto::snapshot::{Assembler, Delta, Part, Policy, Position, Refusal, SignedHead};
use doorward_proto::uplink::{AgentMessage, CmsMessage, Command, CommandResult, HostSettings, PolicyState, SettingsState, Verdict};
use doorward_proto::v1;
use uuid::Uuid;

use super::end::{End, contract};
use super::session::Session;
use crate::health::FailureReason;
use crate::list::ListProblem;

impl Session<'_> {
    /// Takes one message.
    pub(super) async fn take(&mut self, message: v1::CmsMessage) -> Result<(), End> {
        let offer = Offer::of(&message);
        match CmsMessage::try_from(message) {
            Ok(CmsMessage::Welcome(_)) => Err(contract("a second welcome")),
            Ok(CmsMessage::Acknowledge(sequence)) => self.acknowledged(sequence).await,
            Ok(CmsMessage::Verdicts(verdicts)) => self.verdicts(verdicts).await,
            Ok(CmsMessage::PolicySnapshot(part)) => self.snapshot_part(part).await,
            Ok(CmsMessage::PolicyDelta(delta)) => self.delta(delta).await,
            Ok(CmsMessage::Settings(settings)) => self.settings(settings).await,
            Ok(CmsMessage::Command(command)) => {
                self.command(command);
                Ok(())
            }
            Err(error) => self.malformed(&error, offer),
        }
    }

    /// An offer that this agent cannot understand is refused in its own terms, or it would be made again on every stream.
    fn malformed(&mut self, error: &ConvertError, offer: Offer) -> Result<(), End> {
        match offer {
            Offer::Settings(revision) => self.settings_refused(revision, error.to_string()),
            Offer::Policy(position) => {
                self.snapshot_asked = true;
                self.policy_refused(position, error);
            }
            Offer::Command(id) => {
                let error = Some(format!("this agent does not understand the command: {error}"));
                self.answer(AgentMessage::CommandResult(CommandResult { id, error }));
            }
            Offer::Other => return Err(contract(error)),
        }
        Ok(())
    }

    async fn acknowledged(&mut self, sequence: u64) -> Result<(), End> {
        if self.flow.acknowledge(sequence).map_err(contract)? {
            self.deps.pending.acknowledge(sequence).await?;
        }
        Ok(())
    }

    /// Keeps verdicts, puts them in force and passes on what is news, in this order.
    async fn verdicts(&mut self, verdicts: Vec<Verdict>) -> Result<(), End> {
        let kept = self.deps.pending.take_verdicts(verdicts.clone()).await;
        // In force even when the disk is full: the server says them again on the next stream, which the failure brings about.
        self.deps.lists.take_verdicts(kept.as_ref().unwrap_or(&verdicts));
        let news = kept?;
        if !news.is_empty() {
            // Whoever listens looks the newest up; a full channel costs it only the nudge.
            let _ = self.deps.verdicts.try_send(news);
        }
        Ok(())
    }

    async fn snapshot_part(&mut self, part: Part) -> Result<(), End> {
        let offered = if let Part::Head(SignedHead { head, .. }) = &part { Some(head.position()) } else { None };
        match self.push(part).await {
            Ok(None) => Ok(()),
            Ok(Some(policy)) => {
                self.put_in_force(policy).await;
                Ok(())
            }
            // The rest of a refused snapshot still comes; its refusal was answered.
            Err(Refusal::OutOfTurn) if self.snapshot_asked => Ok(()),
            Err(refusal) => {
                // Asking again would bring the same; the next revision or the next stream brings another.
                self.snapshot_asked = true;
                self.policy_refused(offered.unwrap_or_default(), &refusal);
                Ok(())
            }
        }
    }

    /// The last part brings the checks of the whole, for which millions of records are hashed.
    async fn push(&mut self, part: Part) -> Result<Option<Policy>, Refusal> {
        let current = self.policy_position();
        if !matches!(part, Part::End { .. }) {
            return self.assembler.push(part, current);
        }
        let credential = &self.deps.credential;
        let idle = Assembler::new(credential.policy_verifier(), credential.profile_id);
        let mut assembler = std::mem::replace(&mut self.assembler, idle);
        let (assembler, outcome) = blocking(move || {
            let outcome = assembler.push(part, current);
            (assembler, outcome)
        })
        .await;
        self.assembler = assembler;
        outcome
    }

    async fn delta(&mut self, delta: Delta) -> Result<(), End> {
        let (old, verifier) = (self.deps.lists.policy(), self.deps.credential.policy_verifier());
        let offered = delta.head.head.position();
        let applied = blocking(move || old.apply_delta(&delta, &verifier)).await;
        match applied {
            Ok(policy) => self.put_in_force(policy).await,
            Err(refusal) => {
                self.policy_refused(offered, &refusal);
                // A replay needs no answer beyond that. Anything else: this host and its server disagree about where it stands.
                if !matches!(refusal, Refusal::NotNewer { .. }) && !self.snapshot_asked {
                    self.snapshot_asked = true;
                    self.answer(AgentMessage::SnapshotRequest(refusal.to_string()));
                }
            }
        }
        Ok(())
    }

    async fn put_in_force(&mut self, policy: Policy) {
        let position = policy.head().position();
        let lists = Arc::clone(&self.deps.lists);
        let saved = blocking(move || lists.take_policy(policy)).await;
        self.note(saved);
        self.snapshot_asked = false;
        tracing::info!(%position, "a new policy is in force");
        self.answer(AgentMessage::PolicyState(PolicyState { epoch: position.epoch, revision: position.revision, refused: None }));
    }

    fn policy_refused(&mut self, offered: Position, refusal: &dyn std::error::Error) {
        self.deps.health.note(FailureReason::PolicyRefused);
        tracing::warn!(reason = FailureReason::PolicyRefused.code(), %offered, "a policy is refused: {refusal}");
        let refused = Some(refusal.to_string());
        self.answer(AgentMessage::PolicyState(PolicyState { epoch: offered.epoch, revision: offered.revision, refused }));
    }

    async fn settings(&mut self, settings: HostSettings) -> Result<(), End> {
        let revision = settings.revision;
        let lists = Arc::clone(&self.deps.lists);
        match blocking(move || lists.take_settings(settings)).await {
            Ok(saved) => {
                self.note(saved);
                tracing::info!(revision, "new settings are in force");
                self.answer(AgentMessage::SettingsState(SettingsState { revision, refused: None }));
            }
            Err(refusal) => self.settings_refused(revision, refusal.to_string()),
        }
        Ok(())
    }

    fn settings_refused(&mut self, revision: u64, why: String) {
        self.deps.health.note(FailureReason::SettingsRefused);
        tracing::warn!(reason = FailureReason::SettingsRefused.code(), revision, "settings are refused: {}", why.escape_debug());
        self.answer(AgentMessage::SettingsState(SettingsState { revision, refused: Some(why) }));
    }

    fn command(&mut self, command: Command) {
        let id = command.id;
        if self.deps.commands.try_send(command).is_err() {
            let error = Some("this host has too many commands to carry out; ask again later".to_owned());
            self.answer(AgentMessage::CommandResult(CommandResult { id, error }));
        }
    }

    fn policy_position(&self) -> Position {
        self.deps.lists.policy().head().position()
    }

    fn note(&self, saved: Result<(), ListProblem>) {
        if let Err(problem) = saved {
            self.deps.health.note_code(problem.reason());
            tracing::error!(reason = problem.reason(), "in force, but not on disk: {problem}");
        }
    }
}

/// What a message offers, as far as that can be told without understanding the rest.
enum Offer {
    Settings(u64),
    Policy(Position),
    Command(Uuid),
    Other,
}

impl Offer {
    fn of(message: &v1::CmsMessage) -> Self {
        use v1::cms_message::Body;
        use v1::policy_snapshot::Part as WirePart;
        let position = |head: Option<&v1::PolicyHead>| {
            Self::Policy(head.map(|head| Position { epoch: head.epoch, revision: head.revision }).unwrap_or_default())
        };
        match &message.body {
            Some(Body::Settings(settings)) => Self::Settings(settings.revision),
            Some(Body::PolicySnapshot(v1::PolicySnapshot { part: Some(WirePart::Head(head)) })) => position(Some(head)),
            Some(Body::PolicySnapshot(_)) => position(None),
            Some(Body::PolicyDelta(delta)) => position(delta.head.as_ref()),
            Some(Body::Command(command)) => Uuid::from_slice(&command.id).map_or(Self::Other, Self::Command),
            _ => Self::Other,
        }
    }
}

/// Hashing and writing millions of records takes seconds, which no task may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
