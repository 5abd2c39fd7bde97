//! What one instance's page of metrics comes to: the few figures that are kept of it, summed over paths and methods.

use super::config::Config;
use super::exposition::{Line, Sample, parse};

/// The most lines that a page may have.
const MAX_LINES: usize = 500_000;

/// The most buckets that a histogram may have.
const MAX_BUCKETS: usize = 64;

/// Beyond this a counter no longer counts in steps of one.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0;

/// An instance's counters and gauges at one moment, as it gives them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// Upper bounds in milliseconds, rising; empty as long as there was no request.
    pub(crate) bounds_ms: Vec<f64>,
    /// Requests in each bucket, then those slower than all; empty as long as there was no request.
    pub(crate) counts: Vec<u64>,
    pub(crate) sum_ms: f64,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) memory_bytes: Option<u64>,
    /// Seconds since 1970.
    pub(crate) started: Option<f64>,
    pub(crate) busy_seconds: Option<f64>,
    pub(crate) slots: Option<f64>,
}

/// A page while it is read.
pub(super) struct Page<'a> {
    config: &'a Config,
    bucket: String,
    sum: String,
    lines: usize,
    declares_requests: bool,
    declares_duration: bool,
    requests: f64,
    errors: f64,
    buckets: Vec<Bucket>,
    sum_seconds: Option<f64>,
    cpu: Option<f64>,
    memory: Option<f64>,
    started: Option<f64>,
    busy: Option<f64>,
    slots: Option<f64>,
}

/// One bucket of the histogram, summed over the series that have it.
struct Bucket {
    le: f64,
    cumulative: f64,
    series: usize,
}

impl<'a> Page<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        Self {
            config,
            bucket: format!("{}_bucket", config.series.duration),
            sum: format!("{}_sum", config.series.duration),
            lines: 0,
            declares_requests: false,
            declares_duration: false,
            requests: 0.0,
            errors: 0.0,
            buckets: Vec::new(),
            sum_seconds: None,
            cpu: None,
            memory: None,
            started: None,
            busy: None,
            slots: None,
        }
    }

    /// Takes the next line. What it says about other series is only looked at for its form.
    pub(super) fn take(&mut self, line: &str) -> Result<(), String> {
        self.lines += 1;
        if self.lines > MAX_LINES {
            return Err("too many lines".into());
        }
        match parse(line).map_err(|malformed| malformed.to_string())? {
            Line::Nothing => Ok(()),
            Line::Declared(name) => {
                self.declares_requests |= name == self.config.series.requests;
                self.declares_duration |= name == self.config.series.duration;
                Ok(())
            }
            Line::Sample(sample) => self.sample(&sample),
        }
    }

    fn sample(&mut self, sample: &Sample<'_>) -> Result<(), String> {
        let series = &self.config.series;
        let left_out = |sample: &Sample<'_>| {
            sample.label(&series.endpoint).is_some_and(|endpoint| self.config.leaves_out(endpoint))
        };
        if sample.name == series.requests {
            self.declares_requests = true;
            if left_out(sample) {
                return Ok(());
            }
            let status = sample.label(&series.status).filter(|status| !status.is_empty());
            let status = status.ok_or_else(|| format!("{} has no {}", series.requests, series.status))?;
            let count = counted(sample)?;
            self.requests += count;
            if status.starts_with('5') {
                self.errors += count;
            }
            return Ok(());
        }
        if sample.name == self.bucket {
            self.declares_duration = true;
            return if left_out(sample) { Ok(()) } else { self.bucket(sample) };
        }
        if sample.name == self.sum {
            if !left_out(sample) {
                *self.sum_seconds.get_or_insert(0.0) += measured(sample)?;
            }
            return Ok(());
        }
        // Several processes behind one address each have theirs: together they are the instance's.
        for (name, figure) in [
            (&series.cpu, &mut self.cpu),
            (&series.memory, &mut self.memory),
            (&series.slots_busy, &mut self.busy),
            (&series.slots, &mut self.slots),
        ] {
            if sample.name == *name {
                *figure.get_or_insert(0.0) += measured(sample)?;
                return Ok(());
            }
        }
        if sample.name == series.started {
            let started = measured(sample)?;
            self.started = Some(self.started.map_or(started, |known| known.max(started)));
        }
        Ok(())
    }

    fn bucket(&mut self, sample: &Sample<'_>) -> Result<(), String> {
        let le = sample.label("le").and_then(|le| le.parse::<f64>().ok()).filter(|le| !le.is_nan());
        let le = le.ok_or_else(|| format!("{} has no proper le", self.bucket))?;
        let count = counted(sample)?;
        let at = self.buckets.partition_point(|known| known.le < le);
        let full = self.buckets.len() > MAX_BUCKETS;
        match self.buckets.get_mut(at).filter(|known| known.le <= le) {
            Some(known) => {
                known.cumulative += count;
                known.series += 1;
            }
            None if full => return Err(format!("{} has too many buckets", self.bucket)),
            None => self.buckets.insert(at, Bucket { le, cumulative: count, series: 1 }),
        }
        Ok(())
    }

    /// What the page comes to.
    ///
    /// # Errors
    /// When it is not a page of the metrics that are wanted, or its figures contradict each other.
    pub(super) fn finish(self) -> Result<Figures, String> {
        let series = &self.config.series;
        if !self.declares_requests {
            return Err(format!("there is no {}", series.requests));
        }
        if !self.declares_duration {
            return Err(format!("there is no {}", series.duration));
        }
        let (bounds_ms, counts) = histogram(&self.buckets).ok_or_else(|| format!("{} is no histogram", self.bucket))?;
        if counts.is_empty() != self.sum_seconds.is_none() {
            return Err(format!("{} and {} do not go together", self.bucket, self.sum));
        }
        Ok(Figures {
            requests: whole(self.requests)?,
            errors: whole(self.errors)?,
            bounds_ms,
            counts,
            sum_ms: self.sum_seconds.unwrap_or(0.0) * 1_000.0,
            cpu_seconds: self.cpu,
            memory_bytes: self.memory.map(|bytes| bytes as u64),
            started: self.started,
            busy_seconds: self.busy,
            slots: self.slots,
        })
    }
}

/// Bounds in milliseconds and counts that are not cumulative; `None` when the buckets are not those of one histogram:
/// not the same in every series, fewer in a wider one, or without the one that holds everything.
fn histogram(buckets: &[Bucket]) -> Option<(Vec<f64>, Vec<u64>)> {
    let Some((last, bounded)) = buckets.split_last() else { return Some((Vec::new(), Vec::new())) };
    if last.le.is_finite() || bounded.iter().any(|bucket| bucket.series != last.series || !bucket.le.is_finite()) {
        return None;
    }
    let mut below = 0;
    let mut counts = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        let cumulative = whole(bucket.cumulative).ok()?;
        counts.push(cumulative.checked_sub(below)?);
        below = cumulative;
    }
    // Rounded to a millionth: 0.035 s is 35 ms, not 35.000000000000004.
    let bounds = bounded.iter().map(|bucket| (bucket.le * 1e9).round() / 1e6).collect();
    Some((bounds, counts))
}

/// A value that can be a measurement.
fn measured(sample: &Sample<'_>) -> Result<f64, String> {
    let value = sample.value;
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(format!("{} is {value}", sample.name)) }
}

/// A value that can be a count.
fn counted(sample: &Sample<'_>) -> Result<f64, String> {
    let value = measured(sample)?;
    whole(value).map(|_| value).map_err(|_| format!("{} is {value}", sample.name))
}

fn whole(value: f64) -> Result<u64, String> {
    if (0.0..=MAX_COUNT).contains(&value) && value.fract() == 0.0 {
        Ok(value as u64)
    } else {
        Err(format!("{value} is no count"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(page: &str) -> Result<Figures, String> {
        let config = Config::default();
        let mut figures = Page::new(&config);
        for line in page.lines() {
            figures.take(line)?;
        }
        figures.finish()
    }

    const PAGE: &str = "\
# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{method=\"GET\",endpoint=\"/v1/events/1\",status=\"200\"} 7.0
http_requests_total{method=\"GET\",endpoint=\"/v1/events/2\",status=\"503\"} 2.0
http_requests_total{method=\"GET\",endpoint=\"/v1/health\",status=\"500\"} 100.0
http_requests_created{method=\"GET\",endpoint=\"/v1/events/1\",status=\"200\"} 1.7e9
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{endpoint=\"/v1/events/1\",le=\"0.035\"} 3
http_request_duration_seconds_bucket{endpoint=\"/v1/events/1\",le=\"0.5\"} 7
http_request_duration_seconds_bucket{endpoint=\"/v1/events/1\",le=\"+Inf\"} 7
http_request_duration_seconds_sum{endpoint=\"/v1/events/1\"} 0.7
http_request_duration_seconds_bucket{endpoint=\"/v1/events/2\",le=\"+Inf\"} 2
http_request_duration_seconds_bucket{endpoint=\"/v1/events/2\",le=\"0.5\"} 1
http_request_duration_seconds_bucket{endpoint=\"/v1/events/2\",le=\"0.035\"} 0
http_request_duration_seconds_sum{endpoint=\"/v1/events/2\"} 0.9
http_request_duration_seconds_bucket{endpoint=\"/v1/ready\",le=\"+Inf\"} 9
http_request_duration_seconds_sum{endpoint=\"/v1/ready\"} NaN
process_cpu_seconds_total 12.5
process_resident_memory_bytes 5.24288e+07
process_start_time_seconds 1767841200.25
worker_slots 2
worker_slots_busy_seconds_total 3.5
something_else{quantile=\"0.99\"} NaN
";

    #[test]
    fn figures_are_summed_over_paths_without_those_left_out() {
        let wanted = Figures {
            requests: 9,
            errors: 2,
            bounds_ms: vec![35.0, 500.0],
            counts: vec![3, 5, 1],
            sum_ms: 1_600.0,
            cpu_seconds: Some(12.5),
            memory_bytes: Some(50 << 20),
            started: Some(1_767_841_200.25),
            busy_seconds: Some(3.5),
            slots: Some(2.0),
        };
        assert_eq!(read(PAGE), Ok(wanted));
    }

    #[test]
    fn a_process_that_had_no_request_yet_has_zero_and_one_without_the_series_has_nothing() {
        let fresh = "# TYPE http_requests_total counter\n# TYPE http_request_duration_seconds histogram\n";
        assert_eq!(read(fresh), Ok(Figures::default()));
        for page in
            ["", "up 1\n", "# TYPE http_requests_total counter\n", "# TYPE http_request_duration_seconds histogram\n"]
        {
            assert!(read(page).is_err(), "{page}");
        }
    }

    #[test]
    fn figures_that_cannot_be_are_refused() {
        for (right, wrong) in [
            ("status=\"200\"} 7.0", "status=\"200\"} -7"),
            ("status=\"200\"} 7.0", "status=\"200\"} NaN"),
            ("status=\"200\"} 7.0", "status=\"200\"} +Inf"),
            ("status=\"200\"} 7.0", "status=\"200\"} 7.5"),
            ("status=\"200\"} 7.0", "status=\"200\"} 1e300"),
            ("status=\"200\"} 7.0", "code=\"200\"} 7"),
            ("le=\"0.035\"} 3", "le=\"0.035\"} 9"),
            ("le=\"0.035\"} 3", "le=\"NaN\"} 3"),
            ("le=\"0.035\"} 3", "le=\"0.036\"} 3"),
            ("le=\"0.035\"} 3", "le=\"-Inf\"} 3"),
            (",le=\"0.035\"} 3", "} 3"),
            ("http_request_duration_seconds_bucket{endpoint=\"/v1/events/1\",le=\"+Inf\"} 7", ""),
            ("sum{endpoint=\"/v1/events/1\"} 0.7", "sum{endpoint=\"/v1/events/1\"} -0.7"),
            ("process_cpu_seconds_total 12.5", "process_cpu_seconds_total -1"),
            ("process_resident_memory_bytes 5.24288e+07", "process_resident_memory_bytes NaN"),
            ("process_start_time_seconds 1767841200.25", "process_start_time_seconds Inf"),
            ("worker_slots 2", "worker_slots two"),
        ] {
            assert!(PAGE.contains(right), "{right}");
            assert!(read(&PAGE.replacen(right, wrong, 1)).is_err(), "{wrong}");
        }
        let without_sums: Vec<&str> = PAGE.lines().filter(|line| !line.contains("seconds_sum")).collect();
        assert!(read(&without_sums.join("\n")).is_err());
    }

    #[test]
    fn absurd_pages_are_refused() {
        let bucket = |le| format!("http_request_duration_seconds_bucket{{le=\"{le}\"}} 0");
        let buckets: Vec<String> = (0..100).map(bucket).collect();
        assert!(read(&buckets.join("\n")).is_err_and(|wrong| wrong.contains("too many buckets")));
        let config = Config::default();
        let mut page = Page::new(&config);
        let refused = (0..=MAX_LINES).find_map(|_| page.take("").err());
        assert_eq!(refused, Some("too many lines".into()));
    }

    proptest! {
        #[test]
        fn no_page_panics(lines in prop::collection::vec(any::<prop::sample::Index>(), 0..20), value in any::<f64>()) {
            let known: Vec<&str> = PAGE.lines().collect();
            let page: String = lines
                .iter()
                .map(|line| line.get(&known).rsplit_once(' ').map_or(String::new(), |(series, _)| format!("{series} {value}\n")))
                .collect();
            let _ = read(&page);
        }
    }
}
