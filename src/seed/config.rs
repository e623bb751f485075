//! What a seed is told.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::closure::Extent;
use super::universe::Priority;
use crate::wan::Hours;

/// A configured seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Its name.
    pub name: Arc<str>,
    /// The name of the repository that it is taken from: one of kind `apt`, and verified.
    pub repo: Arc<str>,
    /// The suites, as clients write them in their sources: `noble-updates`, or a flat one with a slash at its
    /// end; at least one.
    pub suites: Vec<String>,
    /// The components; all that a suite has when empty.
    pub components: Vec<String>,
    /// The architectures of the machines; at least one.
    pub architectures: Vec<String>,
    /// What is wanted for itself.
    pub packages: Packages,
    /// Whether what packages recommend belongs to it, as on an ordinary desktop.
    pub recommends: bool,
    /// How far dependencies are followed.
    pub closure: Extent,
    /// Whether the packages' sources belong to it.
    pub sources: bool,
    /// The languages of the descriptions, `id` or `pt_BR`.
    pub languages: Vec<String>,
    /// Most bytes that it may take; what is wanted least stays out.
    pub budget: Option<u64>,
    /// When it may use the line; always when absent.
    pub hours: Option<Hours>,
    /// Whether it is there without being configured: nobody waits for what it cannot resolve, and it is content with
    /// the indices that desktops use.
    pub built_in: bool,
}

impl Config {
    /// The languages when none are given: what apt fetches on a machine that was set up in English.
    pub const LANGUAGES: [&str; 1] = ["en"];
}

/// The packages that a seed wants for themselves; what they depend on follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packages {
    /// All of them.
    pub everything: bool,
    /// What desktops here asked for lately.
    pub learned: bool,
    /// Those of these names, each with an architecture after a colon where one is meant.
    pub names: Vec<String>,
    /// Those of these sections, `utils`; a component in front does not count.
    pub sections: Vec<String>,
    /// Those of these priorities.
    pub priorities: Vec<Priority>,
    /// Those that a list of `dpkg --get-selections` in this file wants installed.
    pub selections: Option<PathBuf>,
}

impl Packages {
    /// Whether what is learned is all that is wanted.
    #[must_use]
    pub fn is_only_learned(&self) -> bool {
        self.learned && Self { learned: false, ..self.clone() }.is_nothing()
    }

    /// Whether nothing is wanted.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        !self.everything
            && !self.learned
            && self.names.is_empty()
            && self.sections.is_empty()
            && self.priorities.is_empty()
            && self.selections.is_none()
    }
}

impl fmt::Display for Packages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: usize, one: &str, more: &str| {
            (count > 0).then(|| if count == 1 { format!("1 {one}") } else { format!("{count} {more}") })
        };
        let parts = [
            self.everything.then(|| "everything".to_owned()),
            self.learned.then(|| "what desktops ask for".to_owned()),
            counted(self.names.len(), "package", "packages"),
            counted(self.sections.len(), "section", "sections"),
            counted(self.priorities.len(), "priority", "priorities"),
            self.selections.as_ref().map(|file| format!("the list {}", file.display())),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}
