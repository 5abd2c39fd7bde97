//! The figures as Prometheus reads them (text format 0.0.4). What is not known is left out: it is no zero.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use scalebot_commands::units::TargetName;

use super::observed::Counted;
use crate::measures::{Beats, Measured, Requests};

/// What a process tells that waits until it leads.
pub(super) fn waiting() -> String {
    let mut text = Text::default();
    text.of_the_process(false);
    text.0
}

/// Everything that is told.
pub(super) struct Page {
    /// What was counted since this process began.
    pub(super) counted: Counted,
    /// What is known of the log; what is not is `None`.
    pub(super) log: LogFigures,
    /// Whether people are reached.
    pub(super) front_reached: bool,
    /// The requests to the chat system, where there is one.
    pub(super) requests: Option<Arc<Requests>>,
    /// The heartbeats.
    pub(super) beats: Arc<Beats>,
    /// Every fleet that is configured or held, and what is under way on it; empty where that is not known.
    pub(super) targets: BTreeMap<TargetName, Option<UnderWay>>,
}

/// What is known of the operational log.
#[derive(Default)]
pub(super) struct LogFigures {
    /// Whether it can be read.
    pub(super) readable: bool,
    /// The last event's place.
    pub(super) head: Option<u64>,
    /// How many events the log channel was not told of.
    pub(super) unposted: Option<u64>,
    /// How old the oldest of them is; zero where there is none.
    pub(super) unposted_oldest: Option<Duration>,
    /// How many escalations nobody has acknowledged.
    pub(super) escalations: Option<usize>,
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
        let mut text = Text::default();
        text.of_the_process(true);
        self.operations(&mut text);
        self.log(&mut text);
        self.chat(&mut text);
        text.0
    }

    fn operations(&self, text: &mut Text) {
        let Self { counted, targets, log, .. } = self;
        text.counter(
            "operations_total",
            "Operations that ended since this process began, by outcome.",
            counted.ended.iter().map(|(outcome, count)| (labels(&[("outcome", outcome)]), *count as f64)),
        );
        let of_each = |figure: fn(Option<UnderWay>) -> Option<f64>| {
            targets
                .iter()
                .filter_map(move |(name, under_way)| Some((labels(&[("target", name.as_str())]), figure(*under_way)?)))
        };
        text.gauge(
            "operations_under_way",
            "Operations that are not finished, by the fleet that they hold.",
            of_each(|under_way| Some(truth(under_way.is_some()))),
        );
        text.gauge(
            "operation_stalled",
            "1 when the unfinished operation does not go on: a person has to look.",
            of_each(|under_way| Some(truth(under_way.is_some_and(|one| one.stalled)))),
        );
        text.gauge(
            "operation_silent_seconds",
            "Since the last event of the unfinished operation.",
            of_each(|under_way| under_way.map(|one| one.silent.as_secs_f64())),
        );
        let silent = targets.values().flatten().map(|under_way| under_way.silent).max();
        // Without a fleet in the list nothing is known; with nothing under way there is nothing to wait for.
        let longest = (!targets.is_empty()).then(|| silent.unwrap_or_default().as_secs_f64());
        text.gauge(
            "operation_stalled_seconds",
            "How long the unfinished operation that is silent the longest has written no event; 0 when none is under way.",
            one(longest),
        );
        text.histograms(
            "step_duration_seconds",
            "How long the steps of operations took.",
            counted.steps.iter().map(|(step, measured)| (vec![("step", *step)], measured)),
        );
        text.counter(
            "checks_total",
            "Checks before a scaling, by what was looked at and what it came to.",
            counted
                .checks
                .iter()
                .map(|((check, result), count)| (labels(&[("check", check), ("result", result)]), *count as f64)),
        );
        text.counter(
            "approvals_total",
            "Requests to governance that were decided or lapsed, by what they came to.",
            counted.approvals.iter().map(|(result, count)| (labels(&[("result", result)]), *count as f64)),
        );
        text.gauge(
            "escalations_open",
            "Escalations that nobody has acknowledged.",
            one(log.escalations.map(|open| open as f64)),
        );
    }

    fn log(&self, text: &mut Text) {
        let Self { counted, log, .. } = self;
        text.gauge("log_readable", "1 when the operational log can be read.", one(Some(truth(log.readable))));
        text.gauge(
            "ledger_head",
            "The place of the last event in the operational log.",
            one(log.head.map(|head| head as f64)),
        );
        text.counter(
            "events_appended_total",
            "Events that this process appended to the operational log.",
            one(Some(counted.appended as f64)),
        );
        text.counter(
            "append_failures_total",
            "Events that the operational log could not take. Nothing is done that cannot be recorded.",
            one(Some(counted.failures as f64)),
        );
        text.gauge(
            "last_append_timestamp_seconds",
            "When this process last appended an event.",
            one(counted.last_append.map(|at| at as f64 / 1_000.0)),
        );
        text.gauge(
            "outbox_events",
            "Events that the log channel was not told of yet.",
            one(log.unposted.map(|events| events as f64)),
        );
        text.gauge(
            "unposted_oldest_seconds",
            "Age of the oldest event that the log channel was not told of; 0 when it was told everything.",
            one(log.unposted_oldest.map(|age| age.as_secs_f64())),
        );
    }

    fn chat(&self, text: &mut Text) {
        text.gauge("front_reached", "1 when people are reached.", one(Some(truth(self.front_reached))));
        let requests = self.requests.as_deref();
        text.counter(
            "discord_requests_total",
            "Requests to Discord, by what became of them; rate_limited is an answer of 429.",
            requests
                .into_iter()
                .flat_map(Requests::counts)
                .map(|(result, count)| (labels(&[("result", result)]), count as f64)),
        );
        let latency = requests.map(Requests::latency);
        text.histograms(
            "discord_request_duration_seconds",
            "How long a request to Discord took, without waiting for its turn.",
            latency.iter().map(|latency| (Vec::new(), latency)),
        );
        text.counter(
            "heartbeats_total",
            "Heartbeats that were sent while the bot was ready, and those that were not taken.",
            self.beats.counts().map(|(result, count)| (labels(&[("result", result)]), count as f64)),
        );
        text.gauge(
            "last_heartbeat_timestamp_seconds",
            "When the last heartbeat was taken.",
            one(self.beats.last_sent().map(|at| at as f64 / 1_000.0)),
        );
    }
}

fn truth(it_is_so: bool) -> f64 {
    f64::from(u8::from(it_is_so))
}

/// The one figure of a name without labels, where it is known.
fn one(figure: Option<f64>) -> Option<(String, f64)> {
    figure.map(|figure| (String::new(), figure))
}

/// The page while it is written.
#[derive(Default)]
struct Text(String);

impl Text {
    fn of_the_process(&mut self, leads: bool) {
        let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
        self.gauge("build_info", "The program's version.", [(version, 1.0)]);
        let help = "1 for the process that carries operations out, 0 for one that waits to take over.";
        self.gauge("leader", help, one(Some(truth(leads))));
    }

    fn gauge(&mut self, name: &str, help: &str, figures: impl IntoIterator<Item = (String, f64)>) {
        self.family(name, "gauge", help, figures);
    }

    fn counter(&mut self, name: &str, help: &str, figures: impl IntoIterator<Item = (String, f64)>) {
        self.family(name, "counter", help, figures);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str, figures: impl IntoIterator<Item = (String, f64)>) {
        self.head(name, kind, help);
        for (labels, figure) in figures {
            self.line(name, &labels, figure);
        }
    }

    fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        figures: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, &'a Measured)>,
    ) {
        self.head(name, "histogram", help);
        for (of, Measured { upto, count, sum }) in figures {
            let bounds = upto.iter().map(|(bound, count)| (bound.to_string(), *count));
            for (bound, count) in bounds.chain([("+Inf".to_owned(), *count)]) {
                let with_bound: Vec<_> = of.iter().copied().chain([("le", bound.as_str())]).collect();
                self.line(&format!("{name}_bucket"), &labels(&with_bound), count as f64);
            }
            self.line(&format!("{name}_sum"), &labels(&of), *sum);
            self.line(&format!("{name}_count"), &labels(&of), *count as f64);
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP scalebot_{name} {help}\n# TYPE scalebot_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, figure: f64) {
        let _ = writeln!(self.0, "scalebot_{name}{labels} {figure}");
    }
}

/// Labels with their values, as they stand behind a name.
fn labels(of: &[(&str, &str)]) -> String {
    if of.is_empty() {
        return String::new();
    }
    let each: Vec<_> = of.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", each.join(","))
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}
