//! The mailbox in which informers, writing tasks and plugins leave messages for the scheduler.
//!
//! Posting is always quick. While the scheduler is busy, news about an object replaces older news about it, so that no
//! more letters are kept than there are objects.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use client::LeanPod;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use object::{ObjectKey, Selector, Uid};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::state::{Selecting, VolumeChange};

#[cfg(test)]
mod tests;

/// A message to the scheduler.
#[derive(Clone, Debug)]
pub enum Letter {
    /// A node by its name; `None` if it is gone.
    Node(Arc<str>, Option<Arc<Node>>),
    /// The labels of a namespace by its name; `None` if it is gone.
    Namespace(Arc<str>, Option<BTreeMap<String, String>>),
    /// A pod by its UID; `None` if it is gone.
    Pod(Uid, Option<Arc<LeanPod>>),
    /// A claim, a volume or similar by its name.
    Volume(ObjectKey, VolumeChange),
    /// A PodDisruptionBudget by its name; `None` if it is gone.
    Budget(ObjectKey, Option<Arc<PodDisruptionBudget>>),
    /// What a Service or a controller selects, by its name; `None` if it is gone.
    Selector(Selecting, ObjectKey, Option<Arc<Selector>>),
    /// The binding of a pod was written.
    Bound(Uid),
    /// The binding of a pod could not be written, with the reason if it should be reported.
    BindFailed(Uid, Option<String>),
    /// Victims of the first pod's preemption could not be deleted.
    PreemptionFailed(Uid, Vec<Uid>),
    /// A plugin allows a pod that it kept waiting.
    Allow {
        /// The pod.
        pod: ObjectKey,
        /// The plugin's name.
        plugin: String,
    },
    /// A plugin denies a pod that it kept waiting.
    Reject {
        /// The pod.
        pod: ObjectKey,
        /// The plugin's name.
        plugin: String,
        /// The reason, for people.
        why: String,
    },
}

/// The subject of a letter, if a later one about the same subject replaces it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum About {
    Node(Arc<str>),
    Namespace(Arc<str>),
    Pod(Uid),
    Claim(ObjectKey),
    Volume(ObjectKey),
    Class(ObjectKey),
    CsiNode(ObjectKey),
    Budget(ObjectKey),
    Selector(Selecting, ObjectKey),
}

impl Letter {
    fn about(&self) -> Option<About> {
        Some(match self {
            Letter::Node(name, _) => About::Node(Arc::clone(name)),
            Letter::Namespace(name, _) => About::Namespace(Arc::clone(name)),
            Letter::Pod(uid, _) => About::Pod(uid.clone()),
            Letter::Volume(key, VolumeChange::Claim(_)) => About::Claim(key.clone()),
            Letter::Volume(key, VolumeChange::Volume(_)) => About::Volume(key.clone()),
            Letter::Volume(key, VolumeChange::Class(_)) => About::Class(key.clone()),
            Letter::Volume(key, VolumeChange::CsiNode(_)) => About::CsiNode(key.clone()),
            Letter::Budget(key, _) => About::Budget(key.clone()),
            Letter::Selector(kind, key, _) => About::Selector(*kind, key.clone()),
            _ => return None,
        })
    }

    /// Whether it says that an object is gone.
    fn is_farewell(&self) -> bool {
        matches!(self, Letter::Node(_, None) | Letter::Namespace(_, None) | Letter::Pod(_, None))
    }
}

/// Letters for the scheduler, in the order of their first.
#[derive(Debug, Default)]
pub struct Mailbox {
    kept: Mutex<Kept>,
    posted: Notify,
    /// The letters were taken out.
    taken: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    letters: Vec<Option<Letter>>,
    /// Where the letter about an object is, and whether the scheduler did not know the object before it.
    places: HashMap<About, (usize, bool)>,
    /// How many letters were taken back.
    empty: usize,
}

impl Mailbox {
    /// Leaves a letter.
    pub fn post(&self, letter: Letter) {
        self.kept.lock().put(letter, false);
        self.posted.notify_one();
    }

    /// Leaves the first letter about an object: if it is deleted before the scheduler reads of it, nothing is left to
    /// read.
    pub(super) fn post_first(&self, letter: Letter) {
        self.kept.lock().put(letter, true);
        self.posted.notify_one();
    }

    /// Takes all letters out.
    pub(super) fn take(&self) -> impl Iterator<Item = Letter> + use<> {
        self.taken.notify_waiters();
        let kept = std::mem::take(&mut *self.kept.lock());
        kept.letters.into_iter().flatten()
    }

    /// Wakes the scheduler, and returns once it has read its letters. One that does not run never does.
    pub async fn emptied(&self) {
        let mut taken = std::pin::pin!(self.taken.notified());
        taken.as_mut().enable();
        self.posted.notify_one();
        taken.await;
    }

    /// Returns once a letter was posted since the last time.
    pub(super) async fn posted(&self) {
        self.posted.notified().await;
    }
}

impl Kept {
    fn put(&mut self, letter: Letter, is_first: bool) {
        let Some(about) = letter.about() else { return self.letters.push(Some(letter)) };
        match self.places.get(&about).copied() {
            Some((place, true)) if letter.is_farewell() => {
                self.letters[place] = None;
                self.places.remove(&about);
                self.empty += 1;
                self.close_gaps();
            }
            Some((place, _)) => self.letters[place] = Some(letter),
            None => {
                self.places.insert(about, (self.letters.len(), is_first));
                self.letters.push(Some(letter));
            }
        }
    }

    /// Once more than half of the places are empty, the letters move together.
    fn close_gaps(&mut self) {
        if self.empty <= 32 || self.empty <= self.letters.len() / 2 {
            return;
        }
        let firsts: HashMap<About, bool> =
            self.places.drain().map(|(about, (_, is_first))| (about, is_first)).collect();
        self.letters.retain(Option::is_some);
        self.empty = 0;
        for (place, letter) in self.letters.iter().enumerate() {
            if let Some(about) = letter.as_ref().and_then(Letter::about) {
                let is_first = firsts.get(&about).copied().unwrap_or(false);
                self.places.insert(about, (place, is_first));
            }
        }
    }
}
