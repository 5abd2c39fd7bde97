//! The table: a row a measure, in Markdown, so that it is pasted into `BENCHMARKS.md` as it stands.

use std::fmt;
use std::time::Duration;

/// All measures.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

/// One measure.
pub(crate) struct Row {
    /// What was measured.
    pub(crate) measure: String,
    /// What came of it, with its unit.
    pub(crate) figure: String,
    /// What it is held against, with its own figure.
    pub(crate) compared: String,
    /// How many times as much it is; `None` where it is compared with nothing.
    pub(crate) ratio: Option<f64>,
    /// What it should be.
    pub(crate) aim: Aim,
}

/// What a measure should be.
pub(crate) enum Aim {
    /// Nothing was promised.
    None,
    /// At most this many times what it is compared with.
    Ratio(f64),
    /// The figure itself in MiB, and at most how many it should be.
    Mib(f64, f64),
    /// It was not measured.
    Skipped,
}

impl Table {
    /// Adds a measure, and says on standard error that it is done: all of them take minutes.
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("{}: {}", row.measure, row.figure);
        self.0.push(row);
    }
}

impl Row {
    fn reached(&self) -> &'static str {
        let (found, wanted) = match (&self.aim, self.ratio) {
            (Aim::Ratio(wanted), Some(ratio)) => (ratio, *wanted),
            (Aim::Mib(found, wanted), _) => (*found, *wanted),
            (Aim::Ratio(_), None) => return "NO",
            (Aim::None, _) => return "–",
            (Aim::Skipped, _) => return "not measured",
        };
        if found <= wanted { "yes" } else { "NO" }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| measure | figure | compared with | ratio | aim | reached |")?;
        write!(f, "|---|---|---|---|---|---|")?;
        for row in &self.0 {
            let ratio = row.ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
            let aim = match row.aim {
                Aim::None | Aim::Skipped => "–".to_owned(),
                Aim::Ratio(aim) => format!("{aim}"),
                Aim::Mib(_, aim) => format!("{aim} MiB"),
            };
            let Row { measure, figure, compared, .. } = row;
            write!(f, "\n| {measure} | {figure} | {compared} | {ratio} | {aim} | {} |", row.reached())?;
        }
        Ok(())
    }
}

/// A length of time with three digits that count.
pub(crate) fn time(length: Duration) -> String {
    let ns = length.as_nanos() as f64;
    let (figure, unit) = match ns {
        ..1e3 => (ns, "ns"),
        ..1e6 => (ns / 1e3, "µs"),
        ..1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    let digits = match figure {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{figure:.digits$} {unit}")
}
