//! The questions as Prometheus is asked them: templates with what is configured put in.

use std::time::Duration;

use super::settings::Settings;
use crate::settings::Unusable;

/// The questions of one target. Those that are not asked are `None`.
#[derive(Clone, Debug)]
pub(super) struct Questions {
    pub(super) scraped: String,
    pub(super) requests: Template,
    pub(super) halt_refusals: Option<Template>,
    pub(super) buckets: Template,
    pub(super) duration: Template,
    pub(super) cpu: Option<Template>,
    pub(super) memory: Option<Template>,
    pub(super) started: Option<Template>,
    pub(super) slots_busy: Option<Template>,
    pub(super) slots: Option<Template>,
}

/// A question that lacks only the window that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    filled: String,
    /// The same without leaving any path out.
    unfiltered: String,
}

impl Template {
    /// As it is asked about the last so many milliseconds.
    pub(super) fn over(&self, window_ms: i64) -> String {
        self.filled.replace("$window", &format!("{window_ms}ms"))
    }

    /// As it is asked to find out whether there are such series at all.
    pub(super) fn unfiltered(&self) -> String {
        format!("count({})", self.unfiltered)
    }
}

impl Questions {
    /// # Errors
    /// For a query by which the instances could not be told apart, or that finds those of other fleets too.
    pub(super) fn new(settings: &Settings) -> Result<Self, Unusable> {
        for (key, label) in
            [("instance", &settings.instance), ("status", &settings.status), ("endpoint", &settings.endpoint)]
        {
            let is_label = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if label.is_empty() || !is_label(label) {
                return Err(Unusable::new(key, "write the name of a label, of letters, digits and _"));
            }
        }
        if settings.selector.trim().is_empty() {
            return Err(Unusable::new("selector", "write what the fleet's series have in common, as job=\"archon72\""));
        }
        if settings.interval < Duration::from_millis(100) || settings.reach < settings.interval * 3 {
            return Err(Unusable::new(
                "interval",
                "write how often the fleet is scraped, as 15s; reach is much longer",
            ));
        }
        let queries = &settings.queries;
        let by_instance = |key: &str, query: &str| -> Result<Option<Template>, Unusable> {
            if query.trim().is_empty() {
                return Ok(None);
            }
            if !query.contains("$instance") {
                return Err(Unusable::new(format!("queries.{key}"), "it must tell instances apart: by ($instance)"));
            }
            let filled = |matcher: &str| put_in(settings, query).replace("$leave_out", matcher);
            let (filled, unfiltered) = (filled(&left_out(settings)), filled(&everything(settings)));
            Ok(Some(Template { filled, unfiltered }))
        };
        let needed = |key: &str, query: &str| {
            by_instance(key, query)?.ok_or_else(|| Unusable::new(format!("queries.{key}"), "it cannot be left out"))
        };
        if queries.scraped.trim().is_empty() {
            return Err(Unusable::new("queries.scraped", "it cannot be left out"));
        }
        Ok(Self {
            scraped: put_in(settings, queries.scraped.trim()),
            requests: needed("requests", &queries.requests)?,
            halt_refusals: by_instance("halt_refusals", &queries.halt_refusals)?,
            buckets: needed("buckets", &queries.buckets)?,
            duration: needed("duration", &queries.duration)?,
            cpu: by_instance("cpu", &queries.cpu)?,
            memory: by_instance("memory", &queries.memory)?,
            started: by_instance("started", &queries.started)?,
            slots_busy: by_instance("slots_busy", &queries.slots_busy)?,
            slots: by_instance("slots", &queries.slots)?,
        })
    }
}

fn put_in(settings: &Settings, query: &str) -> String {
    query
        .replace("$selector", settings.selector.trim())
        .replace("$instance", &settings.instance)
        .replace("$status", &settings.status)
}

/// A matcher that finds everything.
fn everything(settings: &Settings) -> String {
    format!("{}=~\".*\"", settings.endpoint)
}

/// A matcher that keeps paths out, each with all that is below it.
fn left_out(settings: &Settings) -> String {
    if settings.leave_out.is_empty() {
        return everything(settings);
    }
    let paths: Vec<String> = settings.leave_out.iter().map(|path| pattern(path)).collect();
    let pattern = format!("({})(/.*)?", paths.join("|"));
    format!("{}!~\"{}\"", settings.endpoint, pattern.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A path as a regular expression.
fn pattern(path: &str) -> String {
    let parts = path.split('/').map(|part| if part == "*" { "[^/]*".to_owned() } else { literal(part) });
    parts.collect::<Vec<_>>().join("/")
}

fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            leave_out: vec!["/v1/ready".into(), "/v1/a.b/*/status".into()],
            ..Settings::new("http://x", "job=\"j\"")
        }
    }

    #[test]
    fn what_is_configured_stands_in_the_question() {
        let questions = Questions::new(&settings()).unwrap();
        assert_eq!(questions.scraped, "up{job=\"j\"}");
        assert_eq!(
            questions.requests.over(1),
            "sum by (instance, status) (http_requests_total{job=\"j\", \
             endpoint!~\"(/v1/ready|/v1/a\\\\.b/[^/]*/status)(/.*)?\"})"
        );
        assert_eq!(
            questions.cpu.unwrap().over(60_000),
            "sum by (instance) (rate(process_cpu_seconds_total{job=\"j\"}[60000ms]))"
        );
        let all = "count(sum by (instance, status) (http_requests_total{job=\"j\", endpoint=~\".*\"}))";
        assert_eq!(questions.requests.unfiltered(), all);
        assert!(questions.halt_refusals.is_none());
    }

    #[test]
    fn a_question_that_cannot_be_answered_by_instance_is_refused() {
        let refused = |change: fn(&mut Settings)| {
            let mut settings = settings();
            change(&mut settings);
            Questions::new(&settings).unwrap_err().key
        };
        assert_eq!(
            refused(|settings| settings.queries.requests = "sum(requests{$selector})".into()),
            "queries.requests"
        );
        assert_eq!(refused(|settings| settings.queries.buckets = String::new()), "queries.buckets");
        assert_eq!(refused(|settings| settings.queries.scraped = " ".into()), "queries.scraped");
        assert_eq!(refused(|settings| settings.selector = String::new()), "selector");
        assert_eq!(refused(|settings| settings.instance = "a-b".into()), "instance");
        assert_eq!(refused(|settings| settings.interval = Duration::ZERO), "interval");
    }
}
