//! The files of an ISO 9660 image, without mounting it.
//!
//! Of the format (ECMA-119) only what leads to files is read: the primary volume descriptor, folders, and the
//! long names that Rock Ridge puts beside each entry, which every Debian and Ubuntu image has. Names are
//! hints; what counts is what the bytes hash to. Everything is bounded, since the image may be anybody's.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes of a sector.
const SECTOR: u64 = SECTOR_BYTES as u64;
/// The same, for what is in memory.
const SECTOR_BYTES: usize = 2048;
/// Where the volume descriptors begin, in sectors, and how many are looked at.
const DESCRIPTORS: std::ops::Range<u64> = 16..48;
/// Largest folder, in bytes.
const FOLDER: u32 = 16 << 20;
/// Deepest folder.
const DEEPEST: usize = 32;
/// Most files and folders.
const MOST: usize = 500_000;

/// A file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inside {
    /// Relative to the image's root.
    pub(super) path: String,
    /// Where it begins, in bytes.
    pub(super) offset: u64,
    /// In bytes.
    pub(super) size: u64,
}

/// One entry of a folder.
struct Record {
    name: String,
    first: u64,
    size: u32,
    is_folder: bool,
    /// The first of several parts: a file beyond 4 GiB, which nothing here needs.
    in_parts: bool,
}

/// Whether a file is an image. A file that is too short is none.
pub(super) fn is_image(file: &File) -> bool {
    let mut mark = [0; 6];
    file.read_exact_at(&mut mark, DESCRIPTORS.start * SECTOR).is_ok() && &mark[1..] == b"CD001"
}

/// Every file of an image, folder by folder. Blocking.
///
/// # Errors
/// When it cannot be read, or is larger than any image should be.
pub(super) fn files(file: &File) -> io::Result<Vec<Inside>> {
    let root = root(file)?;
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let mut folders = vec![(String::new(), root, 0)];
    let mut entries = 0;
    while let Some((path, folder, depth)) = folders.pop() {
        // A folder that contains itself ends here.
        if depth > DEEPEST || !seen.insert(folder.first) {
            continue;
        }
        for record in read_folder(file, &folder)? {
            entries += 1;
            if entries > MOST {
                return Err(io::Error::other("the image has too many files"));
            }
            let below = if path.is_empty() { record.name.clone() } else { format!("{path}/{}", record.name) };
            if record.is_folder {
                folders.push((below, record, depth + 1));
            } else if !record.in_parts {
                found.push(Inside {
                    path: below,
                    offset: record.first * SECTOR,
                    size: u64::from(record.size),
                });
            }
        }
    }
    Ok(found)
}

fn root(file: &File) -> io::Result<Record> {
    for sector in DESCRIPTORS {
        let mut descriptor = [0; SECTOR_BYTES];
        file.read_exact_at(&mut descriptor, sector * SECTOR)?;
        if &descriptor[1..6] != b"CD001" || descriptor[0] == 255 {
            break;
        }
        if descriptor[0] == 1 {
            return record(file, &descriptor[156..190])
                .ok_or_else(|| io::Error::other("the image's root is broken"));
        }
    }
    Err(io::Error::other("the image has no primary volume descriptor"))
}

fn read_folder(file: &File, folder: &Record) -> io::Result<Vec<Record>> {
    if folder.size > FOLDER {
        return Err(io::Error::other("a folder of the image is absurdly large"));
    }
    let mut bytes = vec![0; folder.size as usize];
    file.read_exact_at(&mut bytes, folder.first * SECTOR)?;
    let mut records = Vec::new();
    for sector in bytes.chunks(SECTOR_BYTES) {
        let mut rest = sector;
        // No record crosses the end of a sector; zeros fill it up.
        while let Some(length) = rest.first().map(|length| usize::from(*length)).filter(|length| *length > 0)
        {
            let Some((one, after)) = rest.split_at_checked(length) else { break };
            records.extend(record(file, one).filter(|record| !record.name.is_empty()));
            rest = after;
        }
    }
    Ok(records)
}

fn record(file: &File, bytes: &[u8]) -> Option<Record> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let flags = *bytes.get(25)?;
    let length = usize::from(*bytes.get(32)?);
    let name = bytes.get(33..33 + length)?;
    let extra = bytes.get(33 + length + (length + 1) % 2..).unwrap_or_default();
    let short = match name {
        // The folder itself, and the one above.
        [0 | 1] => String::new(),
        name => {
            let text = String::from_utf8_lossy(name).into_owned();
            text.split_once(';').map_or(text.clone(), |(name, _)| name.to_owned())
        }
    };
    let name = if short.is_empty() { short } else { long_name(file, extra).unwrap_or(short) };
    // A name is one step down, whatever it says.
    let sane = !name.contains('/') && name != "." && name != "..";
    Some(Record {
        name: if sane { name } else { String::new() },
        first: u64::from(number(2)?),
        size: number(10)?,
        is_folder: flags & 2 != 0,
        in_parts: flags & 0x80 != 0,
    })
}

/// The name in the `NM` entries of Rock Ridge, which may go on elsewhere (`CE`).
fn long_name(file: &File, extra: &[u8]) -> Option<String> {
    let mut name = Vec::new();
    let mut area = extra.to_vec();
    for _ in 0..8 {
        let (mut rest, mut next) = (&area[..], None);
        while let [a, b, length, _, ..] = rest {
            let Some((entry, after)) = rest.split_at_checked(usize::from(*length).max(4)) else { break };
            match (a, b) {
                // Flags 2 and 4 are the folder itself and the one above.
                (b'N', b'M') if entry.get(4).is_some_and(|flags| flags & 6 == 0) => {
                    name.extend_from_slice(&entry[5..]);
                }
                (b'C', b'E') if entry.len() >= 28 => {
                    let number = |at: usize| {
                        entry.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes).map(u64::from)
                    };
                    next = Some((number(4)? * SECTOR + number(12)?, number(20)?));
                }
                _ => {}
            }
            rest = after;
        }
        let Some((offset, length)) = next.filter(|(_, length)| *length <= SECTOR) else { break };
        area = vec![0; usize::try_from(length).ok()?];
        file.read_exact_at(&mut area, offset).ok()?;
    }
    if name.is_empty() { None } else { String::from_utf8(name).ok() }
}
