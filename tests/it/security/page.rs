//! `docs/security.md`: that each test it names exists, that it leaves out no requirement, and that people find it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The last requirement of levels 1 and 2 in each section of OWASP ASVS 5.0.0; in each, those of level 3 come behind them.
const SECTIONS: [(&str, u32); 75] = [
    ("1.1", 2),
    ("1.2", 9),
    ("1.3", 11),
    ("1.4", 3),
    ("1.5", 2),
    ("2.1", 3),
    ("2.2", 3),
    ("2.3", 4),
    ("2.4", 1),
    ("3.2", 2),
    ("3.3", 4),
    ("3.4", 6),
    ("3.5", 5),
    ("3.7", 2),
    ("4.1", 3),
    ("4.2", 1),
    ("4.3", 2),
    ("4.4", 4),
    ("5.1", 1),
    ("5.2", 3),
    ("5.3", 2),
    ("5.4", 3),
    ("6.1", 3),
    ("6.2", 12),
    ("6.3", 4),
    ("6.4", 4),
    ("6.5", 5),
    ("6.6", 3),
    ("6.8", 4),
    ("7.1", 3),
    ("7.2", 4),
    ("7.3", 2),
    ("7.4", 5),
    ("7.5", 2),
    ("7.6", 2),
    ("8.1", 2),
    ("8.2", 3),
    ("8.3", 1),
    ("8.4", 1),
    ("9.1", 3),
    ("9.2", 4),
    ("10.1", 2),
    ("10.2", 2),
    ("10.3", 4),
    ("10.4", 11),
    ("10.5", 5),
    ("10.6", 2),
    ("10.7", 3),
    ("11.1", 2),
    ("11.2", 3),
    ("11.3", 3),
    ("11.4", 4),
    ("11.5", 1),
    ("11.6", 1),
    ("12.1", 3),
    ("12.2", 2),
    ("12.3", 4),
    ("13.1", 1),
    ("13.2", 5),
    ("13.3", 2),
    ("13.4", 5),
    ("14.1", 2),
    ("14.2", 4),
    ("14.3", 3),
    ("15.1", 3),
    ("15.2", 3),
    ("15.3", 7),
    ("16.1", 1),
    ("16.2", 5),
    ("16.3", 4),
    ("16.4", 3),
    ("16.5", 3),
    ("17.1", 1),
    ("17.2", 4),
    ("17.3", 2),
];

/// Begins the reason of a row without a test.
const WITHOUT_TEST: [&str; 4] = ["not applicable because", "accepted:", "left to", "in writing:"];

fn read(path: &str) -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + path).unwrap()
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows of a page's tables whose second cell names requirements: its cells.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let rows = rows.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>());
    rows.filter(|cells| cells.get(1).is_some_and(|cell| cell.starts_with('V'))).collect()
}

/// `V3.3.1-4, V3.7.2` as single requirements: section and number.
fn requirements(cell: &str) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for part in cell.split(',').map(str::trim) {
        let (section, numbers) =
            part.strip_prefix('V').and_then(|part| part.rsplit_once('.')).unwrap_or_else(|| panic!("{part}"));
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let number = |text: &str| text.parse::<u32>().unwrap_or_else(|_| panic!("{part}"));
        found.extend((number(first)..=number(last)).map(|number| (section.to_owned(), number)));
    }
    found
}

/// Every test of this binary, as the binary itself lists them.
fn tests() -> BTreeSet<String> {
    let output = Command::new(std::env::current_exe().unwrap()).args(["--list", "--format", "terse"]).output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// What is wrong with a page.
fn breaches(page: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut breaches = Vec::new();
    for name in quoted(page).filter(|word| word.contains("::")) {
        if !tests.contains(name) {
            breaches.push(format!("there is no test {name}"));
        }
    }
    let mut seen: BTreeMap<(String, u32), usize> = BTreeMap::new();
    for cells in rows(page) {
        let (area, last) = (cells[0], cells.last().unwrap());
        let has_test = quoted(last).any(|word| word.contains("::"));
        if !has_test && !WITHOUT_TEST.iter().any(|begins| last.starts_with(begins)) {
            breaches.push(format!("{area} names no test, and no reason for none"));
        }
        for requirement in requirements(cells[1]) {
            *seen.entry(requirement).or_default() += 1;
        }
    }
    for (section, last) in SECTIONS {
        let missing = (1..=last).filter(|number| !seen.contains_key(&(section.to_owned(), *number)));
        breaches.extend(missing.map(|number| format!("V{section}.{number} is not on the page")));
    }
    breaches
}

#[test]
fn every_test_on_the_page_exists_and_no_requirement_is_left_out() {
    let page = read("docs/security.md");
    let breaches = breaches(&page, &tests());
    assert!(breaches.is_empty(), "docs/security.md:\n{}", breaches.join("\n"));
    assert!(rows(&page).len() > 40);
}

#[test]
fn each_breach_is_seen() {
    let tests = tests();
    let all = SECTIONS.map(|(section, last)| format!("V{section}.1-{last}")).join(", ");
    let good = format!("| all | {all} | done | `security::page::each_breach_is_seen` |");
    assert_eq!(breaches(&good, &tests), [""; 0]);
    for (page, says) in [
        (good.replace("each_breach", "no_breach"), "there is no test security::page::no_breach_is_seen"),
        (good.replace('`', ""), "all names no test, and no reason for none"),
        (good.replace("V4.1.1-3", "V4.1.2-3"), "V4.1.1 is not on the page"),
    ] {
        assert_eq!(breaches(&page, &tests), [says]);
    }
}

#[test]
fn the_page_is_found() {
    assert!(read("README.md").contains("](docs/security.md)"));
    assert!(read("docs/ARCHITECTURE.md").contains("](security.md)"));
    let page = read("docs/security.md");
    for link in page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        let (file, _) = link.split_once('#').unwrap_or((link, ""));
        let there =
            file.is_empty() || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file).exists();
        assert!(there || file.starts_with("https://"), "there is no docs/{file}");
    }
}
