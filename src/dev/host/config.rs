//! What `host.json` and the `function.json` files say, checked as the Functions host checks it, and refused where it asks
//! for something that this stand-in does not do: silence would be a promise.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::StartError;
use super::function::{Function, Trigger};

/// The host's own default where `host.json` names no `functionTimeout` (Flex Consumption).
const FUNCTION_TIMEOUT: Duration = Duration::from_mins(30);
/// How long the host waits for a started handler to answer, by default (`HttpWorkerOptions`).
const INITIALIZATION_TIMEOUT: Duration = Duration::from_secs(30);
/// For how long a received message stays invisible. Fixed in the queue extension, which renews it while the function runs.
pub(super) const RECEIVE_VISIBILITY: Duration = Duration::from_mins(10);
/// The largest batch that the queue extension allows.
const BATCH_MAX: usize = 32;
/// The longest name of a function, in characters (the host's `Utility.cs`).
const FUNCTION_NAME_MAX: usize = 128;

/// The whole configuration of an app.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) function_timeout: Duration,
    pub(super) initialization_timeout: Duration,
    pub(super) queues: QueueRules,
    pub(super) functions: Vec<Function>,
}

/// `extensions.queues` of `host.json`, with the extension's defaults.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueRules {
    pub(super) visibility_timeout: Duration,
    pub(super) batch_size: usize,
    pub(super) new_batch_threshold: usize,
    pub(super) max_dequeue_count: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HostJson {
    version: String,
    function_timeout: Option<String>,
    custom_handler: Option<CustomHandler>,
    #[serde(default)]
    extensions: Extensions,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomHandler {
    description: Description,
    #[serde(default)]
    enable_proxying_http_request: bool,
    #[serde(default)]
    enable_forwarding_http_request: bool,
    initialization_timeout: Option<String>,
    port: Option<u16>,
    http: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    #[serde(default)]
    default_executable_path: String,
}

#[derive(Default, Deserialize)]
struct Extensions {
    #[serde(default)]
    http: HttpExtension,
    #[serde(default)]
    queues: QueuesExtension,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpExtension {
    route_prefix: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueuesExtension {
    max_polling_interval: Option<String>,
    visibility_timeout: Option<String>,
    batch_size: Option<usize>,
    new_batch_threshold: Option<usize>,
    max_dequeue_count: Option<u32>,
    message_encoding: Option<String>,
}

#[derive(Deserialize)]
struct FunctionJson {
    #[serde(default)]
    disabled: bool,
    bindings: Vec<super::function::Binding>,
}

impl Config {
    /// Reads the app below `root`: `functions/<name>/function.json` where that folder exists (the repository), else
    /// `<name>/function.json` (what is deployed).
    pub(super) fn read(root: &Path) -> Result<Self, StartError> {
        let path = root.join("host.json");
        let host: HostJson = parse(&path)?;
        let refuse = |reason: String| StartError::Invalid { path: path.clone(), reason };
        if host.version != "2.0" {
            return Err(refuse(format!("\"version\" is \"{}\"; the host knows \"2.0\".", host.version)));
        }
        let handler = host.custom_handler.ok_or_else(|| refuse("There is no \"customHandler\".".to_owned()))?;
        handler.check().map_err(&refuse)?;
        let prefix = host.extensions.http.route_prefix.unwrap_or_else(|| "api".to_owned());
        let functions = read_functions(root, &prefix)?;
        if handler.http.is_some() && !functions.is_empty() {
            return Err(refuse(
                "Detected both function.json files and custom handler HTTP route configuration (customHandler.http)."
                    .to_owned(),
            ));
        }
        if functions.is_empty() {
            return Err(StartError::NoFunctions(root.to_owned()));
        }
        let config = Self {
            function_timeout: duration(host.function_timeout.as_deref(), FUNCTION_TIMEOUT, "functionTimeout")
                .map_err(&refuse)?,
            initialization_timeout: duration(
                handler.initialization_timeout.as_deref(),
                INITIALIZATION_TIMEOUT,
                "customHandler.initializationTimeout",
            )
            .map_err(&refuse)?,
            queues: host.extensions.queues.rules().map_err(&refuse)?,
            functions,
        };
        if config.function_timeout >= RECEIVE_VISIBILITY && config.queue_names().next().is_some() {
            return Err(refuse(
                "\"functionTimeout\" must be below 10 minutes: a received message is invisible for that long, and this \
                 stand-in does not renew it as the real host does."
                    .to_owned(),
            ));
        }
        Ok(config)
    }

    /// The queues that have a function.
    pub(super) fn queue_names(&self) -> impl Iterator<Item = &str> {
        self.functions.iter().filter_map(|function| match &function.trigger {
            Trigger::Queue(trigger) => Some(trigger.queue.as_str()),
            _ => None,
        })
    }
}

impl CustomHandler {
    fn check(&self) -> Result<(), String> {
        if self.description.default_executable_path.is_empty() {
            return Err("\"customHandler.description.defaultExecutablePath\" is empty.".to_owned());
        }
        if !(self.enable_proxying_http_request && self.enable_forwarding_http_request) {
            return Err("\"enableProxyingHttpRequest\" and \"enableForwardingHttpRequest\" must both be on: this \
                        stand-in passes HTTP requests through and knows no other form."
                .to_owned());
        }
        if self.port.is_some() {
            return Err("\"customHandler.port\" is not supported by this stand-in, which picks a free port.".to_owned());
        }
        Ok(())
    }
}

impl QueuesExtension {
    fn rules(&self) -> Result<QueueRules, String> {
        let batch_size = self.batch_size.unwrap_or(16);
        if !(1..=BATCH_MAX).contains(&batch_size) {
            return Err(format!("\"extensions.queues.batchSize\" is {batch_size}; it must be 1 to {BATCH_MAX}."));
        }
        let max_dequeue_count = self.max_dequeue_count.unwrap_or(5);
        if max_dequeue_count == 0 {
            return Err("\"extensions.queues.maxDequeueCount\" must be at least 1.".to_owned());
        }
        match self.message_encoding.as_deref() {
            None | Some("base64" | "none") => {}
            Some(other) => {
                return Err(format!(
                    "\"extensions.queues.messageEncoding\" is \"{other}\"; the host knows \"base64\" and \"none\"."
                ));
            }
        }
        // Checked only: whoever polls memory is told of a message at once.
        duration(self.max_polling_interval.as_deref(), Duration::ZERO, "extensions.queues.maxPollingInterval")?;
        Ok(QueueRules {
            visibility_timeout: duration(
                self.visibility_timeout.as_deref(),
                Duration::ZERO,
                "extensions.queues.visibilityTimeout",
            )?,
            batch_size,
            new_batch_threshold: self.new_batch_threshold.unwrap_or(batch_size / 2),
            max_dequeue_count,
        })
    }
}

fn read_functions(root: &Path, prefix: &str) -> Result<Vec<Function>, StartError> {
    let nested = root.join("functions");
    let folder = if nested.is_dir() { nested } else { root.to_owned() };
    let unreadable = |source| StartError::Unreadable { path: folder.clone(), source };
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path().join("function.json");
        if path.is_file() {
            found.insert(folder_name(&path), path);
        }
    }
    let mut functions = Vec::with_capacity(found.len());
    for (name, path) in found {
        let refuse = |reason| StartError::Invalid { path: path.clone(), reason };
        check_name(&name).map_err(refuse)?;
        let file: FunctionJson = parse(&path)?;
        if !file.disabled {
            functions.push(Function::new(name, &file.bindings, prefix).map_err(refuse)?);
        }
    }
    Ok(functions)
}

fn folder_name(path: &Path) -> String {
    path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned()
}

/// `^[a-z][a-z0-9_\-]{0,127}$` ignoring case, and not `host` (the host's `Utility.cs`).
fn check_name(name: &str) -> Result<(), String> {
    let wellformed = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && name.len() <= FUNCTION_NAME_MAX;
    if !wellformed || name.eq_ignore_ascii_case("host") {
        return Err(format!(
            "\"{name}\" is not a function's name: a letter, then letters, digits, \"_\" and \"-\", and not \"host\"."
        ));
    }
    Ok(())
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, StartError> {
    let text = std::fs::read(path).map_err(|source| StartError::Unreadable { path: path.to_owned(), source })?;
    let mut json = serde_json::Deserializer::from_slice(&text);
    serde_path_to_error::deserialize(&mut json)
        .map_err(|error| StartError::Invalid { path: PathBuf::from(path), reason: format!("{error}.") })
}

fn duration(text: Option<&str>, default: Duration, key: &str) -> Result<Duration, String> {
    let Some(text) = text else { return Ok(default) };
    parse_duration(text).ok_or_else(|| format!("\"{key}\" is \"{text}\"; it must read hh:mm:ss."))
}

/// The part of .NET's `TimeSpan` that such files use: `[d.]hh:mm:ss`.
fn parse_duration(text: &str) -> Option<Duration> {
    let (days, clock) = text.split_once('.').unwrap_or(("0", text));
    let mut parts = clock.split(':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let days = days.parse::<u64>().ok().filter(|days| *days <= 7)?;
    Some(Duration::from_secs(((days * 24 + hours) * 60 + minutes) * 60 + seconds))
}
