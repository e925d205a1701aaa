//! One number of a bench: printed in one line, the same for all benches, and kept as JSON.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

/// What a number has to be for the kit to be fast enough.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    AtLeast(f64),
    AtMost(f64),
    /// Nothing was asked for; the number is there to be known.
    Open,
}

impl Wanted {
    /// The middle of the rounds is judged.
    fn verdict(self, median: f64) -> Option<bool> {
        match self {
            Self::AtLeast(least) => Some(median >= least),
            Self::AtMost(most) => Some(median <= most),
            Self::Open => None,
        }
    }

    fn words(self) -> String {
        match self {
            Self::AtLeast(least) => format!(">= {least}"),
            Self::AtMost(most) => format!("<= {most}"),
            Self::Open => "-".to_owned(),
        }
    }
}

/// The values of all rounds, in the order in which they were measured.
#[derive(Debug)]
pub struct Figure {
    kind: &'static str,
    name: String,
    unit: &'static str,
    values: Vec<f64>,
    wanted: Wanted,
    /// What the values were made of.
    absolute: String,
}

impl Figure {
    /// Ours over the baseline's, round by round: what disturbs one round disturbs both.
    pub fn ratio(name: &str, unit: &str, ours: &[f64], baseline: (&str, &[f64])) -> Self {
        let (whose, baseline) = baseline;
        assert_eq!(ours.len(), baseline.len(), "{name}: a round without its pair");
        let values = ours.iter().zip(baseline).map(|(ours, bare)| ours / bare).collect();
        let (our, bare) = (Quartiles::of(ours).median, Quartiles::of(baseline).median);
        Self {
            kind: "ratio",
            name: format!("{name} vs {whose}"),
            unit: "",
            values,
            wanted: Wanted::Open,
            absolute: format!("ours {} {unit}, {whose} {} {unit}", short(our), short(bare)),
        }
    }

    /// A number that stands for itself.
    pub fn value(name: &str, unit: &'static str, values: &[f64]) -> Self {
        Self {
            kind: "value",
            name: name.to_owned(),
            unit,
            values: values.to_vec(),
            wanted: Wanted::Open,
            absolute: String::new(),
        }
    }

    #[must_use]
    pub fn wanted(self, wanted: Wanted) -> Self {
        Self { wanted, ..self }
    }

    /// What is to be read beside the number. Names stay the same from run to run; this need not.
    #[must_use]
    pub fn beside(self, absolute: String) -> Self {
        Self { absolute, ..self }
    }

    /// Prints the line, and puts it into `target/bench-ratios.json` in place of an earlier one.
    pub fn tell(self) {
        let Quartiles { lower, median, upper } = Quartiles::of(&self.values);
        let verdict = self.wanted.verdict(median);
        let mut line = format!("{} {}: {}", self.kind, self.name, short(median));
        if !self.unit.is_empty() {
            line += &format!(" {}", self.unit);
        }
        line += &format!(" (wanted {})", self.wanted.words());
        line += match verdict {
            Some(true) => " ok",
            Some(false) => " MISSED",
            None => "",
        };
        line += &format!("; quartiles {} to {}", short(lower), short(upper));
        line += &format!(", {} rounds", self.values.len());
        if !self.absolute.is_empty() {
            line += &format!("; {}", self.absolute);
        }
        println!("{line}");
        let entry = json!({
            "kind": self.kind,
            "unit": self.unit,
            "median": median,
            "lower_quartile": lower,
            "upper_quartile": upper,
            "rounds": self.values.len(),
            "wanted": self.wanted.words(),
            "ok": verdict,
            "absolute": self.absolute,
        });
        keep(self.name, entry);
    }
}

/// Each bench is a process of its own; they run one after the other and share the file.
fn keep(name: String, entry: Value) {
    let path = file();
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let mut all: Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
    all.insert(name, entry);
    let text = serde_json::to_string_pretty(&all).unwrap();
    std::fs::write(&path, text + "\n")
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// `bench-ratios.json` in the target directory.
fn file() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-ratios.json")
}

/// A machine has good and bad moments: the middle half of the rounds says more than the mean.
#[derive(Debug, Clone, Copy)]
pub struct Quartiles {
    pub lower: f64,
    pub median: f64,
    pub upper: f64,
}

impl Quartiles {
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        // Between two values, in proportion.
        let at = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Self { lower: at(0.25), median: at(0.5), upper: at(0.75) }
    }
}

/// Three digits that matter.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
