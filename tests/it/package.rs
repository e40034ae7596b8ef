//! The package: what `infra/package` stages is what Azure runs, so it is what these stories run.
//!
//! `tests/run` builds it once, as it is deployed, and names its folder in `PACKAGE`. Without that, the program that cargo
//! built for the tests is staged in its place.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::dev::host::{Event, Outcome};
use marketplace_fulfillment::dev::simulator::Purchase;
use marketplace_fulfillment::dev::{self, Dev, Program};
use marketplace_fulfillment::functions::Function;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::azurite;
use crate::visitor::Visitor;

/// How long a process may take for what it does in a second.
const PATIENCE: Duration = Duration::from_mins(1);

/// ELF's numbers for processors.
const X86_64: u16 = 62;
const AARCH64: u16 = 183;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where `tests/run` has put the package that is deployed.
fn deployed() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tests/run says it so; the program itself does not ask")]
    std::env::var_os("PACKAGE").map(|folder| std::path::absolute(folder).unwrap())
}

/// A folder with `dist/` in it, and what keeps it alive.
fn staged() -> (PathBuf, Option<TempDir>) {
    if let Some(folder) = deployed() {
        return (folder, None);
    }
    let folder = TempDir::new().unwrap();
    succeed(&mut package(&["--local", "--binary", env!("CARGO_BIN_EXE_fulfillment")], folder.path()));
    // Whoever works here may have one, which `func start` needs.
    std::fs::remove_file(folder.path().join("dist/local.settings.json")).ok();
    (folder.path().to_owned(), Some(folder))
}

fn package(arguments: &[&str], output: &Path) -> Command {
    let mut command = Command::new(root().join("infra/package"));
    command.args(arguments).arg("--output").arg(output).current_dir(root());
    command
}

#[track_caller]
fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Every file below a folder: its name, its permissions and its bytes.
fn files(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                let mode = path.metadata().unwrap().permissions().mode() & 0o777;
                found.insert(name, (mode, std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// What the package must hold beside the program, by the repository.
fn expected() -> BTreeMap<String, (u32, Vec<u8>)> {
    let described = Function::ALL.map(|function| format!("{}/function.json", function.name()));
    let read = |name: String, path: &str| (name, (0o644, std::fs::read(root().join(path)).unwrap()));
    let described = described.into_iter().map(|name| read(name.clone(), &format!("functions/{name}")));
    described.chain([read("host.json".to_owned(), "host.json")]).collect()
}

#[test]
fn the_package_holds_the_program_and_its_declarations_and_nothing_else() {
    let (folder, _kept) = staged();
    let mut staged = files(&folder.join("dist"));
    let (mode, program) = staged.remove("fulfillment").expect("the program");
    assert_eq!(mode, 0o755);
    assert_eq!(staged.keys().collect::<Vec<_>>(), expected().keys().collect::<Vec<_>>());
    assert!(staged == expected(), "what the host reads is what the repository says, to the byte");

    if deployed().is_some() {
        assert_eq!(unpacked(&folder.join("dist.zip"), &TempDir::new().unwrap()), files(&folder.join("dist")));
        for place in places_of_the_builder() {
            let place = place.to_str().unwrap().as_bytes();
            let told = program.windows(place.len()).any(|window| window == place);
            assert!(!told, "the program tells where it was built: {}", String::from_utf8_lossy(place));
        }
    }
}

/// Folders of this machine that the program has no reason to know.
fn places_of_the_builder() -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "where cargo keeps things is in its environment only")]
    let (home, cargo) = (std::env::var_os("HOME"), std::env::var_os("CARGO_HOME"));
    let home = home.map(PathBuf::from).into_iter().flat_map(|home| [".cargo", ".rustup"].map(|name| home.join(name)));
    home.chain(cargo.map(PathBuf::from)).chain([root().to_owned()]).collect()
}

/// The staged folder behind the host stand-in, before the simulated marketplace and on real storage. No clock but the
/// machine's: a static program takes no other.
async fn start(dist: &Path) -> Dev {
    let declared: Value = serde_json::from_slice(&std::fs::read(dist.join("host.json")).unwrap()).unwrap();
    let description = &declared["customHandler"]["description"];
    assert_eq!(description["arguments"], json!(["serve"]), "as the stand-in starts it");
    let program = dist.join(description["defaultExecutablePath"].as_str().unwrap());
    let options = dev::Options {
        port: 0,
        simulator_port: 0,
        enable_auth: false,
        seed: 7,
        app_root: Some(dist.to_owned()),
        traceparent: true,
        clock: Clock::System,
        app: None,
        environment: BTreeMap::new(),
        storage: Some(azurite::account().connection_string()),
        program: Some(Program { path: program, environment: BTreeMap::new() }),
    };
    dev::start(options).await.unwrap()
}

#[tokio::test]
async fn what_is_deployed_runs_behind_the_host() {
    let (folder, _kept) = staged();
    let dev = start(&folder.join("dist")).await;
    let url = |path: &str| dev.host_url.join(path).unwrap();
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let visitor = Visitor::new(http.clone(), dev.host_url.clone());

    let health = http.get(url("/api/health")).send().await.unwrap();
    assert_eq!((health.status().as_u16(), health.json::<Value>().await.unwrap()), (200, json!({ "status": "ok" })));
    let landing = http.get(url("/api/landing")).send().await.unwrap();
    assert_eq!(landing.status(), 400, "nobody comes without a token");
    assert!(landing.text().await.unwrap().contains("Contoso"), "a page of the publisher's says so");

    let bought = dev.simulator.purchase(&Purchase::of("silver", Some(5))).unwrap();
    let page = visitor.arrive(bought.landing_url.as_str(), "buyer").await;
    assert_eq!(visitor.confirm(&page).await.status, 200);
    let progress = url(&format!("/api/progress?subscription={}", bought.subscription_id));
    let active = async {
        while visitor.goto(progress.as_str()).await.json()["state"] != "active" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, active).await.expect("active in the end");

    for function in ["sweep", "reconcile"] {
        let asked = http.post(url(&format!("/admin/functions/{function}"))).json(&json!({})).send().await.unwrap();
        assert_eq!(asked.status(), 202);
        let ended = dev.host.until(|events| outcome(events, function).is_some());
        tokio::time::timeout(PATIENCE, ended).await.unwrap_or_else(|_| panic!("{function} never ends"));
        assert_eq!(outcome(&dev.host.events(), function), Some(Outcome::Succeeded), "{function}");
    }
    assert!(!dev.host.events().iter().any(|event| matches!(event, Event::Ended(_))), "it lived through all of this");
}

fn outcome(events: &[Event], function: &str) -> Option<Outcome> {
    events.iter().find_map(|event| match event {
        Event::Invoked(invocation) if invocation.function == function => Some(invocation.outcome.clone()),
        _ => None,
    })
}

/// A file that says of itself what a program for `machine` says. `segment` 3 asks for a loader.
fn elf(machine: u16, kind: u16, segment: u32) -> Vec<u8> {
    let mut elf = vec![0; 64 + 56];
    elf[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    elf[16..18].copy_from_slice(&kind.to_le_bytes());
    elf[18..20].copy_from_slice(&machine.to_le_bytes());
    elf[32..40].copy_from_slice(&64_u64.to_le_bytes());
    elf[54..56].copy_from_slice(&56_u16.to_le_bytes());
    elf[56..58].copy_from_slice(&1_u16.to_le_bytes());
    elf[64..68].copy_from_slice(&segment.to_le_bytes());
    elf
}

fn write(folder: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn static_program(folder: &TempDir) -> PathBuf {
    write(folder, "static", &elf(X86_64, 3, 1))
}

#[test]
fn a_program_that_azure_could_not_start_is_refused() {
    let folder = TempDir::new().unwrap();
    let table: [(&str, Vec<u8>, &str, &str); 8] = [
        ("static", elf(X86_64, 3, 1), "x86_64-unknown-linux-musl", ""),
        ("arm", elf(AARCH64, 2, 1), "aarch64-unknown-linux-musl", ""),
        ("dynamic", elf(X86_64, 3, 3), "x86_64-unknown-linux-musl", "is not static"),
        ("other", elf(AARCH64, 3, 1), "x86_64-unknown-linux-musl", "another processor than x86_64"),
        ("object", elf(X86_64, 1, 1), "x86_64-unknown-linux-musl", "not a program"),
        ("script", b"#!/bin/sh\nexec ./fulfillment\n".to_vec(), "x86_64-unknown-linux-musl", "not a program for Linux"),
        ("cut", elf(X86_64, 3, 1)[..65].to_vec(), "x86_64-unknown-linux-musl", "damaged"),
        ("static", elf(X86_64, 3, 1), "x86_64-pc-windows-gnu", "is not a static target"),
    ];
    for (name, content, target, says) in table {
        let (program, output) = (write(&folder, name, &content), folder.path().join("out"));
        let arguments = ["--target", target, "--binary", program.to_str().unwrap()];
        let ended = package(&arguments, &output).output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.success(), says.is_empty(), "{name}: {stderr}");
        assert!(stderr.contains(says), "{name}: {stderr}");
        assert_eq!(output.join("dist.zip").is_file(), says.is_empty(), "{name}");
        std::fs::remove_dir_all(&output).ok();
    }
}

#[test]
fn what_is_asked_for_wrongly_is_said() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("dist")).unwrap();
    let program = static_program(&folder);
    let table: [(&[&str], &str); 4] = [
        (&["--binary", program.to_str().unwrap()], "holds no host.json"),
        (&["--binary", "/nowhere"], "/nowhere is not a file"),
        (&["--targets"], "--targets is not an option"),
        (&["--local", "now"], "now is not an option"),
    ];
    for (arguments, says) in table {
        let ended = package(arguments, folder.path()).output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && stderr.contains(says), "{arguments:?}: {stderr}");
    }
    assert!(folder.path().join("dist").is_dir(), "what is not ours stays");
}

/// `func` and the host mark the file that `host.json` names, letter by letter, as executable; no other spelling of it.
#[test]
fn a_program_that_the_host_would_not_find_is_refused() {
    let repository = TempDir::new().unwrap();
    std::fs::create_dir(repository.path().join("infra")).unwrap();
    for name in ["infra/package", "infra/apt.sh"] {
        std::fs::copy(root().join(name), repository.path().join(name)).unwrap();
    }
    let program = static_program(&repository);
    for (named, found) in [("fulfillment", true), ("./fulfillment", false), ("handler", false), ("", false)] {
        let declared = std::fs::read_to_string(root().join("host.json")).unwrap();
        let declared = declared.replace("\"fulfillment\"", &format!("\"{named}\""));
        std::fs::write(repository.path().join("host.json"), declared).unwrap();
        std::fs::create_dir_all(repository.path().join("functions/health")).unwrap();
        std::fs::write(repository.path().join("functions/health/function.json"), "{}").unwrap();
        let mut package = Command::new(repository.path().join("infra/package"));
        let ended = package.args(["--local", "--binary"]).arg(&program).output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.success(), found, "{named}: {stderr}");
        assert!(found || stderr.contains("must be spelled alike"), "{named}: {stderr}");
    }
}

/// One entry of an archive, as its central directory has it.
#[derive(Debug, PartialEq)]
struct Entry {
    name: String,
    /// The high byte is the system that the permissions are of; 3 is Unix.
    made_by: u16,
    time: (u16, u16),
    mode: u32,
    extra: u16,
}

fn entries(zip: &[u8]) -> Vec<Entry> {
    let short = |at: usize| u16::from_le_bytes([zip[at], zip[at + 1]]);
    let long = |at: usize| u32::from_le_bytes([zip[at], zip[at + 1], zip[at + 2], zip[at + 3]]);
    let end = zip.len() - 22;
    assert_eq!(&zip[end..end + 4], b"PK\x05\x06");
    let mut at = usize::try_from(long(end + 16)).unwrap();
    let entries = (0..short(end + 10)).map(|_| {
        assert_eq!(&zip[at..at + 4], b"PK\x01\x02");
        let [name, extra, comment] = [28, 30, 32].map(|offset| usize::from(short(at + offset)));
        let entry = Entry {
            name: String::from_utf8(zip[at + 46..at + 46 + name].to_vec()).unwrap(),
            made_by: short(at + 4),
            time: (short(at + 14), short(at + 12)),
            mode: long(at + 38) >> 16,
            extra: short(at + 30),
        };
        at += 46 + name + extra + comment;
        entry
    });
    entries.collect()
}

/// The files of an archive, as another program unpacks them; with the permissions that the archive gives.
fn unpacked(zip: &Path, into: &TempDir) -> BTreeMap<String, (u32, Vec<u8>)> {
    succeed(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(zip).arg(into.path()));
    let modes = entries(&std::fs::read(zip).unwrap()).into_iter().map(|entry| (entry.name, entry.mode & 0o777));
    let modes: BTreeMap<_, _> = modes.collect();
    let files = files(into.path()).into_iter();
    files.map(|(name, (_, bytes))| (name.clone(), (modes[&name], bytes))).collect()
}

/// The same bytes, whoever packs, where, when and how careful they are.
#[test]
fn the_archive_is_the_same_for_everybody() {
    let folder = TempDir::new().unwrap();
    let program = static_program(&folder);
    let arguments = ["--binary", program.to_str().unwrap()];
    let (first, second) = (folder.path().join("first"), folder.path().join("another second"));
    succeed(&mut package(&arguments, &first));
    let careful = "umask 077 && cd / && exec \"$0\" \"$@\"";
    let mut again = Command::new("sh");
    again.args(["-c", careful]).arg(root().join("infra/package")).args(arguments).arg("--output").arg(&second);
    succeed(again.env("TZ", "Asia/Tokyo"));

    let [first, second] = [first, second].map(|folder| folder.join("dist.zip"));
    let archive = std::fs::read(&first).unwrap();
    assert!(archive == std::fs::read(&second).unwrap(), "two runs, two archives");

    let mut program = BTreeMap::from([("fulfillment".to_owned(), (0o755, elf(X86_64, 3, 1)))]);
    program.extend(expected());
    assert_eq!(unpacked(&first, &TempDir::new().unwrap()), program);
    let entries = entries(&archive);
    let names: Vec<_> = entries.iter().map(|entry| &entry.name).collect();
    assert!(names.is_sorted(), "{names:?}");
    for entry in entries {
        let midnight_of_1980 = (1 << 5 | 1, 0);
        assert_eq!((entry.made_by >> 8, entry.time, entry.extra), (3, midnight_of_1980, 0), "{entry:?}");
        assert_eq!(entry.mode >> 12, 0o10, "{entry:?} is a file");
    }
}

/// `func start` reads its settings beside host.json. They are secrets, so they are in no package for Azure.
#[test]
fn what_is_staged_for_this_machine_is_no_package() {
    let folder = TempDir::new().unwrap();
    let program = static_program(&folder);
    let arguments = ["--binary", program.to_str().unwrap()];
    succeed(&mut package(&arguments, folder.path()));
    assert!(folder.path().join("dist.zip").exists());
    succeed(&mut package(&[&["--local"], &arguments[..]].concat(), folder.path()));
    assert!(!folder.path().join("dist.zip").exists(), "the old one would be taken for the new one");

    let settings = folder.path().join("dist/local.settings.json");
    assert_eq!(settings.exists(), root().join("local.settings.json").exists());
    std::fs::write(&settings, "{}").unwrap();
    succeed(&mut package(&arguments, folder.path()));
    assert!(!settings.exists(), "nothing of an earlier stage stays");
}
