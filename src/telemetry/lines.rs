//! Many short lines for one slow reader: the access log.
//!
//! Writing each line by itself costs a system call per request, and a reader that stands still (a full
//! pipe, a journal that rotates) would stop every request with it. So lines are collected in memory and
//! written by a thread of their own, some ten times a second. What does not fit while the reader stands
//! still is left out, and the log says afterwards how much that was.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::clock;

/// Most bytes that wait for the reader: some ten thousand requests.
const MOST: usize = 2 * 1024 * 1024;

/// From this size on, in bytes, lines are not collected further.
const ENOUGH: usize = 64 * 1024;

/// How long a line may wait for others.
const PAUSE: Duration = Duration::from_millis(100);

/// Collects lines for its thread; clones collect for the same one. The thread ends, and writes what is
/// left, when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Owner>);

#[derive(Debug)]
struct Owner(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    /// Lines that found no room.
    lost: u64,
    /// The second that `stamp` is for, since 1970.
    second: i64,
    /// Date and time to the second.
    stamp: String,
    ending: bool,
    ended: bool,
}

impl Lines {
    /// Starts the thread, which writes to `out`.
    ///
    /// # Errors
    /// When the system has no room for another thread.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.write(out))?;
        Ok(Self(Arc::new(Owner(shared))))
    }

    /// Adds what `write` appends, which must end with a line feed. It is given the time in RFC 3339, and
    /// must be quick: other requests wait for it. Never waits for the reader.
    pub fn add(&self, write: impl FnOnce(&str, &mut Vec<u8>)) {
        let shared = &self.0.0;
        let mut state = shared.lock();
        if state.lines.len() >= MOST {
            state.lost += 1;
            return;
        }
        let now = SystemTime::now();
        state.stamp_at(now);
        let before = state.lines.len();
        let State { lines, stamp, .. } = &mut *state;
        write(stamp, lines);
        let crossed = |border| before < border && state.lines.len() >= border;
        if crossed(1) || crossed(ENOUGH) {
            drop(state);
            shared.changed.notify_all();
        }
    }

    /// Ends the thread once it has written everything, and waits for that up to `patience`. Blocking.
    /// Lines that come later are lost.
    pub fn finish(&self, patience: Duration) {
        let shared = &self.0.0;
        let deadline = Instant::now() + patience;
        let mut state = shared.end();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        drop(self.0.end());
    }
}

impl State {
    fn stamp_at(&mut self, now: SystemTime) {
        let second = clock::unix(now);
        if second != self.second || self.stamp.is_empty() {
            self.second = second;
            self.stamp = jiff::Timestamp::from_second(second).unwrap_or_default().to_string();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Complete lines or a part of one that a panic cut: either can be written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.ending = true;
        self.changed.notify_all();
        state
    }

    fn write(&self, mut out: impl Write) {
        let mut full = Vec::new();
        let mut state = self.lock();
        loop {
            while state.lines.is_empty() && !state.ending {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let collecting = |state: &mut State| state.lines.len() < ENOUGH && !state.ending;
            state = self
                .changed
                .wait_timeout_while(state, PAUSE, collecting)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if state.lines.is_empty() && state.ending {
                state.ended = true;
                self.changed.notify_all();
                return;
            }
            std::mem::swap(&mut full, &mut state.lines);
            let lost = std::mem::take(&mut state.lost);
            drop(state);
            // Nobody could be told that nothing can be told.
            let _ = out.write_all(&full).and_then(|()| out.flush());
            full.clear();
            if lost > 0 {
                tracing::warn!(lines = lost, "the access log's reader is too slow; lines were left out");
            }
            state = self.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A reader that takes a write when it is told to, and tells before that it stands.
    struct Reader {
        standing: mpsc::Sender<()>,
        allowed: mpsc::Receiver<()>,
        taken: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Not every test listens.
            let _ = self.standing.send(());
            self.allowed.recv().map_err(io::Error::other)?;
            self.taken.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_added_is_written_in_order_with_its_time() {
        let (allow, allowed) = mpsc::channel();
        let (taken, written) = mpsc::channel();
        let (standing, _) = mpsc::channel();
        let lines = Lines::start(Reader { standing, allowed, taken }).unwrap();
        for number in 0..3 {
            lines.add(|stamp, out| writeln!(out, "{stamp} {number}").unwrap());
        }
        for _ in 0..9 {
            allow.send(()).unwrap();
        }
        lines.finish(Duration::from_mins(1));
        let text = String::from_utf8(written.try_iter().flatten().collect()).unwrap();
        let seen: Vec<_> = text.lines().map(|line| line.split_once("Z ").unwrap()).collect();
        assert_eq!(seen.iter().map(|line| line.1).collect::<Vec<_>>(), ["0", "1", "2"]);
        assert!(seen[0].0.parse::<jiff::civil::DateTime>().is_ok(), "{text}");
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_neither_time_nor_memory() {
        let (allow, allowed) = mpsc::channel();
        let (taken, written) = mpsc::channel();
        let (standing, stands) = mpsc::channel();
        let lines = Lines::start(Reader { standing, allowed, taken }).unwrap();
        let line = [b'x'; 1024];
        lines.add(|_, out| out.extend_from_slice(&line));
        stands.recv().unwrap();
        for _ in 0..4 * MOST / line.len() {
            lines.add(|_, out| out.extend_from_slice(&line));
        }
        assert!(lines.0.0.lock().lines.len() <= MOST);
        assert!(lines.0.0.lock().lost > 0);
        // A batch under way and a full one behind it is all there can be.
        for _ in 0..9 {
            allow.send(()).unwrap();
        }
        lines.finish(Duration::from_mins(1));
        let bytes: usize = written.try_iter().map(|bytes| bytes.len()).sum();
        assert!((MOST..=2 * MOST).contains(&bytes), "{bytes}");
    }
}
