//! The files that everyone serves.

use std::io::Write as _;
use std::path::Path;

use crate::case::Files;

/// Makes what is not there yet below `root`. Bytes follow from path and position alone.
pub fn make(root: &Path, files: &Files) -> anyhow::Result<()> {
    for (path, size) in files.list() {
        let file = root.join(path.trim_start_matches('/'));
        if file.exists() {
            continue;
        }
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut out = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(&file)?);
        let mut state = path.bytes().fold(1_u64, |state, byte| state.wrapping_mul(31) + u64::from(byte)) | 1;
        let mut left = size;
        while left > 0 {
            // xorshift64: noise that no layer can shorten.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let bytes = state.to_le_bytes();
            let count = left.min(bytes.len());
            out.write_all(&bytes[..count])?;
            left -= count;
        }
        out.flush()?;
    }
    Ok(())
}
