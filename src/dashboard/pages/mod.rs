//! The lists: each turns facts into tables.

mod channels;
mod events;
mod people;
mod repositories;
mod running;
mod store;

use askama::Template;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;

pub(super) use channels::channels;
pub(super) use events::events;
pub(super) use people::{desktops, offices, packages};
pub(super) use repositories::repositories;
pub(super) use running::{flights, seeds};
pub(super) use store::store;

use super::answers::{Lists, Unmade};
use super::look::Look;
use super::table::Table;
use super::{Dashboard, Inner};
use crate::history::{By, Query, Row};

/// How far back lists of what was asked for go, in seconds.
const LOOKED_BACK: u64 = 30 * 86_400;

/// Makes a page of tables.
async fn lists(
    dashboard: Dashboard,
    request: Request,
    title: (&'static str, &'static str),
    make: impl FnOnce(&Inner, &Look) -> Result<Vec<Table>, Unmade> + Send + 'static,
) -> Response<Body> {
    let visitor = dashboard.visitor(&request);
    drop(request);
    let make = move |inner: &Inner, look: &Look| {
        let page = Lists { look, title: look.t(title.0, title.1), tables: make(inner, look)? };
        Ok(page.render()?)
    };
    dashboard.show(visitor, make).await
}

/// What was asked for in the last 30 days.
fn history(inner: &Inner, by: By) -> Result<Vec<Row>, Unmade> {
    inner.parts.history.flush()?;
    Ok(inner.parts.history.reader()?.report(Query { by, since: LOOKED_BACK })?)
}
