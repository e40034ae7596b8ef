//! What must hold of whatever comes from outside (`tests/fuzz/properties/`), held to every kept input and to seeded
//! ones. Without nightly and libFuzzer, which find the inputs: `tests/fuzz/README.md`.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[path = "../fuzz/properties/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets are programs of their own, and call them")]
mod properties;

use properties::{ALL, Property};

/// How many made inputs each property meets whose values are made from bytes: some seconds. libFuzzer tries millions.
const SEEDS: u64 = 250;

/// The longest made input, in bytes: a record and some forty events.
const LENGTH: usize = 4_096;

/// The properties whose inputs are no text, so that made bytes reach all of them.
const MADE: [&str; 2] = ["events", "round_trip"];

/// The most that is kept for one target, in files, and the longest of them, in bytes: it is read by people and by
/// `git`.
const KEPT: usize = 250;
const KEPT_LENGTH: usize = 16 * 1024;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn holds(property: Property, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| property(input))).is_ok()
}

#[test]
fn every_property_holds_for_every_kept_input() {
    let mut broken = Vec::new();
    for (name, property) in ALL {
        let corpus = folder().join("corpus").join(name);
        for file in names(&corpus) {
            if !holds(property, &std::fs::read(corpus.join(&file)).unwrap()) {
                broken.push(format!("cargo fuzz run {name} tests/fuzz/corpus/{name}/{file}"));
            }
        }
    }
    assert!(broken.is_empty(), "what each says stands above; again, with libFuzzer:\n{}", broken.join("\n"));
}

#[test]
fn every_property_holds_for_values_of_any_shape() {
    for (name, property) in ALL.into_iter().filter(|(name, _)| MADE.contains(name)) {
        for seed in 0..SEEDS {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut input = vec![0; random.usize(..=LENGTH)];
            random.fill(&mut input);
            if !holds(property, &input) {
                let shortest = shortest(property, input);
                let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{seed}"));
                std::fs::write(&file, &shortest).unwrap();
                let length = shortest.len();
                panic!(
                    "{name} does not hold for seed {seed}; its first {length} bytes, which are enough: {}",
                    file.display()
                );
            }
        }
    }
}

/// The shortest beginning of an input for which a property does not hold: where bytes end, values are as small as they
/// can be.
fn shortest(property: Property, mut input: Vec<u8>) -> Vec<u8> {
    while let Some(shorter) = (1..=input.len())
        .rev()
        .step_by(input.len() / 64 + 1)
        .map(|length| length - 1)
        .find(|length| !holds(property, &input[..*length]))
    {
        input.truncate(shorter);
    }
    input
}

#[test]
fn every_property_has_its_target_and_its_corpus() {
    let listed: BTreeSet<String> = ALL.map(|(name, _)| name.to_owned()).into();
    let targets = names(&folder().join("targets")).into_iter();
    assert_eq!(targets.map(|file| file.trim_end_matches(".rs").to_owned()).collect::<BTreeSet<_>>(), listed);
    assert_eq!(names(&folder().join("corpus")), listed);
    let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    for name in &listed {
        let target = std::fs::read_to_string(folder().join("targets").join(format!("{name}.rs"))).unwrap();
        assert!(
            target.contains(&format!("properties::{name}::holds(data)")),
            "targets/{name}.rs calls another property"
        );
        let program = format!("[[bin]]\nname = \"{name}\"\npath = \"targets/{name}.rs\"\n");
        assert!(manifest.contains(&program), "tests/fuzz/Cargo.toml does not build {name}");
        assert!(readme.contains(&format!("| `{name}` | ")), "tests/fuzz/README.md does not say what {name} promises");
        let corpus = folder().join("corpus").join(name);
        let kept = names(&corpus);
        assert!((1..=KEPT).contains(&kept.len()), "{name} keeps {} inputs", kept.len());
        for file in kept {
            let length = corpus.join(&file).metadata().unwrap().len();
            assert!(length <= KEPT_LENGTH as u64, "corpus/{name}/{file} has {length} bytes");
        }
    }
}
