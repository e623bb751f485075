//! Talking to the running server at its administrators' address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long the server may take for its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest answer read, in bytes. The plan of a seed with a whole release has 130,000 files, 26 MB.
const LARGEST: usize = 128 * 1024 * 1024;

/// A server that may be running.
pub(super) struct Remote {
    client: reqwest::Client,
    admin: SocketAddr,
    token_file: PathBuf,
}

/// What came of asking.
pub(super) enum Asked<T> {
    /// Its answer.
    Answer(T),
    /// Nobody listens at the address.
    NotRunning,
}

impl Remote {
    /// The server at `admin` with its store in `store`.
    pub(super) fn new(admin: SocketAddr, store: &Path) -> anyhow::Result<Self> {
        // A proxy set for this shell leads away from the server.
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { client, admin: reachable(admin), token_file: store.join("admin-token") })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.admin
    }

    /// Looks at something: `path` with its query, encoded.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Asked<T>> {
        self.send(self.client.get(format!("http://{}{path}", self.admin))).await
    }

    /// Has something changed.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Asked<T>> {
        self.change(path, Vec::new()).await
    }

    /// Has something changed, as `order` says.
    pub(super) async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        order: &impl Serialize,
    ) -> anyhow::Result<Asked<T>> {
        self.change(path, serde_json::to_vec(order)?).await
    }

    async fn change<T: DeserializeOwned>(&self, path: &str, body: Vec<u8>) -> anyhow::Result<Asked<T>> {
        let request = self.client.post(format!("http://{}{path}", self.admin)).body(body);
        let request = match std::fs::read_to_string(&self.token_file) {
            Ok(token) => request.bearer_auth(token.trim()),
            // The server says what it misses; that the file could not be read is added there.
            Err(_) => request,
        };
        self.send(request).await
    }

    async fn send<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Asked<T>> {
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Ok(Asked::NotRunning),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("the server at http://{} does not answer", self.admin));
            }
        };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            anyhow::ensure!(body.len() + chunk.len() <= LARGEST, "the answer is longer than {LARGEST} bytes");
            body.extend_from_slice(&chunk);
        }
        let status = response.status();
        if status.is_success() {
            let answer = serde_json::from_slice(&body).with_context(|| {
                format!("what answers at http://{} is not a Lumbung of this kind", self.admin)
            })?;
            return Ok(Asked::Answer(answer));
        }
        let problem: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
        let detail = detail.map_or_else(|| format!("it answers {status}"), str::to_owned);
        if status == reqwest::StatusCode::UNAUTHORIZED {
            anyhow::bail!(
                "{detail} The token is read from {}: is that the server's store, and may you read it?",
                self.token_file.display()
            );
        }
        anyhow::bail!("{detail}")
    }
}

/// Where a server that listens on `address` can be asked from here: a listener on all addresses is
/// also on loopback.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A text as a part of a path or query.
pub(super) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_everywhere_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0:3143".parse().unwrap()), "127.0.0.1:3143".parse().unwrap());
        assert_eq!(reachable("[::]:3143".parse().unwrap()), "[::1]:3143".parse().unwrap());
        assert_eq!(reachable("10.0.0.1:1".parse().unwrap()), "10.0.0.1:1".parse().unwrap());
    }
}
