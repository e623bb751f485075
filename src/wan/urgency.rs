//! On whose behalf something is fetched, which may become more urgent while it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

use crate::outcome::Class;

/// A class that all clones share and that only ever becomes more urgent: a desktop that begins to wait for
/// what a seed is fetching takes it out of the seed's queue.
#[derive(Debug, Clone)]
pub struct Urgency(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Its place among [`CLASSES`].
    class: AtomicU8,
    raised: Notify,
}

/// Most urgent first.
pub(super) const CLASSES: [Class; 3] = [Class::Client, Class::Refresh, Class::Seed];

/// A class's place among [`CLASSES`].
pub(super) const fn index(class: Class) -> usize {
    match class {
        Class::Client => 0,
        Class::Refresh => 1,
        Class::Seed => 2,
    }
}

impl From<Class> for Urgency {
    fn from(class: Class) -> Self {
        let class = AtomicU8::new(number(class));
        Self(Arc::new(Shared { class, raised: Notify::new() }))
    }
}

impl Urgency {
    /// How urgent it is now.
    #[must_use]
    pub fn class(&self) -> Class {
        // Whatever was stored is a place in the list.
        CLASSES.get(usize::from(self.0.class.load(Ordering::Acquire))).copied().unwrap_or(Class::Client)
    }

    /// Makes it as urgent as `class`, if it is not yet, and tells whoever waits on its behalf.
    pub fn raise(&self, class: Class) {
        let class = number(class);
        if self.0.class.fetch_min(class, Ordering::AcqRel) > class {
            self.0.raised.notify_waiters();
        }
    }

    /// Resolves once it is more urgent than `class`. Dropping the future is harmless.
    pub async fn above(&self, class: Class) {
        let raised = self.0.raised.notified();
        tokio::pin!(raised);
        // From here on no raise is missed.
        raised.as_mut().enable();
        while self.class() >= class {
            raised.as_mut().await;
            raised.set(self.0.raised.notified());
            raised.as_mut().enable();
        }
    }
}

fn number(class: Class) -> u8 {
    u8::try_from(index(class)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_place_in_order() {
        assert!(CLASSES.is_sorted());
        for (at, class) in CLASSES.into_iter().enumerate() {
            assert_eq!(index(class), at);
            assert_eq!(Urgency::from(class).class(), class);
        }
    }

    #[tokio::test]
    async fn it_only_rises_and_tells() {
        let urgency = Urgency::from(Class::Refresh);
        urgency.raise(Class::Seed);
        assert_eq!(urgency.class(), Class::Refresh);
        let waiting = tokio::spawn({
            let urgency = urgency.clone();
            async move { urgency.above(Class::Refresh).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        urgency.raise(Class::Client);
        waiting.await.unwrap();
        assert_eq!(urgency.class(), Class::Client);
        urgency.above(Class::Seed).await;
    }
}
