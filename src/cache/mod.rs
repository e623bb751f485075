//! Have it, join it, or fetch it: what happens to a request between its understanding and its answer.
//!
//! [`Cache::serve`] looks a [`Resource`](crate::repo::Resource) up (first among the [entries](entry) held open, then in the
//! store), lets the [policy] judge whether the copy may be served as it is, and otherwise joins the
//! [flight] that fetches the resource, or starts one. A flight is run by one [fill], which alone may put
//! bytes into the store; it belongs to no client and outlives all of them.
//!
//! Rules:
//! - At most one flight per resource. The table of flights is locked for map operations only, never
//!   across an await, and no other lock is taken inside.
//! - A request that finds no flight starts one; the flight's first act is to look again, because the
//!   flight before it may have committed between the look-up and the start.
//! - A hit takes no lock that a miss holds while it waits.
//! - A client's future may be dropped at any await; that abandons the answer, never a flight.

mod absent;
mod administer;
mod answer;
mod carrying;
mod channels;
mod conditions;
mod demand;
mod direct;
mod entry;
mod events;
mod explain;
mod failure;
mod files;
mod fill;
mod flight;
mod given;
mod goal;
mod keep;
mod lookup;
mod pass_body;
mod policy;
mod proof;
mod ready;
mod recheck;
mod refresh;
mod scrub;
mod seeding;
mod serve;
mod validators;
mod warmth;

pub use administer::Unknown;
pub use answer::{Answer, Freshness, Passed};
pub use carrying::{Arrival, Held, NotTaken};
pub use channels::NotMoved;
pub use conditions::{ByteRange, Conditions, Verdict};
pub use demand::{Config as DemandConfig, WANTED_FOR};
pub use direct::PassRequest;
pub use entry::{Description, Entry, SeedUse};
pub use events::{Event, EventKind};
pub use explain::Explanation;
pub use failure::Failure;
pub use flight::{Cut, Flight, FlightStatus, Head, Reader};
pub use lookup::{Cache, MAX_REPOSITORIES, Parts, Settings};
pub use pass_body::PassBody;
pub use ready::{Readiness, Together};
pub use refresh::{Carried, Vouched, load_keyrings};
pub use scrub::{DEFAULT_RATE, DamagedObject, Pace, ScrubFacts, ScrubOrder, ScrubRunning};
pub use seeding::{Wanted, archive_root};
pub use validators::Validators;
pub use warmth::Warmth;
