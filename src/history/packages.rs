//! Which package a path is a file of.

/// Longest name of a package that counts, in bytes: Debian's longest has 77.
const LONGEST: usize = 100;

/// The name in the path of a package's file: what stands before the first `_` of `nano_7.2-1_amd64.deb`.
/// Only looks at the text; [`clean`] says later whether that can be a name.
pub(super) fn package(path: &str) -> Option<&str> {
    if !path.ends_with("deb") {
        return None;
    }
    let file = &path[path.rfind('/')? + 1..];
    let stem = file.strip_suffix(".deb").or_else(|| file.strip_suffix(".udeb"))?;
    let (name, _) = stem.split_once('_')?;
    (1..=LONGEST).contains(&name.len()).then_some(name)
}

/// A name as packages have them, where apt may have written `+` as `%2b`.
pub(super) fn clean(name: &str) -> Option<String> {
    let name = percent_encoding::percent_decode_str(name).decode_utf8().ok()?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    name.bytes().all(plain).then(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/ubuntu/pool/main/n/nano/nano_7.2-1_amd64.deb", Some("nano"))]
    #[case("/debian/pool/main/a/anna/anna_1.9_amd64.udeb", Some("anna"))]
    #[case("/ubuntu/pool/main/g/gcc/libstdc%2b%2b6_14_amd64.deb", Some("libstdc++6"))]
    #[case("/vendor/tool.deb", None)]
    #[case("/ubuntu/dists/noble/InRelease", None)]
    #[case("/ubuntu/pool/%3cscript%3e_1_amd64.deb", None)]
    #[case("/ubuntu/pool/_1_amd64.deb", None)]
    #[case("deb", None)]
    fn names_are_found(#[case] path: &str, #[case] name: Option<&str>) {
        assert_eq!(package(path).and_then(clean).as_deref(), name);
    }
}
