//! The service with the real systems around it: PostgreSQL, Redis, Prometheus and HAProxy, from a scaling that succeeds
//! to each of them away in the middle of one.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use scalebot_tests::binary::{Drill, of_kind, only};
use scalebot_tests::services::postgres::Postgres;
use scalebot_tests::services::prometheus::{PASSWORD, Prometheus};
use scalebot_tests::services::redis::Redis;
use scalebot_tests::surrounded::{SECRETS, Surrounded};
use serde_json::{Value, json};

/// How often a scaling that is refused for now is asked for.
const ASKED_AT_MOST: usize = 40;

fn silent(said: &str) {
    for secret in SECRETS {
        assert!(!said.contains(secret), "{secret} was said: {said}");
    }
}

/// The check of that name in the latest precheck.
fn check<'a>(events: &'a [Value], name: &str) -> &'a Value {
    let prechecked = of_kind(events, "prechecked").into_iter().last().unwrap();
    let checks = prechecked["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {checks:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_scaled_up_and_down_by_what_the_real_systems_say() {
    let around = Surrounded::with("[targets.api.policy]\nload.sustained = \"10s\"\n").await;
    let service = &around.service;
    // Before there is a fleet, everything else can be looked at.
    let (code, said) = service.on_the_host(&["check"]);
    assert_eq!(code, Some(0), "{said}");
    for system in ["PostgreSQL at ", "Redis at ", "Prometheus at ", "HAProxy at "] {
        assert!(said.contains(system), "no {system}: {said}");
    }
    silent(&said);

    let mut serving = service.start_ready();
    // Figures take a few scrapes.
    while !service.on_the_host(&["check"]).1.contains("each of the fleet's 4 instances is read") {}
    let (code, said) = service.on_the_host(&["check"]);
    assert_eq!(code, Some(0), "{said}");
    for wanted in ["each of the fleet's 4 instances has one", "4 of 4 are sent requests", "halt signals: "] {
        assert!(said.contains(wanted), "no {wanted}: {said}");
    }
    silent(&said);

    serving.types("operator> /scale up 6 reason:\"campaign\"");
    let events = service.until("finished", 1);
    let finished = only(&events, "finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("completed"), &json!(6)), "{finished:#}");

    // Their busy hours must have passed before fewer are enough.
    around.world_says("POST", "/happen/load", &json!({ "rate": 12.0 }));
    let mut asked = 1;
    let finished = loop {
        serving.types("operator> /scale down 4 reason:\"the campaign is over\"");
        asked += 1;
        let events = service.until("finished", asked);
        let finished = of_kind(&events, "finished").into_iter().last().unwrap().clone();
        if finished["outcome"] != "refused" || asked == ASKED_AT_MOST {
            break finished;
        }
    };
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("completed"), &json!(4)), "{finished:#}");
    let load: Value = serde_json::from_str(&around.world_says("GET", "/load", &Value::Null)).unwrap();
    assert_eq!((&load["failed"], &load["dropped"]), (&json!(0), &json!(0)), "a request was lost: {load}");
    let events = service.events();
    assert_eq!(of_kind(&events, "terminated").len(), 2);
    for (name, source) in [("halt state", "halt signals"), ("load balancer", "HAProxy at "), ("latency", "Prometheus")]
    {
        assert!(check(&events, name)["source"].as_str().unwrap().contains(source), "{}", check(&events, name));
    }
    service.proved();
    silent(&serving.said());
    assert_eq!(serving.stop(), Some(0));
}

/// How many schemas and keys of rehearsals there are.
async fn left(postgres: &Postgres, redis: &Redis) -> (i64, usize) {
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'scalebot_drill_%'";
    let schemas = sqlx::query_scalar(schemas).fetch_one(&mut postgres.superuser().await).await.unwrap();
    let client = redis::Client::open(redis.administrator()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("scalebot_drill_*").query_async(&mut connection).await.unwrap();
    (schemas, keys.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_uses_real_systems_and_leaves_nothing_in_them() {
    let (postgres, redis) = (Postgres::new(), Redis::new(""));
    let prometheus = Prometheus::with_credentials(&[]);
    let with = format!(
        "postgres={},redis={},prometheus=http://scalebot:{PASSWORD}@{},targets={}",
        postgres.administrator(),
        redis.administrator(),
        prometheus.address(),
        prometheus.scraped().display()
    );
    let drill = Drill::new();
    let arguments = ["--with", &with, "--halted", "--approve", "--monitor", "20s", "/scale up 6 reason:\"campaign\""];
    let mut running = drill.start(&arguments);
    running.until("verified");
    assert_eq!(left(&postgres, &redis).await, (1, 1));
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    for (name, source) in [("halt state", "halt table"), ("latency", "Prometheus at "), ("database connections", "")] {
        assert!(
            check(&ended.events, name)["source"].as_str().unwrap().contains(source),
            "{}",
            check(&ended.events, name)
        );
    }
    // What the server itself counts, not what a rehearsal makes up.
    let budget = check(&ended.events, "database connections")["figure"].as_str().unwrap().to_owned();
    assert!(budget.contains("6 × 15 + ") && !budget.contains(" 7 of others"), "{budget}");
    drill.proved(&ended.events);
    assert_eq!(left(&postgres, &redis).await, (0, 0));
    assert!(ended.said.contains("PostgreSQL is real: the halt table is in schema scalebot_drill_"), "{}", ended.said);
    assert!(!ended.said.contains(PASSWORD), "{}", ended.said);
}

#[test]
fn a_rehearsal_refuses_what_it_does_not_know_before_anything_is_begun() {
    let drill = Drill::new();
    let ended = drill.run(&["--with", "postgre=postgres://u:hidden@127.0.0.1/d", "/scale up 6"]);
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(ended.said.contains("Did you mean postgres?") && !ended.said.contains("hidden"), "{}", ended.said);
    // Nobody listens there.
    let nobody = format!("redis=redis://127.0.0.1:{}", scalebot_tests::services::free_port());
    let ended = drill.run(&["--with", &nobody, "/scale up 6"]);
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(ended.said.contains("the rehearsal's halt signals") && ended.said.contains("refused"), "{}", ended.said);
    assert_eq!(drill.world(), None);
}
