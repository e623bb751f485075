//! Builds a [`RealUpstream`](super::RealUpstream) through the machine's apt.
//!
//! A scratch root reads the machine's sources and transport settings, but keeps its lists and archives for
//! itself and leaves compressed indices as they came, so that they still have the hashes that the signed
//! release files list. Where each file belongs is what `apt-get indextargets` and `--print-uris` say. What apt
//! prints names the machine's mirror, so none of it gets into messages or files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use percent_encoding::percent_decode_str;
use tempfile::TempDir;

use super::{File, Manifest, Suite};
use crate::support::sha256_file;

/// What is downloaded beside the base system, each with its dependencies; one that the machine's sources do not
/// have is left out.
const WANTED: [&str; 5] = ["git", "hunspell-en-us", "mousepad", "vim-tiny", "apt"];

/// Builds a whole state in `folder`, which does not exist yet.
pub(super) fn build(folder: &Path) {
    let files = folder.join("files");
    fs::create_dir_all(&files).expect("a folder for a new state");
    let machine = Machine::new();
    machine.apt_get(&["update"]);

    let mut manifest = Manifest { suites: Vec::new(), packages: machine.packages(), files: Vec::new() };
    let mut place = |from: &Path, path: String| {
        let to = files.join(&path);
        fs::create_dir_all(to.parent().expect("a path below files")).expect("a folder");
        fs::copy(from, &to).expect("a copy");
        let size = fs::metadata(&to).expect("a file just copied").len();
        let sha256 = sha256_file(&to).expect("a file just copied");
        manifest.files.push(File { path, size, sha256: sha256.clone() });
        sha256
    };

    // In the order of the machine's sources, which decides where a client takes what two suites have.
    let mut releases: Vec<Release> = Vec::new();
    for index in machine.indices() {
        let known = releases.iter().position(|release| release.file == index.release_file);
        let number = known.unwrap_or_else(|| {
            place(&index.release_file, format!("{}/InRelease", index.base));
            releases.push(Release::of(&index));
            releases.len() - 1
        });
        let release = &mut releases[number];
        if !release.components.contains(&index.component) {
            release.components.push(index.component);
        }
        let path = format!("{}/{}", index.base, index.name);
        let sha256 = place(&index.file, path.clone());
        assert!(release.text.contains(&sha256), "{path} is not what its InRelease lists");
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        place(&index.file, format!("{parent}/by-hash/SHA256/{sha256}"));
    }

    let packages: Vec<&str> = manifest.packages.iter().map(String::as_str).collect();
    for archive in machine.download(&packages) {
        place(&archive.file, archive.path);
    }

    let keyrings = Keyrings::for_releases(&releases);
    manifest.suites = releases.iter().map(|release| keyrings.suite(release, folder)).collect();
    manifest.files.sort_by(|a, b| a.path.cmp(&b.path));
    let text = serde_json::to_vec_pretty(&manifest).expect("a manifest is plain data");
    fs::write(folder.join("manifest.json"), text).expect("the manifest");
}

/// A signed suite.
struct Release {
    root: String,
    suite: String,
    components: Vec<String>,
    file: PathBuf,
    text: String,
}

impl Release {
    fn of(index: &Index) -> Self {
        Self {
            root: index.root.clone(),
            suite: index.suite.clone(),
            components: Vec::new(),
            file: index.release_file.clone(),
            text: fs::read_to_string(&index.release_file).expect("an InRelease file"),
        }
    }
}

/// An index that apt has downloaded, and where it belongs.
struct Index {
    /// The path of the repository, without slashes at its ends.
    root: String,
    suite: String,
    component: String,
    /// The path of the folder of the suite's release file.
    base: String,
    /// Its name below `base`, with the suffix of its compression.
    name: String,
    file: PathBuf,
    release_file: PathBuf,
}

/// A package that apt has downloaded, and where it belongs.
struct Archive {
    path: String,
    file: PathBuf,
}

/// The machine's apt in a scratch root.
struct Machine {
    root: TempDir,
}

impl Machine {
    fn new() -> Self {
        let root = TempDir::new().expect("a scratch root");
        for folder in ["lists/partial", "archives/partial", "log", "empty"] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder of the scratch root");
        }
        fs::write(root.path().join("status"), "").expect("an empty dpkg database");
        let dump =
            Command::new("apt-config").arg("dump").env("LC_ALL", "C").output().expect("apt is installed");
        let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
        fs::write(root.path().join("apt.conf"), configuration(root.path(), &dump)).expect("apt.conf");
        Self { root }
    }

    /// What the program prints.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .env("APT_CONFIG", self.root.path().join("apt.conf"))
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .expect("apt is installed");
        let first = arguments.first().copied().unwrap_or_default();
        assert!(
            output.status.success(),
            "`{program} {first}` ended with {} while building the real upstream; does it work on this machine?",
            output.status
        );
        String::from_utf8(output.stdout).expect("apt prints UTF-8")
    }

    fn apt_get(&self, arguments: &[&str]) -> String {
        self.run("apt-get", arguments)
    }

    /// The names of all packages of the base system, and of those wanted beside it.
    fn packages(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        let available = self.run("apt-cache", &["dumpavail"]);
        for paragraph in available.split("\n\n") {
            let field = |name: &str| {
                let line = paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                line.unwrap_or_default()
            };
            let name = field("Package");
            if field("Essential") == "yes" || field("Priority") == "required" || WANTED.contains(&name) {
                names.insert(name.to_owned());
            }
        }
        names.into_iter().collect()
    }

    /// The package lists and translations of every source, as they were published.
    fn indices(&self) -> Vec<Index> {
        let fields =
            "$(IDENTIFIER)\t$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)\t$(BASE_URI)\t$(METAKEY)\t$(FILENAME)";
        let listing = self.apt_get(&["indextargets", "--format", fields]);
        listing.lines().filter_map(parse_index).collect()
    }

    fn download(&self, packages: &[&str]) -> Vec<Archive> {
        let mut arguments = vec!["install", "--yes", "--download-only"];
        arguments.extend(packages);
        self.apt_get(&arguments);
        // The archives are there: with them out of sight, apt names where each came from.
        let mut arguments = vec!["install", "--yes", "--print-uris", "-o", "Dir::Cache::archives=empty/"];
        arguments.extend(packages);
        let archives = self.root.path().join("archives");
        let uris = self.apt_get(&arguments);
        // 'http://…/nano_7.2-1_amd64.deb' nano_7.2-1_amd64.deb 690000 SHA256:…
        let lines = uris.lines().filter_map(|line| line.strip_prefix('\''));
        lines
            .map(|line| {
                let mut words = line.split([' ', '\'']).filter(|word| !word.is_empty());
                let (uri, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                Archive { path: path_of(uri), file: archives.join(name) }
            })
            .collect()
    }
}

fn parse_index(line: &str) -> Option<Index> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [kind, root, suite, component, base, key, file] = fields[..] else { return None };
    if !matches!(kind, "Packages" | "Translations") {
        return None;
    }
    // lists/HOST_debian_dists_bookworm_ main_binary-amd64_Packages .xz: the release file's name begins like it.
    let flat = key.replace('/', "_");
    let at = file.rfind(&flat)?;
    let suffix = &file[at + flat.len()..];
    Some(Index {
        root: path_of(root),
        suite: suite.to_owned(),
        component: component.to_owned(),
        base: path_of(base),
        name: format!("{key}{suffix}"),
        file: PathBuf::from(file),
        release_file: PathBuf::from(format!("{}InRelease", &file[..at])),
    })
}

/// The decoded path of a URL without slashes at its ends.
fn path_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    percent_decode_str(path).decode_utf8_lossy().trim_matches('/').to_owned()
}

/// The machine's way to fetch, with lists and archives of our own. Hooks of the machine do not run.
fn configuration(root: &Path, dump: &str) -> String {
    let ours =
        ["Acquire::Languages", "Acquire::GzipIndexes", "Acquire::CompressionTypes", "Acquire::IndexTargets"];
    let fetching = dump.lines().filter(|line| {
        let native = line.starts_with("APT::Architecture ");
        native || line.starts_with("Acquire::") && !ours.iter().any(|name| line.starts_with(name))
    });
    let mut text: String = fetching.map(|line| format!("{line}\n")).collect();
    for kind in ["Packages", "Translations"] {
        let target = format!("Acquire::IndexTargets::deb::{kind}");
        text += &format!("{target}::KeepCompressed \"true\";\n{target}::KeepCompressedAs \"xz\";\n");
    }
    let root = root.display();
    text += &format!(
        "Dir::State \"{root}\";\nDir::State::lists \"lists/\";\nDir::State::status \"{root}/status\";\n\
         Dir::State::extended_states \"{root}/extended_states\";\n\
         Dir::Cache \"{root}\";\nDir::Cache::archives \"archives/\";\nDir::Log \"{root}/log\";\n\
         Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"{root}/empty\";\n\
         Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"{root}/empty\";\n\
         Acquire::Languages \"en\";\nAcquire::GzipIndexes \"true\";\nAcquire::CompressionTypes::Order:: \"xz\";\n\
         APT::Sandbox::User \"root\";\nAPT::Install-Recommends \"false\";\nDebug::NoLocking \"true\";\n"
    );
    text
}

/// Which of the machine's keyrings sign which suites.
struct Keyrings {
    /// Those that sign most come first.
    candidates: Vec<PathBuf>,
}

impl Keyrings {
    fn for_releases(releases: &[Release]) -> Self {
        let folders = ["/usr/share/keyrings", "/etc/apt/keyrings", "/etc/apt/trusted.gpg.d"];
        let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let mut ranked: Vec<_> = files
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "gpg"))
            .map(|path| (releases.iter().filter(|release| verifies(&path, &release.file)).count(), path))
            .filter(|(count, _)| *count > 0)
            .collect();
        ranked.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        Self { candidates: ranked.into_iter().map(|(_, path)| path).collect() }
    }

    /// The suite with a copy of its keyring in `folder`.
    fn suite(&self, release: &Release, folder: &Path) -> Suite {
        let found = self.candidates.iter().position(|path| verifies(path, &release.file));
        let number = found.unwrap_or_else(|| panic!("no keyring of this machine signs {}", release.suite));
        let keyring = format!("keyring-{number}.gpg");
        fs::copy(&self.candidates[number], folder.join(&keyring)).expect("a copy of a keyring");
        let Release { root, suite, components, .. } = release;
        Suite { root: root.clone(), name: suite.clone(), components: components.clone(), keyring }
    }
}

fn verifies(keyring: &Path, file: &Path) -> bool {
    let output = Command::new("gpgv").arg("--keyring").arg(keyring).arg(file).output();
    output.expect("gpgv is installed").status.success()
}
