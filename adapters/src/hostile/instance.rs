//! An instance of the backend: its word on itself, and its page of metrics.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt as _, stream};
use http::HeaderMap;
use reqwest::{Request, StatusCode, header};
use scalebot_commands::ports::{Instance, InstanceState, PortError, Probe as _};
use scalebot_commands::units::{InstanceId, Timestamp};
use serde_json::{Value, json};

use super::{Choices, Read, answer, fast, may_be_shown, texts_may_be_shown};
use crate::conclave::{Conclave, Config, KeyProbe, Paths};
use crate::http::{Arriving, Carrier, Reach, Unanswered};
use crate::scrape;

/// The statuses that it may answer with.
const STATUSES: [u16; 8] = [200, 200, 200, 503, 404, 429, 301, 500];

/// Carries nothing anywhere: it has the answer.
#[derive(Debug, Default)]
struct Answers(Mutex<(u16, Vec<u8>)>);

#[async_trait]
impl Carrier for Answers {
    fn address_of(&self, _: &Instance) -> Option<String> {
        Some("instance:8000".to_owned())
    }

    async fn carry(&self, _: &str, _: Request, _: Duration) -> Result<Arriving, Unanswered> {
        let (status, body) = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        let chunks: Vec<Result<Bytes, PortError>> =
            body.chunks(4_096).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        Ok(Arriving::new(status, headers, stream::iter(chunks)))
    }
}

/// One good answer to every question.
fn good() -> Value {
    let check = json!({ "healthy": true, "error": null, "latency_ms": 1.2 });
    json!({
        "status": "ready", "reachable": true, "checks": { "database": check.clone(), "redis": check },
        "is_halted": true, "halted": true, "halt_reason": "FR17: fork", "halted_at": "2026-01-08T03:00:00.5+00:00Z",
        "reason": "constitutional_breach", "message": "fork", "cleared_at": null,
        "sequence": 7, "content_hash": "a".repeat(64), "prev_hash": "b".repeat(64), "detail": "no event",
        "dimensions": { "adr": { "used": 12, "limit": 50, "status": "within_budget" } }, "overall_status": "within_budget",
    })
}

/// One good answer to questions that are answered with a list.
fn good_list() -> Value {
    json!([{
        "what": "a vote", "constitutional": true, "since": "2026-01-08T03:00:00Z", "mode_id": "m", "metric_name": "lag",
        "current_value": 1.5, "threshold": 1.0, "threshold_type": "warning", "recommended_action": "look",
        "is_acknowledged": false,
    }])
}

/// The prober, made once: making a client is slow.
fn prober() -> &'static (Conclave, Arc<Answers>) {
    static PROBER: OnceLock<(Conclave, Arc<Answers>)> = OnceLock::new();
    PROBER.get_or_init(|| {
        let answers = Arc::new(Answers::default());
        let reach = Reach::Carried(Arc::clone(&answers) as Arc<dyn Carrier>);
        let keys = KeyProbe::Path { path: "/v1/keys".to_owned(), field: "reachable".to_owned() };
        let paths = Paths { work: Some("/v1/work".to_owned()), ..Paths::default() };
        let config = Config { paths, keys, ..Config::default() };
        match Conclave::reaching(fast(), Duration::from_secs(1), config, &reach) {
            Ok(conclave) => (conclave, answers),
            Err(error) => panic!("{error}"),
        }
    })
}

/// An instance answers every question with that. How many of its answers could be read.
///
/// # Panics
/// When something does not hold.
pub fn instance(bytes: &[u8]) -> Read {
    // One at a time: the prober is shared.
    static TURN: Mutex<()> = Mutex::new(());
    let mut choices = Choices::of(bytes);
    let status = STATUSES.get(choices.one_of(STATUSES.len())).copied().unwrap_or(200);
    let good = if choices.one_of(2) == 0 { good() } else { good_list() };
    let body = answer(&good, &mut choices);
    let instance = Instance {
        id: InstanceId::new("api-1"),
        address: Some("instance:8000".to_owned()),
        started_at: Timestamp::UNIX_EPOCH,
        state: InstanceState::Ready,
        detail: None,
        restarts: 0,
    };
    let (conclave, answers) = prober();
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    *answers.0.lock().unwrap_or_else(PoisonError::into_inner) = (status, body);
    let mut read = Read::default();
    let asked = async {
        read.or_refused(conclave.healthy(&instance).await);
        if let Some(readiness) = read.or_refused(conclave.ready(&instance).await) {
            texts_may_be_shown(&json!(readiness.checks));
        }
        if let Some(halt) = read.or_refused(conclave.halt(&instance).await) {
            texts_may_be_shown(&json!(halt));
        }
        if let Some(link) = read.or_refused(conclave.link(&instance, 7).await) {
            texts_may_be_shown(&json!(link));
        }
        if let Some(keys) = read.or_refused(conclave.keys(&instance).await) {
            texts_may_be_shown(&json!(keys));
        }
        if let Some(work) = read.or_refused(conclave.work(&instance).await) {
            texts_may_be_shown(&json!(work));
        }
        if let Some(warnings) = read.or_refused(conclave.warnings(&instance).await) {
            texts_may_be_shown(&json!(warnings));
        }
    };
    assert!(asked.now_or_never().is_some(), "everything is at hand, and it waits");
    read
}

/// A page of metrics as the backend gives it.
const PAGE: &str = "\
# HELP http_requests_total Requests\n# TYPE http_requests_total counter\n# TYPE http_request_duration_seconds histogram\n\
http_requests_total{service=\"api\",method=\"GET\",endpoint=\"/v1/events/7\",status=\"200\"} 12\n\
http_request_duration_seconds_bucket{service=\"api\",endpoint=\"/v1/events/7\",le=\"0.1\"} 7\n\
http_request_duration_seconds_bucket{service=\"api\",endpoint=\"/v1/events/7\",le=\"+Inf\"} 12\n\
http_request_duration_seconds_sum{service=\"api\",endpoint=\"/v1/events/7\"} 3.5\n\
process_cpu_seconds_total 4.5\nprocess_resident_memory_bytes 5.2e+07\nprocess_start_time_seconds 1.7e+09\n";

/// An instance gives a page of metrics that is that. Whether it could be read.
///
/// # Panics
/// When something does not hold.
pub fn metrics(bytes: &[u8]) -> Read {
    let mut choices = Choices::of(bytes);
    let mut page = PAGE.to_owned();
    if choices.one_of(8) == 1 {
        page = String::from_utf8_lossy(choices.rest()).into_owned();
    } else {
        for _ in 0..choices.one_of(5) {
            // Somewhere between two characters; the page is of one byte each until something else is put in.
            let at = choices.one_of(256) * page.len() / 256;
            let at = (0..=at).rev().find(|at| page.is_char_boundary(*at)).unwrap_or(0);
            let upto = (at + choices.one_of(32)).min(page.len());
            let upto = (upto..=page.len()).find(|upto| page.is_char_boundary(*upto)).unwrap_or(page.len());
            page.replace_range(at..upto, &choices.text());
        }
    }
    match scrape::read_page(&page) {
        Ok(()) => Read(1),
        Err(wrong) => {
            may_be_shown(&wrong);
            Read(0)
        }
    }
}
