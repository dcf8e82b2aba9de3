//! Looks after what the host cannot do without: tells which denies of a list are overridden here, entry by entry, and which of those
//! files changed without proving what they are. It decides nothing: judging does the overriding, by the same facts.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use doorward_policy::{Facts, Fit, PathBytes, Sha256};
use doorward_proto::report::{ClosureEvent, ClosureNews, ReportBody};
use nix::libc;
use tokio_util::sync::CancellationToken;

use super::agent::Agent;
use super::insist::insist;
use crate::judge::Member;
use crate::system::durable;
use crate::trust::transaction_is_open;

/// The members are looked at this often when nothing says that something changed; one that did not change costs a stat.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// Bytes read of what was known at the last start; a thousand members take some 200 kB.
const KNOWN_BYTES_MAX: u64 = 4 << 20;

/// What makes an entry of a list the same entry.
type Entry = (ClosureEvent, String);

/// What was found when the members were looked at last.
struct Known {
    file: PathBuf,
    /// What each path held, across restarts, so that a change while nobody looked is noticed.
    contents: BTreeMap<PathBytes, Sha256>,
    overridden: BTreeSet<Entry>,
}

/// Looks at all members now and after everything that may bear on them, until `cancel`.
pub(super) async fn look_after(agent: Arc<Agent>, cancel: CancellationToken) {
    let mut policies = agent.lists.policy_changes();
    let mut known = Known::read(agent.settings.state_dir.join("closure.json"));
    while !cancel.is_cancelled() {
        let looking = Arc::clone(&agent);
        let stop = cancel.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let news = known.look(&looking, &|| stop.is_cancelled());
            (known, news)
        });
        let news = match looked.await {
            Ok((back, news)) => {
                known = back;
                news
            }
            Err(error) => return tracing::error!(%error, "looking after what the host cannot do without panicked"),
        };
        for news in news {
            say(&news);
            insist(&agent.pending, &agent.health, &cancel, ReportBody::Closure(news)).await;
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = policies.changed() => if changed.is_err() { return },
            () = agent.packages_read.notified() => {}
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

fn say(news: &ClosureNews) {
    let (path, file, source) = (&news.path, &news.file, news.source.as_deref().unwrap_or_default());
    match news.event {
        ClosureEvent::Changed => {
            tracing::error!(%path, %file, "a file this host cannot do without changed and proves nothing; it is judged like any other");
        }
        _ => tracing::error!(%path, %file, source, "a list denies what this host cannot do without; that entry is overridden here"),
    }
}

impl Known {
    fn read(file: PathBuf) -> Self {
        let mut text = Vec::new();
        let read = File::open(&file).and_then(|file| file.take(KNOWN_BYTES_MAX).read_to_end(&mut text));
        // Without it, only what a package calls changed is noticed this once.
        let contents = read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { file, contents, overridden: BTreeSet::new() }
    }

    /// What is new since the last look. Blocks.
    fn look(&mut self, agent: &Agent, stop: &dyn Fn() -> bool) -> Vec<ClosureNews> {
        let root = agent.judge.trust().root();
        // The package manager puts files in place before it says what they are.
        let is_in_flux = transaction_is_open(root) || agent.judge.trust().is_behind();
        let (mut news, mut overridden) = (Vec::new(), BTreeSet::new());
        let members = agent.judge.closure().members();
        let before = self.contents.clone();
        for member in &members {
            let Some((file, facts)) = known_of(agent, member, stop) else { continue };
            let mut tell = |event, source: Option<String>| {
                news.push(ClosureNews { path: member.path.clone(), file, event, source, observed_at: agent.clock.now_micros() });
            };
            for (event, source) in overridden_entries(&facts) {
                let name = source.clone().unwrap_or_else(|| file.to_string());
                if overridden.insert((event, name.clone())) && !self.overridden.contains(&(event, name)) {
                    tell(event, source);
                }
            }
            if !is_in_flux && self.has_changed(&member.path, file, &facts) {
                tell(ClosureEvent::Changed, None);
            }
        }
        if !stop() {
            self.overridden = overridden;
            let paths: BTreeSet<_> = members.into_iter().map(|member| member.path).collect();
            self.contents.retain(|path, _| paths.contains(path));
            self.keep(&before);
        }
        news
    }

    /// Whether a member is another file than before and nothing proves it. Remembers it in any case, so that it is told once.
    fn has_changed(&mut self, path: &PathBytes, file: Sha256, facts: &Facts) -> bool {
        let before = self.contents.insert(path.clone(), file);
        let fit = facts.package.as_ref().map(|package| package.evidence.fit);
        let is_proven = fit == Some(Fit::Match) || facts.closure != doorward_policy::Closure::Outside;
        let is_other = before.map_or(fit == Some(Fit::Modified), |before| before != file);
        is_other && !is_proven
    }

    fn keep(&self, before: &BTreeMap<PathBytes, Sha256>) {
        if *before == self.contents {
            return;
        }
        let kept =
            serde_json::to_vec(&self.contents).map_err(std::io::Error::from).and_then(|text| durable::replace(&self.file, &text, 0o600));
        if let Err(error) = kept {
            tracing::warn!(file = %self.file.display(), %error, "changes of what this host cannot do without may be told again");
        }
    }
}

/// What a member is and what speaks for and against it; `None` when it cannot be read now.
fn known_of(agent: &Agent, member: &Member, stop: &dyn Fn() -> bool) -> Option<(Sha256, Facts)> {
    let path = Path::new(OsStr::from_bytes(member.path.as_bytes()));
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOATIME).open(path).ok()?;
    let wanted = agent.judge.wanted_digest(&member.path);
    let found = agent.identifier.file(&file, member.path.file_name(), wanted, &|| stop()).ok()??;
    let evidence = agent.judge.evidence(Some(&member.path), &found.digests);
    let judged = agent.judge.judge(&found.digests.sha256, &found.identity, &evidence);
    Some((found.digests.sha256, judged.subject.facts))
}

/// The entries of lists that would deny this file and do not.
fn overridden_entries(facts: &Facts) -> Vec<(ClosureEvent, Option<String>)> {
    if !facts.is_unblockable() {
        return Vec::new();
    }
    let package = facts.package.as_ref().filter(|_| facts.is_of_denied_package()).map(|package| package.evidence.name.clone());
    let publisher = facts.publisher.as_ref().filter(|_| facts.is_of_denied_publisher()).map(|publisher| publisher.evidence.name.clone());
    let file = facts.denied_by_person.map(|_| (ClosureEvent::FileDenyOverridden, None));
    let package = package.map(|name| (ClosureEvent::PackageDenyOverridden, Some(name)));
    let publisher = publisher.map(|name| (ClosureEvent::PublisherDenyOverridden, Some(name)));
    [file, package, publisher].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use doorward_policy::{Answer, Closure, Level, Listed, Listing, NoAnswer, PackageEvidence, PackageManager, Scope};

    use super::*;

    fn facts(closure: Closure, fit: Fit, listing: Listing) -> Facts {
        let evidence = PackageEvidence {
            manager: PackageManager::Dpkg,
            name: "dash".into(),
            version: "1".into(),
            origin: String::new(),
            level: Level::Database,
            fit,
        };
        Facts { closure, package: Some(Listed { evidence, listing }), ..Facts::unknown(Answer::None(NoAnswer::NotAsked)) }
    }

    #[test]
    fn every_entry_that_is_overridden_is_named() {
        let mut denied = facts(Closure::Boot, Fit::Match, Listing::Denied);
        denied.denied_by_person = Some(Scope::Global);
        let entries = overridden_entries(&denied);
        assert_eq!(entries, [(ClosureEvent::FileDenyOverridden, None), (ClosureEvent::PackageDenyOverridden, Some("dash".into()))]);
        assert!(overridden_entries(&facts(Closure::Outside, Fit::Match, Listing::Denied)).is_empty());
        assert!(overridden_entries(&facts(Closure::Boot, Fit::Match, Listing::Unlisted)).is_empty());
    }

    #[test]
    fn a_change_is_told_once_unless_it_is_proven_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = PathBytes::new(*b"/usr/bin/dash");
        let (old, new) = (Sha256::new([1; 32]), Sha256::new([2; 32]));
        let (whole, changed) =
            (facts(Closure::Boot, Fit::Match, Listing::Unlisted), facts(Closure::Outside, Fit::Modified, Listing::Unlisted));
        let mut known = Known::read(folder.path().join("closure.json"));
        assert!(!known.has_changed(&path, old, &whole));
        assert!(!known.has_changed(&path, new, &whole), "an upgrade proves itself");
        known.keep(&BTreeMap::new());
        let mut known = Known::read(folder.path().join("closure.json"));
        assert!(!known.has_changed(&path, new, &whole));
        assert!(known.has_changed(&path, old, &changed));
        assert!(!known.has_changed(&path, old, &changed), "told already");
        let mut nothing = Known::read(folder.path().join("none"));
        assert!(nothing.has_changed(&path, old, &changed), "met for the first time, and its package calls it changed");
    }
}
