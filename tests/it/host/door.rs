//! HTTP functions: routes, keys, and what passes through unchanged.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use marketplace_fulfillment::dev::host::{Ended, Event, Outcome};
use reqwest::Method;
use tokio::sync::oneshot;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::{Stage, calls, client, done, handler, http_function, noting, outcomes, serving, start, story};

const MEGABYTE: u64 = 1024 * 1024;

fn page() -> Stage {
    Stage::new(&[
        ("page", http_function("get", "anonymous", "page")),
        ("form", http_function("post", "anonymous", "form")),
    ])
}

#[test]
fn a_request_goes_to_the_function_whose_route_and_method_it_has() {
    story(async {
        let stage = Stage::new(&[
            ("exact", http_function("get", "anonymous", "orders/latest")),
            ("one", http_function("get", "anonymous", "orders/{id}")),
            ("all", http_function("get", "anonymous", "orders/{*path}")),
            ("form", http_function("post", "anonymous", "form")),
        ]);
        let (handler, _) = noting(done);
        let host = stage.start(handler).await;
        for (method, path, status, function) in [
            (Method::GET, "/api/orders/latest", 200, Some("exact")),
            (Method::GET, "/API/Orders/LATEST/", 200, Some("exact")),
            (Method::GET, "/api/orders/7", 200, Some("one")),
            (Method::GET, "/api/orders/7/lines", 200, Some("all")),
            (Method::GET, "/api/orders", 200, Some("all")),
            (Method::POST, "/api/form", 200, Some("form")),
            (Method::GET, "/api/form", 404, None),
            (Method::POST, "/api/orders/7", 404, None),
            (Method::GET, "/orders/7", 404, None),
            (Method::GET, "/api", 404, None),
            (Method::GET, "/", 200, None),
            (Method::POST, "/", 404, None),
            (Method::GET, "/admin/host/ping", 200, None),
        ] {
            let before = super::invocations(&host).len();
            let response = client().request(method.clone(), host.url().join(path).unwrap()).send().await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{method} {path}");
            let invoked = super::invocations(&host).split_off(before);
            assert_eq!(invoked.first().map(|invocation| invocation.function.as_str()), function, "{method} {path}");
        }
        let home = client().get(host.url()).send().await.unwrap().text().await.unwrap();
        assert!(home.contains("up and running"), "{home}");
    });
}

#[test]
fn keys_are_asked_for_only_where_the_host_is_told_to() {
    for (key, header, query, path, status) in [
        (None, None, "", "/api/locked", 200),
        (Some("k1"), None, "", "/api/open", 200),
        (Some("k1"), None, "", "/api/locked", 401),
        (Some("k1"), Some("wrong"), "", "/api/locked", 401),
        (Some("k1"), Some("k1"), "", "/api/locked", 200),
        (Some("k1"), None, "?code=k1", "/api/locked", 200),
        (Some("k1"), None, "?code=k2", "/api/locked", 401),
        (Some("k1"), None, "", "/api/admin-only", 401),
        (Some("k1"), None, "", "/admin/functions/open", 401),
    ] {
        story(async move {
            let stage = Stage::new(&[
                ("open", http_function("get", "anonymous", "open")),
                ("locked", http_function("get", "function", "locked")),
                ("office", http_function("get", "admin", "admin-only")),
            ]);
            let (handler, seen) = noting(done);
            let mut options = stage.options(handler);
            options.enable_auth = key.map(str::to_owned);
            let host = start(options).await.unwrap();
            let mut request = client().get(host.url().join(&format!("{path}{query}")).unwrap());
            if let Some(header) = header {
                request = request.header("x-functions-key", header);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{key:?} {header:?} {path}{query}");
            assert_eq!(calls(&seen).len(), usize::from(status == 200), "the handler never sees a refused request");
        });
    }
}

#[test]
fn the_handler_sees_the_request_as_it_came_but_for_the_proxys_headers() {
    story(async {
        let stage = page();
        let (handler, seen) = noting(done);
        let host = stage.start(handler).await;
        let response = client()
            .get(host.url().join("/api/page?token=a%2Bb&x=1&x=2").unwrap())
            .header("cookie", "a=1; b=2")
            .header("x-forwarded-for", "203.0.113.9")
            .header("x-forwarded-host", "evil.example")
            .header("x-ms-client-principal", "forged")
            .header("x-ms-token-aad-id-token", "forged")
            .header("x-ms-client-request-id", "kept")
            .header("connection", "x-private")
            .header("x-private", "for the proxy only")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let call = calls(&seen).remove(0);
        assert_eq!((call.method.as_str(), call.target.as_str()), ("GET", "/api/page?token=a%2Bb&x=1&x=2"));
        assert_eq!(call.header("cookie"), Some("a=1; b=2"));
        let outside = host.url();
        let authority = outside.authority();
        assert_eq!(call.header("x-forwarded-host"), Some(authority));
        assert_eq!(call.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(call.header("x-forwarded-proto"), Some("http"));
        assert_eq!(call.headers.get_all("x-forwarded-for").iter().count(), 1);
        let inside = call.header("host").unwrap();
        assert!(inside.starts_with("127.0.0.1:") && inside != authority, "{inside}");
        assert_eq!(call.header("x-ms-client-request-id"), Some("kept"));
        for absent in
            ["x-ms-client-principal", "x-ms-token-aad-id-token", "x-private", "content-length", "transfer-encoding"]
        {
            assert_eq!(call.header(absent), None, "{absent}");
        }
        let id = super::invocations(&host)[0].id.clone();
        assert_eq!(call.header("x-azure-functions-invocationid"), Some(id.as_str()));
        assert_eq!(call.header("x-ms-invocation-id"), Some(id.as_str()));
        assert!(call.header("x-azure-functions-hostversion").is_some());
    });
}

#[test]
fn redirects_and_cookies_reach_the_browser_as_they_are() {
    story(async {
        let host = page()
            .start(handler(|_| {
                let mut response = warp::http::StatusCode::SEE_OTHER.into_response();
                let headers = response.headers_mut();
                headers.insert("location", "/api/page?next=1".parse().unwrap());
                headers.append("set-cookie", "__Host-a=1; Path=/; Secure; HttpOnly".parse().unwrap());
                headers.append("set-cookie", "__Host-b=2; Path=/; Secure".parse().unwrap());
                std::future::ready(response)
            }))
            .await;
        let response = client().post(host.url().join("/api/form").unwrap()).body("a=b").send().await.unwrap();
        assert_eq!(response.status(), 303);
        assert_eq!(response.headers()["location"], "/api/page?next=1");
        let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["__Host-a=1; Path=/; Secure; HttpOnly", "__Host-b=2; Path=/; Secure"]);
        assert_eq!(outcomes(&host), [Outcome::Answered(303)]);
    });
}

#[test]
fn a_chunked_upload_arrives_whole() {
    story(async {
        let host = page()
            .start(handler(|call| {
                let length = call.body.len().to_string();
                assert_eq!(call.header("transfer-encoding"), Some("chunked"));
                std::future::ready(length.into_response())
            }))
            .await;
        let chunk = Bytes::from(vec![7; 64 * 1024]);
        let chunks = stream::iter((0..160).map(move |_| Ok::<_, Infallible>(chunk.clone())));
        let upload = client().post(host.url().join("/api/form").unwrap()).body(reqwest::Body::wrap_stream(chunks));
        assert_eq!(upload.send().await.unwrap().text().await.unwrap(), (10 * MEGABYTE).to_string());
    });
}

#[test]
fn a_body_that_announces_too_much_is_refused() {
    story(async {
        let (handler, seen) = noting(done);
        let host = page().start(handler).await;
        let never = stream::pending::<Result<Bytes, Infallible>>();
        let response = client()
            .post(host.url().join("/api/form").unwrap())
            .header("content-length", 100 * MEGABYTE + 1)
            .body(reqwest::Body::wrap_stream(never))
            .send()
            .await
            .unwrap();
        assert_eq!((response.status().as_u16(), calls(&seen).len()), (413, 0));
    });
}

/// Counts what was produced, and tells when nobody wants more.
struct Spring {
    produced: Arc<AtomicU64>,
    dry: Option<oneshot::Sender<()>>,
}

impl Drop for Spring {
    fn drop(&mut self) {
        let _ = self.dry.take().unwrap().send(());
    }
}

#[test]
fn an_answer_without_end_flows_as_fast_as_it_is_read_and_ends_with_its_reader() {
    story(async {
        let (dry, ran_dry) = oneshot::channel();
        let (produced, dry) = (Arc::new(AtomicU64::new(0)), Arc::new(std::sync::Mutex::new(Some(dry))));
        let counter = Arc::clone(&produced);
        let serve = serving(move || {
            let (produced, dry) = (Arc::clone(&counter), Arc::clone(&dry));
            let endless = warp::path!("api" / "page").map(move || {
                let spring = Spring { produced: Arc::clone(&produced), dry: dry.lock().unwrap().take() };
                let water = stream::repeat(Bytes::from(vec![0; 64 * 1024])).map(move |piece| {
                    spring.produced.fetch_add(piece.len() as u64, Ordering::SeqCst);
                    Ok::<_, Infallible>(piece)
                });
                warp::reply::stream(water).into_response()
            });
            endless.boxed()
        });
        let host = page().start(serve).await;
        let mut response = client().get(host.url().join("/api/page").unwrap()).send().await.unwrap();
        let mut read = 0;
        while read < 10 * MEGABYTE {
            read += response.chunk().await.unwrap().unwrap().len() as u64;
        }
        assert_eq!(host.in_flight(), 1, "an invocation lasts until its last byte");
        drop(response);
        ran_dry.await.unwrap();
        // What three pairs of socket buffers may hold, with much to spare; a host that hoards would be far above it.
        assert!(produced.load(Ordering::SeqCst) < read + 64 * MEGABYTE, "{produced:?}");
        host.idle().await;
    });
}

#[test]
fn what_stands_still_or_takes_too_long_is_given_up() {
    story(async {
        let stage = page();
        let stuck = || handler(|_| std::future::pending::<Response>());
        let mut options = stage.options(stuck());
        options.patience.activity = Duration::from_millis(200);
        let host = start(options).await.unwrap();
        host.until(|events| events.contains(&Event::Ready)).await;
        let response = client().get(host.url().join("/api/page").unwrap()).send().await.unwrap();
        assert_eq!((response.status().as_u16(), super::starts(&host)), (504, 1));

        let mut options = stage.options(stuck());
        options.patience.function = Some(Duration::from_millis(200));
        let host = start(options).await.unwrap();
        let response = client().get(host.url().join("/api/page").unwrap()).send().await.unwrap();
        assert_eq!(response.status(), 500);
        assert!(host.events().contains(&Event::Ended(Ended::Killed)));
    });
}

#[test]
fn a_killed_handler_breaks_off_its_requests_and_the_next_ones_wait_for_the_new_one() {
    story(async {
        let (heard, mut hear) = tokio::sync::mpsc::unbounded_channel();
        let host = page()
            .start(handler(move |call| {
                let heard = heard.clone();
                async move {
                    if call.method == "POST" {
                        heard.send(()).unwrap();
                        std::future::pending::<()>().await;
                    }
                    done()
                }
            }))
            .await;
        let request = client().post(host.url().join("/api/form").unwrap()).body("x").send();
        let (response, ()) = tokio::join!(request, async {
            hear.recv().await.unwrap();
            host.kill_handler().await;
        });
        assert_eq!(response.unwrap().status(), 502);
        let next = client().get(host.url().join("/api/page").unwrap()).send().await.unwrap();
        assert_eq!((next.status().as_u16(), super::starts(&host)), (200, 2));
    });
}
