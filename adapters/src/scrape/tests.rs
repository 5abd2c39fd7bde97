use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use scalebot_commands::ports::InstanceState;
use scalebot_commands::units::InstanceId;
use tokio::sync::watch;

use super::*;
use crate::http::testing::{Crew, ManualWorld, Server, epoch, instance, nobody};

/// A backend instance that counts what it is told to have done.
struct Backend {
    server: Server,
    requests: Arc<AtomicU64>,
    scraped: watch::Receiver<usize>,
}

impl Backend {
    async fn start() -> Self {
        let requests = Arc::new(AtomicU64::new(0));
        let (count, scraped) = watch::channel(0_usize);
        let served = requests.clone();
        let router = Router::new().route(
            "/v1/metrics",
            get(async move || {
                count.send_modify(|count| *count += 1);
                page(served.load(Ordering::SeqCst))
            }),
        );
        Self { server: Server::start(router).await, requests, scraped }
    }

    fn serves(&self, more: u64) {
        self.requests.fetch_add(more, Ordering::SeqCst);
    }

    fn as_instance(&self, id: &str) -> Instance {
        instance(id, &self.server.address())
    }
}

/// Metrics as the backend gives them: so many requests between 100 and 250 ms, a tenth of them failed.
fn page(requests: u64) -> String {
    let failed = requests / 10;
    let good = requests - failed;
    let seconds = requests as f64 * 0.2;
    let bucket = |le: &str, count| {
        format!(
            "http_request_duration_seconds_bucket{{service=\"api\",method=\"GET\",endpoint=\"/v1/events\",le=\"{le}\"}} {count}.0\n"
        )
    };
    let buckets: String = ["0.01", "0.025", "0.05", "0.1"].map(|le| bucket(le, 0)).concat()
        + &["0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"].map(|le| bucket(le, requests)).concat();
    format!(
        "# HELP http_requests_total Requests\n# TYPE http_requests_total counter\n\
         http_requests_total{{service=\"api\",method=\"GET\",endpoint=\"/v1/events\",status=\"200\"}} {good}.0\n\
         http_requests_total{{service=\"api\",method=\"GET\",endpoint=\"/v1/events\",status=\"500\"}} {failed}.0\n\
         http_requests_total{{service=\"api\",method=\"GET\",endpoint=\"/v1/ready\",status=\"503\"}} 99.0\n\
         # TYPE http_request_duration_seconds histogram\n{buckets}\
         http_request_duration_seconds_sum{{service=\"api\",method=\"GET\",endpoint=\"/v1/events\"}} {seconds}\n\
         http_request_duration_seconds_count{{service=\"api\",method=\"GET\",endpoint=\"/v1/events\"}} {requests}.0\n\
         process_cpu_seconds_total {}\nprocess_resident_memory_bytes 5.24288e+07\n\
         worker_slots 2\nworker_slots_busy_seconds_total {seconds}\n",
        requests as f64 * 0.05,
    )
}

/// Told apart from a round's length by the tests that wait for it.
const INTERVAL: Duration = Duration::from_secs(7);

fn quick() -> Config {
    // Real time, so only as short as a busy machine allows; the round is by the test's own clock.
    Config { limit: Duration::from_secs(2), interval: INTERVAL, ..Config::default() }
}

fn started(instances: impl IntoIterator<Item = Instance>) -> (Arc<ManualWorld>, Arc<Crew>, Scrape) {
    let world = Arc::new(ManualWorld::new());
    let crew = Arc::new(Crew::of(instances));
    let scrape = Scrape::start(crew.clone(), world.clone(), quick()).unwrap();
    (world, crew, scrape)
}

#[tokio::test]
async fn figures_are_those_of_every_instance_since_that_moment() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    one.serves(1_000);
    let (world, _, scrape) = started([one.as_instance("api-1"), two.as_instance("api-2")]);
    assert!(scrape.load(epoch()).await.unwrap_err().to_string().contains("nothing to compare with yet"));

    world.advance(Duration::from_secs(20));
    one.serves(100);
    let load = scrape.load(epoch()).await.unwrap();
    assert_eq!((load.until, load.window.0, load.missing.len()), (epoch() + Duration::from_secs(20), 20_000, 0));
    let (api_1, api_2) = (&load.instances[0], &load.instances[1]);
    assert_eq!((api_1.requests, api_1.errors, api_1.latency.total()), (100, 10, 100));
    assert_eq!(api_1.latency.bounds_ms, scalebot_commands::figures::BACKEND_BOUNDS_MS);
    assert_eq!(api_1.latency.counts[4], 100);
    assert!((api_1.latency.sum_ms - 20_000.0).abs() < 1e-6);
    assert!((api_1.cpu.unwrap() - 0.25).abs() < 1e-9);
    assert!((api_1.saturation.unwrap() - 0.5).abs() < 1e-9);
    assert_eq!(api_1.memory_bytes, Some(50 << 20));
    assert_eq!((api_2.requests, api_2.errors, api_2.latency.total()), (0, 0, 0));
    assert!((load.percentiles().unwrap().p50_ms - 175.0).abs() < 1e-9);

    world.advance(Duration::from_secs(3));
    one.serves(7);
    let next = scrape.load(load.until).await.unwrap();
    assert_eq!((next.requests_and_errors().0, next.window.0), (7, 3_000));
}

#[tokio::test]
async fn an_instance_whose_figures_cannot_be_had_is_missing_and_never_idle() {
    let good = Backend::start().await;
    let silent = Server::silent().await;
    let half = Server::raw(b"HTTP/1.1 200 OK\r\n\r\n# TYPE http_requests_total counter\n# TYPE http_request_duration_seconds histogram\nhttp_requests_to").await;
    let cut = Server::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n# TYPE http_requests_total counter\n").await;
    let served = Server::start(
        Router::new()
            .route("/redirect/v1/metrics", get(async || Redirect::temporary("/good/v1/metrics")))
            .route("/good/v1/metrics", get(async || page(1)))
            .route("/busy/v1/metrics", get(async || StatusCode::TOO_MANY_REQUESTS))
            .route("/broken/v1/metrics", get(async || (StatusCode::INTERNAL_SERVER_ERROR, page(1))))
            .route("/empty/v1/metrics", get(async || ""))
            .route("/html/v1/metrics", get(async || "<html>\n"))
            .route("/json/v1/metrics", get(async || "{\"requests\": 1}\n"))
            .route("/negative/v1/metrics", get(async || page(10).replace(" 9.0", " -9.0")))
            .route("/nan/v1/metrics", get(async || page(10).replace(" 9.0", " NaN")))
            .route("/inf/v1/metrics", get(async || page(10).replace(" 9.0", " +Inf")))
            .route("/huge/v1/metrics", get(async || format!("a {}1\n", " ".repeat(1 << 20))))
            .route("/many/v1/metrics", get(async || "a 1\n".repeat(600_000))),
    )
    .await;
    let odd =
        ["redirect", "busy", "broken", "empty", "html", "json", "negative", "nan", "inf", "huge", "many", "absent"];
    // One server plays them all: each has its own path in front, which an address may not have.
    let mut instances = vec![
        good.as_instance("good"),
        instance("gone", &nobody().await),
        instance("silent", &silent.address()),
        instance("half", &half.address()),
        instance("cut", &cut.address()),
        instance("path", &format!("{}/good", served.address())),
        Instance { address: None, state: InstanceState::Starting, ..instance("unborn", "") },
    ];
    let mut fronts = Vec::new();
    for name in odd {
        let target = format!("http://{}/{name}/v1/metrics", served.address());
        let front =
            Server::start(Router::new().route("/v1/metrics", get(async move || forwarded(&target).await))).await;
        instances.push(instance(name, &front.address()));
        fronts.push(front);
    }
    let mut wanted: Vec<InstanceId> = instances.iter().skip(1).map(|instance| instance.id.clone()).collect();
    wanted.sort();

    let (world, _, scrape) = started(instances);
    assert!(scrape.load(epoch()).await.is_err());
    world.advance(Duration::from_secs(10));
    good.serves(5);
    let load = scrape.load(epoch()).await.unwrap();
    assert_eq!(load.missing, wanted);
    assert_eq!(load.instances.len(), 1);
    assert_eq!(load.requests_and_errors().0, 5);
}

/// The answer of another server, as it is.
async fn forwarded(url: &str) -> axum::response::Response {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let answer = client.get(url).send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = (status, answer.bytes().await.unwrap()).into_response();
    if let Some(location) = headers.get("location") {
        response.headers_mut().insert("location", location.clone());
    }
    response
}

#[tokio::test]
async fn a_fleet_of_which_nothing_can_be_read_is_an_error_that_says_why() {
    let absent = Server::start(Router::new()).await;
    let (_, crew, scrape) = started([instance("api-1", &absent.address())]);
    let error = scrape.load(epoch()).await.unwrap_err();
    assert_eq!(error.to_string(), "instance api-1 does not serve this (/v1/metrics answered 404)");

    crew.becomes(Err(PortError::Gone { what: "the fleet".into(), detail: "deleted".into() }));
    assert!(matches!(scrape.load(epoch()).await, Err(PortError::Gone { .. })));
    crew.becomes(Ok(Vec::new()));
    assert!(matches!(scrape.load(epoch()).await, Err(PortError::Unreadable { .. })));
}

#[tokio::test]
async fn a_round_ends_in_time_even_if_an_instance_never_does() {
    let silent = Server::silent().await;
    let world = Arc::new(ManualWorld::new());
    let crew = Arc::new(Crew::of([instance("api-1", &silent.address())]));
    let config = Config { limit: Duration::from_hours(1), ..Config::default() };
    let scrape = Scrape::start(crew, world.clone(), config).unwrap();
    let (answer, ()) = futures::join!(scrape.load(epoch()), async {
        world.slept(Duration::from_secs(2), 1).await;
        world.advance(Duration::from_secs(2));
    });
    let error = answer.unwrap_err();
    assert_eq!(error.to_string(), "instance api-1 did not answer within 2 s");
}

#[tokio::test]
async fn it_reads_at_once_and_then_at_every_interval_until_it_is_dropped() {
    let mut backend = Backend::start().await;
    let (world, crew, scrape) = started([backend.as_instance("api-1")]);
    for read in 1..=3 {
        world.slept(INTERVAL, read).await;
        assert_eq!(*backend.scraped.borrow_and_update(), read);
        world.advance(INTERVAL);
        backend.scraped.changed().await.unwrap();
    }
    drop(scrape);
    tokio::time::timeout(Duration::from_secs(10), async {
        while Arc::strong_count(&crew) > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the background task has ended");
}

#[tokio::test]
async fn questions_asked_at_once_share_a_scrape() {
    let backend = Backend::start().await;
    let (world, _, scrape) = started([backend.as_instance("api-1")]);
    assert!(scrape.load(epoch()).await.is_err());
    world.advance(Duration::from_secs(1));
    let before = *backend.scraped.borrow();
    let loads = futures::future::join_all((0..20).map(|_| scrape.load(epoch()))).await;
    assert!(loads.iter().all(Result::is_ok));
    // The first one's own and one for those who asked while that was under way; the background may have had its own.
    assert!(*backend.scraped.borrow() - before <= 3, "{} scrapes", *backend.scraped.borrow() - before);
}
