//! The service with the real systems around it: PostgreSQL, Redis, Prometheus and HAProxy, from a scaling that succeeds
//! to each of them away in the middle of one.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use scalebot_tests::binary::{Drill, kinds, of_kind, only};
use scalebot_tests::run::Serving;
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
    service.until_check_says("each of the fleet's 4 instances is read");
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
    silent(&serving.said());
    // Whoever stops tells the log channel the rest first.
    assert_eq!(serving.stop(), Some(0));
    service.proved();
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
    // Nobody listens at that port of any machine.
    let nobody = "redis=redis://127.0.0.1:1";
    let ended = drill.run(&["--with", nobody, "/scale up 6"]);
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(ended.said.contains("the rehearsal's halt signals") && ended.said.contains("refused"), "{}", ended.said);
    assert_eq!(drill.world(), None);
}

/// The last event of that kind.
fn last(events: &[Value], kind: &str) -> Value {
    of_kind(events, kind).into_iter().last().cloned().unwrap_or_default()
}

/// A service whose fleet does not run hot, so that fewer instances would be enough.
async fn at_ease() -> Surrounded {
    let around = Surrounded::with(
        "[targets.api.policy]\nload = { sustained = \"10s\", p99 = \"20s\", busy = \"100%\", cpu = \"100%\" }\napproval = { decide_within = \"1s\" }\n",
    )
    .await;
    let text = std::fs::read_to_string(around.service.config()).unwrap();
    std::fs::write(around.service.config(), text.replace("kind = \"process\"\n", "kind = \"process\"\nload = 8\n"))
        .unwrap();
    around
}

/// A person types commands, each once the one before has ended.
struct Operator<'a> {
    around: &'a Surrounded,
    serving: Serving,
    asked: usize,
}

impl<'a> Operator<'a> {
    fn of(around: &'a Surrounded) -> Self {
        let serving = around.service.start_ready();
        around.service.until_check_says("each of the fleet's 4 instances is read");
        Self { around, serving, asked: 0 }
    }

    fn types(&mut self, line: &str) {
        self.serving.types(line);
        self.asked += 1;
    }

    /// What has been recorded of the latest operation once it has ended.
    fn ended(&self) -> Vec<Value> {
        let events = self.around.service.until("finished", self.asked);
        let operation = events.iter().rfind(|event| event["kind"] == "finished").unwrap()["operation"].clone();
        events.into_iter().filter(|event| event["operation"] == operation).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_of_truth_that_disagree_are_named_and_governance_is_asked() {
    let around = at_ease().await;
    let mut operator = Operator::of(&around);
    let halted = "UPDATE halt_state SET is_halted = true, reason = 'FR17: fork', halted_at = '2026-01-08 03:00:00Z'";
    let cleared = "UPDATE halt_state SET is_halted = false, halted_at = NULL";
    for (in_postgres, in_redis) in [(true, false), (false, true)] {
        around.postgres.runs(if in_postgres { halted } else { cleared }).await;
        if in_redis {
            around.signals_a_halt().await;
        }
        for command in ["/scale up 6 reason:\"campaign\"", "/scale down 3 reason:\"night\""] {
            operator.types(command);
            let events = operator.ended();
            let asked = last(&events, "approval_requested");
            assert!(!asked.is_null(), "{command}: {:?}", kinds(&events));
            let check = check(&events, "halt state");
            let said = format!("{} {}", check["figure"], check["advice"]);
            let (yes, no) = if in_postgres { ("halt table", "halt signals") } else { ("halt signals", "halt table") };
            assert!(said.contains(yes) && said.contains(no) && said.contains("disagree"), "{said}");
            // Nobody decides here.
            assert_eq!(last(&events, "finished")["outcome"], "expired", "{}", last(&events, "finished"));
            assert!(of_kind(&events, "scaling").is_empty() && of_kind(&events, "draining").is_empty());
        }
    }
    assert_eq!(around.service.processes("drill-instance").len(), 4);
    assert_eq!(operator.serving.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_is_away_or_says_what_cannot_be_is_named_and_nobody_is_ended() {
    let mut around = at_ease().await;
    let mut serving = Operator::of(&around).serving;
    let mut asked = 0;
    let mut goes_down = async |around: &mut Surrounded, what: &str, named: &[&str]| {
        serving.types("/scale down 3 reason:\"night\"");
        asked += 1;
        let events = around.service.until("finished", asked);
        let operation = events.iter().rfind(|event| event["kind"] == "finished").unwrap()["operation"].clone();
        let events: Vec<_> = events.into_iter().filter(|event| event["operation"] == operation).collect();
        let finished = last(&events, "finished");
        assert_ne!(finished["outcome"], "completed", "{what}: {finished:#}");
        assert_eq!(finished["ended_at"], 4, "{what}: {finished:#}");
        assert!(of_kind(&events, "terminating").is_empty(), "{what}");
        let recorded: String = events.iter().map(|event| event["body"].to_string()).collect();
        for named in named {
            assert!(recorded.contains(named), "{what}: no {named} in {recorded}");
        }
    };

    // In between, something holds answers back or cuts them short.
    around.to_postgres.holds();
    goes_down(&mut around, "PostgreSQL hangs", &["halt table", "did not answer within"]).await;
    around.to_postgres.cuts(20);
    goes_down(&mut around, "PostgreSQL is cut", &["halt table", "PostgreSQL at "]).await;
    around.to_postgres.passes();
    around.to_redis.holds();
    goes_down(&mut around, "Redis hangs", &["halt signals", "did not answer within"]).await;
    around.to_redis.cuts(3);
    goes_down(&mut around, "Redis is cut", &["halt signals", "Redis at "]).await;
    around.to_redis.passes();
    around.to_prometheus.holds();
    goes_down(&mut around, "Prometheus hangs", &["Prometheus at ", "did not answer within"]).await;
    around.to_prometheus.cuts(200);
    goes_down(&mut around, "Prometheus is cut", &["Prometheus at "]).await;
    around.to_prometheus.passes();
    around.to_haproxy.holds();
    goes_down(&mut around, "HAProxy hangs", &["HAProxy at ", "did not answer within"]).await;
    around.to_haproxy.cuts(50);
    goes_down(&mut around, "HAProxy is cut", &["HAProxy at "]).await;
    around.to_haproxy.passes();

    // They answer, and it cannot be.
    around.postgres.runs("INSERT INTO halt_state (is_halted) VALUES (false)").await;
    goes_down(&mut around, "two rows", &["halt table", "more than the one row"]).await;
    around.postgres.runs("DELETE FROM halt_state").await;
    goes_down(&mut around, "no row", &["halt table", "no row"]).await;
    around.postgres.runs("INSERT INTO halt_state (is_halted) VALUES (NULL)").await;
    goes_down(&mut around, "NULL", &["halt table", "is NULL"]).await;
    around
        .postgres
        .runs("ALTER TABLE halt_state ALTER is_halted TYPE text; UPDATE halt_state SET is_halted = 'no'")
        .await;
    goes_down(&mut around, "a text", &["halt table", "of type text, not boolean"]).await;
    around.postgres.runs("ALTER TABLE halt_state ALTER is_halted TYPE boolean USING false").await;
    around.redis_says(&["SET", "halt:signals", "no"]).await;
    goes_down(&mut around, "no stream", &["halt signals", "WRONGTYPE"]).await;
    around.redis_says(&["DEL", "halt:signals"]).await;

    // Nobody is scraped any more: what there is grows old.
    let targets = std::fs::read_to_string(around.prometheus.scraped()).unwrap();
    std::fs::write(around.prometheus.scraped(), "[]").unwrap();
    around.service.until_check_says("4 of 4 instances were not read");
    goes_down(&mut around, "old figures", &["Prometheus at ", " old, the limit is 3 s"]).await;
    std::fs::write(around.prometheus.scraped(), targets).unwrap();

    // The servers themselves are gone.
    around.prometheus.stop();
    around.redis.stop();
    goes_down(&mut around, "Prometheus and Redis are gone", &["Prometheus at ", "halt signals"]).await;
    assert_eq!(serving.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_goes_away_in_the_middle_stops_what_rests_on_it() {
    let around = at_ease().await;
    let mut operator = Operator::of(&around);

    // Verification rests on the halt table: without it, nobody is verified and nobody is ended.
    operator.types("/scale up 6 reason:\"campaign\"");
    around.service.until("scaling_answered", 1);
    around.to_postgres.holds();
    let events = operator.ended();
    let finished = last(&events, "finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("failed"), &json!(6)), "{finished:#}");
    assert!(finished["reason"].as_str().unwrap().contains("halt table"), "{finished:#}");
    assert!(of_kind(&events, "terminating").is_empty() && of_kind(&events, "rolling_back").is_empty());
    around.to_postgres.passes();

    // The watch rests on Prometheus: without it, nothing is said to be well.
    operator.types("/scale up 7 reason:\"campaign\"");
    around.service.until("verified", 2);
    around.to_prometheus.holds();
    let finished = last(&operator.ended(), "finished");
    assert_eq!(
        (&finished["outcome"], &finished["verdict"]),
        (&json!("completed"), &json!("inconclusive")),
        "{finished:#}"
    );
    assert_eq!(finished["ended_at"], 7, "{finished:#}");
    around.to_prometheus.passes();
    around.service.until_check_says("each of the fleet's 7 instances is read");

    // Who is told to go rests on HAProxy: the first has gone, the second stays and gets requests.
    operator.types("/scale down 5 reason:\"night\"");
    around.service.until("terminated", 1);
    around.to_haproxy.holds();
    let events = operator.ended();
    let finished = last(&events, "finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("failed"), &json!(6)), "{finished:#}");
    assert_eq!(of_kind(&events, "terminating").len(), 1);
    assert!(finished["reason"].as_str().unwrap().contains("HAProxy at "), "{finished:#}");
    around.to_haproxy.passes();
    let load: Value = serde_json::from_str(&around.world_says("GET", "/load", &Value::Null)).unwrap();
    assert_eq!((&load["failed"], &load["dropped"]), (&json!(0), &json!(0)), "a request was lost: {load}");
    assert_eq!(operator.serving.stop(), Some(0));
    around.service.proved();
}
