//! A real browser for stories: one headless Chromium per [`Browser`], with its own profile, gone when the value is dropped.
//!
//! Every method that needs something of the page waits for it, in real time, at most [`PATIENCE`]; then it panics with
//! the line of the story that asked, what it waited for, and what the page says instead.

use std::fmt::Write as _;
use std::fs::File;
use std::future::Future;
use std::os::unix::process::CommandExt as _;
use std::panic::{AssertUnwindSafe, Location};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tempfile::TempDir;
use thirtyfour::error::WebDriverResult;
use thirtyfour::{
    By, ChromeCapabilities, ChromiumLikeCapabilities as _, Cookie, DesiredCapabilities, LoggingPrefsLogLevel,
    WebDriver, WebElement, WindowHandle,
};
use url::Url;
use warp::Filter as _;

/// How long a story waits for what it expects of a page: many times what a page needs on a machine with other work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Between two looks at the page. A look takes a few milliseconds.
const PAUSE: Duration = Duration::from_millis(50);

/// The longest that one command to the browser may take: above [`PATIENCE`], so that the browser gives up first.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest page text in a failure message, in characters: a screenful.
const EXCERPT: usize = 2_000;

/// Without these Chromium needs a sandbox and a display, and calls home. See also [`Window`].
const FLAGS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// What the browser is shown on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Window {
    /// 1280 x 900.
    Desktop,
    /// 390 x 844 CSS pixels at three device pixels each, with touch, as a common phone has it.
    Phone,
}

/// A browser window of its own, without a past.
pub(crate) struct Browser {
    // Dropped in this order: the session is closed before the processes are killed and the profile is deleted.
    driver: WebDriver,
    chromedriver: Chromedriver,
    patience: Duration,
}

impl Browser {
    /// A browser on a desktop.
    pub(crate) async fn desktop() -> Self {
        Self::open(Window::Desktop, true).await
    }

    /// A browser on a phone.
    pub(crate) async fn phone() -> Self {
        Self::open(Window::Phone, true).await
    }

    /// A desktop browser in which pages may not run scripts.
    pub(crate) async fn without_scripts() -> Self {
        Self::open(Window::Desktop, false).await
    }

    async fn open(window: Window, scripts: bool) -> Self {
        let chromedriver = Chromedriver::start().await;
        let capabilities = capabilities(window, scripts, chromedriver.home.path()).expect("serializable capabilities");
        // No proxy that the environment names may come between. No connection is kept: the session is closed from another
        // runtime, while the one that would drive a kept connection stands still.
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(COMMAND_TIMEOUT).build();
        let client = client.expect("a client without TLS settings");
        let driver = WebDriver::builder(chromedriver.url(), capabilities).client(client).connect().await;
        let driver = driver.unwrap_or_else(|error| panic!("Chromium did not start: {error}\n{}", chromedriver.log()));
        driver.set_page_load_timeout(PATIENCE).await.expect("a live browser");
        driver.set_script_timeout(PATIENCE).await.expect("a live browser");
        Self { driver, chromedriver, patience: PATIENCE }
    }

    /// The same browser, waiting for `patience` instead of [`PATIENCE`].
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Opens `url` and waits until the page is loaded.
    #[track_caller]
    pub(crate) fn goto(&self, url: impl Into<String>) -> impl Future<Output = ()> {
        let url = url.into();
        self.now(format!("open {url}"), async move || self.driver.goto(url.as_str()).await)
    }

    /// Clicks the first visible, enabled element that `css` matches.
    #[track_caller]
    pub(crate) fn click(&self, css: &str) -> impl Future<Output = ()> {
        self.wait(format!("{css} to click"), async move || self.click_first(By::Css(css), |_| true).await)
    }

    /// Clicks the first visible, enabled link or button whose words begin with `label`.
    #[track_caller]
    pub(crate) fn press(&self, label: &str) -> impl Future<Output = ()> {
        let pressable = By::Css("a, button, summary, input[type=submit], input[type=button]");
        self.wait(format!("a link or button \"{label}...\" to press"), async move || {
            self.click_first(pressable.clone(), |words| words.trim_start().starts_with(label)).await
        })
    }

    /// The visible text of the first element that `css` matches, as soon as there is one.
    #[track_caller]
    pub(crate) fn text(&self, css: &str) -> impl Future<Output = String> {
        self.wait(css.to_owned(), async move || match self.driver.find_all(By::Css(css)).await?.first() {
            Some(element) => element.text().await.map(Some),
            None => Ok(None),
        })
    }

    /// Waits until `css` matches something visible.
    #[track_caller]
    pub(crate) fn wait_for(&self, css: &str) -> impl Future<Output = ()> {
        self.wait(format!("{css} to be visible"), async move || {
            for element in self.driver.find_all(By::Css(css)).await? {
                if element.is_displayed().await? {
                    return Ok(Some(()));
                }
            }
            Ok(None)
        })
    }

    /// Waits until the page says `text`.
    #[track_caller]
    pub(crate) fn wait_for_text(&self, text: &str) -> impl Future<Output = ()> {
        self.wait(format!("the text \"{text}\""), async move || Ok(self.words().await?.contains(text).then_some(())))
    }

    /// Waits until the address contains `part`.
    #[track_caller]
    pub(crate) fn wait_for_url(&self, part: &str) -> impl Future<Output = ()> {
        self.wait(format!("an address with \"{part}\""), async move || {
            Ok(self.driver.current_url().await?.as_str().contains(part).then_some(()))
        })
    }

    /// The address of the page.
    #[track_caller]
    pub(crate) fn url(&self) -> impl Future<Output = Url> {
        self.now("tell the address", async || self.driver.current_url().await)
    }

    /// Everything that the page says, as a person sees it.
    #[track_caller]
    pub(crate) fn page(&self) -> impl Future<Output = String> {
        self.now("read the page", async || self.words().await)
    }

    /// Goes back one page.
    #[track_caller]
    pub(crate) fn back(&self) -> impl Future<Output = ()> {
        self.now("go back", async || self.driver.back().await)
    }

    /// Runs the body of a JavaScript function in the page and gives what it returns.
    #[track_caller]
    pub(crate) fn script(&self, body: &str) -> impl Future<Output = serde_json::Value> {
        self.now("run a script", async move || Ok(self.driver.execute(body, Vec::new()).await?.json().clone()))
    }

    /// The cookies that the browser would send to this page, those included that scripts cannot see.
    #[track_caller]
    pub(crate) fn cookies(&self) -> impl Future<Output = Vec<Cookie>> {
        self.now("list the cookies", async || self.driver.get_all_cookies().await)
    }

    /// What the browser complained about since the last call: script errors, blocked content, failed requests. Not the
    /// icon that browsers ask for unasked.
    #[track_caller]
    pub(crate) fn complaints(&self) -> impl Future<Output = Vec<String>> {
        self.now("read the console", async || {
            let messages = self.driver.browser_log().await?.into_iter().map(|entry| entry.message);
            Ok(messages.filter(|message| !message.contains("/favicon.ico")).collect())
        })
    }

    /// Saves a picture of the window, as PNG.
    #[track_caller]
    pub(crate) fn screenshot(&self, path: &Path) -> impl Future<Output = ()> {
        self.now("take a screenshot", async move || self.driver.screenshot(path).await)
    }

    /// The tab that the story is in.
    #[track_caller]
    pub(crate) fn tab(&self) -> impl Future<Output = WindowHandle> {
        self.now("name the tab", async || self.driver.window().await)
    }

    /// Opens a tab, and goes on in it.
    #[track_caller]
    pub(crate) fn new_tab(&self) -> impl Future<Output = WindowHandle> {
        self.now("open a tab", async || {
            let tab = self.driver.new_tab().await?;
            self.driver.switch_to_window(tab.clone()).await?;
            Ok(tab)
        })
    }

    /// Goes on in another tab.
    #[track_caller]
    pub(crate) fn switch_to(&self, tab: &WindowHandle) -> impl Future<Output = ()> {
        self.now("switch to a tab", async move || self.driver.switch_to_window(tab.clone()).await)
    }

    async fn words(&self) -> WebDriverResult<String> {
        self.driver.find(By::Tag("body")).await?.text().await
    }

    async fn click_first(&self, by: By, is_meant: impl Fn(&str) -> bool) -> WebDriverResult<Option<()>> {
        for element in self.driver.find_all(by).await? {
            if element.is_clickable().await? && is_meant(&label(&element).await?) {
                return element.click().await.map(Some);
            }
        }
        Ok(None)
    }

    /// Does what needs no waiting, or panics at the caller's line.
    #[track_caller]
    fn now<T>(
        &self,
        what: impl Into<String>,
        action: impl AsyncFnOnce() -> WebDriverResult<T>,
    ) -> impl Future<Output = T> {
        let (at, what) = (Location::caller(), what.into());
        async move {
            match action().await {
                Ok(value) => value,
                Err(error) => panic!("{at}: the browser could not {what}: {error}\n{}", self.scene().await),
            }
        }
    }

    /// Looks until there is something to see, or panics at the caller's line. An error while looking is as good as
    /// nothing seen: pages change under the looker.
    #[track_caller]
    fn wait<T>(
        &self,
        what: String,
        mut look: impl AsyncFnMut() -> WebDriverResult<Option<T>>,
    ) -> impl Future<Output = T> {
        let at = Location::caller();
        async move {
            let deadline = Instant::now() + self.patience;
            loop {
                let seen = look().await;
                let error = match seen {
                    Ok(Some(value)) => return value,
                    Ok(None) => None,
                    Err(error) => Some(error),
                };
                if Instant::now() >= deadline {
                    let mut message = format!("{at}: waited {:?} for {what}.", self.patience);
                    if let Some(error) = error {
                        write!(message, " The browser says: {error}").expect("writing to a string");
                    }
                    panic!("{message}\n{}", self.scene().await);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Where the story stands, for a failure message.
    async fn scene(&self) -> String {
        let url = self.driver.current_url().await.map_or_else(|error| error.to_string(), String::from);
        let words = self.words().await.unwrap_or_else(|error| error.to_string());
        format!("The page at {url} says:\n{}", words.chars().take(EXCERPT).collect::<String>())
    }
}

/// What a person reads on a link or button.
async fn label(element: &WebElement) -> WebDriverResult<String> {
    let text = element.text().await?;
    if text.is_empty() { Ok(element.value().await?.unwrap_or_default()) } else { Ok(text) }
}

fn capabilities(window: Window, scripts: bool, home: &Path) -> WebDriverResult<ChromeCapabilities> {
    let mut capabilities = DesiredCapabilities::chrome();
    for flag in FLAGS {
        capabilities.add_arg(flag)?;
    }
    capabilities.add_arg(&format!("--user-data-dir={}", home.join("profile").display()))?;
    match window {
        Window::Desktop => capabilities.add_arg("--window-size=1280,900")?,
        Window::Phone => {
            let metrics =
                serde_json::json!({ "width": 390, "height": 844, "pixelRatio": 3.0, "mobile": true, "touch": true });
            capabilities.add_experimental_option("mobileEmulation", serde_json::json!({ "deviceMetrics": metrics }))?;
        }
    }
    if !scripts {
        let prefs = serde_json::json!({ "profile.managed_default_content_settings.javascript": 2 });
        capabilities.add_experimental_option("prefs", prefs)?;
    }
    capabilities.set_browser_log_level(LoggingPrefsLogLevel::Severe)?;
    Ok(capabilities)
}

/// The driver and, as its children, the browser, in a process group of their own.
///
/// A shell leads the group and reads a pipe that only this process holds open. When the pipe closes, because the value
/// was dropped or because this process died, even by SIGKILL, the shell kills the whole group.
struct Chromedriver {
    shell: Child,
    lifeline: Option<ChildStdin>,
    port: u16,
    home: TempDir,
}

impl Chromedriver {
    const SCRIPT: &str =
        "command -v chromedriver || exit 127; chromedriver --port=0 </dev/null & read -r _; kill -KILL 0";

    async fn start() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let log = File::create(home.path().join("log")).expect("a file in our own directory");
        let mut shell = Command::new("sh")
            .args(["-c", Self::SCRIPT])
            // Whatever the browser keeps besides its profile goes with the story too.
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(log.try_clone().expect("a second handle"))
            .stdout(log)
            .spawn()
            .expect("a shell");
        let lifeline = shell.stdin.take();
        let mut starting = Self { shell, lifeline, port: 0, home };
        let deadline = Instant::now() + PATIENCE;
        while starting.port == 0 {
            let gone = starting.shell.try_wait().expect("our own child").is_some();
            assert!(!gone, "chromedriver is not on the PATH; tests/run installs it");
            assert!(Instant::now() < deadline, "chromedriver did not start in {PATIENCE:?}: {}", starting.log());
            tokio::time::sleep(PAUSE).await;
            starting.port = announced_port(&starting.log()).unwrap_or_default();
        }
        starting
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        self.shell.wait().expect("our own child");
    }
}

/// Chromedriver picks a free port and says so: asking for a port that seemed free a moment ago would be a race.
fn announced_port(log: &str) -> Option<u16> {
    let (_, rest) = log.split_once("started successfully on port ")?;
    rest.split_once('.')?.0.parse().ok()
}

const FIRST: &str = r#"<!doctype html><title>First</title><meta name="viewport" content="width=device-width">
<h1>Before the click</h1>
<p id="scripts">Scripts are off.</p><p id="state">waiting</p><p id="hidden" hidden>nobody sees this</p>
<button id="confirm">Confirm and activate</button> <a href="/second">Second page, by a link</a>
<script>
document.querySelector('#scripts').textContent = 'Scripts are on.';
document.querySelector('#confirm').onclick = () => setTimeout(() => {
    document.querySelector('#hidden').hidden = false;
    document.querySelector('#state').textContent = 'active';
}, 200);
</script>"#;

const SECOND: &str = r#"<!doctype html><title>Second</title><h1>After the link</h1>
<form action="/first"><input type="submit" value="Return by a form"></form><img src="/absent.png">"#;

/// Runs a story against two small pages.
async fn with_pages(story: impl AsyncFnOnce(&str)) {
    let html =
        |body: &'static str| warp::reply::with_header(warp::reply::html(body), "set-cookie", "seen=yes; HttpOnly");
    let pages = warp::path!("first").map(move || html(FIRST)).or(warp::path!("second").map(move || html(SECOND)));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("a bound port"));
    tokio::select! {
        () = warp::serve(pages).incoming(listener).run() => unreachable!("the server runs until the story ends"),
        () = story(&base) => {}
    }
}

#[tokio::test]
async fn a_story_reads_presses_waits_and_looks_around() {
    with_pages(async |base| {
        let browser = Browser::desktop().await;
        browser.goto(format!("{base}/first")).await;
        assert_eq!(browser.text("h1").await, "Before the click");
        assert_eq!(browser.text("#scripts").await, "Scripts are on.");
        browser.press("Confirm and").await;
        browser.wait_for("#hidden").await;
        browser.wait_for_text("active").await;
        assert!(browser.page().await.contains("nobody sees this"));
        assert_eq!(browser.script("return document.title").await, "First");

        browser.press("Second page").await;
        browser.wait_for_url("/second").await;
        assert!(browser.complaints().await.iter().any(|complaint| complaint.contains("/absent.png")));
        browser.press("Return by").await;
        browser.wait_for_url("/first").await;
        browser.click("a").await;
        browser.back().await;
        assert_eq!(browser.url().await.path(), "/first");

        let cookies = browser.cookies().await;
        assert!(cookies.iter().any(|cookie| cookie.name == "seen" && cookie.http_only == Some(true)), "{cookies:?}");

        let first = browser.tab().await;
        let second = browser.new_tab().await;
        browser.goto(format!("{base}/second")).await;
        browser.switch_to(&first).await;
        assert_eq!(browser.text("h1").await, "Before the click");
        browser.switch_to(&second).await;
        assert_eq!(browser.text("h1").await, "After the link");

        let directory = tempfile::tempdir().unwrap();
        let picture = directory.path().join("page.png");
        browser.screenshot(&picture).await;
        assert!(std::fs::read(picture).unwrap().starts_with(b"\x89PNG"));
    })
    .await;
}

#[tokio::test]
async fn a_phone_is_narrow_and_scripts_can_be_off() {
    with_pages(async |base| {
        let phone = Browser::phone().await;
        phone.goto(format!("{base}/first")).await;
        assert_eq!(phone.script("return innerWidth").await, 390);
        phone.press("Confirm").await;
        phone.wait_for_text("active").await;
        drop(phone);

        let browser = Browser::without_scripts().await;
        browser.goto(format!("{base}/first")).await;
        assert_eq!(browser.text("#scripts").await, "Scripts are off.");
        browser.press("Second page").await;
        browser.wait_for_text("After the link").await;
    })
    .await;
}

#[tokio::test]
async fn a_wait_in_vain_says_who_waited_for_what_and_what_the_page_says() {
    with_pages(async |base| {
        let browser = Browser::desktop().await.with_patience(Duration::from_millis(300));
        browser.goto(format!("{base}/first")).await;
        let story_line = line!() + 1;
        let wait = AssertUnwindSafe(browser.wait_for_text("Your subscription is active")).catch_unwind();
        let panic = wait.await.expect_err("the page never says so");
        let message = panic.downcast_ref::<String>().unwrap();
        for part in [&format!("browser.rs:{story_line}:"), "Your subscription is active", "/first", "Before the click"]
        {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_of_the_browser_outlives_it() {
    let browser = Browser::desktop().await;
    let home = browser.chromedriver.home.path().to_owned();
    let processes = || {
        let all = Command::new("ps").args(["-A", "-o", "args="]).output().unwrap().stdout;
        String::from_utf8_lossy(&all).lines().filter(|line| line.contains(home.to_str().unwrap())).count()
    };
    assert!(processes() > 0);
    // Not the polite way: nobody asks the browser to close. It is what remains when a test process is killed.
    browser.driver.clone().leak().unwrap();
    drop(browser);
    let deadline = Instant::now() + PATIENCE;
    while processes() > 0 || home.exists() {
        assert!(Instant::now() < deadline, "the browser still runs, or its files are still there");
        tokio::time::sleep(PAUSE).await;
    }
}
