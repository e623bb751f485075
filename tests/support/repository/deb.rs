//! Writes Debian packages: an `ar` archive of two compressed tar archives. dpkg reads them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A package with this control file (whole, with its last line feed) and one file of this content.
pub fn build(name: &str, control: &str, payload: &[u8]) -> Vec<u8> {
    let control = tar(&[Member::Folder("./"), Member::File("./control", control.as_bytes())]);
    let file = format!("./usr/share/{name}/payload");
    let data = tar(&[
        Member::Folder("./"),
        Member::Folder("./usr/"),
        Member::Folder("./usr/share/"),
        Member::Folder(&format!("./usr/share/{name}/")),
        Member::File(&file, payload),
    ]);
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", &gzip(&control, Compression::best())),
        ("data.tar.gz", &gzip(&data, Compression::none())),
    ])
}

/// gzip without a time in its header: the same bytes give the same file.
pub fn gzip(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes every byte")
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        // name, time, owner, group, mode, size; each padded with blanks
        let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", bytes.len());
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(bytes);
        if bytes.len() % 2 == 1 {
            archive.push(b'\n');
        }
    }
    archive
}

enum Member<'a> {
    Folder(&'a str),
    File(&'a str, &'a [u8]),
}

/// A POSIX ustar archive.
fn tar(members: &[Member<'_>]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut archive = Vec::new();
    for member in members {
        let (name, mode, kind, bytes): (_, _, _, &[u8]) = match member {
            Member::Folder(name) => (name, 0o755, b'5', b""),
            Member::File(name, bytes) => (name, 0o644, b'0', bytes),
        };
        let mut header = [0; BLOCK];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, &format!("{mode:07o}\0{:07o}\0{:07o}\0{:011o}\0{:011o}\0", 0, 0, bytes.len(), 0));
        put(148, "        ");
        put(257, "ustar\u{0}00root");
        put(297, "root");
        header[156] = kind;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}
