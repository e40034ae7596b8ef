//! The list of contradictions in `docs/conformance.md`: the one place that says where the simulator and our client differ
//! from Microsoft's description on purpose, and why.

use std::collections::BTreeSet;

/// The word for an operation where every one is meant.
const EVERY: &str = "every";

/// Who differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// Our client, in what it asks.
    Client,
    /// The simulator, in what it answers.
    Simulator,
}

/// A difference that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Difference {
    pub(super) side: Side,
    /// As the description calls it.
    pub(super) operation: String,
    /// In one phrase.
    pub(super) what: String,
}

/// A difference that is listed.
#[derive(Clone, Debug)]
struct Row {
    side: Side,
    operations: Vec<String>,
    what: String,
}

impl Row {
    fn names(&self, found: &Difference) -> bool {
        let operation = self.operations.iter().any(|operation| *operation == found.operation || operation == EVERY);
        self.side == found.side && self.what == found.what && operation
    }

    /// The operations that are listed and do not differ.
    fn unseen(&self, found: &BTreeSet<Difference>) -> Vec<String> {
        let seen = |operation: &String| {
            let alone = Self { operations: vec![operation.clone()], ..self.clone() };
            found.iter().any(|difference| alone.names(difference))
        };
        self.operations.iter().filter(|operation| !seen(operation)).cloned().collect()
    }
}

/// The rows of the table: who, the operations, what differs, why, and where that is known from.
fn rows(document: &str) -> Vec<Row> {
    let cells = document.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        Some((line, cells))
    });
    let rows = cells.filter_map(|(line, cells)| {
        let side = match cells.first().copied()? {
            "client" => Side::Client,
            "simulator" => Side::Simulator,
            _ => return None,
        };
        let [_, operations, what, why, source] = cells.as_slice() else { panic!("five cells: {line}") };
        assert!([operations, what, why, source].iter().all(|cell| !cell.is_empty()), "a cell is empty: {line}");
        let operations = operations.split(',').map(|operation| operation.trim().trim_matches('`').to_owned()).collect();
        Some(Row { side, operations, what: what.trim_matches('`').to_owned() })
    });
    rows.collect()
}

fn read() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conformance.md")).unwrap()
}

/// What is found and not listed, and what is listed and not found, each as a line.
pub(super) fn disagreements(found: &BTreeSet<Difference>) -> Vec<String> {
    compared(&rows(&read()), found)
}

fn compared(rows: &[Row], found: &BTreeSet<Difference>) -> Vec<String> {
    let unlisted = found.iter().filter(|found| !rows.iter().any(|row| row.names(found)));
    let unlisted =
        unlisted.map(|Difference { side, operation, what }| format!("not listed: {side:?} {operation}: {what}"));
    let unseen = rows.iter().filter(|row| !row.unseen(found).is_empty());
    let unseen = unseen.map(|row| format!("listed, and not so: {:?} {:?}: {}", row.side, row.unseen(found), row.what));
    unlisted.chain(unseen).collect()
}

#[test]
fn the_list_can_be_read_and_has_nothing_twice() {
    let rows = rows(&read());
    assert!(rows.len() > 5, "{rows:?}");
    let of = |row: &Row| row.operations.iter().map(|one| (row.side, one.clone(), row.what.clone())).collect::<Vec<_>>();
    let listed: Vec<_> = rows.iter().flat_map(of).collect();
    assert_eq!(listed.len(), listed.iter().collect::<BTreeSet<_>>().len(), "{listed:?}");
}

#[test]
fn what_is_not_listed_and_what_is_listed_in_vain_are_told() {
    let rows = rows(
        "| who | where |\n| simulator | `Get`, `List` | `field: odd` | why | source |\n\
         | client | every | `path: odd` | why | source |\n",
    );
    let difference =
        |side, operation: &str, what: &str| Difference { side, operation: operation.to_owned(), what: what.to_owned() };
    let all = [
        difference(Side::Simulator, "Get", "field: odd"),
        difference(Side::Simulator, "List", "field: odd"),
        difference(Side::Client, "Get", "path: odd"),
    ];
    assert_eq!(compared(&rows, &all.iter().cloned().collect()), [""; 0]);
    for left_out in 0..all.len() {
        let found =
            all.iter().enumerate().filter(|(index, _)| *index != left_out).map(|(_, one)| one.clone()).collect();
        let told = compared(&rows, &found);
        assert!(told.len() == 1 && told[0].starts_with("listed, and not so"), "{told:?}");
    }
    for more in [
        difference(Side::Client, "Get", "field: odd"),
        difference(Side::Simulator, "Cancel", "field: odd"),
        difference(Side::Simulator, "Get", "another: odd"),
    ] {
        let told = compared(&rows, &all.iter().cloned().chain([more]).collect());
        assert!(told.len() == 1 && told[0].starts_with("not listed"), "{told:?}");
    }
}
