//! `lumbung status`: ask the running server, print its answer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;

use super::remote::reachable;
use super::{Ending, args, output};
use crate::config::Config;
use crate::status::Status;

/// How long the server may take for its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest answer read, in bytes: some thousand running transfers.
const LARGEST: usize = 16 * 1024 * 1024;
/// Between two pictures of `--watch`.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) fn run(args: &args::Status) -> anyhow::Result<Ending> {
    let admin = match args.admin {
        Some(admin) => admin,
        None => Config::load(args.file.config.as_deref())?.server.admin,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        loop {
            let text = show(reachable(admin), args.json).await?;
            if !args.watch {
                output::data(&text);
                return Ok(Ending::Done);
            }
            output::picture(&text);
            tokio::time::sleep(PAUSE).await;
        }
    })
}

/// The answer of the server at `admin`: its JSON as it came, or in words.
async fn show(admin: SocketAddr, json: bool) -> anyhow::Result<String> {
    let body = ask(admin).await.with_context(|| {
        format!(
            "no status from http://{admin}: is the server running, and is this its admin address? \
             (--admin, or [server] admin of --config)"
        )
    })?;
    let status: Status = serde_json::from_slice(&body)
        .with_context(|| format!("what answers at http://{admin} is not a Lumbung of this kind"))?;
    if json { Ok(String::from_utf8(body)?) } else { Ok(status.to_string()) }
}

async fn ask(admin: SocketAddr) -> anyhow::Result<Vec<u8>> {
    // A proxy set for this shell leads away from the server.
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let url = format!("http://{admin}/api/v1/status");
    let mut response = client.get(url).send().await?.error_for_status()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        anyhow::ensure!(body.len() + chunk.len() <= LARGEST, "the answer is longer than {LARGEST} bytes");
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::server::admin::{AdminState, router};
    use crate::status::tests::example;
    use crate::telemetry::Metrics;

    async fn serve(router: axum::Router) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    #[tokio::test]
    async fn a_running_server_is_shown_in_words_and_as_json() {
        let state = AdminState {
            status: Arc::new(example),
            metrics: Metrics::new(&["ubuntu"]),
            ready: Arc::new(AtomicBool::new(true)),
        };
        let address = serve(router(state)).await;
        assert_eq!(show(address, false).await.unwrap(), example().to_string());
        let json = show(address, true).await.unwrap();
        assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), example());
    }

    #[tokio::test]
    async fn something_else_at_the_address_is_named() {
        let address = serve(axum::Router::new()).await;
        let error = format!("{:#}", show(address, false).await.unwrap_err());
        assert!(error.contains(&address.to_string()) && error.contains("404"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_does_not_run_is_said() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = show(address, false).await.unwrap_err().to_string();
        assert!(error.contains("is the server running"), "{error}");
    }
}
