//! The dashboard in a real browser: Debian's Chromium, driven through chromedriver.
//!
//! Set `LUMBUNG_SCREENSHOTS` to a folder to keep pictures of every page, wide and narrow, and `LUMBUNG_AXE` to the
//! file `axe.min.js` of axe-core to have every page looked at for what keeps people out (`tests/run` does).

#![expect(
    clippy::expect_used,
    reason = "what a test cannot do without ends the test, in the support's functions as in the test's own"
)]

#[expect(
    dead_code,
    unused_imports,
    clippy::pedantic,
    reason = "the support serves another binary, too, which uses all of it"
)]
#[path = "../support/mod.rs"]
mod support;

mod chromium;
mod pages;
