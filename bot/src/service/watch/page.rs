//! The figures as Prometheus reads them (text format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use scalebot_commands::steps::Outcome;
use scalebot_commands::units::TargetName;

/// Every way in which an operation ends: each is told from the beginning, so that its first rise is seen.
const OUTCOMES: [Outcome; 7] = [
    Outcome::Completed,
    Outcome::Refused,
    Outcome::Rejected,
    Outcome::Expired,
    Outcome::Cancelled,
    Outcome::RolledBack,
    Outcome::Failed,
];

/// An outcome as it stands in the log.
pub(super) fn label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Refused => "refused",
        Outcome::Rejected => "rejected",
        Outcome::Expired => "expired",
        Outcome::Cancelled => "cancelled",
        Outcome::RolledBack => "rolled_back",
        Outcome::Failed => "failed",
    }
}

/// What a process tells that waits until it leads.
pub(super) fn waiting() -> String {
    let mut text = String::new();
    of_the_process(&mut text, false);
    text
}

fn of_the_process(figures: &mut String, leads: bool) {
    let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    metric(figures, "build_info", "gauge", "The program's version.", [(version, 1.0)]);
    let leads = f64::from(u8::from(leads));
    let help = "1 for the process that carries operations out, 0 for one that waits to take over.";
    metric(figures, "leading", "gauge", help, [(String::new(), leads)]);
}

/// Everything that is told.
pub(super) struct Page {
    /// How many operations ended, by how.
    pub(super) ended: BTreeMap<&'static str, u64>,
    pub(super) appended: u64,
    /// In milliseconds since 1970.
    pub(super) last_append: Option<u64>,
    pub(super) log_readable: bool,
    pub(super) front_reached: bool,
    /// Every fleet that is configured or held, and what is under way on it.
    pub(super) targets: BTreeMap<TargetName, Option<UnderWay>>,
    /// How old the oldest event is that was not posted; `None` where that is not known.
    pub(super) unposted: Option<Duration>,
}

/// An operation that is not finished.
#[derive(Clone, Copy)]
pub(super) struct UnderWay {
    /// Since its last event.
    pub(super) silent: Duration,
    /// Whether it does not go on: nobody carries it out, it waits for a person, or it is silent for too long.
    pub(super) stalled: bool,
}

impl Page {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let figures = &mut text;
        of_the_process(figures, true);
        metric(
            figures,
            "operations_total",
            "counter",
            "Operations that ended since this process began, by outcome.",
            OUTCOMES.map(|outcome| {
                let count = self.ended.get(label(outcome)).copied().unwrap_or(0);
                (format!("{{outcome=\"{}\"}}", label(outcome)), count as f64)
            }),
        );
        let of_each = |figure: fn(Option<UnderWay>) -> Option<f64>| {
            self.targets.iter().filter_map(move |(name, under_way)| {
                Some((format!("{{target=\"{}\"}}", escaped(name.as_str())), figure(*under_way)?))
            })
        };
        metric(
            figures,
            "operations_under_way",
            "gauge",
            "Operations that are not finished, by the fleet that they hold.",
            of_each(|under_way| Some(f64::from(u8::from(under_way.is_some())))),
        );
        metric(
            figures,
            "operation_stalled",
            "gauge",
            "1 when the unfinished operation does not go on: a person has to look.",
            of_each(|under_way| Some(f64::from(u8::from(under_way.is_some_and(|one| one.stalled))))),
        );
        metric(
            figures,
            "operation_silent_seconds",
            "gauge",
            "Since the last event of the unfinished operation.",
            of_each(|under_way| under_way.map(|one| one.silent.as_secs_f64())),
        );
        metric(
            figures,
            "unposted_oldest_seconds",
            "gauge",
            "Age of the oldest event that the log channel was not told of; 0 when it was told everything.",
            self.unposted.map(|age| (String::new(), age.as_secs_f64())),
        );
        metric(
            figures,
            "events_appended_total",
            "counter",
            "Events that this process appended to the operational log.",
            [(String::new(), self.appended as f64)],
        );
        metric(
            figures,
            "last_append_timestamp_seconds",
            "gauge",
            "When this process last appended an event.",
            self.last_append.map(|at| (String::new(), at as f64 / 1_000.0)),
        );
        metric(
            figures,
            "log_readable",
            "gauge",
            "1 when the operational log can be read.",
            [(String::new(), f64::from(u8::from(self.log_readable)))],
        );
        metric(
            figures,
            "front_reached",
            "gauge",
            "1 when people are reached.",
            [(String::new(), f64::from(u8::from(self.front_reached)))],
        );
        text
    }
}

fn metric(text: &mut String, name: &str, kind: &str, help: &str, figures: impl IntoIterator<Item = (String, f64)>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP scalebot_{name} {help}\n# TYPE scalebot_{name} {kind}");
    for (labels, figure) in figures {
        let _ = writeln!(text, "scalebot_{name}{labels} {figure}");
    }
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}
