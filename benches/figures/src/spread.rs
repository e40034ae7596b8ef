//! Several measurements of one thing, and of two things in turn.

/// The smallest, the middle and the largest of some measurements.
pub struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    /// Of at least one measurement.
    pub fn of(values: &[f64]) -> Self {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        Self { min: values[0], median: values[values.len() / 2], max: values[values.len() - 1] }
    }

    /// The middle.
    pub fn median(&self) -> f64 {
        self.median
    }

    /// With as many digits as say something.
    pub fn show(&self) -> String {
        let [min, median, max] = [self.min, self.median, self.max].map(number);
        if min == max { median } else { format!("{min} / {median} / {max}") }
    }
}

/// A number with about three digits that count.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The floor and the program, measured in turn: the n-th of one belongs to the n-th of the other.
#[derive(Default)]
pub struct Pairs {
    /// The floor's.
    pub floor: Vec<f64>,
    /// The program's.
    pub ours: Vec<f64>,
}

impl Pairs {
    /// One more pair.
    pub fn push(&mut self, floor: f64, ours: f64) {
        self.floor.push(floor);
        self.ours.push(ours);
    }

    /// The middle of the pairs' ratios: a machine that slows down slows both of a pair down.
    pub fn ratio(&self) -> f64 {
        let ratios: Vec<_> = self.ours.iter().zip(&self.floor).map(|(ours, floor)| ours / floor).collect();
        Spread::of(&ratios).median()
    }
}
