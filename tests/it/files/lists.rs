//! Checksum lists are kept as suites are.

use sha2::Digest as _;

use super::*;
use crate::support::noise;

#[tokio::test]
async fn an_image_is_fetched_once_and_its_list_is_asked_for_first() {
    let setup = Setup::new().await;
    let image = noise("image", 500_000);
    setup.publish(LIST, &line("desktop.iso", &image), 0);
    setup.origin.route(IMAGE, Reply::ok(image.clone()));
    assert_whole(&setup.get(IMAGE).await, &image);
    crate::requests::until_stored(setup.server.address(), IMAGE).await;
    let hit = setup.get("http://releases.example/24.04/desktop.iso").await;
    assert_whole(&hit, &image);
    assert_eq!(hit.header("cache-status"), Some("lumbung; hit"));
    assert_eq!(setup.origin.requests_to(IMAGE).len(), 1);
    // The list and its signature came with it.
    let list = setup.get(LIST).await;
    assert_eq!(list.text(), line("desktop.iso", &image));
    assert_eq!(setup.get(SIGNATURE).await.status, 200);
    assert_eq!((setup.origin.requests_to(LIST).len(), setup.origin.requests_to(SIGNATURE).len()), (1, 1));
}

#[tokio::test]
async fn several_lists_in_several_folders_are_found() {
    let setup = Setup::new().await;
    let (deep, other, root) = (noise("deep", 40_000), noise("other", 40_000), noise("root", 40_000));
    let sha512: String = sha2::Sha512::digest(&other).iter().map(|byte| format!("{byte:02x}")).collect();
    setup.publish("/r/a/b/SHA256SUMS", &line("deep.iso", &deep), 0);
    setup.publish("/r/a/SHA512SUMS", &format!("{sha512}  ./b/other.iso\n"), 0);
    setup.publish("/r/SHA256SUMS", &line("a/root.AppImage", &root), 0);
    for (path, body) in
        [("/r/a/b/deep.iso", &deep), ("/r/a/b/other.iso", &other), ("/r/a/root.AppImage", &root)]
    {
        setup.origin.route(path, Reply::ok(body.clone()));
        assert_whole(&setup.get(path).await, body);
        assert_whole(&setup.get(path).await, body);
        assert_eq!(setup.origin.requests_to(path).len(), 1, "{path}");
    }
}

#[tokio::test]
async fn a_new_list_becomes_current_with_its_signature_or_not_at_all() {
    let setup = Setup::new().await;
    let (old, new) = (noise("old", 60_000), noise("new", 60_000));
    let (first, second) = (line("desktop.iso", &old), line("desktop.iso", &new));
    setup.publish(LIST, &first, 0);
    setup.origin.route(IMAGE, Reply::ok(old.clone()));
    assert_whole(&setup.get(IMAGE).await, &old);
    let signature = setup.get(SIGNATURE).await.body;
    // Unchanged: one conditional request.
    setup.server.clock().advance(STALE);
    assert_eq!(setup.get(LIST).await.text(), first);
    let asked = setup.origin.requests_to(LIST);
    assert_eq!((asked.len(), setup.origin.requests_to(SIGNATURE).len()), (2, 1));
    // A mirror in mid-sync: the new list beside the old signature.
    setup.origin.route(LIST, Reply::ok(second.clone()).last_modified(day(1)));
    setup.origin.route(IMAGE, Reply::ok(new.clone()).last_modified(day(1)));
    setup.server.clock().advance(STALE);
    let kept = setup.get(LIST).await;
    assert_eq!(kept.text(), first);
    assert!(kept.header("cache-status").expect("a status").contains("not checked"), "{kept:?}");
    assert_eq!(setup.get(SIGNATURE).await.body, signature);
    assert_whole(&setup.get(IMAGE).await, &old);
    // And whole again.
    setup.publish(LIST, &second, 1);
    setup.server.clock().advance(STALE);
    assert_eq!(setup.get(LIST).await.text(), second);
    assert_ne!(setup.get(SIGNATURE).await.body, signature);
    assert_whole(&setup.get(IMAGE).await, &new);
}

#[tokio::test]
async fn an_image_alone_has_its_list_checked_when_the_time_has_come() {
    let setup = Setup::new().await;
    let (old, new) = (noise("yesterday", 60_000), noise("today", 60_000));
    setup.publish(LIST, &line("desktop.iso", &old), 0);
    setup.origin.route(IMAGE, Reply::ok(old.clone()));
    assert_whole(&setup.get(IMAGE).await, &old);
    setup.publish(LIST, &line("desktop.iso", &new), 1);
    setup.origin.route(IMAGE, Reply::ok(new.clone()).last_modified(day(1)));
    setup.server.clock().advance(STALE);
    assert_whole(&setup.get(IMAGE).await, &new);
}

#[tokio::test]
async fn what_is_known_outlives_a_restart_and_upstream() {
    let mut setup = Setup::new().await;
    let image = noise("kept", 100_000);
    setup.publish(LIST, &line("desktop.iso", &image), 0);
    setup.origin.route(IMAGE, Reply::ok(image.clone()));
    assert_whole(&setup.get(IMAGE).await, &image);
    crate::requests::until_stored(setup.server.address(), IMAGE).await;
    setup.origin.stop().await;
    setup.server.clock().advance(STALE);
    setup.server.restart().await;
    assert_whole(&setup.get(IMAGE).await, &image);
    assert_eq!(setup.get(LIST).await.status, 200);
    assert_eq!(setup.get(SIGNATURE).await.status, 200);
}

#[tokio::test]
async fn what_no_list_has_passes_through_or_is_kept_as_unverified() {
    for (more, hits) in [("", false), ("unlisted = \"keep\"\n", true)] {
        let setup = Setup::with(more, &[]).await;
        let torrent = noise("torrent", 30_000);
        setup.publish(LIST, &line("desktop.iso", b"image"), 0);
        let path = "/r/24.04/desktop.iso.torrent";
        setup.origin.route(path, Reply::ok(torrent.clone()).header("Cache-Control", "max-age=600"));
        assert_whole(&setup.get(path).await, &torrent);
        assert_whole(&setup.get(path).await, &torrent);
        crate::fragments::settled(&setup.server).await;
        assert_eq!(setup.has(&torrent), hits, "{more}");
    }
}
