//! The adapter for Prometheus against a real one that scrapes made-up instances: each request is counted once, whatever
//! is asked when and whoever restarts, and what is not known for certain is not known.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{Json, Router};
use scalebot_adapters::doctor::{Finding, Status};
use scalebot_adapters::prometheus::{Instances, Prometheus, Queries, Settings};
use scalebot_adapters::settings::Unusable;
use scalebot_commands::figures::{BACKEND_BOUNDS_MS, InstanceLoad, Load};
use scalebot_commands::ports::{Metrics as _, PortError};
use scalebot_commands::units::{InstanceId, Timestamp};
use scalebot_tests::services::certificates::Authority;
use scalebot_tests::services::orders::{Clock, Members};
use scalebot_tests::services::prometheus::{JOB, PASSWORD, Prometheus as Server, Target};
use scalebot_tests::services::trouble::{Trouble, Way, nobody};
use secrecy::SecretString;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Long enough for a machine that is busy with others; no test waits for its end by the wall clock.
const PATIENCE: Duration = Duration::from_mins(1);

/// Between two questions of somebody who waits for something.
const POLL: Duration = Duration::from_millis(200);

fn settings(url: &str) -> Settings {
    let settings = Settings::new(url, format!("job=\"{JOB}\""));
    Settings { interval: Duration::from_secs(1), time_out: PATIENCE, ..settings }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn of(settings: &Settings, fleet: &Arc<Members>) -> Prometheus {
    asking(settings, fleet).unwrap()
}

fn asking(settings: &Settings, fleet: &Arc<Members>) -> Result<Prometheus, Unusable> {
    Prometheus::new(settings, fleet.clone(), Arc::new(Clock::default()))
}

fn fleet(targets: &[(&'static str, &Target)]) -> Arc<Members> {
    Members::of(targets.iter().map(|(id, target)| (*id, target.address().to_string())))
}

/// Asks until the answer is as it should be. Nobody knows when Prometheus scrapes next.
async fn eventually<T>(
    ask: impl AsyncFn() -> Result<T, PortError>,
    fits: impl Fn(&Result<T, PortError>) -> bool,
) -> Result<T, PortError> {
    let last = std::cell::RefCell::new(String::new());
    let asking = async {
        loop {
            let answer = ask().await;
            if fits(&answer) {
                return answer;
            }
            *last.borrow_mut() =
                answer.err().map_or("an answer that does not fit".to_owned(), |error| error.to_string());
            tokio::time::sleep(POLL).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    answer.unwrap_or_else(|_| panic!("it never came; the last: {}", last.borrow()))
}

async fn refused(ask: impl AsyncFn() -> Result<Load, PortError>, says: &str) -> PortError {
    let fits = |answer: &Result<Load, PortError>| answer.as_ref().is_err_and(|error| error.to_string().contains(says));
    eventually(ask, fits).await.unwrap_err()
}

/// The moment up to which everything is known, once every instance is.
async fn known_up_to(prometheus: &Prometheus) -> Timestamp {
    let minute_ago = || Timestamp::now() - Duration::from_mins(1);
    let load = eventually(
        async || prometheus.load(minute_ago()).await,
        |answer| answer.as_ref().is_ok_and(|load| load.missing.is_empty()),
    );
    load.await.unwrap().until
}

/// Asks again and again, each time from where the last answer ended, until so many requests were counted; then once
/// more. The sum of all answers.
async fn counted(prometheus: &Prometheus, since: Timestamp, requests: u64) -> Load {
    let (began, mut so_far) = (Instant::now(), 0);
    let mut answers: Vec<Load> = Vec::new();
    let mut more = true;
    while more {
        let from = answers.last().map_or(since, |last| last.until);
        answers.push(eventually(async || prometheus.load(from).await, Result::is_ok).await.unwrap());
        let total = Load::over(&answers).unwrap().requests_and_errors().0;
        assert!(total <= requests, "{total} counted, {requests} served");
        assert!(total > so_far || began.elapsed() < PATIENCE, "{total} counted, {requests} served: {answers:#?}");
        so_far = total;
        // Once more after all were there: nothing is told twice.
        more = total < requests || answers.last().unwrap().requests_and_errors().0 > 0;
    }
    Load::over(&answers).unwrap()
}

fn one<'a>(load: &'a Load, id: &str) -> &'a InstanceLoad {
    load.instances.iter().find(|instance| instance.instance.as_str() == id).unwrap()
}

#[tokio::test]
async fn figures_are_what_each_instance_has_served() {
    let (a, b) = (Target::start().await, Target::start().await);
    a.serves(500, 200, 20.0);
    let server = Server::scraping(&[&a, &b]);
    let prometheus = of(&settings(&url(server.address())), &fleet(&[("api-1", &a), ("api-2", &b)]));
    let since = known_up_to(&prometheus).await;

    a.serves(100, 200, 200.0);
    a.serves(5, 500, 2_000.0);
    b.serves(30, 200, 40.0);
    b.serves(2, 404, 40.0);
    let load = counted(&prometheus, since, 137).await;
    let (first, second) = (one(&load, "api-1"), one(&load, "api-2"));
    assert_eq!((first.requests, first.errors, second.requests, second.errors), (105, 5, 32, 0));
    assert_eq!(first.latency.bounds_ms, BACKEND_BOUNDS_MS);
    assert_eq!((first.latency.counts[4], first.latency.counts[7], first.latency.total()), (100, 5, 105));
    assert!((first.latency.sum_ms - 30_000.0).abs() < 1e-3, "{}", first.latency.sum_ms);
    assert_eq!(second.latency.counts[2], 32);
    assert_eq!((first.memory_bytes, load.missing.len()), (Some(50 << 20), 0));
    // A quarter of a core at each scrape, one a second.
    assert!(first.cpu.is_some_and(|cpu| (0.1..0.4).contains(&cpu)), "{:?}", first.cpu);

    // Asked at once for the whole, it is the same, less the probes that it has answered all the while.
    let whole = prometheus.load(since).await.unwrap();
    assert_eq!(whole.requests_and_errors(), (137, 5));
    assert_eq!(whole.percentiles(), load.percentiles());
    assert!(whole.window.duration() >= load.window.duration());
    assert_eq!(prometheus.describe(), format!("Prometheus at {}", server.address()));
}

#[tokio::test]
async fn a_process_that_restarts_and_one_that_joins_are_counted_in_full() {
    let (a, b) = (Target::start().await, Target::start().await);
    a.serves(40, 200, 20.0);
    let server = Server::scraping(&[&a]);
    let members = fleet(&[("api-1", &a)]);
    let prometheus = of(&settings(&url(server.address())), &members);
    let since = known_up_to(&prometheus).await;

    a.serves(10, 200, 20.0);
    counted(&prometheus, since, 10).await;
    a.restarts();
    a.serves(7, 200, 20.0);
    counted(&prometheus, since, 17).await;

    // Its first requests come before it is first scraped.
    b.restarts();
    b.serves(3, 200, 20.0);
    members.joined_by("api-2", b.address().to_string());
    server.scrapes(&[&a, &b]);
    let all = eventually(
        async || prometheus.load(since).await,
        |answer| answer.as_ref().is_ok_and(|load| load.requests_and_errors().0 == 20),
    );
    let load = all.await.unwrap();
    assert_eq!((one(&load, "api-1").requests, one(&load, "api-2").requests), (17, 3));
}

#[tokio::test]
async fn an_instance_that_is_not_read_is_missing_and_what_it_did_meanwhile_is_told_later() {
    let (a, b, c) = (Target::start().await, Target::start().await, Target::start().await);
    b.serves(5, 200, 20.0);
    let server = Server::scraping(&[&a, &b, &c]);
    let prometheus = of(&settings(&url(server.address())), &fleet(&[("api-1", &a), ("api-2", &b), ("api-3", &c)]));
    let since = known_up_to(&prometheus).await;

    // One that has served somebody, and one that would look as if it had nothing to do.
    b.fails(Some(StatusCode::INTERNAL_SERVER_ERROR));
    c.fails(Some(StatusCode::INTERNAL_SERVER_ERROR));
    let without = eventually(
        async || prometheus.load(since).await,
        |answer| answer.as_ref().is_ok_and(|load| load.missing.len() == 2),
    );
    let without = without.await.unwrap();
    assert_eq!(without.missing.iter().map(InstanceId::as_str).collect::<Vec<_>>(), ["api-2", "api-3"]);
    assert!(without.instances.iter().all(|instance| instance.instance.as_str() == "api-1"));

    b.serves(11, 200, 20.0);
    b.fails(None);
    c.fails(None);
    let back = eventually(
        async || prometheus.load(without.until).await,
        |answer| answer.as_ref().is_ok_and(|load| load.missing.is_empty()),
    );
    let back = back.await.unwrap();
    assert_eq!((one(&back, "api-2").requests, back.missing.len()), (11, 0));

    // With nobody left, there is an end to what can be said; and old figures are not shown as new ones.
    for target in [&a, &b, &c] {
        target.fails(Some(StatusCode::NOT_FOUND));
    }
    let stale = refused(async || prometheus.load(since).await, "old, the limit is 3 s").await;
    assert!(stale.to_string().contains("asked: up{job=\"archon72\"}"), "{stale}");
}

#[tokio::test]
async fn a_restart_of_prometheus_in_the_middle_loses_nothing() {
    let a = Target::start().await;
    a.serves(1, 200, 20.0);
    let mut server = Server::scraping(&[&a]);
    let prometheus = of(&settings(&url(server.address())), &fleet(&[("api-1", &a)]));
    let since = known_up_to(&prometheus).await;
    a.serves(10, 200, 20.0);
    counted(&prometheus, since, 10).await;

    server.stop();
    a.serves(20, 200, 20.0);
    let away = prometheus.load(since).await.unwrap_err();
    assert!(matches!(&away, PortError::Unreachable { detail, .. } if detail == "connection refused"), "{away:?}");
    assert!(away.may_pass());
    server.start_again();
    // The gap is filled from what the instance has counted meanwhile.
    counted(&prometheus, since, 30).await;
}

#[tokio::test]
async fn counts_that_can_be_none_make_an_instance_unknown() {
    let (a, b) = (Target::start().await, Target::start().await);
    for target in [&a, &b] {
        target.serves(5, 200, 20.0);
    }
    let server = Server::scraping(&[&a, &b]);
    let prometheus = of(&settings(&url(server.address())), &fleet(&[("api-1", &a), ("api-2", &b)]));
    let since = known_up_to(&prometheus).await;
    for value in ["NaN", "-1", "+Inf", "5.5"] {
        b.is_odd(Some(value));
        let odd = eventually(
            async || prometheus.load(since).await,
            |answer| answer.as_ref().is_ok_and(|load| load.missing.len() == 1),
        );
        assert_eq!(odd.await.unwrap().missing[0].as_str(), "api-2", "{value}");
        b.is_odd(None);
        let fine = eventually(
            async || prometheus.load(since).await,
            |answer| answer.as_ref().is_ok_and(|load| load.missing.is_empty()),
        );
        fine.await.unwrap();
    }
    for target in [&a, &b] {
        target.is_odd(Some("NaN"));
    }
    let nobody = refused(async || prometheus.load(since).await, "is no count").await;
    assert!(nobody.to_string().contains("asked: sum by (instance, status) (http_requests_total"), "{nobody}");
}

#[tokio::test]
async fn what_is_not_found_is_not_none() {
    let a = Target::start().await;
    let server = Server::scraping(&[&a]);
    let members = fleet(&[("api-1", &a)]);
    let at = |change: fn(&mut Settings)| {
        let mut settings = settings(&url(server.address()));
        change(&mut settings);
        of(&settings, &members)
    };
    // It has answered probes only: that is no request, and known to be.
    let right = at(|_| ());
    let since = known_up_to(&right).await;
    let idle = eventually(async || right.load(since).await, Result::is_ok).await.unwrap();
    assert_eq!((idle.requests_and_errors(), idle.percentiles()), ((0, 0), None));

    for (wrong, says) in [
        (
            at(|settings| settings.selector = "job=\"nobody\"".into()),
            "none of the fleet's instances is found; asked: up{job=\"nobody\"}",
        ),
        (at(|settings| settings.instances = Instances::ByName), "none of the fleet's instances is found"),
        (at(|settings| settings.instance = "pod".into()), "a series has no label pod; asked: up"),
        (
            at(|settings| settings.queries.requests = "sum by ($instance, $status) (requests{$selector})".into()),
            "nothing was found; asked: count(sum by (instance, status) (requests",
        ),
        (
            at(|settings| settings.queries.buckets = "sum by ($instance, le) (latency{$selector})".into()),
            "nothing was found; asked: count(sum by (instance, le) (latency",
        ),
        (at(|settings| settings.queries.cpu = "sum by ($instance) (rate(".into()), "bad_data"),
    ] {
        let error = refused(async || wrong.load(since).await, says).await;
        assert!(matches!(error, PortError::Unreadable { .. }), "{error:?}");
    }
    // CPU and memory are not everywhere to be had.
    let queries = Queries { cpu: "sum by ($instance) (rate(absent{$selector}[$window]))".into(), ..Queries::default() };
    let settings =
        Settings { queries: Queries { memory: String::new(), ..queries }, ..settings(&url(server.address())) };
    let prometheus = of(&settings, &members);
    let load = eventually(async || prometheus.load(since).await, Result::is_ok).await.unwrap();
    assert_eq!((load.instances[0].cpu, load.instances[0].memory_bytes), (None, None));
}

#[tokio::test]
async fn an_instance_that_is_scraped_twice_is_not_counted_twice() {
    let a = Target::start().await;
    let server = Server::scraping_twice(&[&a]);
    let members = fleet(&[("api-1", &a)]);
    let both = of(&Settings { selector: "job=~\".+\"".into(), ..settings(&url(server.address())) }, &members);
    let minute_ago = || Timestamp::now() - Duration::from_mins(1);
    let error = refused(async || both.load(minute_ago()).await, "several series are of one instance").await;
    assert!(error.to_string().contains("api-1") && error.to_string().contains("asked: up{"), "{error}");
    known_up_to(&of(&settings(&url(server.address())), &members)).await;
}

async fn load(prometheus: &Prometheus) -> Result<Load, PortError> {
    prometheus.load(Timestamp::now() - Duration::from_mins(1)).await
}

fn somebody() -> Arc<Members> {
    Members::of([("api-1", "127.0.0.1:9".to_owned())])
}

#[tokio::test]
async fn whoever_may_not_ask_is_told_what_to_correct() {
    let a = Target::start().await;
    let server = Server::with_credentials(&[&a]);
    let members = fleet(&[("api-1", &a)]);
    let at = |user: Option<&str>, password: Option<&str>, token: Option<&str>| {
        let secret = |text: Option<&str>| text.map(SecretString::from);
        let settings = settings(&url(server.address()));
        let (password, token) = (secret(password), secret(token));
        of(&Settings { user: user.map(str::to_owned), password, token, ..settings }, &members)
    };
    known_up_to(&at(Some("scalebot"), Some(PASSWORD), None)).await;
    for (prometheus, says) in [
        (at(Some("scalebot"), Some("wrong-secret"), None), "correct the user or the password"),
        (at(None, None, Some("wrong-secret")), "correct the token"),
        (at(None, None, None), "set user and password, or token"),
    ] {
        let error = load(&prometheus).await.unwrap_err();
        assert!(matches!(&error, PortError::Refused { detail, .. } if detail.contains(says)), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("wrong-secret"));
    }
}

/// Serves what the router says, until the test ends.
async fn serving(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

#[tokio::test]
async fn a_bearer_token_is_shown_to_whoever_stands_before_prometheus() {
    let a = Target::start().await;
    let server = Server::scraping(&[&a]);
    let behind = url(server.address());
    let gate = async move |headers: HeaderMap, uri: Uri| -> Response {
        if headers.get("authorization").is_none_or(|shown| shown != "Bearer right") {
            return StatusCode::FORBIDDEN.into_response();
        }
        let path = uri.path_and_query().unwrap().as_str().strip_prefix("/prefix").unwrap().to_owned();
        let answer = reqwest::get(format!("{behind}{path}")).await.unwrap();
        (answer.status(), answer.bytes().await.unwrap()).into_response()
    };
    let gate = serving(Router::new().fallback(gate)).await;
    let at = |token: &str| {
        let settings = settings(&format!("{}/prefix/", url(gate)));
        of(&Settings { token: Some(SecretString::from(token)), ..settings }, &fleet(&[("api-1", &a)]))
    };
    known_up_to(&at("right")).await;
    assert!(matches!(load(&at("wrong")).await, Err(PortError::Refused { .. })));
}

#[tokio::test]
async fn a_certificate_must_be_of_a_trusted_authority_and_of_the_right_name() {
    let a = Target::start().await;
    let members = fleet(&[("api-1", &a)]);
    let (authority, stranger) = (Authority::new(), Authority::new());
    let encrypted = |address: SocketAddr, ca: &Authority| {
        let settings = settings(&format!("https://{address}"));
        of(&Settings { ca_file: Some(ca.certificate()), ..settings }, &members)
    };
    let unreachable = async |prometheus: &Prometheus, says: &str| match load(prometheus).await.unwrap_err() {
        PortError::Unreachable { detail, .. } => assert!(detail.contains(says), "{detail}"),
        other => panic!("{other:?}"),
    };
    let server = Server::with_certificate(&[&a], &authority.certifies("IP:127.0.0.1"));
    known_up_to(&encrypted(server.address(), &authority)).await;
    unreachable(&encrypted(server.address(), &stranger), "set ca_file").await;
    // Whoever does not encrypt is not understood.
    assert!(load(&of(&settings(&url(server.address())), &members)).await.is_err());

    let other = Server::with_certificate(&[&a], &authority.certifies("DNS:prometheus.example"));
    unreachable(&encrypted(other.address(), &authority), "another server's").await;
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let error = load(&of(&settings(&url(nobody().await)), &somebody())).await.unwrap_err();
    assert!(matches!(&error, PortError::Unreachable { detail, .. } if detail == "connection refused"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_delays_nobody_past_its_own_time_out() {
    let trouble = Trouble::hangs().await;
    let limit = Duration::from_secs(2);
    let prometheus = of(&Settings { time_out: limit, ..settings(&url(trouble.address())) }, &somebody());
    let began = Instant::now();
    let answers = futures::future::join_all((0..5).map(|_| load(&prometheus))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(PortError::TimedOut { .. }))), "{answers:?}");
    assert!(began.elapsed() < limit + Duration::from_millis(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let a = Target::start().await;
    let server = Server::scraping(&[&a]);
    let way = Way::to(server.address()).await;
    let members = fleet(&[("api-1", &a)]);
    known_up_to(&of(&settings(&url(way.address())), &members)).await;
    for after in [0, 1, 20, 200, 300] {
        way.cuts(after);
        let half = load(&of(&settings(&url(way.address())), &members)).await;
        assert!(matches!(half, Err(PortError::Unreachable { .. } | PortError::Unreadable { .. })), "{after}: {half:?}");
    }
}

#[tokio::test]
async fn one_that_speaks_otherwise_is_unreadable() {
    for words in [&b"220 smtp.example ESMTP\r\n"[..], b"-ERR unknown command\r\n"] {
        let trouble = Trouble::says(words).await;
        let error = load(&of(&settings(&url(trouble.address())), &somebody())).await.unwrap_err();
        assert!(matches!(&error, PortError::Unreadable { detail, .. } if detail.contains("HTTP")), "{error:?}");
    }
    let partial = async || {
        let data = json!({ "resultType": "matrix", "result": [] });
        Json(json!({ "status": "success", "data": data, "warnings": ["store b did not answer"] }))
    };
    let starting = async || (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    let too_much = async || {
        let error = "query processing would load too many samples into memory";
        let body = json!({ "status": "error", "errorType": "execution", "error": error });
        (StatusCode::UNPROCESSABLE_ENTITY, Json(body))
    };
    let router = |answer| Router::new().fallback(answer);
    for (address, says) in [
        (serving(router(axum::routing::any(partial))).await, "may not be all: store b did not answer; asked: up{"),
        (serving(router(axum::routing::any(starting))).await, "cannot be reached (503"),
        (serving(router(axum::routing::any(too_much))).await, "too many samples into memory; asked: up{"),
        (serving(router(axum::routing::any(async || "<html>Sign in</html>"))).await, "no answer of Prometheus"),
        (serving(router(axum::routing::any(async || Redirect::to("/login")))).await, "it sends elsewhere"),
        (serving(Router::new()).await, "does not serve this"),
    ] {
        let error = load(&of(&settings(&url(address)), &somebody())).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_process_that_stands_still_is_given_up() {
    let a = Target::start().await;
    let server = Server::scraping(&[&a]);
    let members = fleet(&[("api-1", &a)]);
    known_up_to(&of(&settings(&url(server.address())), &members)).await;
    let short = Settings { time_out: Duration::from_millis(300), ..settings(&url(server.address())) };
    let short = of(&short, &members);
    server.server().stand_still();
    assert!(matches!(load(&short).await, Err(PortError::TimedOut { .. })));
    server.server().signal("CONT");
    known_up_to(&of(&settings(&url(server.address())), &members)).await;
}

fn statuses(found: &[Finding]) -> Vec<Status> {
    found.iter().map(|finding| finding.status).collect()
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_where_nothing_is() {
    let a = Target::start().await;
    a.serves(1, 200, 20.0);
    let server = Server::scraping(&[&a]);
    let prometheus = of(&settings(&url(server.address())), &fleet(&[("api-1", &a)]));
    let well = async || Ok(prometheus.check().await);
    let found = eventually(well, |found| found.as_ref().is_ok_and(|found| statuses(found) == [Status::Ok; 6]));
    let found = found.await.unwrap();
    assert!(found[0].text.starts_with("reached, version 2."), "{found:#?}");
    assert_eq!(found[1].text, "each of the fleet's 1 instances is read");
}

#[tokio::test]
async fn the_doctor_says_what_is_missing() {
    let (a, b) = (Target::start().await, Target::start().await);
    let server = Server::scraping(&[&a]);
    let members = fleet(&[("api-1", &a), ("api-2", &b)]);
    let queries = Queries {
        requests: "sum by ($instance, $status) (absent{$selector})".into(),
        cpu: "sum by ($instance) (rate(absent{$selector}[$window]))".into(),
        memory: String::new(),
        ..Queries::default()
    };
    let prometheus = of(&Settings { queries, ..settings(&url(server.address())) }, &members);
    let ill = async || Ok(prometheus.check().await);
    let wanted = [Status::Ok, Status::Failed, Status::Failed, Status::Ok, Status::Warn, Status::NotConfigured];
    let found = eventually(ill, |found| {
        found.as_ref().is_ok_and(|found| statuses(found) == wanted && found[1].text.starts_with("1 of 2"))
    });
    let found = found.await.unwrap();
    assert!(found[1].text.contains("api-2") && found[1].text.contains("asked: up{"), "{found:#?}");
    assert!(found[2].text.contains("asked: count(sum by (instance, status) (absent"), "{found:#?}");

    // Configured are fifteen seconds, it is one.
    let slow = of(
        &Settings { interval: Duration::from_secs(15), ..settings(&url(server.address())) },
        &fleet(&[("api-1", &a)]),
    );
    let other = async || Ok(slow.check().await);
    let found = eventually(other, |found| {
        found.as_ref().is_ok_and(|found| found.len() == 7 && found[2].status == Status::Warn)
    });
    let found = found.await.unwrap();
    assert!(found[2].text.ends_with("configured are 15 s"), "{found:#?}");

    let found = of(&settings(&url(nobody().await)), &members).check().await;
    assert_eq!(statuses(&found), [Status::Failed], "{found:#?}");
}
