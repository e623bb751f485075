//! Pages and parts of pages as HTTP answers.

use std::error::Error;

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

use super::Visitor;
use super::look::Look;
use super::session::{COOKIE, LASTS};
use super::table::Table;
use crate::server::admin::answer;

/// Why a page could not be made.
pub(super) type Unmade = Box<dyn Error + Send + Sync>;

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/live.js");

/// A page of lists.
#[derive(Template)]
#[template(path = "tables.html")]
pub(super) struct Lists<'a> {
    pub(super) look: &'a Look,
    pub(super) title: &'a str,
    pub(super) tables: Vec<Table>,
}

pub(super) async fn style() -> Response<Body> {
    asset("text/css; charset=utf-8", STYLE)
}

pub(super) async fn script() -> Response<Body> {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

fn asset(kind: &'static str, text: &'static str) -> Response<Body> {
    let mut response = answer(StatusCode::OK, kind, text);
    // A newer release is seen within minutes.
    let cache = HeaderValue::from_static("max-age=300");
    response.headers_mut().insert(header::CACHE_CONTROL, cache);
    response
}

pub(super) fn page(html: String, visitor: &Visitor) -> Response<Body> {
    let mut response = answer(StatusCode::OK, "text/html; charset=utf-8", html);
    if visitor.remember {
        let tag = visitor.language.tag();
        cookie(
            &mut response,
            &format!("lumbung_lang={tag}; Path=/; Max-Age=31536000; SameSite=Strict; HttpOnly"),
        );
    }
    response
}

/// Sends the browser on, after a POST, to a page of ours.
pub(super) fn see(path: &str) -> Response<Body> {
    let mut response = answer(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
    if let Ok(path) = HeaderValue::try_from(path) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    response
}

/// Gives the browser its session; an empty one takes it away. Not `Secure`: the address has no TLS of its own,
/// and is a loopback address unless somebody changed that.
pub(super) fn session_cookie(response: &mut Response<Body>, token: &str) {
    let age = if token.is_empty() { 0 } else { LASTS };
    cookie(response, &format!("{COOKIE}={token}; Path=/; Max-Age={age}; SameSite=Strict; HttpOnly"));
}

fn cookie(response: &mut Response<Body>, text: &str) {
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

pub(super) fn failed(error: &dyn std::fmt::Display) -> Response<Body> {
    tracing::error!(%error, "a page of the dashboard could not be made");
    let text = "This page could not be made; the log says why.\nHalaman ini gagal dibuat; lihat log.\n";
    answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", text)
}
