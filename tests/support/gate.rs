//! A barrier that a test opens by hand.
//!
//! Where other tests would sleep, ours hold a transfer at a gate: the test waits until somebody stands in
//! front of it, looks at what the program does meanwhile, and opens it.

use tokio::sync::watch;

use super::PATIENCE;

/// Closed until [`open`](Gate::open) is called, and open ever after. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<State>);

#[derive(Debug, Clone, Copy, Default)]
struct State {
    open: bool,
    arrived: usize,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    /// Lets everybody through, those who wait and those who come later.
    pub fn open(&self) {
        self.0.send_modify(|state| state.open = true);
    }

    /// Waits until at least `count` have come to the gate, open or not.
    ///
    /// # Panics
    /// When they do not come within [`PATIENCE`].
    pub async fn reached_by(&self, count: usize) {
        let mut states = self.0.subscribe();
        let arrived = states.wait_for(|state| state.arrived >= count);
        let came = tokio::time::timeout(PATIENCE, arrived).await.is_ok();
        assert!(came, "{count} should have come to the gate, {} did", self.0.borrow().arrived);
    }

    /// Comes to the gate and waits until it is open.
    pub async fn pass(&self) {
        self.0.send_modify(|state| state.arrived += 1);
        let mut states = self.0.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = states.wait_for(|state| state.open).await;
    }
}
