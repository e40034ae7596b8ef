//! What the compiler does not check: who imports whom, how long things are, and that documents say what the code says.
//!
//! Each rule is a function from sources to breaches, so that it is tried on invented breaches as well as on the tree.

pub(crate) mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use marketplace_fulfillment::duty::{Kind, Verdict};
use marketplace_fulfillment::entitlement::Why;
use marketplace_fulfillment::error::Code;
use marketplace_fulfillment::history::{Actor, Happening};
use marketplace_fulfillment::settings::{KEYS, Settings};
use marketplace_fulfillment::subscription::Status;

use self::source::{Mention, Source};

/// The longest file and the longest function, in lines that hold code. Longer ones do more than one thing.
const FILE_LENGTH: usize = 400;
const FUNCTION_LENGTH: usize = 70;

/// The rules and what they speak about: values only.
const PURE: [&str; 15] = [
    "subscription",
    "snapshot",
    "event",
    "duty",
    "entitlement",
    "difference",
    "history",
    "deadline",
    "opaque",
    "outbox",
    "circuit",
    "policy",
    "person",
    "error",
    "trace",
];

/// What a pure module has no use for: JSON, async, HTTP, and the outside world.
const IMPURE_CRATES: [&str; 9] =
    ["serde", "serde_json", "tokio", "warp", "reqwest", "azure_core", "azure_identity", "tracing", "futures_util"];

/// Four ways to the outside that only the app joins.
const ADAPTERS: [&str; 4] = ["store", "bell", "marketplace", "publisher"];

/// Keys of the sample that the Functions host reads, and we do not.
const HOST_KEYS: [&str; 1] = ["FUNCTIONS_WORKER_RUNTIME"];

/// Keys that the platform sets. They must not be in the sample: `func start` adds them itself and stops at a second one.
const PLATFORM_KEYS: [&str; 1] = ["WEBSITE_HOSTNAME"];

/// Keys of a storage account without a connection string. The sample has Azurite, which takes no identity, and an empty
/// value is not for every version of the host the same as none.
const IDENTITY_KEYS: [&str; 5] = [
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__tableServiceUri",
];

type Rule = fn(&[Source]) -> Vec<String>;

fn pure_modules_know_only_pure_modules(sources: &[Source]) -> Vec<String> {
    mentions(sources, |source, mention| {
        let top = source.top();
        match mention {
            _ if !PURE.contains(&top.as_str()) => None,
            Mention::Foreign(name) if IMPURE_CRATES.contains(&name.as_str()) => {
                Some(format!("{top} is pure and may not use {name}"))
            }
            Mention::Ours(path) => {
                let other = path.first().filter(|other| !PURE.contains(&other.as_str()))?;
                Some(format!("{top} is pure and may not use {other}, which is not"))
            }
            Mention::Foreign(_) => None,
        }
    })
}

fn adapters_do_not_know_each_other(sources: &[Source]) -> Vec<String> {
    mentions(sources, |source, mention| {
        let own = adapter(&source.top())?;
        let other = adapter(ours(mention)?.first()?)?;
        (own != other).then(|| format!("{own} may not know {other}: the app joins them"))
    })
}

fn functions_know_no_http_and_no_other_function(sources: &[Source]) -> Vec<String> {
    let functions: BTreeSet<String> = sources.iter().filter_map(function).collect();
    mentions(sources, |source, mention| {
        let own = function(source)?;
        match mention {
            Mention::Foreign(name) if ["warp", "reqwest"].contains(&name.as_str()) => {
                Some(format!("the function {own} may not use {name}: it takes values and returns values"))
            }
            Mention::Ours(path) if path.len() > 1 && path[0] == "functions" => {
                let other = functions.get(&path[1]).filter(|other| **other != own)?;
                Some(format!("the function {own} may not know the function {other}"))
            }
            _ => None,
        }
    })
}

fn only_the_shell_imports_warp(sources: &[Source]) -> Vec<String> {
    mentions(sources, |source, mention| {
        let allowed = ["serve", "dev"].contains(&source.top().as_str());
        let breach = !allowed && *mention == Mention::Foreign("warp".to_owned());
        breach.then(|| "only serve (and dev) may use warp".to_owned())
    })
}

fn only_main_starts_dev(sources: &[Source]) -> Vec<String> {
    mentions(sources, |source, mention| {
        let allowed = source.path == "src/main.rs" || source.top() == "dev";
        let breach = !allowed && ours(mention)?.first()? == "dev";
        breach.then(|| "only main may use dev: production has no use for it".to_owned())
    })
}

fn only_the_shell_spawns(sources: &[Source]) -> Vec<String> {
    let others = sources.iter().filter(|source| !["serve", "dev"].contains(&source.top().as_str()));
    let spawns = others.flat_map(|source| {
        let spawns = source.tokens.iter().filter(|token| token.text.starts_with("spawn"));
        spawns.map(|token| at(source, token.line, "only serve (and dev) may spawn: work must not outlive its request"))
    });
    spawns.collect()
}

fn files_and_functions_are_short(sources: &[Source]) -> Vec<String> {
    let breaches = sources.iter().flat_map(|source| {
        let length = source.code_lines().len();
        let file =
            (length > FILE_LENGTH).then(|| at(source, 1, &format!("{length} lines of code, over {FILE_LENGTH}")));
        let functions = source.functions().into_iter().filter(|function| function.length > FUNCTION_LENGTH);
        let functions = functions.map(|function| {
            let message = format!("{} has {} lines of code, over {FUNCTION_LENGTH}", function.name, function.length);
            at(source, function.line, &message)
        });
        file.into_iter().chain(functions)
    });
    breaches.collect()
}

fn nothing_is_left_over(sources: &[Source]) -> Vec<String> {
    let code: [(&[&str], &str); 7] = [
        (&[".", "unwrap", "("], "expect() says why it cannot fail"),
        (&["todo", "!"], "unfinished"),
        (&["unimplemented", "!"], "unfinished"),
        (&["dbg", "!"], "left-over debugging"),
        (&["cfg", "(", "test"], "what ships is what is tested"),
        (&["cfg", "!", "(", "test"], "what ships is what is tested"),
        (&["[", "allow", "("], "expect(lint, reason) says why, and goes when it is not needed any more"),
    ];
    let mut breaches = Vec::new();
    for source in sources {
        for (words, why) in code {
            let lines = source.lines_with(words);
            breaches.extend(lines.into_iter().map(|line| at(source, line, &format!("{}: {why}", words.concat()))));
        }
        for (number, line) in source.text.lines().enumerate() {
            let mut words = line.split(|character: char| !character.is_alphanumeric());
            if let Some(word) = words.find(|word| ["TODO", "FIXME", "XXX"].contains(word)) {
                breaches.push(at(source, number + 1, &format!("{word} belongs into an issue")));
            }
        }
    }
    breaches
}

/// Every constant `Duration` or `usize` is a limit of some kind: its documentation gives the unit and the reason.
fn limits_give_their_reason(sources: &[Source]) -> Vec<String> {
    let breaches = sources.iter().flat_map(|source| {
        let constants = (0..source.tokens.len()).filter(|start| source.reads(*start, &["const"]));
        constants.filter_map(|start| {
            let end = source.find_outside_brackets(start, &["=", ";", "{"])?;
            let kind = &source.tokens[start + 1..end];
            let is_limit = kind.iter().any(|token| token.is("Duration")) || kind.last()?.is("usize");
            let (name, line) = (&kind.first()?.text, source.tokens[start].line);
            let breach = is_limit && source.reads(end, &["="]) && !is_documented(source, line);
            breach.then(|| at(source, line, &format!("{name} needs a doc comment with its unit and its reason")))
        })
    });
    breaches.collect()
}

/// Whether the lines above `line`, attributes aside, are a doc comment.
fn is_documented(source: &Source, line: usize) -> bool {
    let lines: Vec<&str> = source.text.lines().take(line - 1).map(str::trim).collect();
    lines.iter().rev().find(|line| !line.starts_with("#[")).is_some_and(|line| line.starts_with("///"))
}

fn mentions(sources: &[Source], judge: impl Fn(&Source, &Mention) -> Option<String>) -> Vec<String> {
    let judge = &judge;
    let breaches = sources.iter().flat_map(|source| {
        let mentions = source.mentions().into_iter();
        mentions.filter_map(move |(line, mention)| judge(source, &mention).map(|message| at(source, line, &message)))
    });
    breaches.collect()
}

fn at(source: &Source, line: usize, message: &str) -> String {
    format!("{}:{line}: {message}", source.path)
}

fn ours(mention: &Mention) -> Option<&[String]> {
    if let Mention::Ours(path) = mention { Some(path) } else { None }
}

fn adapter(module: &str) -> Option<&'static str> {
    ADAPTERS.into_iter().find(|adapter| module.starts_with(adapter))
}

/// The function that a source belongs to: `landing` for `src/functions/landing.rs` and what is below `landing/`.
fn function(source: &Source) -> Option<String> {
    source.path.strip_prefix("src/functions/")?;
    source.module().into_iter().nth(1)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn hold(rules: &[Rule]) {
    hold_in("src", rules);
}

#[track_caller]
fn hold_in(folder: &str, rules: &[Rule]) {
    let sources = Source::tree(&root(), folder);
    let breaches: Vec<String> = rules.iter().flat_map(|rule| rule(&sources)).collect();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

#[test]
fn imports_point_inwards() {
    hold(&[
        pure_modules_know_only_pure_modules,
        adapters_do_not_know_each_other,
        functions_know_no_http_and_no_other_function,
    ]);
}

#[test]
fn the_server_and_the_simulator_stay_at_the_edge() {
    hold(&[only_the_shell_imports_warp, only_main_starts_dev, only_the_shell_spawns]);
}

#[test]
fn every_file_and_function_can_be_read_at_once() {
    hold(&[files_and_functions_are_short]);
}

#[test]
fn no_unfinished_work_is_in_the_source() {
    hold(&[nothing_is_left_over]);
}

#[test]
fn every_limit_says_why() {
    hold(&[limits_give_their_reason]);
}

/// Properties promise something to the reader as well.
#[test]
fn what_is_fuzzed_is_as_short_and_as_finished_as_the_source() {
    let rules: [Rule; 3] = [files_and_functions_are_short, nothing_is_left_over, limits_give_their_reason];
    for folder in ["tests/fuzz/properties", "tests/fuzz/targets"] {
        hold_in(folder, &rules);
    }
}

#[test]
fn each_rule_sees_its_breach() {
    let long_file = "const X: u8 = 1;\n".repeat(FILE_LENGTH + 1);
    let long_function = format!("fn long() {{\n{}}}", "f();\n".repeat(FUNCTION_LENGTH - 1));
    let breaches: [(Rule, &str, &str, usize); 33] = [
        (pure_modules_know_only_pure_modules, "src/duty.rs", "\nuse serde::Serialize;", 2),
        (pure_modules_know_only_pure_modules, "src/policy.rs", "fn f() { serde_json::from_str(\"\") }", 1),
        (pure_modules_know_only_pure_modules, "src/subscription/term.rs", "use crate::{duty, store::Store};", 1),
        (pure_modules_know_only_pure_modules, "src/error.rs", "use super::web;", 1),
        (pure_modules_know_only_pure_modules, "src/person.rs", "#[derive(::serde::Serialize)] struct P;", 1),
        (adapters_do_not_know_each_other, "src/store/azure.rs", "use super::super::bell::Bell;", 1),
        (adapters_do_not_know_each_other, "src/bell.rs", "fn f(m: &crate::marketplace::Marketplace) {}", 1),
        (adapters_do_not_know_each_other, "src/store.rs", "mod inner { use super::super::bell; }", 1),
        (adapters_do_not_know_each_other, "src/publisher/guard.rs", "use crate::store::Store;", 1),
        (adapters_do_not_know_each_other, "src/marketplace/call.rs", "fn f(m: &crate::publisher::Message) {}", 1),
        (adapters_do_not_know_each_other, "src/marketplace.rs", "use crate::{\n  clock,\n  store,\n};", 3),
        (functions_know_no_http_and_no_other_function, "src/functions/a.rs", "use warp as w;", 1),
        (functions_know_no_http_and_no_other_function, "src/functions/a.rs", "fn f(c: reqwest::Client) {}", 1),
        (functions_know_no_http_and_no_other_function, "src/functions/a.rs", "use super::b;", 1),
        (functions_know_no_http_and_no_other_function, "src/functions/a/x.rs", "use crate::functions::b::run;", 1),
        (only_the_shell_imports_warp, "src/app.rs", "extern crate warp;", 1),
        (only_the_shell_imports_warp, "src/lib.rs", "use {url::Url, warp::Filter};", 1),
        (only_the_shell_imports_warp, "src/server.rs", "fn f() -> impl warp::Reply {}", 1),
        (only_main_starts_dev, "src/serve.rs", "let x = 0..crate::dev::LIMIT;", 1),
        (only_main_starts_dev, "src/app.rs", "use crate::*; use crate::dev as d;", 1),
        (only_the_shell_spawns, "src/app.rs", "\n\ntokio::spawn(work);", 3),
        (only_the_shell_spawns, "src/store.rs", "set.spawn_blocking(work);", 1),
        (files_and_functions_are_short, "src/app.rs", &long_file, 1),
        (files_and_functions_are_short, "src/app.rs", &long_function, 1),
        (nothing_is_left_over, "src/app.rs", "let x = y\n    .unwrap();", 2),
        (nothing_is_left_over, "src/app.rs", "fn f() { todo!() }", 1),
        (nothing_is_left_over, "src/app.rs", "dbg!(x);", 1),
        (nothing_is_left_over, "src/app.rs", "fn f() {}\n// TODO: later", 2),
        (nothing_is_left_over, "src/app.rs", "let x = \"FIXME\";", 1),
        (nothing_is_left_over, "src/app.rs", "#[cfg(test)]\nmod tests {}", 1),
        (nothing_is_left_over, "src/app.rs", "#![allow(dead_code)]", 1),
        (limits_give_their_reason, "src/app.rs", "/// Far above.\n\nconst WAIT: time::Duration = SECOND;", 3),
        (limits_give_their_reason, "src/app.rs", "impl A {\n    // A count.\n    pub const N: usize = 3;\n}", 3),
    ];
    for (rule, path, text, line) in breaches {
        let other = Source::new("src/functions/b.rs", "");
        let found = rule(&[Source::new(path, text), other]);
        let place = format!("{path}:{line}: ");
        assert!(found.len() == 1 && found[0].starts_with(&place), "{place}{text:?} gives {found:?}");
    }
}

#[test]
fn no_rule_sees_a_breach_where_there_is_none() {
    let innocent: [(&str, &str); 12] = [
        ("src/duty.rs", "//! Unlike [`serde::Serialize`].\n/* use warp::Filter; /* nested */ use tokio; */"),
        (
            "src/duty.rs",
            "const TEXT: &str = \"use crate::store; \\\" warp::serve\"; const RAW: &str = r#\"\"warp::x\"#;",
        ),
        ("src/duty.rs", "fn f<'warp>(c: char) -> bool { c == '\"' || c == '\\'' || c == '{' || b'}' == 1 }"),
        ("src/subscription.rs", "use crate::duty::{self, Duty};\nuse time::OffsetDateTime;"),
        ("src/store/memory.rs", "use super::record;\nuse crate::store::Store;"),
        ("src/functions/a.rs", "use super::Outcome;\nuse crate::{app::App, functions::a::page};"),
        ("src/serve.rs", "use warp::Filter;\nfn f() { tokio::spawn(g()); }"),
        ("src/dev/host.rs", "use crate::dev::simulator;\nuse warp::{Filter, Reply};\nfn f() { tokio::spawn(g()); }"),
        ("src/main.rs", "use marketplace_fulfillment::dev;\nfn f() { marketplace_fulfillment::dev::run() }"),
        (
            "src/app.rs",
            "fn f() { x.unwrap_or_default(); y.expect(\"TODOs\"); }\n#[expect(lint, reason = \"x\")]\nfn g() {}",
        ),
        ("src/app.rs", "/// Seconds, because.\n#[expect(lint)]\npub(crate) const WAIT: Duration = SECOND;"),
        ("src/app.rs", "const NAME: &str = \"a\";\nfn f<const N: usize>() {}\nconst fn g(n: usize) -> usize { n }"),
    ];
    let rules: [Rule; 9] = [
        pure_modules_know_only_pure_modules,
        adapters_do_not_know_each_other,
        functions_know_no_http_and_no_other_function,
        only_the_shell_imports_warp,
        only_main_starts_dev,
        only_the_shell_spawns,
        files_and_functions_are_short,
        nothing_is_left_over,
        limits_give_their_reason,
    ];
    for (path, text) in innocent {
        let sources = [Source::new(path, text), Source::new("src/functions/b.rs", "")];
        let found: Vec<String> = rules.iter().flat_map(|rule| rule(&sources)).collect();
        assert!(found.is_empty(), "{path} {text:?} gives {found:?}");
    }
}

#[test]
fn every_function_has_its_folder_and_its_file() {
    let (folders, files) = (root().join("functions"), root().join("src/functions"));
    if !folders.exists() && !files.exists() {
        return;
    }
    let entries = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("a readable entry").path()).collect()
    };
    let name = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let declared = entries(&folders).iter().filter(|path| path.join("function.json").exists()).map(name).collect();
    let written = entries(&files).iter().filter(|path| path.is_file()).map(name).collect();
    equal("functions/<name>/function.json", &declared, "src/functions/<name>.rs", &written);
}

#[test]
fn every_setting_is_explained_and_in_the_sample() {
    let keys: BTreeSet<String> = KEYS.map(str::to_owned).into();
    let document = read("docs/settings.md");
    let headings = document.lines().filter_map(|line| Some(line.strip_prefix("### `")?.strip_suffix('`')?.to_owned()));
    equal("settings::KEYS", &keys, "headings in docs/settings.md", &headings.collect());

    let absent = |key: &String| PLATFORM_KEYS.iter().chain(&IDENTITY_KEYS).any(|other| other == key);
    let expected = keys.iter().filter(|key| !absent(key)).cloned();
    let expected = expected.chain(HOST_KEYS.map(str::to_owned)).collect();
    equal("settings::KEYS and the host's", &expected, "local.settings.sample.json", &sample().into_keys().collect());
}

#[test]
fn every_setting_that_is_read_is_a_known_key() {
    let asked = std::cell::RefCell::new(BTreeSet::new());
    let ask = |key: &str| {
        asked.borrow_mut().insert(key.to_owned());
        None
    };
    Settings::read(ask).expect_err("nothing is set");
    equal(
        "settings::KEYS",
        &KEYS.map(str::to_owned).into(),
        "the keys that Settings::read asks for",
        &asked.into_inner(),
    );
}

#[test]
fn the_sample_needs_only_what_it_leaves_empty() {
    let sample = sample();
    let filled = |key: &str| sample.get(key).filter(|value| !value.is_empty()).cloned();
    let platform = |key: &str| PLATFORM_KEYS.contains(&key).then(|| "localhost:7071".to_owned());
    let problems =
        Settings::read(|key| filled(key).or_else(|| platform(key))).expect_err("ids and secrets are yours").0;
    for problem in problems {
        let key = problem.split(' ').next().unwrap_or_default();
        assert!(filled(key).is_none(), "the sample's own value is refused: {problem}");
    }
}

fn sample() -> BTreeMap<String, String> {
    let sample: serde_json::Value = serde_json::from_str(&read("local.settings.sample.json")).expect("JSON");
    serde_json::from_value(sample["Values"].clone()).expect("an object of strings")
}

#[test]
fn every_error_code_is_explained() {
    let codes: BTreeSet<String> = Code::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    let document = read("docs/errors.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let rows: BTreeMap<&str, &str> = rows.collect();
    equal("error::Code::ALL", &codes, "rows in docs/errors.md", &rows.keys().map(|code| (*code).to_owned()).collect());
    for code in Code::ALL {
        let row = rows[code.as_str()];
        assert!(
            row.starts_with(&format!(" | {} | ", code.status())),
            "docs/errors.md: {code} is answered with another status"
        );
        assert!(row.contains(code.public()), "docs/errors.md: {code} is answered with \"{}\"", code.public());
    }
}

/// A word that its list leaves out is written and not read again.
#[test]
fn every_word_is_in_its_list() {
    let listed = |words: &[&dyn std::fmt::Debug]| words.iter().map(|word| format!("{word:?}")).collect::<BTreeSet<_>>();
    let lists: [(&str, &str, BTreeSet<String>); 7] = [
        ("src/error.rs", "Code", listed(&Code::ALL.each_ref().map(|word| word as _))),
        ("src/entitlement.rs", "Why", listed(&Why::ALL.each_ref().map(|word| word as _))),
        ("src/duty.rs", "Kind", listed(&Kind::ALL.each_ref().map(|word| word as _))),
        ("src/duty.rs", "Verdict", listed(&Verdict::ALL.each_ref().map(|word| word as _))),
        ("src/history.rs", "Actor", listed(&Actor::ALL.each_ref().map(|word| word as _))),
        ("src/history.rs", "Happening", listed(&Happening::ALL.each_ref().map(|word| word as _))),
        ("src/snapshot.rs", "Status", listed(&Status::ALL.each_ref().map(|word| word as _))),
    ];
    for (path, name, listed) in lists {
        let source = Source::new(path, read(path));
        let open = (0..source.tokens.len()).find(|at| source.reads(*at, &["enum", name, "{"])).expect("the words") + 2;
        let close = source.closing(open).expect("their end");
        let variants = source.tokens[open + 1..close].iter().map(|token| token.text.as_str());
        let words = variants.filter(|text| !["Other", "String", ",", "(", ")"].contains(text));
        equal(&format!("enum {name}"), &words.map(str::to_owned).collect(), &format!("{name}::ALL"), &listed);
    }
}

#[test]
fn the_readme_names_the_one_test_command() {
    let readme = root().join("README.md");
    assert!(!readme.exists() || read("README.md").contains("tests/run"), "README.md does not name tests/run");
}

#[track_caller]
fn equal(left_name: &str, left: &BTreeSet<String>, right_name: &str, right: &BTreeSet<String>) {
    let only_left: Vec<_> = left.difference(right).collect();
    let only_right: Vec<_> = right.difference(left).collect();
    assert!(
        only_left.is_empty() && only_right.is_empty(),
        "only in {left_name}: {only_left:?}; only in {right_name}: {only_right:?}"
    );
}
