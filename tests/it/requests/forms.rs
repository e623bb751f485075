//! Every spelling of an address leads to the one repository it belongs to, or nowhere.

use rstest::rstest;

use super::{repo, ubuntu};
use crate::support::client::get;
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

/// A server with a plain and an https repository, known under further names.
async fn server(origin: &Origin) -> TestServer {
    origin.route("/ubuntu/pool/a_1_amd64.deb", Reply::ok("a package"));
    origin.route("/secure/pool/b_1_amd64.deb", Reply::ok("another"));
    let aliases = r#"aliases = ["http://security.example.org/ubuntu", "http://*.mirror.example.org/ubuntu"]"#;
    let secure = repo("secure", "apt", &origin.url("/secure"));
    let config = format!(
        "{}{aliases}\n{secure}aliases = [\"https://secure.example.org/x\", \"http://odd.example.org:8080/\"]\n",
        ubuntu(origin)
    );
    TestServer::start(&config).await
}

#[rstest]
#[case::mirror("/ubuntu/pool/a_1_amd64.deb", "a package")]
#[case::mirror_of_another("/secure/pool/b_1_amd64.deb", "another")]
#[case::upstream("http://ORIGIN/ubuntu/pool/a_1_amd64.deb", "a package")]
#[case::alias("http://security.example.org/ubuntu/pool/a_1_amd64.deb", "a package")]
#[case::alias_in_capitals("http://Security.Example.ORG/ubuntu/pool/a_1_amd64.deb", "a package")]
#[case::alias_with_port("http://security.example.org:80/ubuntu/pool/a_1_amd64.deb", "a package")]
#[case::alias_with_root_dot("http://security.example.org./ubuntu/pool/a_1_amd64.deb", "a package")]
#[case::wildcard("http://id.mirror.example.org/ubuntu/pool/a_1_amd64.deb", "a package")]
#[case::deep_wildcard("http://a.b.mirror.example.org/ubuntu/pool/a_1_amd64.deb", "a package")]
#[case::https_alias_asked_plainly("http://secure.example.org/x/pool/b_1_amd64.deb", "another")]
#[case::https_alias("https://secure.example.org/x/pool/b_1_amd64.deb", "another")]
#[case::odd_port("http://odd.example.org:8080/pool/b_1_amd64.deb", "another")]
#[case::cacher_https("/HTTPS///secure.example.org/x/pool/b_1_amd64.deb", "another")]
#[case::cacher("/security.example.org/ubuntu/pool/a_1_amd64.deb", "a package")]
#[case::cacher_with_port("/odd.example.org:8080/pool/b_1_amd64.deb", "another")]
#[case::own("http://OWN/ubuntu/pool/a_1_amd64.deb", "a package")]
#[tokio::test]
async fn an_address_leads_to_its_repository(#[case] target: &str, #[case] body: &str) {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    let target =
        target.replace("ORIGIN", &origin.address().to_string()).replace("OWN", &server.address().to_string());
    let answer = get(server.address(), &target, &[]).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, body), "{answer:?}");
}

#[rstest]
#[case::host("http://elsewhere.example.org/ubuntu/pool/a_1_amd64.deb", 403)]
#[case::parent_of_wildcard("http://mirror.example.org/ubuntu/pool/a_1_amd64.deb", 403)]
#[case::tail_of_wildcard("http://evilmirror.example.org/ubuntu/pool/a_1_amd64.deb", 403)]
#[case::folder("http://security.example.org/debian/pool/a_1_amd64.deb", 403)]
#[case::beginning_of_folder("http://security.example.org/ubuntu-old/pool/a_1_amd64.deb", 403)]
#[case::port("http://security.example.org:8080/ubuntu/pool/a_1_amd64.deb", 403)]
#[case::other_port_than_written("http://odd.example.org/pool/b_1_amd64.deb", 403)]
#[case::port_of_upstream("http://127.0.0.1:9/ubuntu/pool/a_1_amd64.deb", 403)]
#[case::metadata("http://169.254.169.254/latest/meta-data", 403)]
#[case::cacher("/elsewhere.example.org/ubuntu/pool/a_1_amd64.deb", 404)]
#[case::cacher_https("/HTTPS///elsewhere.example.org/x", 404)]
#[case::name("/debian/pool/a_1_amd64.deb", 404)]
#[tokio::test]
async fn what_is_not_configured_is_not_served(#[case] target: &str, #[case] status: u16) {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    let answer = get(server.address(), target, &[]).await;
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(!answer.text().is_empty());
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn a_host_that_is_refused_comes_with_the_words_to_add() {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    let answer = get(server.address(), "http://ppa.example.org/x", &[]).await;
    assert_eq!(answer.status, 403);
    assert!(answer.reason.contains("ppa.example.org does not belong to a repository"), "{}", answer.reason);
    for words in ["ppa.example.org", "[[repo]]", "upstream or alias", "lumbung.toml"] {
        assert!(answer.text().contains(words), "{words:?} in {}", answer.text());
    }
}

#[tokio::test]
async fn the_public_url_given_to_the_proxy_is_this_server() {
    let origin = Origin::start().await;
    origin.route("/ubuntu/pool/a_1_amd64.deb", Reply::ok("a package"));
    let config = format!("[server]\npublic_url = \"http://cache.example.org\"\n{}", ubuntu(&origin));
    let server = TestServer::start(&config).await;
    let port = server.address().port();
    for own in ["http://cache.example.org".to_owned(), format!("http://cache.example.org:{port}")] {
        let answer = get(server.address(), &format!("{own}/ubuntu/pool/a_1_amd64.deb"), &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "a package"), "{own}");
    }
    let other = get(server.address(), "http://cache.example.org:9/ubuntu/pool/a_1_amd64.deb", &[]).await;
    assert_eq!(other.status, 403);
}

#[tokio::test]
async fn the_host_header_does_not_choose_the_repository() {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    let target = "/pool/a_1_amd64.deb";
    let answer = get(server.address(), target, &[("Host", "security.example.org")]).await;
    assert_eq!(answer.status, 404);
    let target = "http://elsewhere.example.org/ubuntu/pool/a_1_amd64.deb";
    let answer = get(server.address(), target, &[("Host", "security.example.org")]).await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn a_whole_host_of_archives_is_one_repository() {
    let origin = Origin::start().await;
    let server = TestServer::start(&repo("ppa", "apt", &origin.url(""))).await;
    for owner in ["one", "two"] {
        let path = format!("/{owner}/tools/ubuntu/pool/main/t/tool_1_amd64.deb");
        origin.route(&path, Reply::ok(format!("of {owner}")));
        let release = format!("/{owner}/tools/ubuntu/dists/noble/InRelease");
        origin.route(&release, Reply::ok(format!("release of {owner}")));
    }
    for owner in ["one", "two"] {
        let target = format!("/ppa/{owner}/tools/ubuntu/pool/main/t/tool_1_amd64.deb");
        assert_eq!(get(server.address(), &target, &[]).await.text(), format!("of {owner}"));
        let proxied = origin.url(&format!("/{owner}/tools/ubuntu/dists/noble/InRelease"));
        assert_eq!(get(server.address(), &proxied, &[]).await.text(), format!("release of {owner}"));
    }
    assert_eq!(origin.requests().len(), 4);
}

#[tokio::test]
async fn a_flat_repository_is_asked_for_with_a_dot() {
    let origin = Origin::start().await;
    origin.route("/flat/Packages.gz", Reply::ok("an index"));
    origin.route("/flat/tool_1_amd64.deb", Reply::ok("a package"));
    let server = TestServer::start(&repo("flat", "apt", &origin.url("/flat"))).await;
    for (target, body) in [
        ("/flat/./Packages.gz", "an index"),
        ("/flat/Packages.gz", "an index"),
        ("/flat/./tool_1_amd64.deb", "a package"),
    ] {
        assert_eq!(get(server.address(), target, &[]).await.text(), body, "{target}");
    }
    let targets: Vec<_> = origin.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/flat/Packages.gz", "/flat/tool_1_amd64.deb"]);
}
