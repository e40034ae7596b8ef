//! The deliberate faults of `tests/mutations`: `tests/mutate` makes each of them and sees the worlds break. Here they are
//! only held to the tree, so that none is forgotten when code moves.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The fewest that still tell of every rule of the discharge protocol.
const FEWEST: usize = 20;

fn patches() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mutations");
    let found = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut patches: Vec<_> = found.collect();
    patches.sort();
    patches
}

#[test]
fn every_fault_says_what_is_wrong_and_what_catches_it() {
    assert!(patches().len() >= FEWEST);
    for patch in patches() {
        let text = std::fs::read_to_string(&patch).unwrap();
        let (what, rest) = text.split_once('\n').unwrap();
        assert!(what.ends_with('.') && what.len() > 20, "{}: a sentence", patch.display());
        let by = rest.strip_prefix("Caught by: ").and_then(|rest| rest.lines().next()).unwrap_or_default();
        let named = match by.split_once(' ') {
            Some(("seed", seed)) => seed.parse::<u64>().is_ok(),
            Some(("test", name)) => name.contains("::"),
            _ => false,
        };
        assert!(named, "{}: a seed or a test, not: {by}", patch.display());
    }
}

#[test]
fn every_fault_can_be_made() {
    for patch in patches() {
        let mut git = Command::new("git");
        let git = git.current_dir(env!("CARGO_MANIFEST_DIR")).args(["apply", "--check"]).arg(&patch);
        let output = git.output().expect("git is needed on the PATH");
        assert!(output.status.success(), "{}: {}", patch.display(), String::from_utf8_lossy(&output.stderr));
    }
}
