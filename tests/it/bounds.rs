//! Every bound of the server holds, and says so where somebody can hear it.

mod connections;
mod shutdown;
mod sizes;
mod timeouts;
