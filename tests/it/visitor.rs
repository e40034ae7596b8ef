//! A person with a browser, as far as HTTP shows one: follows redirects, keeps the app's cookies, fills in forms. For
//! stories in which no script and no layout matters; `browser.rs` drives the real thing.

use std::cell::RefCell;

use reqwest::Method;
use serde_json::Value;
use url::Url;

/// The most redirects followed in a row.
const REDIRECTS: usize = 10;

pub(crate) struct Visitor {
    http: reqwest::Client,
    app: Url,
    cookies: RefCell<Vec<(String, String)>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Entra's answer, on its way from the simulator's page to our `signin`.
#[derive(Clone, Debug)]
pub(crate) struct SigninAnswer {
    pub(crate) action: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Visitor {
    pub(crate) fn new(http: reqwest::Client, app: Url) -> Self {
        Self { http, app, cookies: RefCell::default() }
    }

    /// The names and values of the cookies kept for the app.
    pub(crate) fn cookies(&self) -> Vec<(String, String)> {
        self.cookies.borrow().clone()
    }

    fn keep_cookie(&self, name: &str, value: &str) {
        let mut cookies = self.cookies.borrow_mut();
        cookies.retain(|(kept, _)| kept != name);
        cookies.push((name.to_owned(), value.to_owned()));
    }

    /// One request, redirects not followed.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &Url,
        form: Option<&[(String, String)]>,
        headers: &[(&str, &str)],
    ) -> Page {
        let mut request = self.http.request(method, url.clone());
        let ours = url.origin() == self.app.origin();
        let kept = self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        if ours && !kept.is_empty() {
            request = request.header("cookie", kept.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(form) = form {
            request = request.form(form);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{url}: {error}"));
        let status = answer.status().as_u16();
        let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap().to_owned();
        let headers: Vec<_> =
            answer.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        if ours {
            for (_, cookie) in headers.iter().filter(|(name, _)| name == "set-cookie") {
                self.take_cookie(cookie);
            }
        }
        // An answer that broke off is the handler's death, which a proxy tells before the first byte as 502.
        let (status, body) = answer.text().await.map_or((502, String::new()), |body| (status, body));
        Page { status, url: url.clone(), headers, body }
    }

    fn take_cookie(&self, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        let (name, value) = pair.split_once('=').unwrap();
        self.keep_cookie(name, value);
        if attributes.contains("Max-Age=0") {
            self.cookies.borrow_mut().retain(|(kept, _)| kept != name);
        }
    }

    /// Goes to a URL and follows redirects within the app.
    pub(crate) async fn goto(&self, url: &str) -> Page {
        let page = self.send(Method::GET, &Url::parse(url).unwrap(), None, &[]).await;
        self.follow(page).await
    }

    pub(crate) async fn follow(&self, mut page: Page) -> Page {
        for _ in 0..REDIRECTS {
            match page.location() {
                Some(to) if to.origin() == self.app.origin() => page = self.send(Method::GET, &to, None, &[]).await,
                _ => return page,
            }
        }
        panic!("more than {REDIRECTS} redirects, the last to {}", page.url);
    }

    /// Signs in on Entra's page as `person`, and brings back Entra's answer without posting it.
    pub(crate) async fn sign_in(&self, authorize: &Url, person: &str) -> SigninAnswer {
        let choose = self.send(Method::GET, authorize, None, &[]).await;
        assert_eq!(choose.status, 200, "{}", choose.body);
        let form: Vec<_> = authorize.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
        let form = [form, vec![("person".to_owned(), person.to_owned())]].concat();
        let mut post = authorize.clone();
        post.set_query(None);
        let answer = self.send(Method::POST, &post, Some(&form), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let fields = ["id_token", "state", "error"].into_iter();
        let fields = fields.filter_map(|name| Some((name.to_owned(), answer.input(name)?))).collect();
        SigninAnswer { action: answer.attribute("<form", "action").expect("a form that goes back"), fields }
    }

    /// Posts Entra's answer to the app, as its page makes the browser do, and follows where that leads.
    pub(crate) async fn post_answer(&self, answer: &SigninAnswer) -> Page {
        let headers = [("origin", "http://localhost"), ("sec-fetch-site", "cross-site")];
        let url = Url::parse(&answer.action).unwrap();
        let page = self.send(Method::POST, &url, Some(&answer.fields), &headers).await;
        self.follow(page).await
    }

    /// Comes from the marketplace, signs in as `person` where asked to, and ends on a page of the app.
    pub(crate) async fn arrive(&self, landing_url: &str, person: &str) -> Page {
        let page = self.goto(landing_url).await;
        match page.location() {
            Some(authorize) => self.post_answer(&self.sign_in(&authorize, person).await).await,
            None => page,
        }
    }

    /// Presses the button of the confirm page, and follows where that leads.
    pub(crate) async fn confirm(&self, page: &Page) -> Page {
        let answer = self.confirm_with(page, &[("sec-fetch-site", "same-origin")]).await;
        self.follow(answer).await
    }

    /// Posts the confirm page's form with these headers.
    pub(crate) async fn confirm_with(&self, page: &Page, headers: &[(&str, &str)]) -> Page {
        let field = |name: &str| {
            let value = page.input(name).unwrap_or_else(|| panic!("no field {name} on: {}", page.text()));
            (name.to_owned(), value)
        };
        let form = [field("subscription"), field("form_token")];
        let url = page.url.join(&page.attribute("<form", "action").unwrap()).unwrap();
        self.send(Method::POST, &url, Some(&form), headers).await
    }
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Where the page sends the browser.
    pub(crate) fn location(&self) -> Option<Url> {
        self.header("location").map(|location| self.url.join(location).unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The page's text without its markup.
    pub(crate) fn text(&self) -> String {
        let body = self.body.split_once("<body").map_or(self.body.as_str(), |(_, body)| body);
        let mut text = String::new();
        let mut inside = body.starts_with(|c| c != '<') && body.len() != self.body.len();
        for character in body.chars() {
            match character {
                '<' => inside = true,
                '>' => inside = false,
                _ if !inside => text.push(character),
                _ => {}
            }
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The value of the form field of this name.
    pub(crate) fn input(&self, name: &str) -> Option<String> {
        let field = self.body.split("<input").find(|input| {
            let tag = input.split('>').next().unwrap_or_default();
            tag.contains(&format!("name=\"{name}\""))
        })?;
        attribute(field, "value")
    }

    /// An attribute of the first tag that begins so.
    pub(crate) fn attribute(&self, tag: &str, name: &str) -> Option<String> {
        attribute(self.body.split_once(tag)?.1, name)
    }
}

fn attribute(after_tag: &str, name: &str) -> Option<String> {
    let tag = after_tag.split('>').next()?;
    let value = tag.split_once(&format!("{name}=\""))?.1.split('"').next()?;
    let decoded = value.replace("&#38;", "&").replace("&amp;", "&").replace("&#x2F;", "/").replace("&#47;", "/");
    Some(decoded.replace("&#34;", "\"").replace("&quot;", "\"").replace("&#43;", "+").replace("&#61;", "="))
}
