//! What an origin has seen and sent.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::support::PATIENCE;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// The request target as sent: encoded, with its query, absolute where a proxy was asked.
    pub target: String,
    /// The target's path alone, decoded, without `/./`.
    pub path: String,
    /// Names as sent, in order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Which of the origin's connections it came on, counted from 1.
    pub connection: usize,
}

impl Request {
    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// The record of an origin; it only grows.
pub struct Log {
    entries: Mutex<Entries>,
    /// Counts changes for those who wait.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Entries {
    connections: usize,
    requests: Vec<Request>,
    body_bytes: HashMap<String, u64>,
    answering: HashMap<String, usize>,
    most_at_once: HashMap<String, usize>,
}

impl Default for Log {
    fn default() -> Self {
        Self { entries: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

impl Log {
    /// How many connections have been accepted.
    pub fn connections(&self) -> usize {
        self.entries().connections
    }

    /// How many requests for `path` have come.
    pub fn count(&self, path: &str) -> usize {
        self.entries().requests.iter().filter(|request| request.path == path).count()
    }

    /// The requests that `wanted` picks, in the order of their arrival.
    pub fn requests(&self, wanted: impl Fn(&Request) -> bool) -> Vec<Request> {
        self.entries().requests.iter().filter(|request| wanted(request)).cloned().collect()
    }

    /// Bytes of bodies that were handed to the kernel for `path`, over all its answers.
    pub fn body_bytes(&self, path: &str) -> u64 {
        self.entries().body_bytes.get(path).copied().unwrap_or(0)
    }

    /// Bytes of all bodies that were handed to the kernel.
    pub fn all_body_bytes(&self) -> u64 {
        self.entries().body_bytes.values().sum()
    }

    /// How many requests for `path` are being answered.
    pub fn answering(&self, path: &str) -> usize {
        self.entries().answering.get(path).copied().unwrap_or(0)
    }

    /// The most requests for `path` that were answered at the same time.
    pub fn most_at_once(&self, path: &str) -> usize {
        self.entries().most_at_once.get(path).copied().unwrap_or(0)
    }

    /// Waits until `condition` holds for this record.
    ///
    /// # Panics
    /// When it does not within [`PATIENCE`]; says what was waited for, and what came instead.
    pub async fn wait_until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let mut changes = self.changes.subscribe();
        let holds = changes.wait_for(|_| condition(self));
        if tokio::time::timeout(PATIENCE, holds).await.is_err() {
            let seen = self
                .entries()
                .requests
                .iter()
                .map(|r| format!("{} {}", r.method, r.target))
                .collect::<Vec<_>>();
            panic!("waited in vain for {what}; seen: {seen:#?}");
        }
    }

    pub(super) fn connection_opened(&self) -> usize {
        self.record(|entries| {
            entries.connections += 1;
            entries.connections
        })
    }

    /// Records a request, and that it is being answered until the guard is dropped.
    pub(super) fn request_came(&self, request: Request) -> Answering<'_> {
        let path = request.path.clone();
        self.record(|entries| {
            entries.requests.push(request);
            let now = entries.answering.entry(path.clone()).or_default();
            *now += 1;
            let most = entries.most_at_once.entry(path.clone()).or_default();
            *most = (*most).max(*now);
        });
        Answering { log: self, path }
    }

    fn record<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> T {
        let value = change(&mut self.entries());
        self.changes.send_modify(|count| *count += 1);
        value
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
pub(super) struct Answering<'a> {
    log: &'a Log,
    path: String,
}

impl Answering<'_> {
    /// Counts bytes of the answer's body.
    pub(super) fn sent(&self, bytes: usize) {
        self.log.record(|entries| *entries.body_bytes.entry(self.path.clone()).or_default() += bytes as u64);
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.log.record(|entries| {
            if let Some(count) = entries.answering.get_mut(&self.path) {
                *count -= 1;
            }
        });
    }
}
