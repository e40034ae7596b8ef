//! What the host refuses to start with, and that it starts with what we ship.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Stage, client, done, host_json, http_function, noting, queue_function, start, story, write};

/// The sentence with which the host refuses.
async fn refusal(stage: &Stage) -> String {
    let (handler, _) = noting(done);
    start(stage.options(handler)).await.expect_err("the host should refuse").to_string()
}

#[test]
fn a_host_json_that_the_host_does_not_take_is_refused() {
    for (pointer, value, words) in [
        ("/version", json!("1.0"), "version"),
        ("/customHandler", Value::Null, "customHandler"),
        ("/customHandler/description/defaultExecutablePath", json!(""), "defaultExecutablePath"),
        ("/customHandler/enableProxyingHttpRequest", json!(false), "enableProxyingHttpRequest"),
        ("/customHandler/enableForwardingHttpRequest", json!(false), "enableForwardingHttpRequest"),
        ("/functionTimeout", json!("5 minutes"), "functionTimeout"),
        ("/functionTimeout", json!("00:10:00"), "below 10 minutes"),
        ("/extensions/queues/batchSize", json!(33), "batchSize"),
        ("/extensions/queues/batchSize", json!("many"), "extensions.queues.batchSize"),
        ("/extensions/queues/visibilityTimeout", json!("00:99:00"), "visibilityTimeout"),
    ] {
        story(async move {
            let stage = Stage::new(&[("work", queue_function())]);
            let mut host = host_json();
            *host.pointer_mut(pointer).unwrap() = value;
            write(stage.folder.path(), "host.json", &host);
            let refusal = refusal(&stage).await;
            assert!(refusal.contains("host.json") && refusal.contains(words), "{pointer}: {refusal}");
        });
    }
}

#[test]
fn routes_in_host_json_exclude_functions_in_folders() {
    story(async {
        let stage = Stage::new(&[("work", queue_function())]);
        let mut host = host_json();
        host["customHandler"]["http"] = json!({"routes": [{"route": "{*route}"}]});
        write(stage.folder.path(), "host.json", &host);
        assert!(refusal(&stage).await.contains("Detected both"));
    });
}

#[test]
fn a_function_that_the_host_would_not_run_is_refused() {
    let queue = |changes: Value| {
        let mut binding = queue_function()[0].clone();
        binding.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!([binding])
    };
    let mut two_outputs = http_function("get", "anonymous", "page");
    two_outputs.as_array_mut().unwrap().push(json!({"type": "queue", "direction": "out", "name": "q"}));
    let timer =
        |schedule: &str| json!([{"type": "timerTrigger", "direction": "in", "name": "t", "schedule": schedule}]);
    for (name, bindings, words) in [
        ("1st", queue_function(), "not a function's name"),
        ("host", queue_function(), "not a function's name"),
        ("work", json!([]), "The bindings are []"),
        ("work", json!([{"type": "blobTrigger", "direction": "in", "name": "b"}]), "blobTrigger (in)"),
        ("work", two_outputs, "queue (out)"),
        ("work", queue(json!({"queueName": "Jobs"})), "not a queue's name"),
        ("work", queue(json!({"dataType": "stream"})), "dataType"),
        ("work", http_function("get", "anonymous", "admin/page"), "keeps for itself"),
        ("work", http_function("get", "anonymous", "a/{*rest}/b"), "may only be last"),
        ("work", http_function("get", "anonymous", "a/{id:int}"), "not supported"),
        ("work", http_function("get", "everybody", "a"), "authLevel"),
        ("work", timer("0 0 9 * * MON"), "not supported"),
        ("work", timer("0 */0 * * * *"), "not supported"),
    ] {
        story(async move {
            let stage = Stage::new(&[(name, bindings)]);
            let refusal = refusal(&stage).await;
            assert!(refusal.contains("function.json") && refusal.contains(words), "{name}: {refusal}");
        });
    }
}

#[test]
fn an_app_without_functions_or_without_its_handler_is_refused() {
    story(async {
        assert!(refusal(&Stage::new(&[])).await.contains("there is no function"));
        let stage = Stage::new(&[("work", queue_function())]);
        let nowhere = super::Handler::Process { program: "/nowhere/handler".into(), args: Vec::new(), env: Vec::new() };
        let error = start(stage.options(nowhere)).await.expect_err("there is no such program").to_string();
        assert!(error.contains("cannot be started"), "{error}");
        std::fs::write(stage.folder.path().join("host.json"), "{").unwrap();
        assert!(refusal(&stage).await.contains("host.json"));
    });
}

/// Answers 200 wherever a function with this route and method exists.
async fn ask(stage: &Stage, root: &Path) -> Vec<u16> {
    let (handler, _) = noting(done);
    let mut options = stage.options(handler);
    options.app_root = root.to_owned();
    let host = start(options).await.unwrap();
    let mut statuses = Vec::new();
    for (method, path) in [
        ("GET", "landing"),
        ("POST", "signin"),
        ("POST", "confirm"),
        ("GET", "progress"),
        ("GET", "health"),
        ("GET", "subscriptions"),
        ("GET", "subscriptions/1/plans"),
        ("POST", "landing"),
    ] {
        let url = host.url().join(&format!("/api/{path}")).unwrap();
        statuses.push(client().request(method.parse().unwrap(), url).send().await.unwrap().status().as_u16());
    }
    stage.queues.put("activations", b"{}".to_vec(), time::Duration::ZERO).unwrap();
    host.idle().await;
    statuses.push(u16::try_from(stage.queues.len("activations")).unwrap());
    statuses
}

#[test]
fn what_we_ship_runs_from_the_repository_and_as_it_is_staged() {
    story(async {
        let expected = [200, 200, 200, 200, 200, 200, 200, 404, 0];
        let stage = Stage::new(&[]);
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(ask(&stage, repository).await, expected);

        let staged = TempDir::new().unwrap();
        std::fs::copy(repository.join("host.json"), staged.path().join("host.json")).unwrap();
        for function in std::fs::read_dir(repository.join("functions")).unwrap() {
            let function = function.unwrap();
            let folder = staged.path().join(function.file_name());
            std::fs::create_dir(&folder).unwrap();
            std::fs::copy(function.path().join("function.json"), folder.join("function.json")).unwrap();
        }
        assert_eq!(ask(&stage, staged.path()).await, expected);
    });
}
