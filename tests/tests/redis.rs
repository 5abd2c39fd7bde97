//! The adapter for Redis against a real one: what it reads, what it is refused, and every way of getting no answer.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, cmd};
use scalebot_adapters::doctor::Status;
use scalebot_adapters::redis::{ConnectionSettings, FleetSettings, HaltSettings, Redis, Settings};
use scalebot_commands::ports::{HaltReading, HaltSource as _, Pool as _, PoolBudget, PortError};
use scalebot_tests::services::certificates::Authority;
use scalebot_tests::services::redis::Redis as Server;
use scalebot_tests::services::trouble::{Trouble, Way, nobody};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// The very line that an operator is told to take over.
const USERS: &str = include_str!("../../deploy/redis/users.acl");

/// Long enough for a machine that is busy with others; no test waits for its end by the wall clock.
const PATIENCE: Duration = Duration::from_mins(1);

/// The operator's users, with a password, and the instances' one.
fn users() -> String {
    let mut hash = String::new();
    for byte in Sha256::digest("hidden") {
        write!(hash, "{byte:02x}").unwrap();
    }
    let scalebot = USERS.replace("SHA256-OF-ITS-PASSWORD", &hash);
    assert_ne!(scalebot, USERS);
    format!("{scalebot}user conclave on >an-instance ~* &* +@all\n")
}

fn backend() -> Server {
    Server::new(&users())
}

fn settings(address: SocketAddr) -> Settings {
    let url = format!("redis://scalebot:hidden@{address}");
    Settings { time_out: PATIENCE, ..Settings::new(SecretString::from(url)) }
}

fn at(address: SocketAddr) -> Redis {
    Redis::new(&settings(address)).unwrap()
}

fn counted(address: SocketAddr, fleet: FleetSettings) -> Redis {
    let connections = Some(ConnectionSettings { per_instance: 10, surge: 2, fleet });
    Redis::new(&Settings { connections, ..settings(address) }).unwrap()
}

fn the_fleet() -> FleetSettings {
    FleetSettings { users: vec!["conclave".into()], ..FleetSettings::default() }
}

async fn halt(redis: &Redis) -> Result<HaltReading, PortError> {
    redis.halt_stream().unwrap().read().await
}

async fn refusal(redis: &Redis) -> String {
    match halt(redis).await.unwrap_err() {
        PortError::Refused { detail, .. } => detail,
        other => panic!("{other:?}"),
    }
}

async fn connected(url: String) -> MultiplexedConnection {
    connects(url).await.unwrap()
}

async fn connects(url: String) -> redis::RedisResult<MultiplexedConnection> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
    Client::open(url).unwrap().get_multiplexed_async_connection_with_config(&config).await
}

/// Carries a command out, everything permitted.
async fn runs(server: &Server, command: &str) {
    let mut administrator = connected(server.administrator()).await;
    let mut words = command.split(' ');
    let mut sent = cmd(words.next().unwrap());
    sent.arg(words.collect::<Vec<_>>()).exec_async(&mut administrator).await.unwrap();
}

#[tokio::test]
async fn any_signal_is_a_halt_and_none_is_none() {
    let server = backend();
    let redis = at(server.address());
    let none = HaltReading { halted: false, since: None, reason: None, cleared_at: None };
    assert_eq!(halt(&redis).await.unwrap(), none);

    runs(&server, "XADD halt:signals 1767841200000-0 reason fork timestamp 2026-01-08T02:59:59.5+00:00Z").await;
    runs(&server, "XADD halt:signals 1767841300000-0 reason again timestamp 2026-01-08T03:01:40Z").await;
    let halted = halt(&redis).await.unwrap();
    // Since the oldest, for the newest's reason.
    assert_eq!(halted.since, Some("2026-01-08T02:59:59.5Z".parse().unwrap()));
    assert_eq!((halted.halted, halted.reason.as_deref(), halted.cleared_at), (true, Some("again"), None));
}

#[tokio::test]
async fn a_signal_of_which_nothing_can_be_read_is_a_halt_all_the_same() {
    let server = backend();
    let redis = at(server.address());
    runs(&server, "XADD halt:signals 1767841200000-0 timestamp yesterday").await;
    let halted = halt(&redis).await.unwrap();
    // Its identifier tells when it was made.
    assert_eq!((halted.halted, halted.since), (true, Some("2026-01-08T03:00:00Z".parse().unwrap())));

    runs(&server, "DEL halt:signals").await;
    runs(&server, "XADD halt:signals 18446744073709551615-1 what ever").await;
    assert_eq!(halt(&redis).await.unwrap(), HaltReading { halted: true, since: None, reason: None, cleared_at: None });
}

#[tokio::test]
async fn a_stream_of_another_name_is_configured_not_coded() {
    let server = Server::new(&users().replace("halt:signals", "ops:stop"));
    runs(&server, "XADD ops:stop 1-0 why drill when 2026-01-08T03:00:00Z").await;
    let halt_settings = HaltSettings { stream: "ops:stop".into(), reason: "why".into(), timestamp: "when".into() };
    let redis = Redis::new(&Settings { halt: Some(halt_settings), ..settings(server.address()) }).unwrap();
    let halted = halt(&redis).await.unwrap();
    assert_eq!(
        (halted.reason.as_deref(), halted.since),
        (Some("drill"), Some("2026-01-08T03:00:00Z".parse().unwrap()))
    );
}

#[tokio::test]
async fn the_budget_is_what_the_server_allows_less_what_others_hold() {
    let server = Server::with(&users(), &["--maxclients", "50"]);
    let pool = counted(server.address(), the_fleet()).connections().unwrap();
    let instance = format!("redis://conclave:an-instance@{}", server.address());
    let _instances = (connected(instance.clone()).await, connected(instance).await);
    let _somebody = connected(server.administrator()).await;
    // Somebody and the bot itself.
    let budget = PoolBudget { limit: 50, reserved: 0, others: 2, per_instance: 10, surge: 2, limit_of: None };
    assert_eq!(pool.budget().await.unwrap(), budget);

    let elsewhere = FleetSettings { addresses: vec!["10.0.0.0/8".parse().unwrap()], ..the_fleet() };
    let pool = counted(server.address(), elsewhere).connections().unwrap();
    assert!(pool.budget().await.unwrap().others >= 4);
}

#[test]
fn a_fleet_that_cannot_be_told_from_others_is_no_fleet() {
    let connections = Some(ConnectionSettings { per_instance: 10, surge: 0, fleet: FleetSettings::default() });
    let nameless = Settings { connections, ..settings("127.0.0.1:6379".parse().unwrap()) };
    assert_eq!(Redis::new(&nameless).unwrap_err().key, "connections.fleet");
}

#[tokio::test]
async fn the_granted_user_reads_what_it_needs_and_nothing_else() {
    let server = backend();
    let mut user = connected(format!("redis://scalebot:hidden@{}", server.address())).await;
    for command in [
        "XADD halt:signals * reason mine",
        "XDEL halt:signals 1-0",
        "XTRIM halt:signals MAXLEN 0",
        "DEL halt:signals",
        "SET other 1",
        "XRANGE other - +",
        "CONFIG GET maxclients",
        "CONFIG SET maxclients 1",
        "CLIENT KILL TYPE normal",
        "ACL LIST",
        "KEYS *",
        "FLUSHALL",
        "SHUTDOWN NOSAVE",
        "EVAL return 0",
    ] {
        let mut words = command.split(' ');
        let mut sent = cmd(words.next().unwrap());
        let refused = sent.arg(words.collect::<Vec<_>>()).exec_async(&mut user).await.unwrap_err();
        assert_eq!(refused.code(), Some("NOPERM"), "{command}: {refused}");
        // The command itself is refused, not only its key; reading is refused for other keys.
        let why = if command.starts_with("XRANGE") { "to access" } else { "to run" };
        assert!(refused.to_string().contains(why), "{command}: {refused}");
    }
}

#[tokio::test]
async fn every_refusal_says_what_is_to_be_done() {
    let server = backend();
    let url = |access: &str| {
        let url = format!("redis://{access}{}", server.address());
        Redis::new(&Settings { time_out: PATIENCE, ..Settings::new(SecretString::from(url)) }).unwrap()
    };
    let said = refusal(&url("scalebot:hidden-and-wrong@")).await;
    assert!(said.contains("Correct the user or the password of scalebot") && !said.contains("hidden"), "{said}");
    assert!(refusal(&url("nobody:hidden@")).await.contains("password of nobody"));
    assert!(refusal(&url("")).await.contains("password of default"));
    assert!(refusal(&url(":hidden@")).await.contains("password of default"));

    let redis = at(server.address());
    for (revoked, restored) in [("-xrange", "+xrange"), ("-info", "+info"), ("resetkeys", "%R~halt:signals")] {
        runs(&server, &format!("ACL SETUSER scalebot {revoked}")).await;
        let said = refusal(&redis).await;
        assert!(said.contains("ACL SETUSER scalebot %R~halt:signals +xrange +xrevrange +info"), "{said}");
        runs(&server, &format!("ACL SETUSER scalebot {restored}")).await;
        assert!(halt(&redis).await.is_ok());
    }

    // Another database than the first takes a right more.
    let url = SecretString::from(format!("redis://scalebot:hidden@{}/1", server.address()));
    let second = Redis::new(&Settings { time_out: PATIENCE, ..Settings::new(url) }).unwrap();
    assert!(refusal(&second).await.ends_with("+info +select"));
    runs(&server, "ACL SETUSER scalebot +select").await;
    assert!(!halt(&second).await.unwrap().halted);

    runs(&server, "ACL SETUSER scalebot -client|list").await;
    let unseen = counted(server.address(), the_fleet()).connections().unwrap().budget().await;
    assert!(matches!(&unseen, Err(PortError::Refused { detail, .. }) if detail.contains("+client|list")), "{unseen:?}");

    runs(&server, "SET halt:signals no-stream").await;
    let otherwise = halt(&redis).await;
    assert!(
        matches!(&otherwise, Err(PortError::Unreadable { detail, .. }) if detail.contains("WRONGTYPE")),
        "{otherwise:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_full_may_have_room_later() {
    let server = Server::with(&users(), &["--maxclients", "1"]);
    // The place that its start was waited for with may not be free yet.
    let somebody = async {
        loop {
            if let Ok(somebody) = connects(server.administrator()).await {
                break somebody;
            }
        }
    };
    let somebody = tokio::time::timeout(PATIENCE, somebody).await.unwrap();
    let redis = at(server.address());
    let full = halt(&redis).await.unwrap_err();
    assert!(full.may_pass(), "{full:?}");
    drop(somebody);
    // The server sees a moment later that its client is gone.
    let room = async { while halt(&redis).await.is_err() {} };
    tokio::time::timeout(PATIENCE, room).await.unwrap();
}

#[tokio::test]
async fn a_server_that_begins_to_follow_another_is_no_source_of_truth() {
    let server = backend();
    let redis = at(server.address());
    assert!(halt(&redis).await.is_ok());
    runs(&server, &format!("REPLICAOF 127.0.0.1 {}", nobody().await.port())).await;
    let said = refusal(&redis).await;
    assert!(said.contains("give the address of the primary"), "{said}");
    runs(&server, "REPLICAOF NO ONE").await;
    assert!(halt(&redis).await.is_ok());
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    match halt(&at(nobody().await)).await.unwrap_err() {
        PortError::Unreachable { what, detail } => {
            assert_eq!(what, "halt signals");
            assert!(detail.contains("connection refused") && detail.contains("127.0.0.1"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_delays_nobody_past_its_own_time_out() {
    let trouble = Trouble::hangs().await;
    let limit = Duration::from_millis(1_200);
    for scheme in ["redis", "rediss"] {
        let url = format!("{scheme}://scalebot:hidden@{}", trouble.address());
        let settings = Settings { time_out: limit, ..Settings::new(SecretString::from(url)) };
        let stream = Redis::new(&settings).unwrap().halt_stream().unwrap();
        let began = Instant::now();
        // One question waits for another no longer than that, either.
        let answers = futures::future::join_all((0..5).map(|_| stream.read())).await;
        let timed_out = PortError::TimedOut { what: "halt signals".into(), limit };
        assert!(answers.iter().all(|answer| answer.as_ref() == Err(&timed_out)), "{answers:?}");
        assert!(began.elapsed() < limit + Duration::from_millis(10), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn one_that_hangs_in_the_middle_is_given_up_and_asked_anew() {
    let server = backend();
    let way = Way::to(server.address()).await;
    let redis = at(way.address());
    assert!(!halt(&redis).await.unwrap().halted);

    way.holds();
    tokio::time::pause();
    let timed_out = PortError::TimedOut { what: "halt signals".into(), limit: PATIENCE };
    let began = Instant::now();
    assert_eq!(halt(&redis).await.unwrap_err(), timed_out);
    assert!(began.elapsed() < PATIENCE + Duration::from_millis(10));
    tokio::time::resume();

    way.passes();
    runs(&server, "XADD halt:signals * reason since-then").await;
    // The answer to the question that was given up must not be taken for this one's.
    assert_eq!(halt(&redis).await.unwrap().reason.as_deref(), Some("since-then"));
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let server = backend();
    runs(&server, "XADD halt:signals * reason fork").await;
    let way = Way::to(server.address()).await;
    for after in [0, 1, 2, 3, 7, 40] {
        way.passes();
        let redis = at(way.address());
        assert!(halt(&redis).await.is_ok());
        // The connection that is open, and the new one that is tried instead.
        way.cuts(after);
        let error = halt(&redis).await.unwrap_err();
        assert!(matches!(error, PortError::Unreachable { .. }), "{after}: {error:?}");
    }
}

#[tokio::test]
async fn one_that_speaks_otherwise_is_unreadable() {
    for words in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"220 smtp.example ESMTP\r\n", b"E\0\0\0\x10SFATAL\0\0"] {
        let trouble = Trouble::says(words).await;
        match halt(&at(trouble.address())).await.unwrap_err() {
            PortError::Unreadable { detail, .. } => {
                assert!(detail.contains("does not speak as Redis does"), "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }
    // What answers that all is well, whatever it is asked, has not said that nothing is halted.
    let trouble = Trouble::says(b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n").await;
    assert!(halt(&at(trouble.address())).await.is_err());
}

#[tokio::test]
async fn a_certificate_must_be_of_a_trusted_authority_and_of_the_right_name() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let encrypted = |address: SocketAddr, ca: &Authority| {
        let url = format!("rediss://scalebot:hidden@{address}");
        let settings = Settings { time_out: PATIENCE, ..Settings::new(SecretString::from(url)) };
        Redis::new(&Settings { ca_file: Some(ca.certificate()), ..settings }).unwrap()
    };
    let unreachable = async |redis: &Redis, says: &str| match halt(redis).await.unwrap_err() {
        PortError::Unreachable { detail, .. } => assert!(detail.contains(says), "{detail}"),
        other => panic!("{other:?}"),
    };
    let server = Server::with_certificate(&users(), &authority.certifies("IP:127.0.0.1"));
    assert!(!halt(&encrypted(server.address(), &authority)).await.unwrap().halted);
    unreachable(&encrypted(server.address(), &stranger), "set ca_file").await;
    // Whoever does not encrypt is not understood.
    assert!(halt(&at(server.address())).await.is_err());

    let other = Server::with_certificate(&users(), &authority.certifies("DNS:cache.example"));
    unreachable(&encrypted(other.address(), &authority), "another server's").await;

    // One that does not encrypt takes what it is greeted with for the beginning of a command, and waits for its end.
    let plain = backend();
    let url = SecretString::from(format!("rediss://scalebot:hidden@{}", plain.address()));
    let short = Settings { time_out: Duration::from_millis(300), ..Settings::new(url) };
    assert!(matches!(halt(&Redis::new(&short).unwrap()).await, Err(PortError::TimedOut { .. })));
}

#[tokio::test]
async fn a_restart_in_the_middle_needs_nobody() {
    let mut server = backend();
    runs(&server, "XADD halt:signals * reason fork").await;
    let redis = at(server.address());
    assert!(halt(&redis).await.unwrap().halted);
    server.start_again();
    // The connection from before is gone; nobody notices.
    assert!(halt(&redis).await.unwrap().halted);

    server.stop();
    let away = halt(&redis).await.unwrap_err();
    assert!(matches!(away, PortError::Unreachable { .. }) && away.may_pass(), "{away:?}");
    server.start_again();
    assert!(halt(&redis).await.unwrap().halted);
}

#[tokio::test]
async fn a_process_that_stands_still_is_given_up() {
    let server = backend();
    let short = Settings { time_out: Duration::from_millis(300), ..settings(server.address()) };
    let redis = Redis::new(&short).unwrap();
    server.server().signal("STOP");
    assert!(matches!(halt(&redis).await, Err(PortError::TimedOut { .. })));
    server.server().signal("CONT");
    assert!(halt(&at(server.address())).await.is_ok());
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_where_nothing_is() {
    let server = Server::with(&users(), &["--maxclients", "50"]);
    let found = counted(server.address(), the_fleet()).check().await;
    let statuses: Vec<Status> = found.iter().map(|finding| finding.status).collect();
    assert_eq!(statuses, [Status::Ok; 3], "{found:#?}");
    assert!(found[0].text.starts_with("reached, version ") && found[0].text.ends_with("as scalebot"), "{found:#?}");
    assert_eq!(found[1].text, "readable: not halted, since halt:signals is empty. Is that the key?");
    assert_eq!(found[2].text, "49 for the fleet: the server allows 50, 1 held by others");
}

#[tokio::test]
async fn the_doctor_says_what_is_missing_and_what_is_too_much() {
    let server = backend();
    runs(&server, "ACL SETUSER scalebot -xrange -client|list").await;
    let found = counted(server.address(), the_fleet()).check().await;
    let statuses: Vec<Status> = found.iter().map(|finding| finding.status).collect();
    assert_eq!(statuses, [Status::Ok, Status::Failed, Status::Failed], "{found:#?}");
    assert!(found[1].text.contains("+xrange") && found[2].text.contains("+client|list"), "{found:#?}");
    assert!(found[1].to_do.is_some() && !format!("{found:?}").contains("hidden"));

    runs(&server, "ACL SETUSER default on nopass ~* +@all").await;
    let url = format!("redis://{}", server.address());
    let found = Redis::new(&Settings::new(SecretString::from(url))).unwrap().check().await;
    assert!(found.iter().any(|finding| finding.status == Status::Warn && finding.text.contains("default user")));

    let found = at(nobody().await).check().await;
    let statuses: Vec<Status> = found.iter().map(|finding| finding.status).collect();
    assert_eq!(statuses, [Status::Failed, Status::Failed, Status::NotConfigured], "{found:#?}");
}
