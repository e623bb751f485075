//! A line that carries so many bytes per second, whoever uses it.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Bytes that may go at once after a pause, in time of the line.
const SLACK: Duration = Duration::from_millis(5);

/// A line; everybody who sends over it waits for the ones before.
pub struct Line {
    /// Bytes per second; `None` for as fast as the machine is.
    rate: Mutex<Option<f64>>,
    free: Mutex<Instant>,
}

impl Line {
    pub fn new() -> Self {
        Self { rate: Mutex::new(None), free: Mutex::new(Instant::now()) }
    }

    /// Bytes per second from now on.
    pub fn set(&self, rate: Option<f64>) {
        *self.rate.lock().expect("no panic holds it") = rate;
        *self.free.lock().expect("no panic holds it") = Instant::now();
    }

    /// How many bytes are sent at a time: some packets' worth, fewer on a slow line.
    pub fn piece(&self) -> usize {
        let rate = *self.rate.lock().expect("no panic holds it");
        match rate {
            Some(rate) if rate < 50e6 => 16 * 1024,
            Some(_) => 64 * 1024,
            None => 256 * 1024,
        }
    }

    /// Waits until the line has carried so many more bytes.
    #[expect(clippy::cast_precision_loss, reason = "pieces are small")]
    pub async fn carry(&self, bytes: usize) {
        let Some(rate) = *self.rate.lock().expect("no panic holds it") else { return };
        let done = {
            let mut free = self.free.lock().expect("no panic holds it");
            let now = Instant::now();
            let start = (*free).max(now.checked_sub(SLACK).unwrap_or(now));
            *free = start + Duration::from_secs_f64(bytes as f64 / rate);
            *free
        };
        if done > Instant::now() {
            tokio::time::sleep_until(done).await;
        }
    }
}
