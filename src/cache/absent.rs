//! Letting go of repositories, channels and seeds that were taken out of the configuration.

use std::sync::Arc;

use super::events::EventKind;
use super::lookup::Cache;
use crate::store::{self, Absent, AbsentKind};

/// How long what is not configured any more is kept as it was, in seconds. A slip in the configuration is
/// noticed within days.
const KEPT: i64 = 7 * 24 * 3600;

impl Cache {
    /// Notes which repositories, channels and seeds the store knows and the configuration does not, tells of it
    /// once, and lets go of those whose time is over. Called at start-up, and now and then from then on.
    pub async fn let_go_of_absent(&self) {
        if let Err(error) = self.try_let_go_of_absent().await {
            tracing::warn!(%error, "what is not configured any more cannot be let go");
        }
    }

    async fn try_let_go_of_absent(&self) -> Result<(), store::Error> {
        let parts = &self.0.parts;
        let repositories = self.0.repositories();
        let repositories = repositories.list().iter().map(|known| Arc::clone(known.name())).collect();
        let channels = self.0.settings().channels.iter().map(|channel| Arc::clone(&channel.name)).collect();
        let seeds = self.0.settings().seeds.clone();
        for absent in parts.store.note_absent(repositories, channels, seeds).await? {
            let is_over = parts.clock.unix() - absent.since >= KEPT;
            if is_over {
                match absent.kind {
                    AbsentKind::Channel => parts.store.unpin(&absent.name).await?,
                    AbsentKind::Repository => parts.store.drop_repository(&absent.name).await?,
                    AbsentKind::Seed => parts.store.forget_seed(&absent.name).await?,
                }
            }
            if is_over || absent.is_new {
                self.tell_absent(&absent, is_over);
            }
        }
        Ok(())
    }

    fn tell_absent(&self, absent: &Absent, is_over: bool) {
        let Absent { kind, name, .. } = absent;
        let (repo, what) = match kind {
            AbsentKind::Channel => ("", "what it points at"),
            AbsentKind::Repository => (&**name, "what is known of its suites"),
            AbsentKind::Seed => ("", "what it holds"),
        };
        let text = if is_over {
            format!("the {} {name} has not been configured for 7 days; {what} is let go", kind.as_str())
        } else {
            format!(
                "the {} {name} is not configured any more; {what} is kept for 7 days in case it comes back",
                kind.as_str()
            )
        };
        self.tell(EventKind::NotConfigured, &Arc::from(repo), name, &text);
    }
}
