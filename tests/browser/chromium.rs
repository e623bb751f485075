//! A browser for a test.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use thirtyfour::common::log::LoggingPrefsLogLevel;
use thirtyfour::{ChromiumLikeCapabilities as _, DesiredCapabilities, WebDriver};

/// A browser and the program that drives it; the program is killed when this is dropped.
pub struct Chromium {
    pub page: WebDriver,
    address: String,
    driver: Child,
}

impl Chromium {
    /// Starts both, for a reader of `language`, with a window of `width`.
    pub async fn start(language: &str, width: u32) -> Self {
        let mut driver = Command::new("/usr/bin/chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver; tests/run installs it");
        let lines = BufReader::new(driver.stdout.take().expect("its output")).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let address = format!("http://127.0.0.1:{}", port.expect("a port"));
        let mut wanted = DesiredCapabilities::chrome();
        for argument in [
            "--headless=new",
            // Tests run as root in a container.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-proxy-server",
            "--hide-scrollbars",
            &format!("--window-size={width},1000"),
            &format!("--accept-lang={language}"),
        ] {
            wanted.add_arg(argument).expect("an argument");
        }
        wanted.set_binary("/usr/bin/chromium").expect("a program");
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All).expect("a level");
        let page = WebDriver::new(&address, wanted).await.expect("a browser");
        Self { page, address, driver }
    }

    /// Looks like a device of this width and height.
    pub async fn size(&self, width: u32, height: u32, dark: bool) {
        self.command(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 }),
        )
        .await;
        let scheme = if dark { "dark" } else { "light" };
        let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command("Emulation.setEmulatedMedia", feature).await;
    }

    /// What the browser's console has said since the last look.
    pub async fn console(&self) -> Vec<String> {
        let entries = self.post("se/log", json!({ "type": "browser" })).await;
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn command(&self, name: &str, parameters: Value) {
        self.post("goog/cdp/execute", json!({ "cmd": name, "params": parameters })).await;
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let session = self.page.session_id().to_string();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request =
            client.post(format!("{}/session/{session}/{path}", self.address)).body(body.to_string());
        let answer = request.send().await.expect("an answer").text().await.expect("text");
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["value"].take()
    }

    pub async fn quit(self) {
        let Self { page, mut driver, .. } = self;
        page.quit().await.expect("an end of the browser");
        driver.kill().expect("a child of ours");
        driver.wait().expect("its end");
    }
}
