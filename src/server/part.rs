//! Parts of files as pieces of a response body, without their bytes.
//!
//! The kernel can send a file without showing it to us (`sendfile`), but hyper deals in buffers. So a
//! [`Part`] is a buffer of the right length that shows a stretch of [`Blank`] memory instead of the
//! file. hyper queues it between heads and framing and hands its slice, uncopied, to
//! [`ClientIo`](super::io::ClientIo), because that writes vectored; the slice's address tells which part
//! it stands for, and [`Transmit`](super::transmit::Transmit) sends the file in its place. Framing,
//! keep-alive, counting and back-pressure stay hyper's.
//!
//! Rules that make this right:
//! - The bytes of a part are never what a client should get. Every way from hyper to the socket goes
//!   through `Transmit`, which looks at addresses first. No layer that reads or copies what it writes
//!   (encryption, compression, buffering) may stand between the two.
//! - Each part that hyper holds begins at an address of its own, so that two of them are told apart
//!   whatever hyper has cut off their ends. Where in the file to go on is noted by [`Part::advance`],
//!   which hyper calls with what was written: there is one account of it.
//! - The blank memory is ordinary memory, zeroed by the allocator and never touched, so that it takes
//!   address space and no pages. All connections share it.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};

use super::access_log::Account;
use crate::cache::Entry;

/// Longest part, in bytes: what one call may send before others have their turn.
pub(super) const LONGEST: usize = 1024 * 1024;

/// Parts of one connection that are told apart. hyper queues up to sixteen buffers.
const SLOTS: usize = 64;

/// Memory that stands for files; clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Blank(Bytes);

impl Blank {
    pub(super) fn new() -> Self {
        Self(Bytes::from(vec![0; LONGEST + SLOTS]))
    }
}

/// What a part is a part of.
#[derive(Debug, Clone)]
pub(super) enum Holder {
    /// A stored object.
    Stored(Arc<Entry>),
    /// A file that is still growing; the part is there already.
    Growing(Arc<File>),
}

impl Holder {
    pub(super) fn file(&self) -> &Arc<File> {
        match self {
            Self::Stored(entry) => &entry.blob.file,
            Self::Growing(file) => file,
        }
    }
}

/// The parts that one connection is about to send.
#[derive(Debug)]
pub(super) struct Parts {
    blank: Blank,
    /// Only the connection's own task takes this lock.
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    parts: VecDeque<Outgoing>,
    next: u64,
}

/// Where a part stands.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    /// Its number on this connection.
    pub(super) serial: u64,
    pub(super) holder: Holder,
    /// Where its unsent rest begins in the file.
    pub(super) position: u64,
}

impl Parts {
    pub(super) fn new(blank: Blank) -> Self {
        Self { blank, queue: Mutex::default() }
    }

    /// A part of `length` bytes, at most [`LONGEST`], that begin at `position` in the file.
    pub(super) fn add(self: &Arc<Self>, holder: Holder, position: u64, length: usize) -> Part {
        let mut queue = self.lock();
        let serial = queue.next;
        queue.next += 1;
        queue.parts.push_back(Outgoing { serial, holder, position });
        Part { parts: Arc::clone(self), serial, length }
    }

    /// The part that a slice of a write stands for, or `None` for a slice of ordinary bytes.
    pub(super) fn find(&self, slice: &[u8]) -> Option<Outgoing> {
        let slot = slice.as_ptr().addr().checked_sub(self.blank.0.as_ptr().addr())?;
        if slot >= SLOTS {
            return None;
        }
        self.lock().parts.iter().find(|part| slot_of(part.serial) == slot).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Consistent after every single operation.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn slot_of(serial: u64) -> usize {
    usize::try_from(serial % SLOTS as u64).unwrap_or_default()
}

/// A stretch of a file on its way to the client.
#[derive(Debug)]
pub(super) struct Part {
    parts: Arc<Parts>,
    serial: u64,
    length: usize,
}

impl Drop for Part {
    fn drop(&mut self) {
        self.parts.lock().parts.retain(|part| part.serial != self.serial);
    }
}

/// A piece of a response body, counted in its account as it is written.
pub(super) struct Chunk {
    bytes: Content,
    account: Arc<Account>,
}

enum Content {
    Here(Bytes),
    Part(Part),
}

impl Chunk {
    /// A chunk of ordinary bytes.
    pub(super) const fn new(bytes: Bytes, account: Arc<Account>) -> Self {
        Self { bytes: Content::Here(bytes), account }
    }

    /// A chunk of a file; see [`Parts::add`].
    pub(super) fn of_file(holder: Holder, position: u64, length: usize, account: Arc<Account>) -> Self {
        let part = account.exchange.parts.add(holder, position, length);
        Self { bytes: Content::Part(part), account }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.account.piece_done();
    }
}

impl Buf for Part {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        let start = slot_of(self.serial);
        &self.parts.blank.0[start..start + self.length]
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.length, "no more is written of a buffer than it has");
        self.length -= count;
        let mut queue = self.parts.lock();
        if let Some(outgoing) = queue.parts.iter_mut().find(|known| known.serial == self.serial) {
            outgoing.position += count as u64;
        }
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        match &self.bytes {
            Content::Here(bytes) => bytes.len(),
            Content::Part(part) => part.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match &self.bytes {
            Content::Here(bytes) => bytes,
            Content::Part(part) => part.chunk(),
        }
    }

    fn advance(&mut self, count: usize) {
        match &mut self.bytes {
            Content::Here(bytes) => bytes.advance(count),
            Content::Part(part) => part.advance(count),
        }
        self.account.sent(count as u64);
    }
}
