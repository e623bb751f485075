//! What a client asks for, once its address has been understood.

use std::sync::Arc;
use std::time::Duration;

use crate::repo_path::RepoPath;

use super::class::{PathClass, suite_folder};
use super::config::{Config, Kind};
use super::document::{self, Form};

/// One configured repository. Its number is its identity inside the program.
#[derive(Debug)]
pub struct Repository {
    /// What the administrator wrote.
    pub config: Config,
    /// Its number: one that is configured otherwise is another repository, whatever its name, and gets a number
    /// that none had before.
    pub index: usize,
}

impl Repository {
    /// The name: first segment of the mirror form, label in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// How long a release file or index is served before upstream is asked again.
    #[must_use]
    pub const fn check_every(&self) -> Duration {
        self.config.check_every
    }
}

/// Something that a repository publishes, wherever the client's spelling came from. The cache key
/// derives from it alone.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Who publishes it.
    pub repository: Arc<Repository>,
    /// Where in the repository.
    pub path: RepoPath,
    /// The query, without its question mark; only repositories of kind `http` have one.
    pub query: Option<Arc<str>>,
    /// What the path says about it.
    pub class: PathClass,
}

impl Resource {
    /// Understands `path` in `repository`. A query is part of the name for kind `http` and means
    /// nothing to repositories that are made of plain files.
    #[must_use]
    pub fn new(repository: Arc<Repository>, path: RepoPath, query: Option<&str>) -> Self {
        let class = PathClass::of(&repository.config, &path);
        let query = query.filter(|_| repository.config.kind == Kind::Http).map(Arc::from);
        Self { repository, path, query, class }
    }

    /// The name within its repository under which the cache keeps it.
    #[must_use]
    pub fn key_path(&self) -> Arc<str> {
        match &self.query {
            None => self.path.shared(),
            Some(query) => Arc::from(format!("{}?{query}", self.path)),
        }
    }

    /// The suite, or its counterpart, whose document this is, and in which form; `None` for other files.
    #[must_use]
    pub fn head(&self) -> Option<(RepoPath, Form)> {
        document::head(&self.repository.config, &self.path)
    }

    /// The folder of the suite it belongs to; see [`suite_folder`].
    #[must_use]
    pub fn suite_folder(&self) -> &str {
        suite_folder(&self.path)
    }
}
