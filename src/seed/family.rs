//! Suites that belong together: what desktops of one release use.
//!
//! A release is published as several suites: `noble`, `noble-updates`, `noble-security`. They are of the family
//! `noble`, below one archive's root, and a desktop takes packages from all of them.

/// A suite's folder in parts: what stands before its name, and the name.
fn split(folder: &str) -> (&str, &str) {
    if let Some(name) = folder.strip_prefix("dists/") {
        return ("dists/", name);
    }
    match folder.find("/dists/") {
        Some(at) => folder.split_at(at + "/dists/".len()),
        None => ("", folder),
    }
}

/// Whether the suite in a folder is of a family: `dists/noble-updates` is of `noble`.
pub(super) fn is_of(folder: &str, family: &str) -> bool {
    let (before, name) = split(folder);
    !before.is_empty()
        && name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '/']))
}

/// The suite of another family that is to it what this one is to its own.
pub(super) fn counterpart(folder: &str, family: &str, other: &str) -> Option<String> {
    let (before, name) = split(folder);
    let rest = name.strip_prefix(family).filter(|_| is_of(folder, family))?;
    Some(format!("{before}{other}{rest}"))
}

/// The family of the suite in a folder, with the root of its archive: suites with the same go together.
pub(super) fn of(folder: &str) -> (&str, &str) {
    let (before, name) = split(folder);
    (before, name.split(['-', '/']).next().unwrap_or(name))
}

/// The suite in a folder as clients write it in their sources.
pub(super) fn as_written(folder: &str) -> String {
    if let Some(name) = folder.strip_prefix("dists/") {
        return name.to_owned();
    }
    if folder.contains("/dists/") {
        return folder.to_owned();
    }
    if folder.is_empty() { "./".to_owned() } else { format!("{folder}/") }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::seed::gather;

    #[rstest]
    #[case("dists/noble", true)]
    #[case("dists/noble-updates", true)]
    #[case("team/ppa/ubuntu/dists/noble", true)]
    #[case("dists/noble/updates", true)]
    #[case("dists/noblesse", false)]
    #[case("dists/jammy", false)]
    #[case("noble", false)]
    fn families(#[case] folder: &str, #[case] belongs: bool) {
        assert_eq!(is_of(folder, "noble"), belongs);
        let next = belongs.then(|| folder.replace("noble", "next"));
        assert_eq!(counterpart(folder, "noble", "next"), next);
        assert_eq!(of(folder).1 == "noble", belongs || folder == "noble");
    }

    #[test]
    fn folders_are_written_as_they_are_read() {
        for folder in ["dists/noble", "dists/noble/updates", "team/ppa/ubuntu/dists/noble", "", "deb"] {
            assert_eq!(gather::folder(&as_written(folder)).unwrap().as_str(), folder);
        }
    }
}
