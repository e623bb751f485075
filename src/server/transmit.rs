//! Writing to a client: ordinary bytes as they are, [parts](super::part) of files by `sendfile`.
//!
//! `sendfile` waits for the disk where the page cache has nothing, and there is no flag against it. So
//! a part is probed first, with reads of single bytes that do not wait (`preadv2` with `RWF_NOWAIT`),
//! one in each stretch that the kernel reads ahead at once. What is not there is read on the blocking
//! pool, and only then sent. A page that is evicted between probe and call costs a wait of one page.
//! What was found in memory a moment ago is not probed again (see [`Warmth`](crate::cache::Warmth)).
//!
//! Parts of up to a page are read and written together with the head before them, which is one call less
//! and as cheap there; from two pages on, sending costs less than two copies do. Where the kernel cannot send from a file system at all (`EINVAL`), the
//! same way serves every part of the connection.
//!
//! A file that ends before it should is an error, and hyper closes the connection.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags};
use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::{AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::part::{Holder, LONGEST, Outgoing, Parts};

/// Up to this length a part is read and written, in bytes.
const SHORT: usize = 4 * 1024;

/// Most bytes in one piece where parts are copied.
const COPIED: usize = 64 * 1024;

/// Distance of probes, in bytes: what the kernel reads ahead at once, by default, and so what it also
/// tends to evict at once.
const STRETCH: usize = 128 * 1024;

/// Bytes to one client after which other connections have their turn.
const TURN: usize = LONGEST;

/// What a connection is writing.
pub(super) struct Transmit {
    parts: Arc<Parts>,
    /// Whether parts of any length are copied.
    copying: bool,
    /// A read from the disk that is under way.
    loading: Option<JoinHandle<io::Result<Bytes>>>,
    /// What is known to be in memory.
    known: Option<Known>,
    /// Bytes sent since others had their turn.
    turn: usize,
    /// Whether the last pause was made for others.
    yielded: bool,
}

/// A stretch of a part that needs no probe.
struct Known {
    serial: u64,
    until: u64,
    /// The bytes themselves, where they are copied.
    bytes: Bytes,
}

impl Transmit {
    pub(super) const fn new(parts: Arc<Parts>) -> Self {
        Self { parts, copying: false, loading: None, known: None, turn: 0, yielded: false }
    }

    /// Whether the last pause was the client's doing, who took no more bytes.
    pub(super) const fn waits_for_client(&self) -> bool {
        self.loading.is_none() && !self.yielded
    }

    /// Writes the first of `slices`; how many of their bytes.
    pub(super) fn poll(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.yielded = false;
        let found = slices.iter().enumerate().find_map(|(at, slice)| Some((at, self.parts.find(slice)?)));
        let Some((at, part)) = found else {
            return Pin::new(stream).poll_write_vectored(cx, slices);
        };
        self.yielded = self.turn >= TURN;
        if self.yielded {
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let sent = ready!(self.poll_part(stream, cx, &slices[..at], &part, slices[at].len()))?;
        self.turn += sent;
        Poll::Ready(Ok(sent))
    }

    fn poll_part(
        &mut self,
        stream: &TcpStream,
        cx: &mut Context<'_>,
        before: &[IoSlice<'_>],
        part: &Outgoing,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(loading) = &mut self.loading {
                let loaded = ready!(Pin::new(loading).poll(cx)).map_err(io::Error::other)?;
                self.loading = None;
                let bytes = loaded.map_err(|error| unreadable(part, error))?;
                let count = if bytes.is_empty() { length } else { bytes.len() };
                let until = part.position + count as u64;
                self.known = Some(Known { serial: part.serial, until, bytes });
            }
            if stream.poll_write_ready(cx)?.is_pending() {
                // It may take minutes, and then the pages may be gone.
                self.known = None;
                self.turn = 0;
                return Poll::Pending;
            }
            let copying = self.copying || length <= SHORT;
            let tried = if copying {
                self.copy(stream, before, part, length)
            } else {
                self.send(stream, before, part, length)
            };
            match tried? {
                Tried::Sent(count) => return Poll::Ready(Ok(count)),
                Tried::Again => {}
                Tried::NotInMemory => {
                    let (file, position) = (Arc::clone(part.holder.file()), part.position);
                    let load = if copying { load_bytes } else { load_pages };
                    self.loading = Some(tokio::task::spawn_blocking(move || load(&file, position, length)));
                }
            }
        }
    }

    /// Has the kernel send from the file.
    fn send(
        &mut self,
        stream: &TcpStream,
        before: &[IoSlice<'_>],
        part: &Outgoing,
        length: usize,
    ) -> io::Result<Tried> {
        let file = part.holder.file();
        let length = match self.known_from(part) {
            0 => in_memory(part, length).map_err(|error| unreadable(part, error))?,
            known => length.min(known),
        };
        if length == 0 {
            return Ok(Tried::NotInMemory);
        }
        let mut head = 0;
        if before.iter().any(|slice| !slice.is_empty()) {
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            let mut control = SendAncillaryBuffer::default();
            let sent = stream.try_io(Interest::WRITABLE, || {
                Ok(rustix::net::sendmsg(stream, before, &mut control, flags)?)
            });
            head = match sent {
                Ok(count) => count,
                Err(error) if is_for_later(&error) => return Ok(Tried::Again),
                Err(error) => return Err(error),
            };
            if head < before.iter().map(|slice| slice.len()).sum() {
                return Ok(Tried::Sent(head));
            }
        }
        let mut offset = part.position;
        let sent = stream.try_io(Interest::WRITABLE, || {
            Ok(rustix::fs::sendfile(stream, file, Some(&mut offset), length)?)
        });
        match sent {
            Ok(0) => Err(unreadable(part, io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                self.known = Some(Known {
                    serial: part.serial,
                    until: part.position + length as u64,
                    bytes: Bytes::new(),
                });
                Ok(Tried::Sent(head + count))
            }
            Err(error) if is_for_later(&error) => Ok(Tried::after(head)),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    self.copying = true;
                    self.known = None;
                    Ok(Tried::after(head))
                }
                Some(Errno::IO) => Err(unreadable(part, error)),
                _ => Err(error),
            },
        }
    }

    /// Reads and writes.
    fn copy(
        &self,
        stream: &TcpStream,
        before: &[IoSlice<'_>],
        part: &Outgoing,
        length: usize,
    ) -> io::Result<Tried> {
        if let Some(known) = self.known.as_ref().filter(|known| known.serial == part.serial)
            && let Some(left) = known.until.checked_sub(part.position)
            && let Ok(left) = usize::try_from(left)
            && (1..=known.bytes.len()).contains(&left)
        {
            return write(stream, before, &known.bytes[known.bytes.len() - left..]);
        }
        let file = part.holder.file();
        let mut short = [0; SHORT];
        let mut long;
        let space = if length <= SHORT {
            &mut short[..length]
        } else {
            long = vec![0; length.min(COPIED)];
            &mut long[..]
        };
        match read_now(file, part.position, space).map_err(|error| unreadable(part, error))? {
            None => Ok(Tried::NotInMemory),
            Some(0) => Err(unreadable(part, io::ErrorKind::UnexpectedEof.into())),
            Some(count) => write(stream, before, &space[..count]),
        }
    }

    /// Bytes from where `part` stands that are known to be in memory.
    fn known_from(&self, part: &Outgoing) -> usize {
        let known = self.known.as_ref().filter(|known| known.serial == part.serial);
        let left = known.map_or(0, |known| known.until.saturating_sub(part.position));
        usize::try_from(left).unwrap_or(usize::MAX)
    }
}

/// What came of an attempt that does not wait.
enum Tried {
    Sent(usize),
    /// The socket took nothing after all, or another way must be taken.
    Again,
    /// The disk has to be waited for first.
    NotInMemory,
}

impl Tried {
    /// Only the bytes before the part were sent, if there were any.
    const fn after(head: usize) -> Self {
        if head > 0 { Self::Sent(head) } else { Self::Again }
    }
}

fn write(stream: &TcpStream, before: &[IoSlice<'_>], bytes: &[u8]) -> io::Result<Tried> {
    let mut slices: Vec<_> = before.iter().map(|slice| IoSlice::new(slice)).collect();
    slices.push(IoSlice::new(bytes));
    match stream.try_write_vectored(&slices) {
        Ok(count) => Ok(Tried::Sent(count)),
        Err(error) if is_for_later(&error) => Ok(Tried::Again),
        Err(error) => Err(error),
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// How many of the `length` bytes of a part are in memory, as far as probes tell, or told a moment ago.
fn in_memory(part: &Outgoing, length: usize) -> io::Result<usize> {
    let exactly = || probe(part.holder.file(), part.position, length);
    let Holder::Stored(entry) = &part.holder else { return exactly() };
    if entry.warmth.is_warm(part.position, length as u64) {
        return Ok(length);
    }
    // A little more is looked at, so that it can be remembered: a range seldom begins where a stretch does.
    let (first, around) = entry.warmth.around(part.position, length as u64);
    if let Ok(whole) = usize::try_from(around)
        && probe(part.holder.file(), first, whole).is_ok_and(|sure| sure == whole)
    {
        entry.warmth.note(first, around);
        return Ok(length);
    }
    exactly()
}

/// How many of `length` bytes at `position` are in memory, as far as probes tell.
fn probe(file: &File, position: u64, length: usize) -> io::Result<usize> {
    let mut sure = 0;
    while sure < length {
        match read_now(file, position + sure as u64, &mut [0])? {
            None => break,
            Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(_) => sure += STRETCH,
        }
    }
    Ok(sure.min(length))
}

/// Reads what the page cache holds, or `None` where the disk would have to be waited for.
fn read_now(file: &File, position: u64, space: &mut [u8]) -> io::Result<Option<usize>> {
    let mut space = [IoSliceMut::new(space)];
    match rustix::io::preadv2(file, &mut space, position, ReadWriteFlags::NOWAIT) {
        Ok(count) => Ok(Some(count)),
        // Not in memory, or a file system that does not know the flag.
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Brings a stretch into memory, and has the kernel begin with the one behind it. Blocking.
fn load_pages(file: &File, position: u64, length: usize) -> io::Result<Bytes> {
    let next = NonZeroU64::new(LONGEST as u64);
    // Advice: without it the next part waits a little longer.
    let _ = rustix::fs::fadvise(file, position + length as u64, next, rustix::fs::Advice::WillNeed);
    let mut space = vec![0; STRETCH.min(length)];
    let mut done = 0;
    while done < length {
        let wanted = space.len().min(length - done);
        match file.read_at(&mut space[..wanted], position + done as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Bytes::new())
}

/// Reads the first bytes of a stretch. Blocking.
fn load_bytes(file: &File, position: u64, length: usize) -> io::Result<Bytes> {
    let mut space = vec![0; length.min(COPIED)];
    loop {
        match file.read_at(&mut space, position) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                space.truncate(count);
                return Ok(Bytes::from(space));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Says so in the log, where it tells the administrator more than the client's broken connection.
fn unreadable(part: &Outgoing, error: io::Error) -> io::Error {
    match &part.holder {
        Holder::Stored(entry) => {
            tracing::error!(%error, object = %entry.meta.digest, "a stored object cannot be read");
        }
        Holder::Growing(_) => tracing::error!(%error, "a file in transfer cannot be read"),
    }
    error
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::Ipv4Addr;

    use bytes::Buf as _;
    use rstest::rstest;
    use tokio::net::TcpListener;

    use super::super::part::{Blank, Part};
    use super::*;

    /// A file of bytes that tell their position.
    fn file(length: usize) -> (Arc<File>, Vec<u8>) {
        let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (Arc::new(file), bytes)
    }

    /// Writes slices until all is written, as hyper does, to a client that reads everything.
    async fn sent(
        transmit: &mut Transmit,
        head: &'static [u8],
        mut parts: Vec<Part>,
        tail: &'static [u8],
    ) -> io::Result<Vec<u8>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let reading = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            client.read_to_end(&mut bytes).map(|_| bytes)
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut head, mut tail) = (head, tail);
        loop {
            parts.retain(Part::has_remaining);
            if !head.has_remaining() && parts.is_empty() && !tail.has_remaining() {
                break;
            }
            let count = {
                let mut slices = vec![IoSlice::new(head)];
                slices.extend(parts.iter().map(|part| IoSlice::new(part.chunk())));
                slices.push(IoSlice::new(tail));
                std::future::poll_fn(|cx| transmit.poll(&mut stream, cx, &slices)).await?
            };
            let mut left = count;
            let buffers = std::iter::once(&mut head as &mut dyn bytes::Buf)
                .chain(parts.iter_mut().map(|part| part as &mut dyn bytes::Buf))
                .chain(std::iter::once(&mut tail as &mut dyn bytes::Buf));
            for buffer in buffers {
                let here = left.min(buffer.remaining());
                buffer.advance(here);
                left -= here;
            }
        }
        drop(stream);
        Ok(reading.join().unwrap().unwrap())
    }

    #[rstest]
    #[case(1)]
    #[case(SHORT)]
    #[case(SHORT + 1)]
    #[case(3 * STRETCH + 7)]
    #[case(LONGEST)]
    #[tokio::test]
    async fn both_ways_send_the_file_between_head_and_tail(
        #[case] length: usize,
        #[values(false, true)] copying: bool,
    ) {
        let (file, bytes) = file(length + 20);
        let parts = Arc::new(Parts::new(Blank::new()));
        let mut transmit = Transmit::new(Arc::clone(&parts));
        transmit.copying = copying;
        let part = parts.add(Holder::Growing(file), 10, length);
        let seen = sent(&mut transmit, b"head\r\n", vec![part], b"\r\n0").await.unwrap();
        assert!(seen == [b"head\r\n", &bytes[10..10 + length], b"\r\n0"].concat());
    }

    #[rstest]
    #[tokio::test]
    async fn parts_in_one_write_are_told_apart(#[values(false, true)] copying: bool) {
        let parts = Arc::new(Parts::new(Blank::new()));
        let mut transmit = Transmit::new(Arc::clone(&parts));
        transmit.copying = copying;
        let mut expected = Vec::new();
        let mut all = Vec::new();
        // Lengths that cross the border between the two ways, two files, and pieces out of order.
        let (one, other) = (file(3 * SHORT), file(2 * SHORT));
        for (number, length) in (0_u64..).zip([5, 2 * SHORT, 1, SHORT + 9, 300, 2 * SHORT]) {
            let (file, bytes) = if number % 2 == 0 { &one } else { &other };
            let position = usize::from(length <= SHORT) * 17;
            all.push(parts.add(Holder::Growing(Arc::clone(file)), position as u64, length));
            let length = length.min(bytes.len() - position);
            expected.extend_from_slice(&bytes[position..position + length]);
        }
        let seen = sent(&mut transmit, b"", all, b"").await.unwrap();
        assert!(seen == expected);
    }

    #[tokio::test]
    async fn a_read_from_the_disk_gives_the_bytes_to_either_way() {
        let (file, bytes) = file(2 * LONGEST);
        assert!(load_pages(&file, 100, LONGEST).unwrap().is_empty());
        assert_eq!(load_bytes(&file, 100, 10).unwrap(), bytes[100..110]);
        assert_eq!(load_bytes(&file, 100, LONGEST).unwrap(), bytes[100..100 + COPIED]);
        let end = 2 * LONGEST as u64;
        assert_eq!(load_pages(&file, end - 9, 10).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(load_bytes(&file, end, 10).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[rstest]
    #[case(100)]
    #[case(SHORT + 100)]
    #[tokio::test]
    async fn a_file_that_ends_too_early_is_an_error(
        #[case] length: usize,
        #[values(false, true)] copying: bool,
    ) {
        let (file, _) = file(length - 1);
        let parts = Arc::new(Parts::new(Blank::new()));
        let mut transmit = Transmit::new(Arc::clone(&parts));
        transmit.copying = copying;
        let part = parts.add(Holder::Growing(file), 0, length);
        let error = sent(&mut transmit, b"", vec![part], b"").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_part_that_was_dropped_is_forgotten() {
        let (file, _) = file(10);
        let parts = Arc::new(Parts::new(Blank::new()));
        let part = parts.add(Holder::Growing(Arc::clone(&file)), 0, 10);
        assert!(parts.find(part.chunk()).is_some());
        assert!(parts.find(b"ordinary").is_none());
        drop(part);
        assert_eq!(Arc::strong_count(&file), 1);
    }
}
