//! What somebody with a browser sees and does.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use thirtyfour::extensions::query::{ElementQueryable as _, ElementWaitable as _};
use thirtyfour::{By, Key as Press, WebDriver, WebElement};

use crate::chromium::Chromium;
use crate::support::PATIENCE;
use crate::support::client::get;
use crate::support::origin::{Origin, Reply};
use crate::support::repository::{Key, Package, Repository, day};
use crate::support::server::TestServer;

const PAGES: [(&str, &str); 11] = [
    ("/", "overview"),
    ("/repositories", "repositories"),
    ("/channels", "channels"),
    ("/flights", "flights"),
    ("/seeds", "seeds"),
    ("/offices", "offices"),
    ("/desktops", "desktops"),
    ("/packages", "packages"),
    ("/store", "store"),
    ("/events", "events"),
    ("/login", "login"),
];

struct World {
    key: Key,
    origin: Origin,
    server: TestServer,
    _folder: TempDir,
}

/// The suite as it is on a day.
fn noble(number: u64) -> Repository {
    let versions = [
        ("nano", 40_000),
        ("libreoffice-writer", 900_000),
        ("firefox", 700_000),
        ("language-pack-id", 90_000),
    ];
    let package =
        |(name, size): (&str, usize)| Package::new(name, &format!("7.2-{number}")).payload_size(size);
    Repository::new("noble").date(day(number)).packages(versions.map(package))
}

fn deb(name: &str, number: u64) -> String {
    let initial = if name.starts_with("lib") { &name[..4] } else { &name[..1] };
    format!("/ubuntu/pool/main/{initial}/{name}/{name}_7.2-{number}_amd64.deb")
}

async fn world() -> World {
    let key = Key::generate("Ubuntu");
    let origin = Origin::start().await;
    noble(1).signed_by(&key).publish().to(&origin, "/ubuntu");
    origin.route("/vendor/tool.deb", Reply::ok(vec![7; 300_000]));
    let folder = TempDir::new().expect("a folder");
    let keyring = folder.path().join("archive.gpg");
    std::fs::write(&keyring, key.keyring()).expect("a keyring");
    let server = TestServer::start(&format!(
        "[wan]\nlimit = \"80 Mbit/s\"\n\
         [[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\nkeyring = \"{}\"\n\
         [[repo]]\nname = \"vendor\"\nkind = \"http\"\nupstreams = [\"{}\"]\n\
         [[seed]]\nname = \"kantor\"\nrepo = \"ubuntu\"\nsuites = [\"noble\"]\narchitectures = [\"amd64\"]\n\
         packages = [\"libreoffice-writer\", \"firefox\"]\nhours = \"18:00-06:00\"\n\
         [[channel]]\nname = \"pilot\"\n[[channel]]\nname = \"stable\"\nafter = \"7 days\"\n\
         [[office]]\nname = \"Bappeda\"\nnetworks = \"127.0.0.0/8\"\nchannel = \"stable\"\n\
         [[office]]\nname = \"Dinas Kesehatan\"\nnetworks = \"10.20.0.0/16\"\n",
        origin.url("/ubuntu"),
        keyring.display(),
        origin.url("/vendor"),
    ))
    .await;
    let world = World { key, origin, server, _folder: folder };
    world.use_it(1).await;
    world
}

impl World {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.admin())
    }

    /// A desktop's update and upgrade, and another one's after it.
    async fn use_it(&self, number: u64) {
        for _ in 0..2 {
            for file in ["InRelease", "main/binary-amd64/Packages.xz"] {
                get(self.server.address(), &format!("/ubuntu@live/dists/noble/{file}"), &[]).await;
            }
            for name in ["nano", "libreoffice-writer", "firefox", "language-pack-id"] {
                get(self.server.address(), &deb(name, number), &[]).await;
            }
            get(self.server.address(), "/vendor/tool.deb", &[]).await;
        }
    }
}

/// Where pictures go, if anywhere.
fn pictures() -> Option<PathBuf> {
    std::env::var_os("LUMBUNG_SCREENSHOTS").map(PathBuf::from)
}

async fn log_in(page: &WebDriver, world: &World) {
    page.goto(world.url("/login")).await.expect("a page");
    let field = page.find(By::Id("token")).await.expect("a field");
    // With the keyboard alone: the field has the focus already.
    assert_eq!(page.active_element().await.expect("a focus").element_id(), field.element_id());
    field.send_keys(world.server.admin_token() + Press::Enter).await.expect("keys");
    until(page, "form[action='/logout']", |text| !text.is_empty()).await;
}

/// How often a page that says nothing by itself is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits until a part of the page says something; the next page may be on its way.
async fn until(
    page: &WebDriver,
    part: &str,
    wanted: impl Fn(&str) -> bool + Clone + Send + Sync + 'static,
) -> String {
    let says = move |found: WebElement| {
        let wanted = wanted.clone();
        async move { Ok(found.text().await.is_ok_and(|text| wanted(&text))) }
    };
    let found = page.query(By::Css(part)).with_filter(says).wait(PATIENCE, LOOK_EVERY).first().await;
    found.unwrap_or_else(|why| panic!("{part}: {why}")).text().await.unwrap_or_default()
}

/// What axe-core finds that is serious.
async fn hindrances(page: &WebDriver) -> Vec<String> {
    let Some(file) = std::env::var_os("LUMBUNG_AXE") else { return Vec::new() };
    let axe = std::fs::read_to_string(file).expect("axe.min.js");
    page.execute(axe, Vec::new()).await.expect("axe-core");
    let run = "const done = arguments[0]; axe.run().then(r => done(r.violations
        .filter(v => v.impact === 'serious' || v.impact === 'critical')
        .map(v => v.id + ': ' + v.help + ' ' + v.nodes.map(n => n.target.join(' ')).slice(0, 5).join(', '))));";
    let found = page.execute_async(run, Vec::new()).await.expect("a verdict");
    found.convert().expect("a list")
}

#[tokio::test]
async fn every_page_is_sound_in_both_languages_wide_and_narrow() {
    let world = world().await;
    for language in ["en", "id"] {
        let browser = Chromium::start(language, 1280).await;
        let page = &browser.page;
        log_in(page, &world).await;
        for (path, name) in PAGES {
            for (width, height, dark) in [(1280, 1000, false), (390, 844, true)] {
                browser.size(width, height, dark).await;
                page.goto(world.url(path)).await.expect("a page");
                let html = page.find(By::Tag("html")).await.expect("a page");
                assert_eq!(
                    html.attr("lang").await.expect("an attribute").as_deref(),
                    Some(language),
                    "{path}"
                );
                let overflow =
                    "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
                let overflow: i64 =
                    page.execute(overflow, Vec::new()).await.expect("a number").convert().expect("a number");
                assert_eq!(overflow, 0, "{path} is wider than a screen of {width}");
                assert_eq!(hindrances(page).await, Vec::<String>::new(), "{path} at {width}");
                if let Some(folder) = pictures() {
                    let file = folder.join(format!("{name}-{language}-{width}.png"));
                    page.screenshot(&file).await.expect("a picture");
                }
            }
        }
        assert_eq!(browser.console().await, Vec::<String>::new(), "the console is quiet");
        browser.quit().await;
    }
}

#[tokio::test]
async fn the_overview_moves_by_itself() {
    let world = world().await;
    let browser = Chromium::start("en", 1280).await;
    let page = &browser.page;
    page.goto(world.url("/?window=hour")).await.expect("a page");
    let charts = page.find(By::Id("live-charts")).await.expect("charts");
    let before = charts.inner_html().await.expect("shapes");
    page.execute("window.still = true", Vec::new()).await.expect("a mark");
    let figure = until(page, "#live-figures", |text| text.contains('%')).await;
    world.use_it(1).await;
    until(page, "#live-figures", move |text| text.contains('%') && text != figure).await;
    assert_ne!(charts.inner_html().await.expect("shapes"), before, "the bars have grown");
    let still: bool =
        page.execute("return window.still", Vec::new()).await.expect("a mark").convert().expect("a mark");
    assert!(still, "the page was not loaded again");

    // What somebody has opened stays open.
    let summary = page.find(By::Tag("summary")).await.expect("a table to open");
    summary.click().await.expect("a click");
    until(page, "#live-buckets", |text| text.contains("MB")).await;

    let mut world = world;
    world.server.stop().await;
    let offline = page.find(By::Id("offline")).await.expect("a note");
    let seen = offline.wait_until().wait(PATIENCE, LOOK_EVERY).displayed().await;
    seen.expect("the page says that it is not live");
    browser.quit().await;
}

#[tokio::test]
async fn a_channel_is_promoted_by_hand() {
    let world = world().await;
    let browser = Chromium::start("id", 1280).await;
    let page = &browser.page;
    log_in(page, &world).await;
    let promote = By::Css("form[action='/channels/pilot/promote'] button");
    page.find(promote.clone()).await.expect("a button").click().await.expect("a click");
    until(page, "main .note.good", |text| text.contains("suite dipindahkan: 1")).await;
    noble(2).signed_by(&world.key).publish().to(&world.origin, "/ubuntu");
    page.goto(world.url("/repositories")).await.expect("a page");
    page.find(By::Css("form[action='/suites/refresh'] button"))
        .await
        .expect("a button")
        .click()
        .await
        .expect("a click");
    until(page, "main .note.good", |text| text.contains("sudah ditanya")).await;
    page.goto(world.url("/channels")).await.expect("a page");
    until(page, "#live-pilot", |text| text.contains("berkas: 4")).await;
    page.find(promote).await.expect("a button").click().await.expect("a click");
    until(page, "#live-pilot", |text| text.contains("sama dengan live")).await;
    let back = By::Css("form[action='/channels/pilot/rollback'] button");
    page.find(back).await.expect("a button").click().await.expect("a click");
    until(page, "#live-pilot", |text| text.contains("berkas: 4")).await;
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.quit().await;
}
