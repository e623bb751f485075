//! What the name of a package's file says: `nano_7.2-1_amd64.deb`.
//!
//! Archives name files so, and nothing makes them: who needs to be sure asks the index, or the
//! [table](super::table), which knows the exceptions.

/// The package and its architecture in the path of a package's file.
#[must_use]
pub fn of_path(path: &str) -> Option<(&str, &str)> {
    let file = path.rsplit('/').next()?.strip_suffix(".deb")?;
    let (rest, architecture) = file.rsplit_once('_')?;
    let (name, _) = rest.split_once('_')?;
    (!name.is_empty() && !architecture.is_empty()).then_some((name, architecture))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_known_by_their_files() {
        assert_eq!(of_path("pool/main/n/nano/nano_7.2-1_amd64.deb"), Some(("nano", "amd64")));
        assert_eq!(of_path("a_1%3a2_all.deb"), Some(("a", "all")));
        for other in ["pool/x.dsc", "pool/nano.deb", "pool/nano_1.deb", "_1_all.deb", ""] {
            assert_eq!(of_path(other), None, "{other}");
        }
    }
}
