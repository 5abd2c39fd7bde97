//! The instance's metrics in Prometheus' text format, named as the backend and the standard process collector do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use scalebot_commands::figures::{BACKEND_BOUNDS_MS, Histogram};
use tokio::time::Instant;

use super::{App, Held, slots};

/// The labels that every series bears.
const LABELS: &str = "service=\"archon72-api\",environment=\"rehearsal\"";

/// At most so many paths have series of their own.
const PATHS: usize = 300;

/// The path that stands for all further ones.
const FURTHER: &str = "/(further)";

/// The kernel's clock ticks per second, as it shows them to programs.
const TICKS: f64 = 100.0;

/// What has been served.
pub(super) struct Exposition {
    started_at: Timestamp,
    served: Mutex<Served>,
}

/// The keys are method and path, and with the status besides.
#[derive(Default)]
struct Served {
    latencies: BTreeMap<(String, String), Histogram>,
    requests: BTreeMap<(String, String, u16), u64>,
}

impl Exposition {
    /// Nothing served yet.
    pub(super) fn new() -> Self {
        Self { started_at: Timestamp::now(), served: Mutex::default() }
    }

    fn record(&self, method: &str, path: &str, status: u16, latency_ms: f64) {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (method.to_owned(), label_value(path));
        if served.latencies.len() >= PATHS && !served.latencies.contains_key(&key) {
            FURTHER.clone_into(&mut key.1);
        }
        let histogram = served.latencies.entry(key.clone()).or_insert_with(|| Histogram::empty(&BACKEND_BOUNDS_MS));
        histogram.record(latency_ms);
        *served.requests.entry((key.0, key.1, status)).or_default() += 1;
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        head(text, "http_request_duration_seconds", "histogram", "HTTP request duration in seconds");
        for ((method, path), histogram) in &served.latencies {
            let labels = format!("{LABELS},method=\"{method}\",endpoint=\"{path}\"");
            let mut so_far = 0;
            for (bound, count) in histogram.bounds_ms.iter().zip(&histogram.counts) {
                so_far += count;
                let bound = bound / 1_000.0;
                line(text, "http_request_duration_seconds_bucket", &format!("{labels},le=\"{bound}\""), so_far);
            }
            let total = histogram.total();
            line(text, "http_request_duration_seconds_bucket", &format!("{labels},le=\"+Inf\""), total);
            line(text, "http_request_duration_seconds_sum", &labels, histogram.sum_ms / 1_000.0);
            line(text, "http_request_duration_seconds_count", &labels, total);
        }
        let counted = |text: &mut String, name: &str, help: &str, wanted: fn(u16) -> bool| {
            head(text, name, "counter", help);
            for ((method, path, status), count) in served.requests.iter().filter(|((_, _, status), _)| wanted(*status))
            {
                let labels = format!("{LABELS},method=\"{method}\",endpoint=\"{path}\",status=\"{status}\"");
                line(text, name, &labels, count);
            }
        };
        counted(text, "http_requests_total", "HTTP requests", |_| true);
        counted(text, "http_requests_failed_total", "HTTP requests that failed", |status| status >= 400);

        head(text, "process_start_time_seconds", "gauge", "Start time of the process since the Unix epoch in seconds");
        line(text, "process_start_time_seconds", "", self.started_at.as_millisecond() as f64 / 1_000.0);
        if let Some(seconds) = cpu_seconds() {
            head(text, "process_cpu_seconds_total", "counter", "User and system CPU time spent in seconds");
            line(text, "process_cpu_seconds_total", "", seconds);
        }
        if let Some(bytes) = resident_bytes() {
            head(text, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes");
            line(text, "process_resident_memory_bytes", "", bytes);
        }
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ =
        if labels.is_empty() { writeln!(text, "{name} {value}") } else { writeln!(text, "{name}{{{labels}}} {value}") };
}

/// A path as it may stand between the quotes of a label.
fn label_value(path: &str) -> String {
    path.chars().take(200).flat_map(char::escape_default).collect()
}

/// CPU time of this process; `None` where the system does not tell.
fn cpu_seconds() -> Option<f64> {
    cpu_seconds_in(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

fn cpu_seconds_in(stat: &str) -> Option<f64> {
    // The second field is the program's name in brackets, which may itself hold blanks and brackets.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) as f64 / TICKS)
}

/// Resident memory of this process; `None` where the system does not tell.
fn resident_bytes() -> Option<u64> {
    resident_bytes_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_bytes_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Counts every request, as the backend does: by its raw path, the probes' own included.
pub(super) async fn record(State(app): Held, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let latency_ms = began.elapsed().as_secs_f64() * 1_000.0;
    app.exposition.record(&method, &path, response.status().as_u16(), latency_ms);
    response
}

/// `GET /v1/metrics`.
pub(super) async fn metrics(State(app): Held) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text_of(&app)).into_response()
}

fn text_of(app: &Arc<App>) -> String {
    let mut text = app.exposition.text();
    head(&mut text, "worker_slots", "gauge", "Requests that can be worked on at once");
    line(&mut text, "worker_slots", "", slots::SLOTS);
    head(&mut text, "worker_slots_busy_seconds_total", "counter", "Time that worker slots were busy, in seconds");
    line(&mut text, "worker_slots_busy_seconds_total", "", app.slots.busy(Instant::now()).as_secs_f64());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_bears_the_backends_names_and_buckets() {
        let exposition = Exposition::new();
        for latency in [150.0, 240.0, 300.0] {
            exposition.record("GET", "/v1/petitions/1", 200, latency);
        }
        exposition.record("GET", "/v1/petitions/1", 503, 12_000.0);
        let text = exposition.text();
        let labels = r#"service="archon72-api",environment="rehearsal",method="GET",endpoint="/v1/petitions/1""#;
        for (bound, count) in
            [("0.01", 0), ("0.025", 0), ("0.1", 0), ("0.25", 2), ("0.5", 3), ("1", 3), ("10", 3), ("+Inf", 4)]
        {
            let line = format!("http_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {count}\n");
            assert!(text.contains(&line), "{line} is not in {text}");
        }
        assert!(text.contains(&format!("http_request_duration_seconds_sum{{{labels}}} 12.69\n")), "{text}");
        assert!(text.contains(&format!("http_requests_total{{{labels},status=\"200\"}} 3\n")), "{text}");
        assert!(text.contains(&format!("http_requests_failed_total{{{labels},status=\"503\"}} 1\n")), "{text}");
        assert!(!text.contains(&format!("http_requests_failed_total{{{labels},status=\"200\"}}")), "{text}");
    }

    #[test]
    fn what_somebody_asks_for_can_neither_break_a_label_nor_fill_the_memory() {
        let exposition = Exposition::new();
        for n in 0..PATHS + 50 {
            exposition.record("GET", &format!("/{n}/\"}}"), 404, 1.0);
        }
        let served = exposition.served.lock().unwrap();
        assert_eq!(served.latencies.len(), PATHS + 1);
        assert!(served.latencies.contains_key(&("GET".to_owned(), "/0/\\\"}".to_owned())));
        assert_eq!(served.latencies[&("GET".to_owned(), FURTHER.to_owned())].total(), 50);
    }

    #[test]
    fn cpu_and_memory_are_read_past_a_program_name_with_brackets() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 3 0 100 1 2";
        assert_eq!(cpu_seconds_in(stat), Some(3.0));
        assert_eq!(cpu_seconds_in("42 (a"), None);
        assert_eq!(resident_bytes_in("VmPeak:\t 9 kB\nVmRSS:\t   2048 kB\n"), Some(2_097_152));
        assert_eq!(resident_bytes_in("VmPeak:\t 9 kB\n"), None);
        #[cfg(target_os = "linux")]
        assert!(cpu_seconds().is_some() && resident_bytes().is_some_and(|bytes| bytes > 100_000));
    }
}
