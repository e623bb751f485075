//! Files whose hashes stand in the configuration.

use super::*;
use crate::support::noise;

/// A server with one file of which the hash is given, and nothing else to go by.
async fn pinned(bytes: &[u8], more: &str) -> (Origin, TestServer) {
    let origin = Origin::start().await;
    let fragment = format!(
        "{LIMITS}{}files = [{{ path = \"6.2/zoom_amd64.deb\", sha256 = \"{}\"{more} }}]\n",
        crate::requests::repo("zoom", "files", &origin.url("/z")),
        sha256(bytes).to_uppercase()
    );
    (origin, TestServer::start(&fragment).await)
}

const AT: &str = "/zoom/6.2/zoom_amd64.deb";
const FROM: &str = "/z/6.2/zoom_amd64.deb";

#[tokio::test]
async fn the_right_file_is_kept_whatever_its_headers_say() {
    let deb = noise("zoom", 200_000);
    let (origin, server) = pinned(&deb, ", size = 200000").await;
    origin.route(FROM, Reply::ok(deb.clone()).header("Cache-Control", "max-age=0"));
    for _ in 0..2 {
        assert_whole(&get(server.address(), AT, &[]).await, &deb);
        crate::requests::until_stored(server.address(), AT).await;
    }
    assert_eq!(origin.requests_to(FROM).len(), 1);
    let why = get(server.admin(), "/api/v1/why?url=/zoom/6.2/zoom_amd64.deb", &[]).await.text();
    assert!(why.contains("\"listed_by\":\"the configuration\""), "{why}");
}

#[tokio::test]
async fn a_file_that_was_replaced_under_its_name_is_refused() {
    let (old, new) = (noise("zoom", 200_000), noise("zoom 2", 200_000));
    let (origin, server) = pinned(&old, "").await;
    origin.route(FROM, Reply::ok(new));
    let cut = get(server.address(), AT, &[]).await;
    assert!(cut.status >= 500 || !cut.is_complete(), "{cut:?}");
}
