//! The administrators' pages over HTTP: languages, lists, a login, and orders that only the right page may give.

use std::net::SocketAddr;

use reqwest::header::{ACCEPT_LANGUAGE, COOKIE, HeaderMap, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Client, Response, StatusCode};
use tempfile::TempDir;

use crate::support::client::get;
use crate::support::origin::Origin;
use crate::support::repository::{Key, Package, Repository, day};
use crate::support::server::TestServer;

const PAGES: [&str; 10] = [
    "/",
    "/repositories",
    "/flights",
    "/seeds",
    "/channels",
    "/offices",
    "/desktops",
    "/packages",
    "/store",
    "/events",
];

struct World {
    key: Key,
    origin: Origin,
    server: TestServer,
    browser: Client,
    _folder: TempDir,
}

/// The suite as it is on a day, with one package that changes every day.
fn noble(number: u64) -> Repository {
    let nano = Package::new("nano", &format!("7.2-{number}")).payload_size(50_000);
    Repository::new("noble").date(day(number)).package(nano)
}

async fn world() -> World {
    let key = Key::generate("Ubuntu");
    let origin = Origin::start().await;
    noble(1).signed_by(&key).publish().to(&origin, "/ubuntu");
    let folder = TempDir::new().expect("a folder");
    let keyring = folder.path().join("archive.gpg");
    std::fs::write(&keyring, key.keyring()).expect("a keyring");
    let server = TestServer::start(&format!(
        "[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\nkeyring = \"{}\"\n\
         [[channel]]\nname = \"pilot\"\n[[office]]\nname = \"<b>Bappeda\"\nnetworks = \"127.0.0.0/8\"\n",
        origin.url("/ubuntu"),
        keyring.display()
    ))
    .await;
    let redirects = reqwest::redirect::Policy::none();
    let browser = Client::builder().no_proxy().redirect(redirects).build().expect("a client");
    World { key, origin, server, browser, _folder: folder }
}

impl World {
    fn admin(&self) -> SocketAddr {
        self.server.admin()
    }

    async fn page(&self, path: &str, headers: HeaderMap) -> Response {
        let request = self.browser.get(format!("http://{}{path}", self.admin())).headers(headers);
        request.send().await.expect("an answer")
    }

    async fn post(&self, path: &str, headers: HeaderMap, form: &str) -> Response {
        let request = self.browser.post(format!("http://{}{path}", self.admin())).headers(headers);
        let form = form.to_owned();
        let kind = ("content-type", "application/x-www-form-urlencoded");
        request.header(kind.0, kind.1).body(form).send().await.expect("an answer")
    }

    /// Logs in; the cookie, and the secret of its forms.
    async fn log_in(&self) -> (HeaderMap, String) {
        let form = format!("token={}", self.server.admin_token());
        let answer = self.post("/login", HeaderMap::new(), &form).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let cookie = answer.headers()[SET_COOKIE].to_str().expect("text").to_owned();
        for word in ["SameSite=Strict", "HttpOnly", "Path=/"] {
            assert!(cookie.contains(word), "{word} in {cookie}");
        }
        let pair = cookie.split(';').next().expect("a pair");
        let headers = HeaderMap::from_iter([(COOKIE, pair.parse().expect("a value"))]);
        let page = self.page("/channels", headers.clone()).await.text().await.expect("text");
        let (_, rest) = page.split_once("name=\"secret\" value=\"").expect("a form with a secret");
        (headers, rest.split('"').next().expect("its end").to_owned())
    }
}

fn speaks(language: &str) -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT_LANGUAGE, language.parse().expect("a value"))])
}

#[tokio::test]
async fn every_page_comes_in_both_languages_with_what_happened() {
    let world = world().await;
    get(world.server.address(), "/ubuntu/dists/noble/InRelease", &[]).await;
    get(world.server.address(), "/ubuntu/pool/main/n/nano/nano_7.2-1_amd64.deb", &[]).await;
    for path in PAGES {
        let english = world.page(path, speaks("en")).await;
        assert_eq!(english.status(), StatusCode::OK, "{path}");
        let policy = english.headers()["content-security-policy"].to_str().expect("text").to_owned();
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        let english = english.text().await.expect("text");
        let indonesian = world.page(path, speaks("id-ID,id;q=0.9")).await.text().await.expect("text");
        assert!(
            english.contains("<html lang=\"en\">") && indonesian.contains("<html lang=\"id\">"),
            "{path}"
        );
        assert!(english.contains("Log in") && indonesian.contains("Masuk"), "{path}");
        assert!(!english.contains("style=\"") && !english.contains("onclick"), "{path}");
    }
    let repositories = world.page("/repositories", speaks("en")).await.text().await.expect("text");
    assert!(repositories.contains("dists/noble") && repositories.contains("current"), "{repositories}");
    let offices = world.page("/offices", speaks("en")).await.text().await.expect("text");
    assert!(offices.contains("&#60;b&#62;Bappeda") && !offices.contains("<b>"), "{offices}");
    let desktops = world.page("/desktops", speaks("id")).await.text().await.expect("text");
    assert!(desktops.contains("127.0.0.1"), "{desktops}");

    // A choice goes before what the browser prefers, and is remembered.
    let chosen = world.page("/?lang=id", speaks("en")).await;
    let cookie = chosen.headers()[SET_COOKIE].to_str().expect("text").to_owned();
    let headers =
        HeaderMap::from_iter([(COOKIE, cookie.split(';').next().expect("a pair").parse().expect("a value"))]);
    assert!(world.page("/", headers).await.text().await.expect("text").contains("<html lang=\"id\">"));
}

#[tokio::test]
async fn a_channel_is_promoted_and_rolled_back_by_who_is_logged_in() {
    let world = world().await;
    // With an index: what nobody uses is not compared.
    get(world.server.address(), "/ubuntu/dists/noble/InRelease", &[]).await;
    get(world.server.address(), "/ubuntu/dists/noble/main/binary-amd64/Packages.xz", &[]).await;
    let (session, secret) = world.log_in().await;
    let form = format!("secret={secret}");
    let promoted = world.post("/channels/pilot/promote", session.clone(), &form).await;
    assert_eq!(
        (promoted.status(), &promoted.headers()[LOCATION]),
        (StatusCode::SEE_OTHER, &"/channels".parse().unwrap())
    );
    let page = world.page("/channels", session.clone()).await.text().await.expect("text");
    assert!(page.contains("suites moved: 1") && page.contains("the same as live"), "{page}");
    // It is said once.
    assert!(
        !world.page("/channels", session.clone()).await.text().await.expect("text").contains("suites moved")
    );

    noble(2).signed_by(&world.key).publish().to(&world.origin, "/ubuntu");
    let asked =
        world.post("/suites/refresh", session.clone(), &format!("{form}&repo=ubuntu&suite=noble")).await;
    assert_eq!(asked.status(), StatusCode::SEE_OTHER);
    let page = world.page("/channels", session.clone()).await.text().await.expect("text");
    assert!(page.contains("files: 1, "), "the channel differs from live: {page}");
    world.post("/channels/pilot/promote", session.clone(), &form).await;
    world.post("/channels/pilot/rollback", session.clone(), &form).await;
    let page = world.page("/channels", session.clone()).await.text().await.expect("text");
    assert!(page.contains("suites moved: 1") && page.contains("files: 1, "), "{page}");

    assert_eq!(world.post("/logout", session.clone(), &form).await.status(), StatusCode::SEE_OTHER);
    let after = world.post("/channels/pilot/promote", session, &form).await;
    assert_eq!(after.headers()[LOCATION], "/login");
}

#[tokio::test]
async fn nobody_else_gives_orders() {
    let world = world().await;
    get(world.server.address(), "/ubuntu/dists/noble/InRelease", &[]).await;
    let (session, secret) = world.log_in().await;
    let order = "/channels/pilot/promote";
    let form = format!("secret={secret}");
    // Without a session, without the secret, with another one, from another site.
    assert_eq!(world.post(order, HeaderMap::new(), &form).await.headers()[LOCATION], "/login");
    assert_eq!(world.post(order, session.clone(), "").await.status(), StatusCode::FORBIDDEN);
    assert_eq!(world.post(order, session.clone(), "secret=x").await.status(), StatusCode::FORBIDDEN);
    for (name, value) in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
        let mut headers = session.clone();
        headers.insert(name, value.parse().expect("a value"));
        assert_eq!(world.post(order, headers, &form).await.status(), StatusCode::FORBIDDEN, "{name}");
    }
    assert_eq!(world.page(order, session.clone()).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    let mut own = session.clone();
    own.insert(ORIGIN, format!("http://{}", world.admin()).parse().expect("a value"));
    assert_eq!(world.post(order, own, &form).await.headers()[LOCATION], "/channels");

    // Wrong tokens are counted with those of the API.
    for _ in 0..10 {
        assert_eq!(
            world.post("/login", HeaderMap::new(), "token=x").await.status(),
            StatusCode::UNAUTHORIZED
        );
    }
    let right = format!("token={}", world.server.admin_token());
    assert_eq!(world.post("/login", HeaderMap::new(), &right).await.status(), StatusCode::TOO_MANY_REQUESTS);
    let long = format!("token={}", "x".repeat(5000));
    assert_eq!(world.post("/login", HeaderMap::new(), &long).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
}
