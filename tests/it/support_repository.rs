//! The repository builder makes what Debian's own tools accept.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::repository::{Compression, Key, Package, Repository, day};
use crate::support::sha256;

/// Whether gpgv accepts these files with this keyring.
fn gpgv(keyring: &[u8], files: &[&Path]) -> bool {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("keyring.gpg");
    std::fs::write(&file, keyring).expect("a keyring");
    let output =
        Command::new("gpgv").arg("--keyring").arg(&file).args(files).output().expect("gpgv is installed");
    output.status.success()
}

#[test]
fn gpgv_accepts_what_the_key_signed_and_nothing_else() {
    let (key, other) = (Key::generate("One"), Key::generate("Other"));
    let folder = TempDir::new().unwrap();
    Repository::new("noble")
        .package(Package::new("nano", "7.2-1"))
        .signed_by(&key)
        .publish()
        .write_to(folder.path());
    let at = |name: &str| folder.path().join("dists/noble").join(name);
    let (inline, detached, release) = (at("InRelease"), at("Release.gpg"), at("Release"));
    assert!(gpgv(&key.keyring(), &[&inline]));
    assert!(gpgv(&key.keyring(), &[&detached, &release]));
    assert!(!gpgv(&other.keyring(), &[&inline]));
    let changed = std::fs::read_to_string(&inline).unwrap().replace("Suite: noble", "Suite: mouse");
    std::fs::write(&inline, changed).unwrap();
    std::fs::write(&release, "Suite: mouse\n").unwrap();
    assert!(!gpgv(&key.keyring(), &[&inline]));
    assert!(!gpgv(&key.keyring(), &[&detached, &release]));
}

#[test]
fn dpkg_reads_the_packages() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.deb");
    // An odd size, so that the padding of the outer archive counts.
    let package = Package::new("nano", "1:7.2-1").depends("libc6 (>= 2)").payload_size(54_321);
    assert_eq!(package.file_name(), "nano_7.2-1_amd64.deb");
    std::fs::write(&file, package.deb()).unwrap();
    let fields = Command::new("dpkg-deb").arg("-f").arg(&file).args(["Version", "Depends"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&fields.stdout), "Version: 1:7.2-1\nDepends: libc6 (>= 2)\n");
    let info = Command::new("dpkg").arg("-I").arg(&file).output().unwrap();
    assert!(info.status.success(), "{}", String::from_utf8_lossy(&info.stderr));
    let root = folder.path().join("root");
    assert!(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&root).status().unwrap().success());
    let payload = std::fs::read(root.join("usr/share/nano/payload")).unwrap();
    assert_eq!(payload.len(), 54_321);
}

#[test]
fn the_same_description_makes_the_same_files() {
    let repository = Repository::new("noble").package(Package::new("nano", "7.2-1").payload_size(10_000));
    let (first, second) = (repository.publish(), repository.publish());
    assert!(first.files().iter().zip(second.files()).all(|(a, b)| a.path == b.path && a.bytes == b.bytes));
    let next = repository.date(day(1)).package(Package::new("nano", "7.2-2")).publish();
    assert_ne!(first.bytes("dists/noble/Release"), next.bytes("dists/noble/Release"));
    let old = first.deb("nano_7.2-1_amd64.deb");
    assert_eq!(old, next.bytes("pool/main/n/nano/nano_7.2-1_amd64.deb"));
}

#[test]
fn the_release_file_lists_every_index_by_its_hash() {
    let repository = Repository::new("noble").component("universe").compressions(&[Compression::Xz]);
    let files = repository.publish();
    let release = String::from_utf8(files.bytes("dists/noble/Release").to_vec()).unwrap();
    let index = files.bytes("dists/noble/universe/binary-amd64/Packages.xz");
    let by_hash = format!("dists/noble/universe/binary-amd64/by-hash/SHA256/{}", sha256(&index));
    assert_eq!(files.bytes(&by_hash), index);
    assert!(release.contains(&format!(
        " {} {:>8} universe/binary-amd64/Packages.xz\n",
        sha256(&index),
        index.len()
    )));
    assert!(!release.contains("Packages.gz"));
    let paths: Vec<_> = files.files().iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths.last(), Some(&"dists/noble/Release"));
    let plain = repository.by_hash(false).publish();
    assert!(plain.only(|path| path.contains("by-hash")).files().is_empty());
}

#[test]
fn the_release_file_has_the_fields_it_was_given() {
    let nano = Package::new("nano", "7.2-1");
    let repository = Repository::new("noble")
        .field("Origin", "Ubuntu")
        .valid_until(day(7))
        .architectures(&["amd64", "arm64"])
        .packages([nano.clone().version("7.2-2").architecture("arm64"), nano.description("an editor")]);
    let files = repository.publish();
    let text = |path: &str| String::from_utf8(files.bytes(path).to_vec()).unwrap();
    let release = text("dists/noble/Release");
    for line in ["Origin: Ubuntu", "Architectures: amd64 arm64", "Valid-Until: Sat, 08 Jun 2024 00:00:00 UTC"]
    {
        assert!(release.lines().any(|found| found == line), "{line} in\n{release}");
    }
    let compressions = [Compression::None];
    let plain = repository.clone().compressions(&compressions).publish();
    let index = |architecture: &str| {
        let bytes = plain.bytes(&format!("dists/noble/main/binary-{architecture}/Packages"));
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    assert!(index("arm64").contains("Version: 7.2-2\n") && !index("arm64").contains("7.2-1"));
    assert!(index("amd64").contains("Description: an editor\n") && !index("amd64").contains("7.2-2"));
    let empty = repository.without_packages().compressions(&compressions).publish();
    assert_eq!(empty.bytes("dists/noble/main/binary-amd64/Packages"), "");
}

#[test]
fn gpgv_names_the_fingerprint_of_the_key() {
    let key = Key::generate("One");
    let folder = TempDir::new().unwrap();
    let (keyring, signed) = (folder.path().join("keyring.gpg"), folder.path().join("signed"));
    std::fs::write(&keyring, key.keyring()).unwrap();
    std::fs::write(&signed, key.clearsign("text\n")).unwrap();
    let output = Command::new("gpgv")
        .args(["--status-fd", "1", "--keyring"])
        .args([&keyring, &signed])
        .output()
        .expect("gpgv is installed");
    // VALIDSIG ends with the fingerprint of the primary key.
    let status = String::from_utf8_lossy(&output.stdout).into_owned();
    let valid = status.lines().find(|line| line.contains("VALIDSIG")).unwrap_or_default();
    assert!(valid.ends_with(&key.fingerprint()), "{status}");
}
