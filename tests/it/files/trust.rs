//! Who is believed, and what is said about who is not.

use super::*;
use crate::support::client::ask;
use crate::support::noise;

#[tokio::test]
async fn a_list_that_nobody_signed_vouches_for_nothing_and_the_answer_says_so() {
    let setup = Setup::new().await;
    let image = noise("unsigned", 60_000);
    setup.origin.route(LIST, Reply::ok(line("desktop.iso", &image)));
    setup.origin.route(IMAGE, Reply::ok(image.clone()));
    let refused = setup.get(IMAGE).await;
    assert!(refused.status >= 500 && refused.text().contains("no signature"), "{}", refused.text());
    assert_eq!(setup.origin.requests_to(IMAGE).len(), 0);
    // Nor does one by a stranger.
    let stranger = Key::generate("Stranger");
    setup.origin.route(SIGNATURE, Reply::ok(stranger.sign(line("desktop.iso", &image).as_bytes())));
    setup.server.clock().advance(STALE);
    let refused = setup.get(IMAGE).await;
    assert!(refused.status >= 500, "{}", refused.text());
    assert!(!setup.has(&image));
}

#[tokio::test]
async fn a_list_that_leads_out_of_its_folder_is_refused() {
    let setup = Setup::new().await;
    setup.publish(LIST, &line("../../u/pool/evil.deb", b"evil"), 0);
    let refused = setup.get(LIST).await;
    assert!(refused.status >= 500 && refused.text().contains("leads out"), "{}", refused.text());
}

#[tokio::test]
async fn https_vouches_where_there_is_no_key() {
    let (origin, folder) = (Origin::start_tls().await, TempDir::new().expect("a folder"));
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, origin.authority()).expect("a certificate");
    let authority = authority.display().to_string();
    let server = TestServer::start(&format!(
        "[upstream]\nca = {authority:?}\n[[repo]]\nname = \"r\"\nkind = \"files\"\nupstreams = [{:?}]\n",
        origin.url("/r")
    ))
    .await;
    let image = noise("https", 60_000);
    origin.route(LIST, Reply::ok(line("desktop.iso", &image)));
    origin.route(IMAGE, Reply::ok(image.clone()));
    assert_whole(&get(server.address(), IMAGE, &[]).await, &image);
    assert_eq!(get(server.address(), SIGNATURE, &[]).await.status, 404);
    let why = get(server.admin(), "/api/v1/why?url=/r/24.04/desktop.iso", &[]).await.text();
    for fact in ["\"trust\":\"https\"", "\"listed_by\":\"24.04/SHA256SUMS\"", "\"known\":\"listed\""] {
        assert!(why.contains(fact), "{fact}: {why}");
    }
}

#[tokio::test]
async fn without_trust_files_are_kept_by_their_own_headers() {
    let origin = Origin::start().await;
    let server = TestServer::start(&crate::requests::repo("r", "files", &origin.url("/r"))).await;
    let image = noise("none", 60_000);
    origin.route(LIST, Reply::ok(line("desktop.iso", b"something else")));
    origin.route(IMAGE, Reply::ok(image.clone()).header("Cache-Control", "max-age=600"));
    assert_whole(&get(server.address(), IMAGE, &[]).await, &image);
    crate::requests::until_stored(server.address(), IMAGE).await;
    assert_eq!(origin.requests_to(LIST).len(), 0);
    let status = get(server.admin(), "/api/v1/status", &[]).await.text();
    assert!(status.contains("\"trust\":\"none\""), "{status}");
}

#[tokio::test]
async fn nothing_is_sent_to_a_repository_of_files() {
    let setup = Setup::new().await;
    assert_eq!(ask(setup.server.address(), "POST", IMAGE, &[]).await.status, 405);
    assert!(setup.origin.requests().is_empty());
}
