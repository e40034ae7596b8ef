//! Handlers that start, die and are started again, by the rules for exit codes.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use marketplace_fulfillment::dev::host::{Ended, Event, InProcess, Level};
use warp::Filter;

use super::{Handler, Stage, client, done, http_function, noting, serving, start, starts, story};

fn page() -> Stage {
    Stage::new(&[("page", http_function("get", "anonymous", "page"))])
}

/// A shell script as the handler.
fn script(lines: &str) -> Handler {
    Handler::Process { program: "sh".into(), args: vec!["-c".into(), lines.into()], env: Vec::new() }
}

fn ends(events: &[Event]) -> Vec<Ended> {
    let ends = events.iter().filter_map(|event| match event {
        Event::Ended(ended) => Some(*ended),
        _ => None,
    });
    ends.collect()
}

fn is_stopped(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::Stopped { .. }))
}

#[test]
fn the_third_death_stops_the_host() {
    for (lines, ended) in [("exit 7", Ended::Exited(7)), ("kill -9 $$", Ended::Signalled)] {
        story(async move {
            let stage = page();
            let host = stage.start(script(lines)).await;
            host.until(is_stopped).await;
            assert_eq!((starts(&host), ends(&host.events())), (3, vec![ended; 3]));
            let response = client().get(host.url().join("/api/page").unwrap()).send().await.unwrap();
            assert_eq!(response.status(), 503);
            host.idle().await;
        });
    }
}

#[test]
fn a_panic_is_a_death_too() {
    story(async {
        let serve: InProcess = Arc::new(|_| Box::pin(async { panic!("as a story wants it") }));
        let host = page().start(Handler::InProcess(serve)).await;
        host.until(is_stopped).await;
        assert_eq!(ends(&host.events()), [Ended::Exited(101); 3]);
    });
}

#[test]
fn half_an_hour_of_quiet_forgives_earlier_deaths() {
    story(async {
        let stage = page();
        // Dies at once twice, then whenever somebody writes into the pipe.
        let host = stage
            .start(script(
                "mkfifo die; echo x >> starts; [ $(wc -l < starts) -le 2 ] && exit 1; read word < die; exit 1",
            ))
            .await;
        host.until(|events| ends(events).len() == 2).await;
        // Open at both ends, so that writing never waits for a handler.
        let mut pipe = File::options().read(true).write(true).open(stage.folder.path().join("die")).unwrap();
        stage.hands.advance(time::Duration::minutes(30));
        for deaths in 3..=4 {
            pipe.write_all(b"now\n").unwrap();
            host.until(|events| ends(events).len() == deaths).await;
        }
        assert!(!is_stopped(&host.events()));
        pipe.write_all(b"now\n").unwrap();
        host.until(is_stopped).await;
        assert_eq!(starts(&host), 5);
    });
}

#[test]
fn exit_code_200_asks_for_a_restart_and_0_for_none() {
    story(async {
        let stage = page();
        let host = stage.start(script("echo x >> starts; [ $(wc -l < starts) -le 5 ] && exit 200; exit 0")).await;
        host.until(|events| ends(events).last() == Some(&Ended::Exited(0))).await;
        assert_eq!(ends(&host.events())[..5], [Ended::Exited(200); 5]);
        let asked = Instant::now();
        let response = client().get(host.url().join("/api/page").unwrap()).send().await.unwrap();
        assert_eq!(response.status(), 502, "the host believes that the handler is there");
        assert!(asked.elapsed() > Duration::from_secs(1), "and tries ten times, with growing pauses");
        assert_eq!((starts(&host), is_stopped(&host.events())), (6, false));
    });
}

#[test]
fn a_handler_that_never_answers_counts_as_dead() {
    story(async {
        let stage = page();
        let mute = serving(|| warp::any().then(std::future::pending::<warp::reply::Response>).boxed());
        let mut options = stage.options(mute);
        options.patience.initialization = Some(Duration::from_millis(100));
        let host = start(options).await.unwrap();
        host.until(is_stopped).await;
        assert_eq!(ends(&host.events()), [Ended::NeverReady; 3]);
    });
}

#[test]
fn a_process_gets_the_hosts_environment_and_its_output_is_graded() {
    story(async {
        let stage = page();
        let mut handler = script(
            "pwd; echo $FUNCTIONS_CUSTOMHANDLER_PORT $FUNCTIONS_HTTPWORKER_PORT $FUNCTIONS_APP_ROOT_PATH $EXTRA; \
             echo a Warning >&2; echo a fault >&2; exit 0",
        );
        if let Handler::Process { env, .. } = &mut handler {
            env.push(("EXTRA".to_owned(), "ours".to_owned()));
        }
        let host = stage.start(handler).await;
        host.until(|events| !ends(events).is_empty()).await;
        let events = host.events();
        let said = |wanted: Level| {
            let lines = events.iter().filter_map(|event| match event {
                Event::Said { level, line } if *level == wanted => Some(line.clone()),
                _ => None,
            });
            lines.collect::<Vec<_>>()
        };
        let [Event::Started { port }, ..] = events[..] else { panic!("{events:?}") };
        let root = stage.folder.path().display().to_string();
        let folder = std::fs::canonicalize(stage.folder.path()).unwrap().display().to_string();
        assert_eq!(said(Level::Information), [folder, format!("{port} {port} {root} ours")]);
        assert_eq!(said(Level::Warning), ["a Warning"]);
        assert_eq!(said(Level::Error), ["a fault"]);
    });
}

/// Not a story: the handler that the next one starts as a process of its own.
#[test]
#[ignore = "serves for ever, where a port is given"]
fn handler_process() {
    #[expect(clippy::disallowed_methods, reason = "a process of its own has only its environment to read")]
    let Ok(port) = std::env::var("FUNCTIONS_CUSTOMHANDLER_PORT") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pid = warp::any().map(|| std::process::id().to_string());
    runtime.block_on(warp::serve(pid).run(([127, 0, 0, 1], port.parse::<u16>().unwrap())));
}

#[test]
fn a_process_is_killed_and_replaced() {
    story(async {
        let program: PathBuf = std::env::current_exe().unwrap();
        let args = ["host::process::handler_process", "--exact", "--ignored"].map(str::to_owned).to_vec();
        let stage = page();
        let host = stage.start(Handler::Process { program, args, env: Vec::new() }).await;
        let url = host.url().join("/api/page").unwrap();
        let first = client().get(url.clone()).send().await.unwrap().text().await.unwrap();
        host.kill_handler().await;
        let second = client().get(url).send().await.unwrap().text().await.unwrap();
        assert!(first.parse::<u32>().is_ok() && second.parse::<u32>().is_ok() && first != second, "{first} {second}");
        assert_eq!((starts(&host), ends(&host.events())), (2, vec![Ended::Killed]));
    });
}

#[test]
fn kills_by_the_platform_never_stop_the_host() {
    story(async {
        let (handler, _) = noting(done);
        let host = page().start(handler).await;
        for _ in 0..5 {
            host.kill_handler().await;
        }
        let response = client().get(host.url().join("/api/page").unwrap()).send().await.unwrap();
        assert_eq!((response.status().as_u16(), starts(&host)), (200, 6));
    });
}
