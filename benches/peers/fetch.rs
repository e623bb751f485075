//! Looking at what a contestant serves, before it is measured. It also fills caches.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use anyhow::Context as _;

use crate::case::Files;
use crate::contestant::Contestant;

/// Fetches every file twice, and compares it with the original.
pub fn check(contestant: &Contestant, root: &Path, files: &Files) -> anyhow::Result<()> {
    for (path, size) in files.list() {
        let original = std::fs::File::open(root.join(path.trim_start_matches('/')))?;
        for _ in 0..2 {
            compare(contestant, &path, size, &original).with_context(|| path.clone())?;
        }
    }
    Ok(())
}

fn compare(contestant: &Contestant, path: &str, size: usize, original: &std::fs::File) -> anyhow::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let mut stream = TcpStream::connect(contestant.address)?;
    let target = format!("{}{path}", contestant.prefix);
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", contestant.address)?;
    let mut answer = BufReader::with_capacity(256 * 1024, stream);
    let mut line = String::new();
    answer.read_line(&mut line)?;
    anyhow::ensure!(line.starts_with("HTTP/1.1 200 "), "answered {line:?}");
    while line.trim() != "" {
        line.clear();
        answer.read_line(&mut line)?;
    }
    let (mut at, mut seen, mut expected) = (0_usize, vec![0; 256 * 1024], vec![0; 256 * 1024]);
    loop {
        let count = answer.read(&mut seen)?;
        if count == 0 {
            break;
        }
        anyhow::ensure!(at + count <= size, "longer than {size} bytes");
        original.read_exact_at(&mut expected[..count], at as u64)?;
        anyhow::ensure!(seen[..count] == expected[..count], "other bytes near {at}");
        at += count;
    }
    anyhow::ensure!(at == size, "{at} bytes instead of {size}");
    Ok(())
}
