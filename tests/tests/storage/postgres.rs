//! What only PostgreSQL has: rights, a way there that may be cut, a server that stops and hangs, and the lease.

use std::sync::Arc;
use std::time::Duration;

use scalebot_adapters::doctor::Status;
use scalebot_adapters::ledger::postgres::{Settings, check};
use scalebot_adapters::ledger::{Led, PostgresLedger, Storage as _, StorageError, Taken};
use scalebot_commands::event::Event;
use scalebot_commands::ports::{AppendError, Ledger as _};
use scalebot_commands::units::Epoch;
use scalebot_tests::services::certificates::Authority;
use scalebot_tests::services::postgres::{Postgres, tool};
use scalebot_tests::services::trouble::Trouble;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection as _};

use super::place::{PATIENCE, Place, at, draft, note, prove, requested, schema, whole};

/// The very statements that an operator is told to run.
const GRANT: &str = include_str!("../../../deploy/postgres/ledger.sql");
const APPEND_ONLY: &str = include_str!("../../../deploy/postgres/ledger-append-only.sql");

/// A limit that is waited for, and yet long enough for whatever is answered at all.
const BRIEF: Duration = Duration::from_secs(4);

/// A lease that does not run out while a test lasts.
fn long(settings: &Settings) -> Settings {
    Settings { lease: PATIENCE * 10, ..settings.clone() }
}

async fn led(settings: &Settings, who: &str) -> (PostgresLedger, Epoch) {
    let ledger = PostgresLedger::open(settings).await.unwrap();
    match ledger.lead(who).await.unwrap() {
        Taken::Ours(epoch) => (ledger, epoch),
        Taken::Led(led) => panic!("{led:?}"),
    }
}

fn unusable(opened: Result<PostgresLedger, StorageError>) -> String {
    match opened.err().unwrap() {
        StorageError::Unusable(why) => why,
        other => panic!("{other:?}"),
    }
}

fn away(opened: Result<PostgresLedger, StorageError>) -> String {
    match opened.err().unwrap() {
        StorageError::Away(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_leads_and_another_takes_over_once_the_lease_has_run_out_or_was_given_back() {
    let settings = schema();
    let (first, one) = led(&long(&settings), "process 1 on alpha").await;
    let second = PostgresLedger::open(&long(&settings)).await.unwrap();
    let Taken::Led(Led { by, for_another }) = second.lead("process 2 on beta").await.unwrap() else {
        panic!("two lead");
    };
    assert_eq!(by, "process 1 on alpha");
    assert!(for_another > PATIENCE * 9 && for_another <= PATIENCE * 10, "{for_another:?}");
    assert_eq!(second.leader().await.unwrap().as_deref(), Some("process 1 on alpha"));
    // Whoever asks again for what it has already gets it anew.
    assert_eq!(first.lead("process 1 on alpha").await.unwrap(), Taken::Ours(Epoch(one.0 + 1)));
    first.append(requested("op-a", Epoch(one.0 + 1))).await.unwrap();

    first.resign().await;
    assert_eq!(second.leader().await.unwrap(), None);
    assert_eq!(second.lead("process 2 on beta").await.unwrap(), Taken::Ours(Epoch(one.0 + 2)));
    let refused = first.append(draft("op-a", 2, Epoch(one.0 + 1))).await.unwrap_err();
    assert!(matches!(&refused, AppendError::Fenced { detail } if detail.contains("in force is 3")), "{refused}");
    // What it gives back is no longer its own.
    first.resign().await;
    assert_eq!(second.leader().await.unwrap().as_deref(), Some("process 2 on beta"));

    // A server whose clock is past the lease's end.
    Place::Server(settings.clone()).runs("UPDATE lease SET until = clock_timestamp()").await;
    let (third, _) = led(&settings, "process 3 on gamma").await;
    assert!(third.append(draft("op-a", 2, Epoch(one.0 + 3))).await.is_ok());
}

#[tokio::test]
async fn whoever_leads_learns_that_it_does_no_longer() {
    let settings = Settings { renew: Duration::from_millis(20), ..schema() };
    let (ledger, epoch) = led(&long(&settings), "process 1 on alpha").await;
    ledger.append(note(epoch)).await.unwrap();
    let ledger = Arc::new(ledger);
    let lost = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move { ledger.until_lost().await }
    });
    // It goes on saying so.
    let place = Place::Server(settings.clone());
    place.runs("UPDATE lease SET until = clock_timestamp() + interval '1 second'").await;
    let renewed = "SELECT until > clock_timestamp() + interval '1 minute' FROM lease";
    let mut connection = sqlx::PgConnection::connect(&url(&settings)).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("SET search_path = {}", settings.schema)))
        .execute(&mut connection)
        .await
        .unwrap();
    while !sqlx::query_scalar::<_, bool>(renewed).fetch_one(&mut connection).await.unwrap() {
        tokio::task::yield_now().await;
    }
    place.runs("UPDATE lease SET token = 'another', holder = 'process 2 on beta'").await;
    assert_eq!(lost.await.unwrap(), "process 2 on beta has taken the lead");

    // The same when an older state is put back beneath it, also while it writes nothing.
    place.runs("UPDATE lease SET until = clock_timestamp()").await;
    let (ledger, epoch) =
        led(&long(&Settings { renew: settings.renew, ..schema_of(&settings) }), "process 1 on alpha").await;
    ledger.append(note(epoch)).await.unwrap();
    place.runs("DELETE FROM event WHERE seq = 2").await;
    let lost = ledger.until_lost().await;
    assert!(lost.contains("event 2 is not there any more"), "{lost}");
}

fn url(settings: &Settings) -> String {
    use secrecy::ExposeSecret as _;
    settings.url.expose_secret().to_owned()
}

/// The same schema, with a lease that whoever wants can take.
fn schema_of(settings: &Settings) -> Settings {
    Settings { lease: Duration::ZERO, ..settings.clone() }
}

#[tokio::test]
async fn a_server_that_restarts_is_found_again_and_loses_nothing() {
    let mut server = Postgres::new();
    let settings = at(&server);
    let (ledger, epoch) = led(&long(&settings), "process 1 on alpha").await;
    ledger.append(requested("op-a", epoch)).await.unwrap();
    server.start_again();
    // Both connections are gone; neither the reader nor the writer shows it.
    assert_eq!(ledger.events_after(0, 10).await.unwrap().len(), 1);
    ledger.append(draft("op-a", 2, epoch)).await.unwrap();
    assert_eq!(ledger.leader().await.unwrap().as_deref(), Some("process 1 on alpha"));

    server.stop();
    let refused = ledger.append(draft("op-a", 3, epoch)).await.unwrap_err();
    assert!(
        matches!(&refused, AppendError::Unavailable(why) if why.to_string().contains("cannot be reached")),
        "{refused}"
    );
    let why = away(PostgresLedger::open(&settings).await);
    assert!(why.contains("see that it runs"), "{why}");
    server.start_again();
    ledger.append(draft("op-a", 3, epoch)).await.unwrap();
    assert_eq!(ledger.events_after(0, 10).await.unwrap().len(), 3);
}

/// Runs a program that comes with the server, as whoever follows the README does.
fn run(program: &str, arguments: &[&str]) {
    let output = tool(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dump_that_is_made_while_it_is_written_to_is_whole_and_is_gone_on_with_once_it_is_put_back() {
    let server = Postgres::new();
    let settings = at(&server);
    let (ledger, epoch) = led(&settings, "process 1 on alpha").await;
    ledger.append(requested("op-a", epoch)).await.unwrap();
    let ledger = Arc::new(ledger);
    let writing = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move {
            for op_seq in 2..=60 {
                ledger.append(draft("op-a", op_seq, epoch)).await.unwrap();
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("scalebot.dump");
    let (dump, url, schema) = (dump.to_str().unwrap(), url(&settings), &settings.schema);
    run("pg_dump", &["--format=custom", &format!("--schema={schema}"), &format!("--file={dump}"), &url]);
    writing.await.unwrap();
    let written = ledger.events_after(0, 100).await.unwrap();
    ledger.close().await;

    run("psql", &[&url, "--command", &format!("ALTER SCHEMA {schema} RENAME TO {schema}_aside")]);
    run("pg_restore", &[&format!("--dbname={url}"), dump]);
    let (restored, next) = led(&settings, "process 2 on alpha").await;
    let events = restored.events_after(0, 100).await.unwrap();
    assert!(!events.is_empty() && written.starts_with(&events), "{} of {}", events.len(), written.len());
    assert_eq!(prove(&events).0, events.len() as u64);
    assert_eq!(restored.claims().await.unwrap().len(), 1);
    let last = events.len() as u64;
    assert_eq!(restored.append(draft("op-a", last + 1, next)).await.unwrap().seq, last + 1);
}

#[tokio::test]
async fn a_server_that_lost_its_last_events_is_not_gone_on_with() {
    let mut server = Postgres::new();
    let settings = at(&server);
    let (ledger, epoch) = led(&long(&settings), "process 1 on alpha").await;
    ledger.append(requested("op-a", epoch)).await.unwrap();
    server.keeps_a_copy();
    ledger.append(draft("op-a", 2, epoch)).await.unwrap();
    server.puts_the_copy_back();
    let refused = ledger.append(draft("op-a", 2, epoch)).await.unwrap_err();
    assert!(matches!(&refused, AppendError::Fenced { detail } if detail.contains("event 2 is not there")), "{refused}");
    assert_eq!(ledger.events_after(0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_what_it_took_is_looked_up() {
    let server = Postgres::new();
    let settings = Settings { time_out: BRIEF, ..at(&server) };
    let (ledger, epoch) = led(&settings, "process 1 on alpha").await;
    ledger.append(requested("op-a", epoch)).await.unwrap();
    // Somebody holds what every writer needs.
    let mut other = server.superuser().await;
    let mut transaction = other.begin().await.unwrap();
    sqlx::query("SELECT epoch FROM scalebot.epoch FOR UPDATE").execute(&mut *transaction).await.unwrap();
    let refused = ledger.append(draft("op-a", 2, epoch)).await.unwrap_err();
    assert!(refused.to_string().contains("did not answer in time"), "{refused}");
    assert_eq!(ledger.events_after(0, 10).await.unwrap().len(), 1, "reading waits for no writer");
    transaction.rollback().await.unwrap();
    ledger.append(draft("op-a", 2, epoch)).await.unwrap();

    let hangs = Trouble::hangs().await;
    let url = format!("postgres://scalebot:hidden@{}/scalebot?sslmode=disable", hangs.address());
    let settings = Settings { time_out: BRIEF, ..Settings::new(SecretString::from(url)) };
    let why = away(PostgresLedger::open(&settings).await);
    assert!(why.contains("did not answer in time") && !why.contains("hidden"), "{why}");
}

#[tokio::test]
async fn a_process_that_stands_still_within_a_write_holds_its_successor_up_for_no_longer_than_a_statement() {
    let server = Postgres::new();
    let settings = at(&server);
    let (first, one) = led(&settings, "process 1 on alpha").await;
    first.append(requested("op-a", one)).await.unwrap();
    // As a write of that process leaves it that was stopped between two statements.
    let limit = "SET idle_in_transaction_session_timeout = '500ms'; BEGIN";
    let mut frozen = server.superuser().await;
    sqlx::raw_sql(limit).execute(&mut frozen).await.unwrap();
    sqlx::query("SELECT epoch FROM scalebot.epoch FOR UPDATE").execute(&mut frozen).await.unwrap();
    let (second, two) = loop {
        let ledger = PostgresLedger::open(&settings).await.unwrap();
        match ledger.lead("process 2 on beta").await {
            Ok(Taken::Ours(epoch)) => break (ledger, epoch),
            Ok(Taken::Led(led)) => panic!("{led:?}"),
            Err(error) => assert!(matches!(error, StorageError::Away(_)), "{error:?}"),
        }
    };
    second.append(draft("op-a", 2, two)).await.unwrap();
    // It goes on where it stood, and is told that its session is over.
    assert!(sqlx::raw_sql("COMMIT").execute(&mut frozen).await.is_err());
    assert!(matches!(first.append(draft("op-a", 3, one)).await.unwrap_err(), AppendError::Fenced { .. }));
}

#[tokio::test]
async fn whoever_puts_an_event_in_between_only_makes_an_append_begin_again() {
    let settings = schema();
    let (ledger, epoch) = led(&settings, "process 1 on alpha").await;
    let first = ledger.append(requested("op-a", epoch)).await.unwrap();
    // Something that knows nothing of the epoch's lock takes the next place first, and lets go of it again.
    let place = Place::Server(settings.clone());
    let mut other = sqlx::PgConnection::connect(&url(&settings)).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("SET search_path = {}; BEGIN", settings.schema)))
        .execute(&mut other)
        .await
        .unwrap();
    let event = Event::place(&note(epoch), 2, first.hash);
    let insert =
        "INSERT INTO event (seq, at, op_seq, epoch, kind, body, prev, hash) VALUES (2, $1, 0, $2, $3, $4, $5, $6)";
    sqlx::query(insert)
        .bind(&event.at)
        .bind(1_i64)
        .bind(&event.kind)
        .bind(&event.body)
        .bind(event.prev.to_string())
        .bind(event.hash.to_string())
        .execute(&mut other)
        .await
        .unwrap();
    let ledger = Arc::new(ledger);
    let appending = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move { ledger.append(draft("op-a", 2, epoch)).await }
    });
    // It waits for that place.
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO event%'
        AND application_name = 'scalebot'";
    let mut looking = sqlx::PgConnection::connect(&url(&settings)).await.unwrap();
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut looking).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(appending.await.unwrap().unwrap().seq, 3);
    let opened = place.opened().await;
    assert_eq!(prove(&whole(&opened).await).0, 3);
}

#[tokio::test]
async fn the_role_that_is_shipped_can_do_what_is_needed_and_later_neither_change_nor_remove_an_event() {
    let server = Postgres::new();
    server.runs(GRANT).await;
    server.runs(GRANT).await;
    server.runs("ALTER ROLE scalebot_ledger PASSWORD 'hidden'").await;
    let url = format!("postgres://scalebot_ledger:hidden@{}/postgres", server.address());
    let settings = Settings { url: SecretString::from(url), ..at(&server) };
    let found = check(&settings).await;
    // The tests' server is not one for keeping anything.
    assert!(found.iter().all(|finding| finding.status != Status::Failed), "{found:?}");
    assert!(found.iter().any(|finding| finding.text.contains("the service makes its tables")), "{found:?}");

    let (ledger, epoch) = led(&settings, "process 1 on alpha").await;
    ledger.append(requested("op-a", epoch)).await.unwrap();
    ledger.close().await;
    server.runs(APPEND_ONLY).await;
    server.runs(APPEND_ONLY).await;
    let found = check(&settings).await;
    assert!(found.iter().all(|finding| finding.status != Status::Failed), "{found:?}");
    assert!(found.iter().any(|finding| finding.text.contains("unfinished operations: 1")), "{found:?}");
    let (ledger, epoch) = led(&settings, "process 2 on alpha").await;
    ledger.append(draft("op-a", 2, epoch)).await.unwrap();
    let end =
        scalebot_commands::event::Draft { claim: scalebot_commands::event::Claim::Release, ..draft("op-a", 3, epoch) };
    ledger.append(end).await.unwrap();
    assert_eq!(whole(&(Arc::new(ledger) as _)).await.len(), 3);
    let mut role = server.connect("scalebot_ledger", "hidden").await;
    for forbidden in [
        "UPDATE scalebot.event SET body = '{}'",
        "DELETE FROM scalebot.event",
        "TRUNCATE scalebot.event",
        "DROP TABLE scalebot.event",
        "ALTER TABLE scalebot.event DISABLE TRIGGER ALL",
        "CREATE TABLE scalebot.other (a int)",
    ] {
        let refused = sqlx::query(forbidden).execute(&mut role).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied") || refused.contains("must be owner"), "{forbidden}: {refused}");
    }

    server.runs("REVOKE INSERT ON scalebot.event FROM scalebot_ledger").await;
    let found = check(&settings).await;
    let lacking = found.iter().find(|finding| finding.status == Status::Failed).unwrap();
    assert!(lacking.text.contains("lacks the right to SELECT, INSERT on event"), "{lacking:?}");
    assert!(lacking.to_do.as_deref().unwrap().contains("ledger.sql"), "{lacking:?}");
}

#[tokio::test]
async fn what_is_no_log_of_this_release_is_refused_and_left_as_it_is() {
    let foreign = schema();
    let place = Place::Server(foreign.clone());
    place.runs(&format!("CREATE SCHEMA {0}; CREATE TABLE {0}.recipes (name text)", foreign.schema)).await;
    let why = unusable(PostgresLedger::open(&foreign).await);
    assert!(why.contains("another program's; name another one: ledger.schema"), "{why}");
    assert!(PostgresLedger::open_existing_read_only(&foreign).await.is_err());

    let later = schema();
    let (ledger, _) = led(&later, "process 1 on alpha").await;
    ledger.close().await;
    Place::Server(later.clone()).runs("UPDATE layout SET version = 7").await;
    let why = unusable(PostgresLedger::open(&later).await);
    assert!(why.contains("written by another release (layout 7, this one knows up to 2)"), "{why}");

    let nothing = schema();
    assert!(PostgresLedger::open_existing_read_only(&nothing).await.unwrap().is_none());
    let place = Place::Server(nothing);
    assert!(place.read().await.is_none(), "looking made something");
}

#[tokio::test]
async fn processes_that_begin_at_once_in_an_empty_schema_share_it() {
    let settings = schema();
    let opening = (0..4).map(|_| {
        let settings = settings.clone();
        tokio::spawn(async move { led(&settings, "a process").await.1.0 })
    });
    let mut epochs: Vec<u64> = futures::future::join_all(opening).await.into_iter().map(Result::unwrap).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_server_that_follows_another_and_one_that_is_not_whom_it_should_be_are_refused() {
    let mut server = Postgres::new();
    let settings = at(&server);
    led(&settings, "process 1 on alpha").await.0.close().await;
    server.start_again_as_a_follower();
    let why = away(PostgresLedger::open(&settings).await);
    assert!(why.contains("follows another server"), "{why}");

    let url = format!("postgres://postgres:hidden@{}/postgres", server.address());
    let wrong = Settings { url: SecretString::from(url), ..settings.clone() };
    let why = unusable(PostgresLedger::open(&wrong).await);
    assert!(why.contains("Correct the user or the password") && !why.contains("hidden"), "{why}");
    let shown = format!("{wrong:?}");
    assert!(!shown.contains("hidden"), "{shown}");

    let authority = Authority::new();
    let encrypted = Postgres::with_certificate(&authority.certifies("IP:127.0.0.1"));
    let verified = Settings { sslmode: Some(scalebot_adapters::postgres::SslMode::VerifyFull), ..at(&encrypted) };
    let why = unusable(PostgresLedger::open(&verified).await);
    assert!(why.contains("set ca_file"), "{why}");
    let trusted = Settings { ca_file: Some(authority.certificate()), ..verified };
    led(&trusted, "process 1 on alpha").await;
}
