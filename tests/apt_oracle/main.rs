//! What this program reads in real archives, against what apt, gpgv and dpkg read in them.
//!
//! These tests need a Debian or Ubuntu machine whose apt reaches the archives of both. They keep an apt of
//! their own in the build's scratch folder, so the machine's is not touched, and the second run fetches
//! little.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

mod apt;
mod closures;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use lumbung::repo::apt::by_hash;
use lumbung::repo::apt::checksum::Checksum;
use lumbung::repo::apt::compression::unpack;
use lumbung::repo::apt::index::{self, IndexKind};
use lumbung::repo::apt::release::Release;
use lumbung::repo::apt::signature::{Keyring, SignatureError, Signer, Verdict};
use lumbung::repo::apt::table::{Builder, Expected};
use lumbung::repo::apt::version;
use sequoia_openpgp as openpgp;

use apt::{Apt, DEBIAN, UBUNTU};
use openpgp::Packet;
use openpgp::cert::{CertBuilder, CertRevocationBuilder, CipherSuite};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::serialize::SerializeInto as _;
use openpgp::serialize::stream::{Message, Signer as Signing};
use openpgp::types::{HashAlgorithm, KeyFlags, ReasonForRevocation, SignatureType};

fn load(keyring: &str) -> Keyring {
    Keyring::load(&[fs::read(keyring).unwrap()]).unwrap()
}

/// The keyring that a release file among apt's lists is signed by, and one that it is not.
fn keyrings_of(file: &Path) -> (&'static str, &'static str) {
    if file.to_str().unwrap().contains("archive.ubuntu.com") { (UBUNTU, DEBIAN) } else { (DEBIAN, UBUNTU) }
}

/// The slowest and plainest reading there is: field name to value, continuation lines joined by `\n`.
fn naive(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut stanzas = vec![BTreeMap::<String, String>::new()];
    let mut last = String::new();
    for line in text.lines() {
        if line.is_empty() {
            stanzas.push(BTreeMap::new());
        } else if line.starts_with([' ', '\t']) {
            let value = stanzas.last_mut().unwrap().get_mut(&last).unwrap();
            value.push('\n');
            value.push_str(line.trim());
        } else {
            let (name, value) = line.split_once(':').unwrap();
            name.clone_into(&mut last);
            stanzas.last_mut().unwrap().insert(last.clone(), value.trim().to_owned());
        }
    }
    stanzas.retain(|stanza| !stanza.is_empty());
    stanzas
}

fn naive_items(kind: IndexKind, text: &str) -> Vec<[String; 6]> {
    let mut items = Vec::new();
    for stanza in naive(text) {
        let get = |name: &str| stanza.get(name).cloned().unwrap_or_default();
        if kind == IndexKind::Packages {
            let [path, size, hash] = ["Filename", "Size", "SHA256"].map(get);
            items.push([path, size, hash, get("Package"), get("Version"), get("Architecture")]);
        } else {
            for line in get("Checksums-Sha256").lines().filter(|line| !line.is_empty()) {
                let [hash, size, name] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
                let path = format!("{}/{name}", get("Directory"));
                let of = [get("Package"), get("Version"), "source".to_owned()];
                let [package, version, architecture] = of;
                items.push([path, size.into(), hash.into(), package, version, architecture]);
            }
        }
    }
    items
}

#[test]
fn every_path_size_and_hash_is_what_apt_sees() {
    let apt = Apt::new();
    let mut builder = Builder::new();
    let mut all = 0;
    for (file, path, release) in apt.indices() {
        let (kind, _) = IndexKind::of(&path).unwrap();
        let (_, compression) = IndexKind::of(&format!("x/{}", file_extension(kind, &file))).unwrap();
        let plain = apt.unpacked(&file);
        let mut items = Vec::new();
        let input = unpack(compression, File::open(&file).unwrap(), plain.len() as u64).unwrap();
        let count = index::read(kind, input, |item| {
            let Checksum::Sha256(hash) = item.checksum else { panic!("{item:?}") };
            items.push([
                item.path.to_string(),
                item.size.to_string(),
                hash.to_string(),
                item.package.to_owned(),
                item.version.to_owned(),
                item.architecture.to_owned(),
            ]);
            builder.add(&item.path, &Expected { size: item.size, checksum: item.checksum }).unwrap();
        })
        .unwrap();
        assert_eq!(count.skipped, 0, "{path} of {release}");
        let expected = naive_items(kind, &plain);
        assert_eq!(items.len(), expected.len(), "{path} of {release}");
        for (read, expected) in items.iter().zip(&expected) {
            assert_eq!(read, expected);
        }
        all += items.len();
    }
    assert!(all > 60_000, "only {all} items");

    // The other way round: all that apt would download is in the table.
    let table = builder.finish();
    let available = naive(&apt.run("apt-cache", &["dumpavail"]));
    assert!(available.len() > 60_000);
    for package in available {
        let expected = Expected {
            size: package["Size"].parse().unwrap(),
            checksum: Checksum::Sha256(package["SHA256"].parse().unwrap()),
        };
        // Two distributions may publish different files under one path.
        assert!(table.find(&package["Filename"]).any(|found| found == expected), "{package:?}");
    }
}

/// The name of an index as an archive has it; apt's own file names run everything together.
fn file_extension(kind: IndexKind, file: &Path) -> String {
    let name = if kind == IndexKind::Packages { "Packages" } else { "Sources" };
    match file.extension() {
        Some(extension) => format!("{name}.{}", extension.to_str().unwrap()),
        None => name.to_owned(),
    }
}

#[test]
fn release_files_list_what_they_list() {
    let apt = Apt::new();
    let indices = apt.indices();
    for file in apt.release_files() {
        let keyring = load(keyrings_of(&file).0);
        let verified = keyring.verify_inline(&fs::read(&file).unwrap(), SystemTime::now()).unwrap();
        let release = Release::parse(&verified.text).unwrap();
        let text = String::from_utf8(verified.text).unwrap();
        let plain = naive(&text).remove(0);
        let expected: BTreeMap<_, _> = plain["SHA256"]
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| {
                let mut words = line.split_whitespace();
                let (hash, size) = (words.next().unwrap(), words.next().unwrap());
                (words.next().unwrap(), (size.parse::<u64>().unwrap(), hash.to_owned()))
            })
            .collect();
        let read: BTreeMap<_, _> = release
            .files()
            .iter()
            .map(|file| (file.path.as_str(), (file.size, file.checksum().sha256().unwrap().to_string())))
            .collect();
        assert_eq!(read, expected, "{}", file.display());
        assert_eq!(release.codename.as_ref(), plain.get("Codename"));
        assert_eq!(release.suite.as_ref(), plain.get("Suite"));
        assert_eq!(release.acquire_by_hash, plain["Acquire-By-Hash"] == "yes");
        assert_eq!(release.components.join(" "), plain["Components"]);
        // date(1) reads dates independently.
        for (field, seconds) in [("Date", release.date), ("Valid-Until", release.valid_until)] {
            let expected = plain
                .get(field)
                .map(|date| apt.run("date", &["-d", date, "+%s"]).trim().parse::<i64>().unwrap());
            assert_eq!(seconds, expected, "{field}");
        }
        for listed in release.files() {
            for path in by_hash::paths_of(listed) {
                let found = release.find_by_hash(&by_hash::parse(&path).unwrap()).unwrap();
                assert_eq!(found.hashes, listed.hashes);
            }
        }
        let own = indices
            .iter()
            .filter(|(_, _, of)| Some(of) == release.codename.as_ref() || Some(of) == release.suite.as_ref());
        for (_, path, _) in own {
            assert!(release.find(path).is_some() || release.find(&format!("{path}.xz")).is_some(), "{path}");
        }
    }
}

/// gpgv's verdicts, read as apt reads them: key or fingerprint → word.
fn gpgv(keyring: &Path, files: &[&Path]) -> Vec<(String, Verdict)> {
    let output = Command::new("gpgv")
        .args(["--status-fd", "1", "--keyring"])
        .arg(keyring)
        .args(files)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut verdicts: Vec<(String, Verdict)> = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let verdict = match words.get(1).copied() {
            Some("GOODSIG") => Verdict::Good,
            Some("BADSIG") => Verdict::Forged,
            Some("EXPKEYSIG" | "EXPSIG") => Verdict::Expired,
            Some("REVKEYSIG") => Verdict::Revoked,
            Some("NO_PUBKEY") => Verdict::UnknownKey,
            // The eighth word after it is the digest: MD5, SHA-1 and RIPE-MD are worth nothing to apt.
            Some("VALIDSIG") if ["1", "2", "3"].contains(&words[9]) => {
                if let Some(last) = verdicts.last_mut().filter(|(_, verdict)| *verdict == Verdict::Good) {
                    last.1 = Verdict::Weak;
                }
                continue;
            }
            _ => continue,
        };
        let key = words[2];
        verdicts.push((key[key.len() - 16..].to_owned(), verdict));
    }
    verdicts.sort_by_key(|(key, verdict)| (key.clone(), verdict.as_str()));
    verdicts
}

fn ours(result: Result<Vec<Signer>, SignatureError>) -> Vec<(String, Verdict)> {
    let signers = match result {
        Ok(signers) | Err(SignatureError::Refused(signers)) => signers,
        Err(error) => panic!("{error}"),
    };
    let short = |signer: Signer| {
        let key = &signer.fingerprint;
        (key[key.len() - 16..].to_owned(), signer.verdict)
    };
    let mut verdicts: Vec<_> = signers.into_iter().map(short).collect();
    verdicts.sort_by_key(|(key, verdict)| (key.clone(), verdict.as_str()));
    verdicts
}

#[test]
fn real_signatures_are_judged_as_gpgv_does() {
    let apt = Apt::new();
    for file in apt.release_files() {
        let content = fs::read(&file).unwrap();
        let inline = |ring: &str, content: &[u8]| {
            ours(load(ring).verify_inline(content, SystemTime::now()).map(|verified| verified.signers))
        };
        let (own, other) = keyrings_of(&file);
        let verdicts = gpgv(Path::new(own), &[&file]);
        assert!(verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Good), "{verdicts:?}");
        assert_eq!(inline(own, &content), verdicts, "{}", file.display());
        let strangers = gpgv(Path::new(other), &[&file]);
        assert!(strangers.iter().all(|(_, verdict)| *verdict == Verdict::UnknownKey), "{strangers:?}");
        assert_eq!(inline(other, &content), strangers);
        let changed = String::from_utf8(content).unwrap().replacen("\nOrigin: ", "\nOrigin:  ", 1);
        let place = tempfile::NamedTempFile::new().unwrap();
        fs::write(&place, &changed).unwrap();
        // gpgv stops at the first forgery.
        let forged = inline(own, changed.as_bytes());
        assert!(forged.iter().all(|(_, verdict)| *verdict == Verdict::Forged), "{forged:?}");
        let [first] = &gpgv(Path::new(own), &[place.path()])[..] else { panic!("gpgv saw no forgery") };
        assert!(forged.contains(first));
    }
}

#[test]
fn made_signatures_are_judged_as_gpgv_does() {
    const DAY: Duration = Duration::from_hours(24);
    let now = SystemTime::now();
    let builder = |name: &'static str| {
        CertBuilder::new()
            .add_userid(name)
            .set_cipher_suite(CipherSuite::Cv25519)
            .set_creation_time(now - 100 * DAY)
            .set_validity_period(None)
            .set_primary_key_flags(KeyFlags::empty().set_signing().set_certification())
    };
    let plain = builder("Plain").generate().unwrap().0;
    let expired = builder("Expired").set_validity_period(50 * DAY).generate().unwrap().0;
    let subkey = builder("Subkey")
        .set_primary_key_flags(KeyFlags::empty().set_certification())
        .add_signing_subkey()
        .generate()
        .unwrap()
        .0;
    let pair = |cert: &openpgp::Cert| {
        let key = cert.keys().secret().last().unwrap().key().clone();
        key.into_keypair().unwrap()
    };
    let retired = builder("Revoked").generate().unwrap().0;
    let revocation = CertRevocationBuilder::new()
        .set_reason_for_revocation(ReasonForRevocation::KeyRetired, b"")
        .unwrap()
        .set_signature_creation_time(now - 10 * DAY)
        .unwrap()
        .build(&mut pair(&retired), &retired, None)
        .unwrap();
    let revoked = retired.clone().insert_packets(revocation).unwrap().0;
    // The newest binding alone, younger than the signature.
    let renewed = builder("Renewed").generate().unwrap().0;
    let id = renewed.userids().next().unwrap().userid().clone();
    let bare = Packet::from(renewed.primary_key().key().clone().parts_into_secret().unwrap());
    let bare = openpgp::Cert::try_from(bare).unwrap();
    let binding = SignatureBuilder::new(SignatureType::PositiveCertification)
        .set_signature_creation_time(now - 5 * DAY)
        .unwrap()
        .set_key_flags(KeyFlags::empty().set_signing().set_certification())
        .unwrap();
    let binding = id.bind(&mut pair(&renewed), &bare, binding).unwrap();
    let prolonged = bare.insert_packets([Packet::from(id), binding.into()]).unwrap().0;
    let text = b"Origin: Test\nSHA256:\n";
    let folder = tempfile::tempdir().unwrap();
    for (cert, in_ring, hash, expected) in [
        (&plain, &plain, HashAlgorithm::SHA256, Verdict::Good),
        (&plain, &plain, HashAlgorithm::SHA1, Verdict::Weak),
        (&plain, &expired, HashAlgorithm::SHA256, Verdict::UnknownKey),
        (&subkey, &subkey, HashAlgorithm::SHA512, Verdict::Good),
        (&expired, &expired, HashAlgorithm::SHA256, Verdict::Expired),
        (&retired, &revoked, HashAlgorithm::SHA256, Verdict::Revoked),
        (&renewed, &prolonged, HashAlgorithm::SHA256, Verdict::Good),
    ] {
        let keys = in_ring.clone().strip_secret_key_material().to_vec().unwrap();
        let [ring, release, inline, detached] =
            ["ring.gpg", "Release", "InRelease", "Release.gpg"].map(|name| folder.path().join(name));
        fs::write(&ring, &keys).unwrap();
        fs::write(&release, text).unwrap();
        for (path, in_text) in [(&inline, true), (&detached, false)] {
            let mut file = Vec::new();
            let signing = Signing::new(Message::new(&mut file), pair(cert)).unwrap();
            let signing = signing.hash_algo(hash).unwrap().creation_time(now - 60 * DAY);
            let signing = if in_text { signing.cleartext() } else { signing.detached() };
            let mut message = signing.build().unwrap();
            message.write_all(text).unwrap();
            message.finalize().unwrap();
            fs::write(path, &file).unwrap();
        }
        let keyring = Keyring::load(&[keys]).unwrap();
        let inline_verdicts =
            ours(keyring.verify_inline(&fs::read(&inline).unwrap(), now).map(|verified| verified.signers));
        assert_eq!(inline_verdicts[0].1, expected);
        assert_eq!(inline_verdicts, gpgv(&ring, &[&inline]));
        let detached_verdicts = ours(
            keyring
                .verify_detached(text, &fs::read(&detached).unwrap(), now)
                .map(|verified| verified.signers),
        );
        assert_eq!(detached_verdicts, inline_verdicts);
        assert_eq!(detached_verdicts, gpgv(&ring, &[&detached, &release]));
    }
}

#[test]
fn versions_compare_as_dpkg_does() {
    let apt = Apt::new();
    let mut versions = Vec::new();
    for (file, _, _) in apt.indices() {
        let text = apt.unpacked(&file);
        versions.extend(text.lines().filter_map(|line| line.strip_prefix("Version: ").map(str::to_owned)));
    }
    versions.sort_unstable();
    versions.dedup();
    assert!(versions.len() > 10_000);
    // Neighbours by text differ where it is interesting; a stride makes unlike pairs; and a variant
    // differs by what version numbers differ by.
    let count = versions.len();
    let mut pairs = Vec::new();
    for at in (0..count - 1).step_by(count / 900) {
        let version = &versions[at];
        pairs.push((version.clone(), versions[at + 1].clone()));
        pairs.push((version.clone(), versions[(at * 7919 + 13) % count].clone()));
        pairs.push((version.clone(), format!("{version}~bpo12+1")));
        pairs.push((version.clone(), version.replace('-', "+really0-")));
        pairs.push((version.clone(), version.replace('.', ".0")));
    }
    assert!(pairs.len() > 4000);
    for (a, b) in pairs {
        let dpkg = |relation: &str| {
            let status =
                Command::new("dpkg").args(["--compare-versions", &a, relation, &b]).status().unwrap();
            match status.code() {
                Some(0) => true,
                Some(1) => false,
                other => panic!("dpkg says {other:?} of {a} and {b}"),
            }
        };
        let order = version::compare(a.as_bytes(), b.as_bytes());
        let relation = match order {
            std::cmp::Ordering::Less => "lt",
            std::cmp::Ordering::Equal => "eq",
            std::cmp::Ordering::Greater => "gt",
        };
        assert!(dpkg(relation), "{a} is not {relation} {b}");
    }
}
