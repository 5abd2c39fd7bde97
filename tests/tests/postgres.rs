//! The adapter for PostgreSQL against a real one: what it reads, what it is refused, and every way of getting no answer.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use scalebot_adapters::doctor::Status;
use scalebot_adapters::postgres::{ConnectionSettings, FleetSettings, Postgres, Settings, SslMode};
use scalebot_commands::ports::{Chain as _, HaltReading, HaltSource as _, Pool as _, PoolBudget, PortError};
use scalebot_tests::services::certificates::Authority;
use scalebot_tests::services::postgres::Postgres as Server;
use scalebot_tests::services::trouble::{Trouble, Way, nobody};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::Instant;

/// The very statements that an operator is told to run.
const GRANT: &str = include_str!("../../deploy/postgres/grant.sql");

/// What the backend makes.
const TABLES: &str = "\
CREATE TABLE halt_state (
    id uuid DEFAULT '00000000-0000-0000-0000-000000000001', is_halted boolean, reason text, crisis_event_id uuid,
    halted_at timestamptz, updated_at timestamptz DEFAULT now(), ceremony_id uuid, clear_reason text,
    cleared_at timestamptz);
INSERT INTO halt_state (is_halted) VALUES (false);
CREATE TABLE events (event_id uuid, sequence bigserial UNIQUE NOT NULL, content_hash text, prev_hash text);
CREATE ROLE conclave LOGIN PASSWORD 'an instance';";

/// Long enough for a machine that is busy with others; no test waits for its end by the wall clock.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server as the backend and the operator leave it.
async fn prepared(server: &Server) {
    server.runs(TABLES).await;
    server.runs(GRANT).await;
    server.runs("ALTER ROLE scalebot PASSWORD 'hidden'").await;
}

async fn backend() -> Server {
    let server = Server::new();
    prepared(&server).await;
    server
}

fn settings(address: std::net::SocketAddr) -> Settings {
    let url = format!("postgres://scalebot:hidden@{address}/postgres");
    Settings { time_out: PATIENCE, ..Settings::new(SecretString::from(url)) }
}

fn at(address: std::net::SocketAddr) -> Postgres {
    Postgres::new(&settings(address)).unwrap()
}

fn counted(address: std::net::SocketAddr, fleet: FleetSettings) -> Postgres {
    let connections = Some(ConnectionSettings { per_instance: 15, surge: 0, fleet });
    Postgres::new(&Settings { connections, ..settings(address) }).unwrap()
}

fn the_fleet() -> FleetSettings {
    FleetSettings { users: vec!["conclave".into()], applications: Vec::new(), addresses: Vec::new() }
}

async fn halt(postgres: &Postgres) -> Result<HaltReading, PortError> {
    postgres.halt_table().unwrap().read().await
}

async fn refusal(postgres: &Postgres) -> String {
    match halt(postgres).await.unwrap_err() {
        PortError::Refused { detail, .. } => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_halt_table_says_what_stands_in_it() {
    let server = backend().await;
    let postgres = at(server.address());
    let not_halted = HaltReading { halted: false, since: None, reason: None, cleared_at: None };
    assert_eq!(halt(&postgres).await.unwrap(), not_halted);

    server
        .runs("UPDATE halt_state SET is_halted = true, reason = 'FR17: fork', halted_at = '2026-01-08 04:00:00.5+01'")
        .await;
    let halted = halt(&postgres).await.unwrap();
    assert_eq!(halted.reason.as_deref(), Some("FR17: fork"));
    assert_eq!((halted.halted, halted.since), (true, Some("2026-01-08T03:00:00.5Z".parse().unwrap())));

    // A halt that is over leaves only the moment of its end, though the table keeps when it began.
    server.runs("UPDATE halt_state SET is_halted = false, cleared_at = '2026-01-09 03:00:00Z'").await;
    let cleared_at = Some("2026-01-09T03:00:00Z".parse().unwrap());
    assert_eq!(halt(&postgres).await.unwrap(), HaltReading { cleared_at, ..not_halted });
}

#[tokio::test]
async fn a_table_without_exactly_one_answer_is_unknown() {
    let server = backend().await;
    let postgres = at(server.address());
    for (statement, says) in [
        ("UPDATE halt_state SET is_halted = NULL", "is NULL"),
        ("INSERT INTO halt_state (is_halted) VALUES (false), (false)", "more than the one row"),
        ("DELETE FROM halt_state", "no row"),
        ("INSERT INTO halt_state (is_halted, cleared_at) VALUES (false, 'infinity')", "infinity"),
        ("UPDATE halt_state SET cleared_at = '100000-01-01'", "beyond every calendar"),
        ("ALTER TABLE halt_state ALTER is_halted TYPE integer USING 0", "of type int4, not boolean"),
    ] {
        server.runs(statement).await;
        match halt(&postgres).await {
            Err(PortError::Unreadable { detail, .. }) => assert!(detail.contains(says), "{detail}"),
            other => panic!("{statement}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_table_of_another_name_is_configured_not_coded() {
    let server = backend().await;
    server
        .runs(
            "CREATE SCHEMA \"Ops\"; CREATE TABLE \"Ops\".\"Stop\" (stopped boolean); \
             INSERT INTO \"Ops\".\"Stop\" VALUES (true); GRANT USAGE ON SCHEMA \"Ops\" TO scalebot; \
             GRANT SELECT ON \"Ops\".\"Stop\" TO scalebot",
        )
        .await;
    let table = serde_json::json!({
        "table": "Ops.Stop", "is_halted": "stopped", "reason": "", "halted_at": "", "cleared_at": ""
    });
    let halt_settings = Some(serde_json::from_value(table).unwrap());
    let postgres = Postgres::new(&Settings { halt: halt_settings, ..settings(server.address()) }).unwrap();
    let halted = HaltReading { halted: true, since: None, reason: None, cleared_at: None };
    assert_eq!(halt(&postgres).await.unwrap(), halted);
}

#[tokio::test]
async fn the_head_of_the_chain_is_the_last_sequence_number() {
    let server = backend().await;
    let chain = at(server.address()).chain().unwrap();
    assert_eq!(chain.head().await.unwrap(), None);
    server.runs("INSERT INTO events (sequence) VALUES (1), (3), (2)").await;
    assert_eq!(chain.head().await.unwrap(), Some(3));
    server.runs("DELETE FROM events; INSERT INTO events (sequence) VALUES (-1)").await;
    assert!(matches!(chain.head().await, Err(PortError::Unreadable { .. })));
}

#[tokio::test]
async fn the_budget_is_what_the_server_allows_less_what_others_hold() {
    let server = Server::with(&["max_connections=40", "superuser_reserved_connections=4"]);
    prepared(&server).await;
    let postgres = counted(server.address(), the_fleet());
    let pool = postgres.connections().unwrap();
    let _instance = (session(&server, "conclave").await, session(&server, "conclave").await);
    let somebody = server.superuser().await;
    // Somebody and the bot itself.
    let limit_of = Some("the server".to_owned());
    let budget = PoolBudget { limit: 40, reserved: 4, others: 2, per_instance: 15, surge: 0, limit_of };
    assert_eq!(pool.budget().await.unwrap(), budget);

    // Gone, and seen to be gone: the server ends a session a moment after its client.
    drop(somebody);
    let gone = async { while pool.budget().await.unwrap().others != 1 {} };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn the_tightest_of_all_limits_is_the_budget() {
    let server = backend().await;
    let pool = counted(server.address(), the_fleet()).connections().unwrap();
    server.runs("ALTER ROLE conclave CONNECTION LIMIT 30").await;
    let by_role = pool.budget().await.unwrap();
    assert_eq!((by_role.limit, by_role.reserved, by_role.others), (30, 0, 0));
    assert_eq!(by_role.limit_of.as_deref(), Some("the role conclave"));

    server.runs("ALTER DATABASE postgres CONNECTION LIMIT 20").await;
    let somebody = server.superuser().await;
    let by_database = pool.budget().await.unwrap();
    assert_eq!((by_database.limit, by_database.reserved), (20, 0));
    assert!(by_database.others >= 2, "{by_database:?}");
    assert_eq!(by_database.limit_of.as_deref(), Some("the database postgres"));
    drop(somebody);
}

#[tokio::test]
async fn the_same_user_from_elsewhere_is_counted_with_the_others() {
    let server = backend().await;
    let _instance = session(&server, "conclave").await;
    let others = async |fleet: FleetSettings| {
        counted(server.address(), fleet).connections().unwrap().budget().await.unwrap().others
    };
    let from = |network: &str| FleetSettings { addresses: vec![network.parse().unwrap()], ..the_fleet() };
    // What a superuser did before may still be ending: the difference that lasts is the instance.
    let counted_apart = async { while others(from("10.0.0.0/8")).await != others(from("127.0.0.0/8")).await + 1 {} };
    tokio::time::timeout(PATIENCE, counted_apart).await.unwrap();
    let named = FleetSettings { applications: vec!["conclave-api".into()], ..the_fleet() };
    assert!(others(named).await > others(the_fleet()).await);
}

#[tokio::test]
async fn connections_that_cannot_be_seen_are_never_counted_as_none() {
    let server = backend().await;
    let pool = counted(server.address(), the_fleet()).connections().unwrap();
    server.runs("REVOKE pg_read_all_stats FROM scalebot").await;
    match pool.budget().await.unwrap_err() {
        PortError::Refused { detail, .. } => {
            assert!(detail.contains("GRANT pg_read_all_stats TO scalebot"), "{detail}");
        }
        other => panic!("{other:?}"),
    }

    server.runs("GRANT pg_read_all_stats TO scalebot").await;
    let stranger = FleetSettings { users: vec!["conclave".into(), "nobody there".into()], ..the_fleet() };
    let pool = counted(server.address(), stranger).connections().unwrap();
    match pool.budget().await.unwrap_err() {
        PortError::NotServed { detail, .. } => assert!(detail.contains("no role nobody there"), "{detail}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_granted_role_reads_what_it_needs_and_writes_nothing() {
    let server = backend().await;
    // Again, as an operator would who is not sure.
    server.runs(GRANT).await;
    let mut role = server.connect("scalebot", "hidden").await;
    let denied = async |role: &mut PgConnection, statement: &'static str| {
        let refused = sqlx::raw_sql(statement).execute(role).await.unwrap_err();
        refused.as_database_error().unwrap().code().unwrap().into_owned()
    };
    // 25006: the session only reads; 42501: nor would the role be permitted otherwise.
    assert_eq!(denied(&mut role, "UPDATE halt_state SET is_halted = true").await, "25006");
    sqlx::raw_sql("SET default_transaction_read_only = off").execute(&mut role).await.unwrap();
    for statement in [
        "UPDATE halt_state SET is_halted = true",
        "INSERT INTO halt_state (is_halted) VALUES (true)",
        "DELETE FROM halt_state",
        "TRUNCATE halt_state",
        "INSERT INTO events (sequence) VALUES (1)",
        "SELECT ceremony_id FROM halt_state",
        "SELECT content_hash FROM events",
        "CREATE TABLE public.mine (id integer)",
    ] {
        assert_eq!(denied(&mut role, statement).await, "42501", "{statement}");
    }
}

#[tokio::test]
async fn the_bot_opens_two_connections_at_most_and_says_who_it_is() {
    let server = backend().await;
    let table = at(server.address()).halt_table().unwrap();
    let (mut somebody, mut watcher) = (server.superuser().await, server.superuser().await);
    sqlx::raw_sql("BEGIN; LOCK TABLE halt_state").execute(&mut somebody).await.unwrap();
    let readings: Vec<_> = (0..6)
        .map(|_| {
            let table = table.clone();
            tokio::spawn(async move { table.read().await })
        })
        .collect();
    until(&mut watcher, 2, "application_name = 'scalebot' AND wait_event_type = 'Lock'").await;
    let sessions = "SELECT count(*), min(application_name) FROM pg_stat_activity WHERE usename = 'scalebot'";
    let (sessions, name): (i64, String) = sqlx::query_as(sessions).fetch_one(&mut watcher).await.unwrap();
    assert_eq!((sessions, name.as_str()), (2, "scalebot"));
    sqlx::raw_sql("COMMIT").execute(&mut somebody).await.unwrap();
    for reading in readings {
        assert!(!reading.await.unwrap().unwrap().halted);
    }
}

#[tokio::test]
async fn a_statement_that_waits_too_long_is_ended_by_the_server_itself() {
    let server = backend().await;
    let short = Settings { time_out: Duration::from_millis(500), ..settings(server.address()) };
    let table = Postgres::new(&short).unwrap().halt_table().unwrap();
    let (mut somebody, mut watcher) = (server.superuser().await, server.superuser().await);
    sqlx::raw_sql("BEGIN; LOCK TABLE halt_state").execute(&mut somebody).await.unwrap();
    let limit = short.time_out;
    assert_eq!(table.read().await.unwrap_err(), PortError::TimedOut { what: "halt table".into(), limit });
    until(&mut watcher, 0, "application_name = 'scalebot'").await;
}

#[tokio::test]
async fn every_refusal_says_what_is_to_be_done() {
    let server = backend().await;
    let url = |user: &str, password: &str, database: &str| {
        let url = format!("postgres://{user}:{password}@{}/{database}", server.address());
        Settings { time_out: PATIENCE, ..Settings::new(SecretString::from(url)) }
    };
    let wrong = Postgres::new(&url("scalebot", "hidden-and-wrong", "postgres")).unwrap();
    let said = refusal(&wrong).await;
    assert!(said.contains("Correct the user or the password of scalebot") && !said.contains("hidden"), "{said}");
    assert!(refusal(&Postgres::new(&url("nobody", "hidden", "postgres")).unwrap()).await.contains("nobody"));

    let absent = Postgres::new(&url("scalebot", "hidden", "elsewhere")).unwrap();
    assert!(matches!(halt(&absent).await, Err(PortError::NotServed { detail, .. }) if detail.contains("elsewhere")));

    let postgres = at(server.address());
    server.runs("REVOKE SELECT (reason) ON halt_state FROM scalebot").await;
    let said = refusal(&postgres).await;
    let grant = "GRANT SELECT (\"is_halted\", \"reason\", \"halted_at\", \"cleared_at\") ON \"public\".\"halt_state\" TO scalebot";
    assert!(said.contains(grant), "{said}");
    server
        .runs("GRANT SELECT (reason) ON halt_state TO scalebot; REVOKE USAGE ON SCHEMA public FROM PUBLIC, scalebot")
        .await;
    let said = refusal(&postgres).await;
    assert!(said.contains("GRANT USAGE ON SCHEMA \"public\" TO scalebot"), "{said}");
    server.runs("GRANT USAGE ON SCHEMA public TO scalebot").await;
    assert!(halt(&postgres).await.is_ok());

    server.runs("ALTER TABLE halt_state RENAME cleared_at TO lifted_at").await;
    assert!(matches!(halt(&postgres).await, Err(PortError::NotServed { detail, .. }) if detail.contains("cleared_at")));
    server.runs("DROP TABLE halt_state").await;
    assert!(matches!(halt(&postgres).await, Err(PortError::NotServed { detail, .. }) if detail.contains("halt_state")));

    server.runs("ALTER ROLE scalebot CONNECTION LIMIT 0").await;
    let full = halt(&at(server.address())).await;
    assert!(matches!(&full, Err(PortError::Unreachable { detail, .. }) if detail.contains("too many")), "{full:?}");
}

#[tokio::test]
async fn a_server_that_may_lag_behind_another_is_no_source_of_truth() {
    let mut server = backend().await;
    server.start_again_as_a_follower();
    let said = refusal(&at(server.address())).await;
    assert!(said.contains("give the address of the primary"), "{said}");
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    match halt(&at(nobody().await)).await.unwrap_err() {
        PortError::Unreachable { what, detail } => {
            assert_eq!(what, "halt table");
            assert!(detail.contains("connection refused") && detail.contains("127.0.0.1"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_delays_nobody_past_its_own_time_out() {
    let trouble = Trouble::hangs().await;
    let limit = Duration::from_millis(1_200);
    for mode in [None, Some(SslMode::Disable), Some(SslMode::VerifyFull)] {
        let settings = Settings { time_out: limit, sslmode: mode, ..settings(trouble.address()) };
        let table = Postgres::new(&settings).unwrap().halt_table().unwrap();
        let began = Instant::now();
        // More questions than there are connections: they wait for one another no longer than that, either.
        let answers = futures::future::join_all((0..5).map(|_| table.read())).await;
        let timed_out = PortError::TimedOut { what: "halt table".into(), limit };
        assert!(answers.iter().all(|answer| answer.as_ref() == Err(&timed_out)), "{answers:?}");
        assert!(began.elapsed() < limit + Duration::from_millis(10), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn one_that_hangs_in_the_middle_is_given_up_and_asked_anew() {
    let server = backend().await;
    let way = Way::to(server.address()).await;
    let postgres = at(way.address());
    assert!(halt(&postgres).await.is_ok());

    way.holds();
    tokio::time::pause();
    let timed_out = PortError::TimedOut { what: "halt table".into(), limit: PATIENCE };
    let began = Instant::now();
    assert_eq!(halt(&postgres).await.unwrap_err(), timed_out);
    assert!(began.elapsed() < PATIENCE + Duration::from_millis(10));
    tokio::time::resume();

    way.passes();
    server.runs("UPDATE halt_state SET is_halted = true, reason = 'since then'").await;
    // The answer to the question that was given up must not be taken for this one's.
    assert_eq!(halt(&postgres).await.unwrap().reason.as_deref(), Some("since then"));
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let server = backend().await;
    let way = Way::to(server.address()).await;
    let mut cut_while_reading = false;
    for after in [0, 1, 4, 5, 9, 20, 60] {
        way.passes();
        let postgres = at(way.address());
        assert!(halt(&postgres).await.is_ok());
        // The connection that is open, and the new one that is tried instead.
        way.cuts(after);
        let error = halt(&postgres).await.unwrap_err();
        cut_while_reading |= error.to_string().contains("before the answer was complete");
        assert!(matches!(error, PortError::Unreachable { .. } | PortError::Unreadable { .. }), "{after}: {error:?}");
    }
    assert!(cut_while_reading);
}

#[tokio::test]
async fn one_that_speaks_otherwise_is_unreadable() {
    for words in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"-ERR unknown command\r\n", b"220 smtp.example ESMTP\r\n"]
    {
        let trouble = Trouble::says(words).await;
        match halt(&at(trouble.address())).await.unwrap_err() {
            PortError::Unreadable { detail, .. } => {
                assert!(detail.contains("does not speak as PostgreSQL"), "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }
    // Its first letter is how PostgreSQL agrees to encrypt.
    let trouble = Trouble::says(b"SSH-2.0-OpenSSH_9.2\r\n").await;
    assert!(matches!(halt(&at(trouble.address())).await, Err(PortError::Unreachable { .. })));
}

#[tokio::test]
async fn a_certificate_must_be_of_a_trusted_authority_and_of_the_right_name() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = Server::with_certificate(&authority.certifies("IP:127.0.0.1"));
    prepared(&server).await;
    let verified = |address, ca: &Authority| {
        let (ca_file, sslmode) = (Some(ca.certificate()), Some(SslMode::VerifyFull));
        Postgres::new(&Settings { sslmode, ca_file, ..settings(address) }).unwrap()
    };
    assert!(halt(&verified(server.address(), &authority)).await.is_ok());
    let unknown = halt(&verified(server.address(), &stranger)).await;
    assert!(
        matches!(&unknown, Err(PortError::Unreachable { detail, .. }) if detail.contains("set ca_file")),
        "{unknown:?}"
    );

    let other = Server::with_certificate(&authority.certifies("DNS:db.example"));
    prepared(&other).await;
    let misnamed = halt(&verified(other.address(), &authority)).await;
    assert!(
        matches!(&misnamed, Err(PortError::Unreachable { detail, .. }) if detail.contains("db.example")),
        "{misnamed:?}"
    );

    let plain = Server::new();
    let unencrypted = halt(&verified(plain.address(), &authority)).await;
    assert!(
        matches!(&unencrypted, Err(PortError::Unreachable { detail, .. }) if detail.contains("TLS")),
        "{unencrypted:?}"
    );
}

#[tokio::test]
async fn a_restart_in_the_middle_needs_nobody() {
    let mut server = backend().await;
    let postgres = at(server.address());
    assert!(halt(&postgres).await.is_ok());
    server.start_again();
    // The connection from before is gone; nobody notices.
    assert!(halt(&postgres).await.is_ok());

    server.stop();
    let away = halt(&postgres).await.unwrap_err();
    assert!(matches!(away, PortError::Unreachable { .. }) && away.may_pass(), "{away:?}");
    server.start_again();
    assert!(halt(&postgres).await.is_ok());
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_where_nothing_is() {
    let server = backend().await;
    server.runs("INSERT INTO events (sequence) VALUES (7)").await;
    let found = counted(server.address(), the_fleet()).check().await;
    let statuses: Vec<Status> = found.iter().map(|finding| finding.status).collect();
    assert_eq!(statuses, [Status::Ok; 4], "{found:#?}");
    let text: Vec<&str> = found.iter().map(|finding| finding.text.as_str()).collect();
    assert!(text[0].starts_with("reached, version 1") && text[0].ends_with("as scalebot"), "{text:?}");
    assert_eq!(text[1], "readable: not halted");
    assert_eq!(text[2], "readable: the last event is number 7");
    assert!(text[3].contains("for the fleet: the server allows 100, 3 reserved"), "{text:?}");
}

#[tokio::test]
async fn the_doctor_says_what_is_missing_and_what_is_too_much() {
    let server = backend().await;
    server
        .runs(
            "REVOKE pg_read_all_stats FROM scalebot; REVOKE SELECT (sequence) ON events FROM scalebot; \
             GRANT UPDATE (is_halted) ON halt_state TO scalebot; ALTER TABLE halt_state ENABLE ROW LEVEL SECURITY",
        )
        .await;
    let found = counted(server.address(), the_fleet()).check().await;
    let of = |status: Status| found.iter().filter(|finding| finding.status == status).collect::<Vec<_>>();
    let warned: Vec<&str> = of(Status::Warn).iter().map(|finding| finding.text.as_str()).collect();
    assert!(warned[0].contains("may write") && warned[1].contains("row security"), "{found:#?}");
    let failed: Vec<&str> = of(Status::Failed).iter().map(|finding| finding.text.as_str()).collect();
    assert!(failed[0].contains("no row that this role may see"), "{found:#?}");
    assert!(failed[1].contains("GRANT SELECT (\"sequence\")") && failed[2].contains("pg_read_all_stats"), "{found:#?}");
    assert!(found.iter().all(|finding| finding.status == Status::Ok || finding.to_do.is_some()), "{found:#?}");
    assert!(!format!("{found:?}").contains("hidden"));

    let found = at(nobody().await).check().await;
    let failed = found.iter().filter(|finding| finding.status == Status::Failed).count();
    assert_eq!((failed, found.last().unwrap().status), (3, Status::NotConfigured), "{found:#?}");
}

/// Returns once there are so many sessions of that kind.
async fn until(watcher: &mut PgConnection, wanted: i64, kind: &'static str) {
    let count = format!("SELECT count(*) FROM pg_stat_activity WHERE {kind}");
    let counted = async {
        while sqlx::query_scalar::<_, i64>(AssertSqlSafe(count.as_str())).fetch_one(&mut *watcher).await.unwrap()
            != wanted
        {}
    };
    tokio::time::timeout(PATIENCE, counted).await.unwrap();
}

async fn session(server: &Server, role: &str) -> PgConnection {
    server.connect(role, "an instance").await
}
