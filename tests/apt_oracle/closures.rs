//! What a seed would hold, against what apt would install.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::Command;

use lumbung::repo::apt::compression::{Compression, unpack};
use lumbung::seed::{Extent, Offers, Pin, Universe, Wish, closure};
use percent_encoding::percent_decode_str;

use crate::apt::{Apt, DEBIAN, UBUNTU};

/// What an administrator may ask for: the packages, and whether what they recommend comes along.
const OF_DEBIAN: [(&[&str], bool); 12] = [
    (&["task-gnome-desktop"], true),
    (&["task-xfce-desktop", "task-indonesian-desktop"], true),
    (&["task-kde-desktop"], true),
    (&["task-lxqt-desktop", "cups", "task-ssh-server"], true),
    (&["libreoffice", "hunspell-en-us"], true),
    (&["build-essential", "git", "devscripts"], true),
    (&["nginx", "postgresql", "php-fpm", "redis-server"], false),
    (&["firefox-esr", "thunderbird", "vlc", "gimp"], true),
    (&["default-jdk", "maven"], true),
    (&["jupyter-notebook", "python3-matplotlib", "r-base"], true),
    (&["postfix", "dovecot-imapd", "spamassassin", "roundcube"], true),
    (&["virt-manager", "qemu-system", "libvirt-daemon-system"], true),
];

const OF_UBUNTU: [(&[&str], bool); 4] = [
    (&["ubuntu-desktop-minimal"], true),
    (&["ubuntu-desktop-minimal"], false),
    (&["ubuntu-server", "openssh-server"], true),
    (&["postgresql", "nginx", "samba", "language-pack-id"], true),
];

/// One distribution's part of what apt has.
struct Distribution<'a> {
    apt: &'a Apt,
    name: &'static str,
    universe: Universe,
    options: Vec<String>,
}

impl<'a> Distribution<'a> {
    fn new(apt: &'a Apt, name: &'static str, host: &str, keyring: &str, architecture: &str) -> Self {
        let folder = apt.root().join(format!("closure-{name}"));
        for below in ["archives/partial", "lists/partial"] {
            fs::create_dir_all(folder.join(below)).unwrap();
        }
        let sources = fs::read_to_string(apt.root().join("sources.list")).unwrap();
        let own: Vec<_> = sources.lines().filter(|line| line.contains(keyring)).collect();
        fs::write(folder.join("sources.list"), own.join("\n") + "\n").unwrap();
        for release in apt.release_files() {
            fs::copy(&release, folder.join("lists").join(release.file_name().unwrap())).unwrap();
        }
        let mut universe = Universe::new(&[architecture]);
        for (file, path, _) in apt.indices() {
            if !file.to_str().unwrap().contains(host) || !path.ends_with("/Packages") {
                continue;
            }
            // apt looks each package up in its index, for which a packed one takes it minutes.
            let plain = folder.join("lists").join(file.file_stem().unwrap());
            fs::write(plain, apt.unpacked(&file)).unwrap();
            let origin = universe.add_origin(Pin::Usual).unwrap();
            let (compression, _) = Compression::of(file.to_str().unwrap());
            let input = unpack(compression, File::open(&file).unwrap(), 1 << 30).unwrap();
            universe.read(origin, input).unwrap();
        }
        let at = folder.display();
        let options = vec![
            format!("-oDir::Etc::sourcelist={at}/sources.list"),
            format!("-oDir::State::lists={at}/lists"),
            format!("-oDir::Cache={at}"),
            "-oDir::Cache::pkgcache=pkgcache.bin".to_owned(),
            "-oDir::Cache::srcpkgcache=srcpkgcache.bin".to_owned(),
            format!("-oAPT::Architecture={architecture}"),
        ];
        Self { apt, name, universe, options }
    }

    /// The paths of what apt would download.
    fn by_apt(&self, packages: &[&str], recommends: bool) -> BTreeSet<String> {
        let recommends = format!("-oAPT::Install-Recommends={recommends}");
        let mut arguments: Vec<&str> = self.options.iter().map(String::as_str).collect();
        arguments.extend(["-q", "install", "--yes", "--print-uris", &recommends]);
        arguments.extend(packages);
        let uris = self.apt.run("apt-get", &arguments);
        let path = |line: &str| {
            let uri = line.strip_prefix('\'')?.split('\'').next()?;
            let uri = percent_decode_str(uri).decode_utf8().ok()?;
            Some(uri[uri.find("pool/")?..].to_owned())
        };
        uris.lines().filter_map(path).collect()
    }

    fn by_us(&self, names: &[&str], recommends: bool) -> BTreeSet<String> {
        let native = self.universe.architectures().next().unwrap();
        let wish = Wish { names, recommends, extent: Extent::Apt };
        let closure = closure(Offers::new(&self.universe, native), &wish).unwrap();
        assert_eq!(closure.unresolved, [], "{names:?}");
        let path = |id| String::from_utf8(self.universe.file(id).0.to_owned()).unwrap();
        closure.packages.into_iter().map(path).collect()
    }

    /// How one set compares.
    fn compare(&self, packages: &[&str], recommends: bool) -> Compared {
        let theirs = self.by_apt(packages, recommends);
        let ours = self.by_us(packages, recommends);
        assert!(theirs.len() > 30, "apt installs only {} for {packages:?}", theirs.len());
        let all = |paths: &mut dyn Iterator<Item = &String>| paths.cloned().collect::<Vec<_>>();
        let compared = Compared {
            set: format!("{} {packages:?}, recommends {recommends}", self.name),
            by_apt: theirs.len(),
            missing: all(&mut theirs.difference(&ours)),
            extra: all(&mut ours.difference(&theirs)),
        };
        let (missing, extra) = (compared.missing.len(), compared.extra.len());
        #[expect(clippy::print_stdout, reason = "the figures, for whoever asks for them with --nocapture")]
        {
            println!("{}: apt {}, missing {missing}, extra {extra}", compared.set, compared.by_apt);
        }
        compared
    }
}

#[derive(Debug)]
struct Compared {
    set: String,
    by_apt: usize,
    missing: Vec<String>,
    extra: Vec<String>,
}

#[test]
fn closures_are_what_apt_installs() {
    let apt = Apt::new();
    let machine = Command::new("dpkg").arg("--print-architecture").output().unwrap();
    let machine = String::from_utf8(machine.stdout).unwrap();
    let machine = machine.trim();
    let debian = Distribution::new(&apt, "Debian", "deb.debian.org", DEBIAN, machine);
    assert!(debian.universe.len() > 60_000);
    // The indices of Ubuntu that are here are those of one architecture.
    let ubuntu = Distribution::new(&apt, "Ubuntu", "archive.ubuntu.com", UBUNTU, "amd64");
    let of_debian = OF_DEBIAN.iter().map(|(packages, recommends)| debian.compare(packages, *recommends));
    let of_ubuntu = OF_UBUNTU.iter().map(|(packages, recommends)| ubuntu.compare(packages, *recommends));
    let sets: Vec<_> = of_debian.chain(of_ubuntu).collect();
    for set in &sets {
        assert!(set.missing.len() * 1000 <= set.by_apt, "{set:#?}");
        assert!(set.extra.len() * 10 <= set.by_apt, "{set:#?}");
    }
}
