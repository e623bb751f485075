//! The line to the world: how much of it may be used, and when.

mod schedule;

pub use schedule::{Days, Hours, Span, Window, WindowError};
