//! The adapter for HAProxy against a real one: who is sent requests, that draining stops them and no sooner ends any,
//! what it refuses, and every way of getting no answer.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use scalebot_adapters::doctor::Status;
use scalebot_adapters::haproxy::{Haproxy, Out, Servers, Settings};
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{OrderAnswer, PortError, RouteOrder, Routed, Traffic as _};
use scalebot_commands::units::{InstanceId, OperationId};
use scalebot_tests::services::haproxy::{BACKEND, Backend, Haproxy as Server};
use scalebot_tests::services::orders::{Members, Order, given};
use scalebot_tests::services::trouble::{Trouble, Way, nobody};
use tokio::time::Instant;

/// Long enough for a machine that is busy with others; no test waits for its end by the wall clock.
const PATIENCE: Duration = Duration::from_mins(1);

fn settings(address: SocketAddr) -> Settings {
    Settings { time_out: PATIENCE, ..Settings::new(format!("tcp:{address}"), BACKEND) }
}

fn at(address: SocketAddr) -> Haproxy {
    Haproxy::new(&settings(address), Members::of([])).unwrap()
}

fn on_socket(path: &Path) -> Haproxy {
    let settings = Settings { time_out: PATIENCE, ..Settings::new(format!("unix:{}", path.display()), BACKEND) };
    Haproxy::new(&settings, Members::of([])).unwrap()
}

/// "Send it requests", or none.
struct Routing<'a>(&'a Haproxy, RouteOrder);

#[async_trait]
impl Order for Routing<'_> {
    async fn give(&self, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.0.route(&self.1, fence).await
    }
}

async fn route(haproxy: &Haproxy, instance: &str, receives: bool) -> Result<OrderAnswer, PortError> {
    let (instance, operation) = (InstanceId::new(instance), OperationId::new("operation"));
    given(&Routing(haproxy, RouteOrder { instance, receives, operation })).await
}

/// "Have one more server", or one fewer.
enum Membership<'a> {
    Add(&'a Haproxy, InstanceId, String),
    Remove(&'a Haproxy, InstanceId),
}

#[async_trait]
impl Order for Membership<'_> {
    async fn give(&self, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        match self {
            Self::Add(haproxy, instance, address) => haproxy.add(instance, address, fence).await,
            Self::Remove(haproxy, instance) => haproxy.remove(instance, fence).await,
        }
    }
}

async fn routed(haproxy: &Haproxy) -> BTreeMap<String, Routed> {
    let routed = haproxy.routed().await.unwrap();
    routed.into_iter().map(|one| (one.instance.to_string(), one)).collect()
}

/// Sends a request, and says who answered.
async fn request(server: &Server) -> String {
    client().get(server.url()).send().await.unwrap().text().await.unwrap()
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

/// A server before two backends that answer at once.
async fn two() -> (Backend, Backend, Server) {
    let (one, other) = (Backend::start("api-1").await, Backend::start("api-2").await);
    let server = Server::before(&[one.as_server("api-1"), other.as_server("api-2")]);
    (one, other, server)
}

fn refusal(answer: Result<OrderAnswer, PortError>) -> String {
    match answer.unwrap() {
        OrderAnswer::Refused { detail } => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn counts_are_what_each_instance_was_sent() {
    let (one, other, server) = two().await;
    for _ in 0..20 {
        request(&server).await;
    }
    for haproxy in [at(server.api()), on_socket(&server.socket())] {
        let seen = routed(&haproxy).await;
        for (instance, backend) in [("api-1", &one), ("api-2", &other)] {
            let wanted = Routed {
                instance: InstanceId::new(instance),
                receives: true,
                drained: false,
                requests: Some(backend.served()),
                in_flight: Some(0),
            };
            assert_eq!(seen[instance], wanted);
        }
        assert_eq!(seen.values().filter_map(|one| one.requests).sum::<u64>(), 20);
    }
}

#[tokio::test]
async fn draining_ends_new_requests_and_none_that_is_under_way() {
    let (slow, quick) = (Backend::holding("api-1").await, Backend::start("api-2").await);
    let server = Server::before(&[slow.as_server("api-1"), quick.as_server("api-2")]);
    let haproxy = at(server.api());
    let mut under_way = Vec::new();
    for _ in 0..4 {
        under_way.push(tokio::spawn(client().get(server.url()).send()));
    }
    slow.has(2).await;

    assert_eq!(route(&haproxy, "api-1", false).await, Ok(OrderAnswer::Done));
    let drained = routed(&haproxy).await.remove("api-1").unwrap();
    assert_eq!((drained.receives, drained.drained, drained.in_flight), (false, true, Some(2)));
    for _ in 0..10 {
        assert_eq!(request(&server).await, "api-2");
    }
    assert_eq!(slow.served(), 2);

    slow.lets_go(2);
    let mut answers = Vec::new();
    for request in under_way {
        answers.push(request.await.unwrap().unwrap().text().await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| *answer == "api-1").count(), 2);
    // HAProxy counts a request as ended a moment after its client has the answer.
    let idle = async { while routed(&haproxy).await["api-1"].in_flight != Some(0) {} };
    tokio::time::timeout(PATIENCE, idle).await.unwrap();

    assert_eq!(route(&haproxy, "api-1", true).await, Ok(OrderAnswer::Done));
    assert!(routed(&haproxy).await["api-1"].receives);
    slow.lets_go(4);
    for _ in 0..4 {
        request(&server).await;
    }
    assert_eq!(slow.served(), 4);
    let requests: u64 = routed(&haproxy).await.values().filter_map(|one| one.requests).sum();
    assert_eq!(requests, slow.served() + quick.served());
}

#[tokio::test]
async fn doing_what_is_so_already_is_done_and_maintenance_is_not_opened_by_draining() {
    let (_one, _other, server) = two().await;
    let by_drain = at(server.api());
    let by_maintenance =
        Haproxy::new(&Settings { out: Out::Maint, ..settings(server.api()) }, Members::of([])).unwrap();
    for _ in 0..2 {
        assert_eq!(route(&by_maintenance, "api-1", false).await, Ok(OrderAnswer::Done));
    }
    assert_eq!(route(&by_drain, "api-1", false).await, Ok(OrderAnswer::Done));
    assert!(said(server.api(), "show servers state conclave").await.contains(" api-1 127.0.0.1 0 1 "));
    for _ in 0..2 {
        assert_eq!(route(&by_drain, "api-1", true).await, Ok(OrderAnswer::Done));
    }
    assert!(routed(&by_drain).await["api-1"].receives);
}

/// What HAProxy itself says.
async fn said(api: SocketAddr, command: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(api).await.unwrap();
    stream.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn an_instance_is_found_by_its_name_around_others_or_by_its_address() {
    let (one, other) = (Backend::start("api-1").await, Backend::start("api-2").await);
    let lines =
        [one.as_server("srv-api-1"), other.as_server("elsewhere"), "server srv-slot 127.0.0.1:1 disabled".into()];
    let server = Server::before(&lines);
    let named = Settings { server: "srv-{instance}".into(), ..settings(server.api()) };
    let named = Haproxy::new(&named, Members::of([])).unwrap();
    let seen = routed(&named).await;
    assert_eq!((seen["api-1"].receives, seen["slot"].receives, seen["slot"].drained), (true, false, true));
    assert_eq!(route(&named, "api-1", false).await, Ok(OrderAnswer::Done));
    assert!(routed(&named).await["api-1"].drained);

    let members = Members::of([("first", one.address().to_string()), ("second", other.address().to_string())]);
    let addressed = Settings { servers: Servers::ByAddress, ..settings(server.api()) };
    let addressed = Haproxy::new(&addressed, members.clone()).unwrap();
    let seen = routed(&addressed).await;
    assert!(seen["first"].drained && seen["second"].receives);
    assert_eq!(route(&addressed, "second", false).await, Ok(OrderAnswer::Done));
    assert!(routed(&addressed).await["second"].drained);

    members.joined_by("third", "127.0.0.1:9");
    let without = refusal(route(&addressed, "third", false).await);
    assert_eq!(without, "backend conclave has no server for third; add one to it");
}

#[tokio::test]
async fn what_haproxy_refuses_is_told_in_its_words() {
    let (_one, _other, server) = two().await;
    let absent =
        Haproxy::new(&Settings { backend: "nowhere".into(), ..settings(server.api()) }, Members::of([])).unwrap();
    match absent.routed().await.unwrap_err() {
        PortError::NotServed { detail, .. } => assert_eq!(detail, "it has no backend nowhere: Can't find backend."),
        other => panic!("{other:?}"),
    }
    assert!(route(&absent, "api-1", false).await.is_err());
    assert!(refusal(route(&at(server.api()), "api-9", false).await).contains("no server for api-9"));

    let backend = Backend::start("api-1").await;
    let operator = Server::with_level("operator", &[backend.as_server("api-1")]);
    let haproxy = at(operator.api());
    let said = refusal(route(&haproxy, "api-1", false).await);
    assert!(said.starts_with("Permission denied") && said.contains("level admin"), "{said}");
    assert!(routed(&haproxy).await["api-1"].receives);
}

#[tokio::test]
async fn a_server_is_added_checked_and_removed_again() {
    let (one, _other, server) = two().await;
    let third = Backend::start("api-3").await;
    let haproxy =
        Haproxy::new(&Settings { added_with: "check".into(), ..settings(server.api()) }, Members::of([])).unwrap();
    let id = || InstanceId::new("api-3");
    let add = || Membership::Add(&haproxy, id(), third.address().to_string());
    assert_eq!(given(&add()).await, Ok(OrderAnswer::Done));
    assert!(routed(&haproxy).await["api-3"].drained);
    assert!(refusal(given(&add()).await).contains("Already exists"));
    assert_eq!(route(&haproxy, "api-3", true).await, Ok(OrderAnswer::Done));
    // It is sent requests once its check has found it.
    let checked = async { while request(&server).await != "api-3" {} };
    tokio::time::timeout(PATIENCE, checked).await.unwrap();

    let remove = || Membership::Remove(&haproxy, id());
    assert!(refusal(given(&remove()).await).contains("maintenance"));
    let out = Haproxy::new(&Settings { out: Out::Maint, ..settings(server.api()) }, Members::of([])).unwrap();
    assert_eq!(route(&out, "api-3", false).await, Ok(OrderAnswer::Done));
    // Connections that are kept open for reuse are closed first.
    let removed = async {
        loop {
            match given(&remove()).await.unwrap() {
                OrderAnswer::Done => break,
                OrderAnswer::Refused { detail } => {
                    assert!(detail.contains("idle") || detail.contains("connections"), "{detail}");
                }
                OrderAnswer::Conflict { detail } => panic!("{detail}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, removed).await.unwrap();
    assert!(!routed(&haproxy).await.contains_key("api-3"));
    assert_eq!(given(&remove()).await, Ok(OrderAnswer::Done));

    // Nothing in a name or an address is a command of its own.
    for (id, address) in [("api-3;clear counters all", "127.0.0.1:1"), ("api 3", "127.0.0.1:1"), ("api-3", "x:1;quit")]
    {
        let add = Membership::Add(&haproxy, InstanceId::new(id), address.into());
        assert!(matches!(given(&add).await, Ok(OrderAnswer::Refused { .. })), "{id} {address}");
    }
    assert!(one.served() > 0 && routed(&haproxy).await["api-1"].requests > Some(0));
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    match at(nobody().await).routed().await.unwrap_err() {
        PortError::Unreachable { what, detail } => {
            assert!(what.starts_with("HAProxy at 127.0.0.1:"), "{what}");
            assert_eq!(detail, "connection refused");
        }
        other => panic!("{other:?}"),
    }
    let absent = on_socket(Path::new("/nowhere/admin.sock")).routed().await.unwrap_err();
    assert!(
        matches!(&absent, PortError::Unreachable { detail, .. } if detail == "there is no such socket"),
        "{absent:?}"
    );
    assert!(route(&at(nobody().await), "api-1", false).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_delays_nobody_past_its_own_time_out() {
    let trouble = Trouble::hangs().await;
    let limit = Duration::from_millis(1_200);
    let haproxy = Haproxy::new(&Settings { time_out: limit, ..settings(trouble.address()) }, Members::of([])).unwrap();
    let began = Instant::now();
    let answers = futures::future::join_all((0..5).map(|_| haproxy.routed())).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(PortError::TimedOut { .. }))), "{answers:?}");
    assert!(began.elapsed() < limit + Duration::from_millis(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn half_an_answer_is_none_and_says_nothing_about_an_order() {
    let (_one, _other, server) = two().await;
    let whole = said(server.api(), "show servers state conclave;show stat conclave 4 -1").await.len();
    let way = Way::to(server.api()).await;
    let haproxy = at(way.address());
    assert!(haproxy.routed().await.is_ok());
    let states = said(server.api(), "show servers state conclave").await.len();
    for after in [0, 1, 2, 100, states - 1, states, states + 1, whole - 2, whole - 1] {
        way.cuts(after);
        let half = haproxy.routed().await;
        assert!(matches!(half, Err(PortError::Unreachable { .. } | PortError::Unreadable { .. })), "{after}: {half:?}");
    }
    way.passes();
    assert!(haproxy.routed().await.is_ok());
    // "Server deleted" takes a whole line; less may be anything.
    for words in [&b""[..], b"Server deleted."] {
        let trouble = Trouble::says(words).await;
        let haproxy = at(trouble.address());
        assert!(given(&Membership::Remove(&haproxy, InstanceId::new("api-1"))).await.is_err());
    }
}

#[tokio::test]
async fn one_that_speaks_otherwise_is_unreadable() {
    let answers = [
        &b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"[..],
        b"-ERR unknown command 'show'\r\n",
        b"\n",
        b"\xff\xfe\n\n",
        b"2\n# a new form\n\n# a,b\n\n",
        b"1\n# srv_name\napi-1\n\n# svname\napi-1\n\n",
    ];
    for words in answers {
        let trouble = Trouble::says(words).await;
        let haproxy = at(trouble.address());
        let error = haproxy.routed().await.unwrap_err();
        assert!(matches!(error, PortError::Unreadable { .. }), "{error:?}");
        assert!(route(&haproxy, "api-1", false).await.is_err());
    }
}

#[tokio::test]
async fn a_restart_forgets_who_was_drained_and_that_is_seen() {
    let (_one, _other, mut server) = two().await;
    request(&server).await;
    let haproxy = at(server.api());
    assert_eq!(route(&haproxy, "api-1", false).await, Ok(OrderAnswer::Done));
    server.start_again();
    let seen = routed(&haproxy).await;
    assert!(seen["api-1"].receives && !seen["api-1"].drained);
    assert_eq!(seen.values().filter_map(|one| one.requests).sum::<u64>(), 0);

    server.stop();
    let away = haproxy.routed().await.unwrap_err();
    assert!(matches!(away, PortError::Unreachable { .. }) && away.may_pass(), "{away:?}");
    server.start_again();
    assert!(haproxy.routed().await.is_ok());
}

#[tokio::test]
async fn a_process_that_stands_still_is_given_up() {
    let (_one, _other, server) = two().await;
    let short = Settings { time_out: Duration::from_millis(300), ..settings(server.api()) };
    let short = Haproxy::new(&short, Members::of([])).unwrap();
    server.server().stand_still();
    assert!(matches!(short.routed().await, Err(PortError::TimedOut { .. })));
    server.server().signal("CONT");
    assert!(at(server.api()).routed().await.is_ok());
}

fn members(backends: &[(&'static str, &Backend)]) -> Arc<Members> {
    Members::of(backends.iter().map(|(id, backend)| (*id, backend.address().to_string())))
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_where_nothing_is() {
    let (one, other, server) = two().await;
    let found =
        Haproxy::new(&settings(server.api()), members(&[("api-1", &one), ("api-2", &other)])).unwrap().check().await;
    let statuses: Vec<Status> = found.iter().map(|finding| finding.status).collect();
    assert_eq!(statuses, [Status::Ok; 2], "{found:#?}");
    assert!(found[0].text.starts_with("reached, version ") && found[0].text.ends_with("level admin"), "{found:#?}");
    assert_eq!(found[1].text, "2 servers; each of the fleet's 2 instances has one");
}

#[tokio::test]
async fn the_doctor_says_what_is_missing_and_what_would_go_on() {
    let (one, other) = (Backend::start("api-1").await, Backend::start("api-2").await);
    let lines = [
        format!("{} cookie first check", one.as_server("api-1")),
        "cookie SERVER insert".into(),
        "backend second".into(),
        one.as_server("again"),
        "backend third".into(),
        format!("{} track {BACKEND}/api-1", one.as_server("follows")),
    ];
    let server = Server::with_level("operator", &lines);
    let fleet = members(&[("api-1", &one), ("api-2", &other)]);
    let found = Haproxy::new(&settings(server.api()), fleet.clone()).unwrap().check().await;
    let statuses: Vec<Status> = found.iter().map(|finding| finding.status).collect();
    assert_eq!(statuses, [Status::Failed, Status::Failed, Status::Warn, Status::Warn], "{found:#?}");
    assert!(found[0].text.contains("level operator"), "{found:#?}");
    assert_eq!(found[1].text, "1 of 2 instances have no server: api-2");
    assert!(found[2].text.contains("cookies"), "{found:#?}");
    assert!(found[3].text.ends_with("too: second"), "{found:#?}");
    assert!(found.iter().all(|finding| finding.to_do.is_some()));

    let found = Haproxy::new(&settings(nobody().await), fleet).unwrap().check().await;
    assert!(found.len() == 1 && found[0].status == Status::Failed, "{found:#?}");
}

#[test]
fn the_example_of_a_configuration_is_one() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/haproxy/haproxy.cfg");
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(example).unwrap();
    // Users and folders of the package, which a checkout need not have.
    let text = text.replace("/run/haproxy", &folder.path().display().to_string()).replace(" group haproxy", "");
    let file = folder.path().join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let haproxy = scalebot_tests::services::program("haproxy", "haproxy", &[]);
    let checked = Command::new(haproxy).arg("-c").arg("-f").arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
