//! Reading stored files without blocking the runtime.
//!
//! What the page cache holds is read in place (`preadv2` with `RWF_NOWAIT`, which never waits for the
//! disk); everything else goes to the blocking pool.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags};

/// Reads up to `length` bytes at `offset`, at least one. A file that ends there is an error, because
/// callers know how much it has.
///
/// # Errors
/// What the operating system says, or [`io::ErrorKind::UnexpectedEof`].
pub async fn read_at(file: &Arc<File>, offset: u64, length: usize) -> io::Result<Bytes> {
    if let Some(bytes) = try_read_at(file, offset, length)? {
        return Ok(bytes);
    }
    let file = Arc::clone(file);
    tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; length];
        let count = file.read_at(&mut buffer, offset)?;
        filled(buffer, count)
    })
    .await
    .map_err(io::Error::other)?
}

/// Reads what the page cache holds, or `None` where the disk would have to be waited for.
///
/// # Errors
/// As [`read_at`].
pub fn try_read_at(file: &File, offset: u64, length: usize) -> io::Result<Option<Bytes>> {
    let mut buffer = vec![0; length];
    let mut slices = [io::IoSliceMut::new(&mut buffer)];
    match rustix::io::preadv2(file, &mut slices, offset, ReadWriteFlags::NOWAIT) {
        Ok(count) => filled(buffer, count).map(Some),
        // Not in memory, or a file system that does not know the flag.
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn filled(mut buffer: Vec<u8>, count: usize) -> io::Result<Bytes> {
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    buffer.truncate(count);
    Ok(Bytes::from(buffer))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn reads_what_is_there_and_no_more() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"granary").unwrap();
        let file = Arc::new(file);
        assert_eq!(read_at(&file, 0, 64).await.unwrap(), "granary");
        assert_eq!(read_at(&file, 4, 2).await.unwrap(), "ar");
        assert_eq!(read_at(&file, 7, 2).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
