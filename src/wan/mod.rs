//! The line to the world: how much of it may be used, when, and by whom first.
//!
//! All bytes from upstreams pass one [`Governor`]. Whoever receives some has a [`Transfer`] and asks it for
//! its turn before passing them on; not reading further is what slows the sender down. How it works, from
//! the outside in:
//!
//! - *plan*: which limit holds at which hour, and what single hosts may send. *schedule* reads the hours, and
//!   *forecast* tells from both how long something will take.
//! - *governor*: the shared state, the fast way past it while nothing is limited, and the one task that hands
//!   out turns when the line is full and lets limits change at their hour.
//! - *queue*: whose turn it is. Classes in order, fair within a class, nobody left waiting for 30 s.
//! - *bucket*: how much room a rate has just now.
//! - *urgency*: a transfer's class, which rises when a desktop begins to wait for it.
//!
//! What is limited is what this program takes from the network: the content of answers and their heads, and all
//! that comes down a tunnel. The packets' own headers and encryption, some 4 % of a line, come on top. The system's
//! receive buffers fill up ahead of that, once per connection; from then on an upstream sends as fast as it is read.
//!
//! This folder knows no HTTP, and no time but what its clock tells and the runtime's timers.

mod bucket;
mod forecast;
mod governor;
mod meter;
mod plan;
mod queue;
mod schedule;
#[cfg(test)]
mod tests;
mod urgency;

pub use forecast::{Forecast, Gate};
pub use governor::{Governor, Transfer, Usage};
pub use plan::{Change, Plan, Scheduled};
pub use schedule::{Days, Hours, Span, Window, WindowError};
pub use urgency::Urgency;
