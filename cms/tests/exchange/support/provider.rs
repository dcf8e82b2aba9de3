//! A provider of threat intelligence that says what the story needs and remembers what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use doorward_cms::intel::provider::Cost;
use doorward_cms::intel::{Failure, Item, LookUp, Outcome, Provider};
use doorward_policy::{Reputation, Sha256};
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::story;

#[derive(Default)]
struct Script {
    answers: HashMap<Sha256, Item>,
    silent_on: Vec<Sha256>,
    failure: Option<Failure>,
    asked: Vec<Vec<Sha256>>,
}

/// Unless told otherwise it knows no file.
#[derive(Clone)]
pub(crate) struct TestProvider {
    script: Arc<Mutex<Script>>,
    /// A permit for every answer it may give.
    leave: Arc<Semaphore>,
}

impl TestProvider {
    pub(crate) fn new() -> Self {
        Self { script: Arc::default(), leave: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)) }
    }

    /// One that answers nothing until [`Self::answer_now`].
    pub(crate) fn pensive() -> Self {
        Self { script: Arc::default(), leave: Arc::new(Semaphore::new(0)) }
    }

    pub(crate) fn answer_now(&self) {
        self.leave.add_permits(1000);
    }

    pub(crate) fn says(&self, content: &str, reputation: Reputation) {
        let outcome = Outcome { reputation, raw: "{}".into(), sha1: None, md5: None };
        self.script.lock().unwrap().answers.insert(story::file(content), Item::Answered(outcome));
    }

    pub(crate) fn refuses(&self, content: &str) {
        self.script.lock().unwrap().answers.insert(story::file(content), Item::Refused);
    }

    pub(crate) fn leaves_out(&self, content: &str) {
        self.script.lock().unwrap().silent_on.push(story::file(content));
    }

    pub(crate) fn leaves_nothing_out(&self) {
        self.script.lock().unwrap().silent_on.clear();
    }

    pub(crate) fn fails(&self, failure: impl Into<Option<Failure>>) {
        self.script.lock().unwrap().failure = failure.into();
    }

    /// Every question so far.
    pub(crate) fn asked(&self) -> Vec<Vec<Sha256>> {
        self.script.lock().unwrap().asked.clone()
    }

    /// How often a file was asked about.
    pub(crate) fn times(&self, content: &str) -> usize {
        let file = story::file(content);
        self.asked().iter().flatten().filter(|asked| **asked == file).count()
    }

    fn reply(&self, files: &[Sha256]) -> LookUp {
        let script = self.script.lock().unwrap();
        let cost = Cost { requests: 1, hashes: files.len() as u64, ..Cost::default() };
        if let Some(failure) = &script.failure {
            let errors = vec![failure.kind()];
            return LookUp { items: Vec::new(), failure: Some(failure.clone()), cost: Cost { hashes: 0, errors, ..cost } };
        }
        let unknown = || Item::Answered(Outcome { reputation: story::unknown(), raw: "{}".into(), sha1: None, md5: None });
        let heard = files.iter().filter(|file| !script.silent_on.contains(file));
        let items = heard.map(|file| (*file, script.answers.get(file).cloned().unwrap_or_else(unknown))).collect();
        LookUp { items, failure: None, cost }
    }
}

impl Provider for TestProvider {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn batch_files_max(&self) -> usize {
        100
    }

    fn look_up<'a>(&'a self, files: &'a [Sha256]) -> BoxFuture<'a, LookUp> {
        Box::pin(async move {
            self.script.lock().unwrap().asked.push(files.to_vec());
            self.leave.acquire().await.unwrap().forget();
            self.reply(files)
        })
    }
}
