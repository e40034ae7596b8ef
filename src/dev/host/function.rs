//! A function as its `function.json` describes it.

use serde::Deserialize;

use super::route::Route;
use super::schedule::Schedule;

/// The longest name of a queue, in characters (Azure's rule).
const QUEUE_NAME_MAX: usize = 63;

/// One function of the app.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// The name of its folder.
    pub(super) name: String,
    pub(super) trigger: Trigger,
}

/// What starts a function.
#[derive(Clone, Debug)]
pub(super) enum Trigger {
    Http(HttpTrigger),
    Queue(QueueTrigger),
    Timer(TimerTrigger),
}

#[derive(Clone, Debug)]
pub(super) struct HttpTrigger {
    pub(super) route: Route,
    /// In capitals; none means that every method is served.
    pub(super) methods: Vec<String>,
    pub(super) level: AuthLevel,
}

#[derive(Clone, Debug)]
pub(super) struct QueueTrigger {
    /// The name under which the message appears in `Data`.
    pub(super) name: String,
    pub(super) queue: String,
    /// `dataType: binary`: the message as base64, nothing merged into `Metadata`.
    pub(super) binary: bool,
}

#[derive(Clone, Debug)]
pub(super) struct TimerTrigger {
    /// The name under which the timer appears in `Data`.
    pub(super) name: String,
    pub(super) schedule: Schedule,
}

/// Who may call an HTTP function; `function` where the binding does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuthLevel {
    Anonymous,
    #[default]
    Function,
    Admin,
}

/// A binding as the file has it. Properties that change nothing here are not read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Binding {
    #[serde(rename = "type")]
    kind: String,
    direction: String,
    name: String,
    #[serde(default)]
    auth_level: AuthLevel,
    #[serde(default)]
    methods: Vec<String>,
    route: Option<String>,
    queue_name: Option<String>,
    data_type: Option<String>,
    schedule: Option<String>,
    #[serde(default)]
    run_on_startup: bool,
}

impl Function {
    /// Reads the bindings of the function `name`; the reason for a refusal is a sentence.
    pub(super) fn new(name: String, bindings: &[Binding], route_prefix: &str) -> Result<Self, String> {
        let shape: Vec<_> =
            bindings.iter().map(|binding| (binding.kind.as_str(), binding.direction.as_str())).collect();
        let trigger = match shape.as_slice() {
            [("httpTrigger", "in"), ("http", "out")] => Trigger::Http(bindings[0].http(&name, route_prefix)?),
            [("http", "out"), ("httpTrigger", "in")] => Trigger::Http(bindings[1].http(&name, route_prefix)?),
            [("queueTrigger", "in")] => Trigger::Queue(bindings[0].queue()?),
            [("timerTrigger", "in")] => Trigger::Timer(bindings[0].timer()?),
            other => {
                let list: Vec<_> = other.iter().map(|(kind, direction)| format!("{kind} ({direction})")).collect();
                return Err(format!(
                    "The bindings are [{}]. This stand-in knows an httpTrigger with an http output, a queueTrigger \
                     alone, and a timerTrigger alone.",
                    list.join(", ")
                ));
            }
        };
        Ok(Self { name, trigger })
    }
}

impl Binding {
    fn http(&self, function: &str, prefix: &str) -> Result<HttpTrigger, String> {
        Ok(HttpTrigger {
            route: Route::new(prefix, self.route.as_deref().unwrap_or(function))?,
            methods: self.methods.iter().map(|method| method.to_ascii_uppercase()).collect(),
            level: self.auth_level,
        })
    }

    fn queue(&self) -> Result<QueueTrigger, String> {
        let queue = self.queue_name.clone().unwrap_or_default();
        check_queue_name(&queue)?;
        let binary = match self.data_type.as_deref() {
            None | Some("string") => false,
            Some("binary") => true,
            Some(other) => return Err(format!("\"dataType\" is \"{other}\"; the stand-in knows string and binary.")),
        };
        Ok(QueueTrigger { name: self.name.clone(), queue, binary })
    }

    fn timer(&self) -> Result<TimerTrigger, String> {
        if self.run_on_startup {
            return Err("\"runOnStartup\" is not supported by this stand-in.".to_owned());
        }
        let text = self.schedule.as_deref().unwrap_or_default();
        let schedule = Schedule::parse(text).ok_or_else(|| {
            format!(
                "The schedule \"{text}\" is not supported by this stand-in, which knows \"0 */5 * * * *\" (every so many \
                 minutes) and \"0 17 * * * *\" (once an hour)."
            )
        })?;
        Ok(TimerTrigger { name: self.name.clone(), schedule })
    }
}

/// 3 to 63 lower-case letters, digits and single hyphens inside (Azure's rule for queue names).
pub(super) fn check_queue_name(name: &str) -> Result<(), String> {
    let wellformed = (3..=QUEUE_NAME_MAX).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !(name.starts_with('-') || name.ends_with('-') || name.contains("--"));
    if wellformed { Ok(()) } else { Err(format!("\"{name}\" is not a queue's name.")) }
}
