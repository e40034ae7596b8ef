//! What the source itself must not do, where neither the compiler nor `tidy.rs` looks.

use std::path::Path;

use crate::tidy::source::Source;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// No word of anybody's can become a command: what serves in Azure starts no program.
#[test]
fn only_dev_starts_programs() {
    let sources = Source::tree(root(), "src");
    let starts = |source: &&Source| source.tokens.iter().any(|token| token.text == "Command" || token.text == "exec");
    // The command line is clap's `Command` in main.rs.
    let found: Vec<&str> = sources.iter().filter(starts).map(|source| source.path.as_str()).collect();
    assert_eq!(found, ["src/dev/azurite.rs", "src/dev/host/launch.rs", "src/main.rs"]);
    assert!(!read("src/main.rs").contains("process::Command"));
}

/// A text is put into a page as it is where it is our own style or script, and nowhere else.
#[test]
fn templates_escape_what_is_not_ours() {
    let mut raw = Vec::new();
    for entry in std::fs::read_dir(root().join("src/pages/templates")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("autoescape") && !text.contains("escape("), "{}", path.display());
        raw.extend(text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).filter_map(|shown| {
            let (value, filter) = shown.split_once('|')?;
            Some((value.trim().to_owned(), filter.trim().to_owned()))
        }));
    }
    raw.sort();
    let ours =
        ["HANDOFF_SCRIPT", "PROGRESS_SCRIPT", "STYLE"].map(|name| (format!("crate::pages::{name}"), "safe".to_owned()));
    assert_eq!(raw, ours);
}

/// The scripts in our pages make no markup and no code out of text, and keep nothing.
#[test]
fn scripts_write_no_markup_and_keep_nothing() {
    for script in ["src/pages/progress.js", "src/pages/handoff.js"] {
        let text = read(script);
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval",
            "Function(",
            "Storage",
            "cookie",
            "postMessage",
        ] {
            assert!(!text.contains(word), "{script}: {word}");
        }
    }
}

/// Settings of the toolchain that a careless change would undo without a sound.
#[test]
fn the_toolchain_is_held_to_its_rules() {
    let manifest = read("Cargo.toml");
    assert!(manifest.contains("unsafe_code = \"forbid\""), "memory is the compiler's to look after");
    let features = manifest.lines().find(|line| line.starts_with("reqwest = ")).unwrap();
    assert!(features.contains("\"rustls\"") && !features.contains("native-tls"), "{features}");
    let deny = read("deny.toml");
    for rule in ["unknown-registry = \"deny\"", "unknown-git = \"deny\"", "wildcards = \"deny\""] {
        assert!(deny.contains(rule), "deny.toml: {rule}");
    }
    for package in ["Cargo.lock", "benches/figures/Cargo.lock"] {
        let lock = read(package);
        let packages = lock.split("[[package]]").skip(1).filter(|package| package.contains("\nsource = "));
        for package in packages {
            assert!(
                package.contains("\nsource = \"registry+https://github.com/rust-lang/crates.io-index\""),
                "{package}"
            );
            assert!(package.contains("\nchecksum = \""), "{package}");
        }
    }
    for list in ["docs/receivers/python/requirements.txt", "tests/reference/requirements.txt"] {
        let text = read(list);
        let pinned = text.lines().filter(|line| line.contains("==")).count();
        assert!(pinned > 0 && text.matches("--hash=sha256:").count() >= pinned, "{list}");
    }
    for list in ["docs/receivers/node/package-lock.json", "tests/package-lock.json"] {
        let lock: serde_json::Value = serde_json::from_str(&read(list)).unwrap();
        for (name, package) in lock["packages"].as_object().unwrap().iter().filter(|(name, _)| !name.is_empty()) {
            assert!(package["integrity"].as_str().is_some_and(|hash| hash.starts_with("sha512-")), "{list}: {name}");
        }
    }
}
