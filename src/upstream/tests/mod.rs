//! The client against origins that misbehave, over real sockets on loopback.

mod bounds;
mod origin;
mod redirects;
mod tls;
mod transfers;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Client, Config, Request, Resolver, Resolving, Response, UpstreamError};
use crate::outcome::Class;
use crate::safe_url::BaseUrl;
use crate::wan::Governor;

/// Long enough for a busy machine; tests of silence shorten it.
fn config() -> Config {
    Config {
        connect_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(10),
        patience: Duration::from_secs(1),
        retries: 0,
        connections: 8,
        connections_per_host: 4,
        ca: Vec::new(),
        max_object: 1 << 20,
    }
}

fn impatient() -> Config {
    Config { idle_timeout: Duration::from_millis(150), ..config() }
}

/// Names of tests, none of which any real resolver knows.
struct Names(HashMap<&'static str, Vec<IpAddr>>);

impl Resolver for Names {
    fn resolve(&self, host: &str) -> Resolving {
        let found = self.0.get(host).cloned();
        Box::pin(async move { found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such name")) })
    }
}

/// A name service that never answers.
struct Silence;

impl Resolver for Silence {
    fn resolve(&self, _: &str) -> Resolving {
        Box::pin(std::future::pending())
    }
}

/// A client for which the `configured` URLs are configured and `names` are all the names there are.
fn client(config: &Config, configured: &[&str], names: &[(&'static str, &[&str])]) -> Client {
    let origins: Vec<_> = configured.iter().map(|url| url.parse::<BaseUrl>().unwrap().origin).collect();
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let names = names.iter().map(|(name, texts)| (*name, addresses(texts))).collect();
    Client::with_resolver(config, &origins, &Governor::unlimited(), Arc::new(Names(names))).unwrap()
}

async fn get(client: &Client, url: impl Into<String>) -> Result<Response, UpstreamError> {
    client.send(Request::get(url, Class::Client)).await
}

/// The whole body, or what ended it.
async fn read(mut response: Response) -> Result<Vec<u8>, UpstreamError> {
    let mut all = Vec::new();
    while let Some(bytes) = response.body.chunk().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}
