//! The sentences of the pages: complete, all of them used, and nowhere else than in their file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::pages::{between, every_page, the_only};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of every template, and of every Rust file of the pages.
fn texts_that_speak() -> Vec<String> {
    let files = |folder: &str, extension: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(source().join(folder)).expect("the folder of the pages");
        let paths = entries.map(|entry| entry.expect("an entry of the folder").path());
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    };
    let mut paths = vec![source().join("pages.rs")];
    paths.extend(files("pages", "rs"));
    paths.extend(files("pages/templates", "html"));
    paths.iter().map(|path| read(path)).collect()
}

/// The keys in the file of sentences: `message`, and `message.attribute`.
fn keys() -> BTreeSet<String> {
    let file = read(&source().join("pages/locales/en.ftl"));
    let mut keys = BTreeSet::new();
    let mut message = String::new();
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, _)) = line.split_once(" =") else { continue };
        let key = if let Some(attribute) = name.trim_start().strip_prefix('.') {
            format!("{message}.{attribute}")
        } else {
            name.clone_into(&mut message);
            message.clone()
        };
        assert!(keys.insert(key), "{name} is there twice");
    }
    keys
}

#[test]
fn every_key_that_is_asked_for_exists_and_every_key_is_asked_for() {
    // How templates and code ask; each call has the key as its first literal.
    const CALLS: [&str; 7] = ["say(\"", "say_count(\"", "say_time(\"", "text(\"", "optional(\"", "time(\"", "frame(\""];
    let keys = keys();
    let mut literals = BTreeSet::new();
    for text in texts_that_speak() {
        for call in CALLS {
            for key in between(&text, call, "\"") {
                assert!(keys.contains(key), "{key} is asked for and is not in the file");
            }
        }
        literals.extend(text.split('"').skip(1).map(str::to_owned));
    }
    for fault in literals.clone().iter().filter(|literal| literal.starts_with("fault-")) {
        let whole = [fault.clone(), format!("{fault}.text"), format!("{fault}.advice")];
        if fault != "fault-help" {
            assert!(whole.iter().all(|key| keys.contains(key)), "{fault} is not whole");
            literals.extend(whole);
        }
    }
    let unused: Vec<_> = keys.difference(&literals).collect();
    assert!(unused.is_empty(), "in the file, and never asked for: {unused:?}");
}

#[test]
fn no_page_shows_a_key_or_a_placeholder() {
    let keys = keys();
    for (name, reply) in every_page() {
        let main = the_only(&reply.body, "<body>", "</body>").split("<script>").next().unwrap();
        assert!(!main.contains('{') && !main.contains("$publisher"), "{name}: {main}");
        for text in between(main, ">", "<") {
            let key = keys.contains(text.trim()) && text.contains('-');
            assert!(!key, "{name} shows the key {text}");
        }
        assert!(!main.contains('\u{2068}'), "{name} has isolating marks");
    }
}

#[test]
fn templates_hold_no_sentence_of_their_own() {
    let folder = source().join("pages/templates");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = read(&path);
        for between_tags in between(&text, ">", "<") {
            // Template expressions out; what stays is what a reader would see.
            let mut seen = String::new();
            for (at, part) in between_tags.split("{{").enumerate() {
                seen.push_str(if at == 0 { part } else { part.split("}}").nth(1).unwrap_or_default() });
            }
            let seen: String = seen.split("{%").map(|part| part.split("%}").last().unwrap_or_default()).collect();
            assert!(!seen.chars().any(char::is_alphabetic), "{}: {seen}", path.display());
        }
    }
}
