//! `infra/smoke`: what it says of an app that comes up late, one that is ill, and one that is not there.

use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::process::Command;
use warp::Filter as _;
use warp::http::StatusCode;

/// How long a script may take for what it does in a second.
const PATIENCE: Duration = Duration::from_mins(1);

const KEY: &str = "the-master-key";

/// An app that answers `late` times 503 before it is well, and whose doctor has this to say.
async fn app(late: usize, doctor: StatusCode) -> String {
    let asked = Arc::new(AtomicUsize::new(0));
    let health = warp::path!("api" / "health").map(move || {
        let early = asked.fetch_add(1, Ordering::SeqCst) < late;
        warp::reply::with_status("{}", if early { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK })
    });
    let doctor = warp::path!("api" / "doctor").and(warp::header("x-functions-key")).map(move |key: String| {
        let status = if key == KEY { doctor } else { StatusCode::UNAUTHORIZED };
        warp::reply::with_status("what the doctor said", status)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "the server of this story, which ends with its runtime")]
    tokio::spawn(warp::serve(health.or(doctor)).incoming(listener).run());
    url
}

async fn smoke(arguments: &[&str], key: Option<&str>) -> (bool, String) {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/infra/smoke"));
    command.args(arguments).env_remove("ADMIN_KEY").envs(key.map(|key| ("ADMIN_KEY", key))).stdin(Stdio::null());
    command.env("NO_PROXY", "127.0.0.1").kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("the script ends").unwrap();
    let Output { status, stdout, stderr } = output;
    (status.success(), [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat())
}

#[tokio::test]
async fn an_app_that_comes_up_late_is_well() {
    let (well, said) = smoke(&["--patience", "30", &app(1, StatusCode::OK).await], None).await;
    assert!(well && said.contains("health: ok") && !said.contains("doctor"), "{said}");
}

#[tokio::test]
async fn the_doctor_is_asked_with_the_key_and_believed() {
    for (found, key, well) in [
        (StatusCode::OK, KEY, true),
        (StatusCode::SERVICE_UNAVAILABLE, KEY, false),
        (StatusCode::OK, "another-key", false),
    ] {
        let url = app(0, found).await + "/";
        let (judged, said) = smoke(&[&url], Some(key)).await;
        assert_eq!(judged, well, "{found} {key}: {said}");
        assert!(said.contains("what the doctor said"), "{found} {key}: {said}");
        assert!(!said.contains(key), "the key is in what was said: {said}");
    }
}

#[tokio::test]
async fn an_app_that_is_not_there_is_not_waited_for_for_ever() {
    let url = app(usize::MAX, StatusCode::OK).await;
    let table: [(&[&str], &str); 4] = [
        (&["--patience", "0", &url], "the last answer was 503"),
        (&["--patience", "0", "http://127.0.0.1:9"], "the last answer was 000"),
        (&["contoso.example"], "the app's URL is needed"),
        (&["--impatience"], "--impatience is not an option"),
    ];
    for (arguments, says) in table {
        let (well, said) = smoke(arguments, Some(KEY)).await;
        assert!(!well && said.contains(says), "{arguments:?}: {said}");
    }
}
