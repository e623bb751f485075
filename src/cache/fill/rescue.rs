//! Seeking a file that an index lists and that upstream has deleted or replaced.
//!
//! A channel may show a generation whose packages are long gone upstream. What is known by hash may come
//! from anywhere, so it is sought under the repository's other addresses, those of single hosts among its
//! aliases, and then under its `rescue` URLs.

use super::attempt::Source;
use super::transfer::Transfer;
use super::{Fill, PROGRESS, Step};
use crate::cache::events::EventKind;
use crate::cache::failure::Failure;
use crate::cache::flight::End;
use crate::outcome::Class;
use crate::repo::Alias;

/// Whether an upstream that fails like this does not have the file (any more).
pub(super) const fn lacks(failure: &Failure) -> bool {
    matches!(failure, Failure::NotFound { .. } | Failure::Changed { .. } | Failure::Damaged { .. })
}

impl Fill {
    /// Seeks the file beyond the upstreams. None when it is not there either, or must not be sought.
    pub(super) async fn rescue(&self, transfer: &mut Option<Transfer>) -> Option<End> {
        // A generation that is not current yet waits for upstream, which may be in mid-sync.
        let pending = self.flight.class == Class::Refresh;
        if self.goal.known.is_none() || pending || self.flight.has_head() {
            return None;
        }
        for source in self.rescuers() {
            let mut reached = 0;
            loop {
                match self.attempt(&source, transfer).await {
                    Step::Done(end) => {
                        if matches!(end, End::Committed(_)) {
                            let text = format!("no upstream has it any more; {} has", source.base);
                            let repo = self.resource.repository.name();
                            self.cache.tell(EventKind::Rescued, repo, self.resource.path.as_str(), &text);
                        }
                        return Some(end);
                    }
                    Step::Next(why) => {
                        tracing::debug!(path = %self.resource.path, source = %source.base, %why, "not rescued");
                    }
                }
                let written = transfer.as_ref().map_or(0, Transfer::written);
                if written < reached + PROGRESS {
                    break;
                }
                reached = written;
            }
        }
        None
    }

    fn rescuers(&self) -> Vec<Source> {
        let config = &self.resource.repository.config;
        let date = self.goal.known.as_ref().and_then(|known| known.date);
        let aliases = config.aliases.iter().filter_map(Alias::base);
        let rescue = config.rescue.iter().filter_map(|rescue| rescue.base(date));
        aliases
            .filter(|base| !config.upstreams.contains(base))
            .chain(rescue)
            .map(|base| Source { base, mirror: None })
            .collect()
    }
}
