//! Several processes on one configuration, their log in PostgreSQL: one leads, the others wait.

use std::time::Duration;

use scalebot_tests::binary::{kill, of_kind, only};
use scalebot_tests::changes::until;
use scalebot_tests::discord::{Asked, Discord};
use scalebot_tests::run::{Service, Serving};
use scalebot_tests::services::postgres::Postgres;
use serde_json::{Value, json};

use super::setting::{NO_PROPOSALS, said, told_once_and_in_order, until_told};

/// On a machine that is busy with others.
const PATIENCE: Duration = Duration::from_mins(1);

/// Two processes that may lead, their fleet, and what is around them. What stands first is ended first.
struct Pair {
    serving: [Option<Serving>; 2],
    services: [Service; 2],
    postgres: Postgres,
    discord: Discord,
}

impl Pair {
    /// The first one leads, by a lease of that length; nothing else runs.
    async fn led(lease: &str) -> Self {
        let (discord, postgres) = (Discord::ready_made(), Postgres::new());
        let services =
            [Service::in_discord(&discord, "", NO_PROPOSALS), Service::in_discord(&discord, "", NO_PROPOSALS)];
        let world = services[0].home.path().join("world");
        for service in &services {
            let text = std::fs::read_to_string(service.config()).unwrap();
            let fleet = format!("kind = \"process\"\ndirectory = \"{}\"\n", world.display());
            let ledger =
                format!("[ledger]\nurl = \"{}\"\nlease = \"{lease}\"\nrenew = \"500ms\"\n", postgres.administrator());
            std::fs::write(service.config(), text.replace("kind = \"process\"\n", &fleet) + &ledger).unwrap();
        }
        let mut pair = Self { serving: [None, None], services, postgres, discord };
        pair.serving[0] = Some(pair.services[0].start_ready());
        pair.discord.until_registered("scale").await;
        pair
    }

    /// The second one waits for the first.
    fn second_waits(&mut self) {
        let serving = self.services[1].start();
        let leader = format!("Standby: process {} on ", self.serving[0].as_ref().unwrap().pid());
        serving.until_it_says(&leader);
        // It has said so; one that was stopped before may have said the same.
        let service = &self.services[1];
        let waits = until(service.home.path(), PATIENCE, || {
            service.http("/ready").filter(|answer| answer.contains("Standby: process "))
        });
        assert!(waits.is_some(), "{}", serving.said());
        self.serving[1] = Some(serving);
    }

    fn up(&self) -> Asked {
        self.discord.person("operator").command("up", &[("count", json!(6)), ("reason", json!("campaign"))])
    }

    fn instances(&self) -> usize {
        self.services[0].processes("drill-instance").len()
    }

    /// Somebody who may not asks for something, which is on record.
    async fn is_refused(&self) {
        let asked = self.discord.person("viewer").command("up", &[("count", json!(6))]);
        asked.said_where(|seen| seen.content.contains("operator")).await;
    }

    /// What the second one has made of an operation that the first began: carried on, once, and told once.
    async fn carried_on(&mut self) -> Vec<Value> {
        let service = &self.services[1];
        service.until("finished", 1);
        assert_eq!(self.instances(), 6);
        until_told(&self.discord, service.events().len()).await;
        let events = service.proved();
        told_once_and_in_order(&self.discord, &events);
        assert_eq!(said(&events, "finished", "outcome"), ["completed"]);
        let done = of_kind(&events, "scaling_answered").into_iter().filter(|answered| answered["result"] == "done");
        assert_eq!(done.count(), 1);
        assert!(!of_kind(&events, "resumed").is_empty());
        // From its first event on, everything is the second one's.
        let epochs: Vec<u64> = events.iter().map(|event| event["epoch"].as_u64().unwrap()).collect();
        assert!(epochs.is_sorted() && epochs.first() == Some(&1) && epochs.last() == Some(&2), "{epochs:?}");
        events
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_killed_whoever_waits_carries_on_what_was_under_way() {
    let mut pair = Pair::led("5s").await;
    pair.second_waits();
    // One that waits leaves when it is told to.
    assert_eq!(pair.serving[1].take().unwrap().stop(), Some(0));
    pair.second_waits();
    let waiting = &pair.services[1];
    let (health, ready) = (waiting.http("/health").unwrap(), waiting.http("/ready").unwrap());
    assert!(health.starts_with("HTTP/1.1 200") && health.contains("\"role\":\"standby\""), "{health}");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("Standby: process "), "{ready}");
    assert!(waiting.http("/metrics").unwrap().contains("scalebot_leader 0"));
    assert!(pair.services[0].http("/metrics").unwrap().contains("scalebot_leader 1"));
    // Only the one that leads speaks to Discord.
    pair.discord.until_sessions(1).await;
    let (code, said) = waiting.on_the_host(&["check"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("operational log: can be read; process ") && said.contains(" leads"), "{said}");
    for command in [&["cancel"][..], &["operation", "list"], &["ledger", "verify"]] {
        let (_, said) = waiting.on_the_host(command);
        assert!(!said.contains("postgres://"), "{said}");
    }

    pair.up();
    waiting.until("scaled", 1);
    let (code, said) = waiting.on_the_host(&["cancel"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("leads, and may be changing the fleet now"), "{said}");
    pair.serving[0].take().unwrap().kill();
    pair.carried_on().await;
    assert_eq!(pair.serving[1].take().unwrap().stop(), Some(0));

    // Whoever leaves in peace gives the lead back, so that the next one waits for no lease.
    let (code, said) = pair.services[0].on_the_host(&["status"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("No process holds this state"), "{said}");
    pair.serving[0] = Some(pair.services[0].start_ready());
    assert_eq!(pair.serving[0].take().unwrap().stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stood_still_appends_and_orders_nothing_once_it_goes_on_and_ends() {
    let mut pair = Pair::led("5s").await;
    pair.second_waits();
    pair.up();
    // Wherever it is between the checks and its watch.
    pair.services[1].until("prechecked", 1);
    let frozen = pair.serving[0].take().unwrap();
    kill(frozen.pid(), "STOP");
    let events = pair.carried_on().await;

    kill(frozen.pid(), "CONT");
    frozen.until_it_says("This process leads no longer, so it ends at once: process ");
    assert_eq!(frozen.end(), Some(1));
    assert_eq!(pair.services[1].events(), events);
    assert_eq!(pair.instances(), 6);
    assert_eq!(pair.serving[1].take().unwrap().stop(), Some(0));
    told_once_and_in_order(&pair.discord, &events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_restarts_is_waited_for_and_the_operation_goes_on() {
    let mut pair = Pair::led("60s").await;
    pair.up();
    pair.services[0].until("scaled", 1);
    pair.postgres.stop();
    let serving = pair.serving[0].take().unwrap();
    serving.until_it_says("it could not be said that this process leads; it is tried again");
    let ready = pair.services[0].http("/ready").unwrap();
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("the operational log did not answer"), "{ready}");
    pair.postgres.start_again();
    pair.services[0].until("finished", 1);
    until_told(&pair.discord, pair.services[0].events().len()).await;
    assert_eq!(serving.stop(), Some(0));
    let events = pair.services[0].proved();
    told_once_and_in_order(&pair.discord, &events);
    assert_eq!(said(&events, "finished", "outcome"), ["completed"]);
    only(&events, "scaling");
    assert_eq!(pair.instances(), 6);

    // One that begins while it is away waits for it as well.
    pair.postgres.stop();
    let serving = pair.services[0].start();
    serving.until_it_says("Nothing is carried out yet: the operational log cannot be used");
    pair.postgres.start_again();
    pair.services[0].until_check_says("says that the service is ready");
    assert_eq!(serving.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_lost_its_last_events_is_noticed_and_nothing_is_carried_out_on_it() {
    let mut pair = Pair::led("60s").await;
    pair.is_refused().await;
    pair.services[0].until("command_refused", 1);
    until_told(&pair.discord, 1).await;
    pair.postgres.keeps_a_copy();
    pair.is_refused().await;
    pair.services[0].until("command_refused", 2);
    until_told(&pair.discord, 2).await;

    pair.postgres.puts_the_copy_back();
    let serving = pair.serving[0].take().unwrap();
    serving.until_it_says("event 2 is not there any more: an older state of the log was put back");
    assert_eq!(serving.end(), Some(1));
    pair.discord.until_the_bot_is_gone().await;
    pair.postgres.runs("UPDATE scalebot.lease SET until = now()").await;

    let serving = pair.services[0].start();
    serving.until_it_says("Nothing is carried out: the log channel was told of events up to 2");
    // Whoever asks before the bot is connected is heard by nobody.
    pair.discord.until_sessions(1).await;
    let told = pair.up().said_where(|seen| seen.content.contains("Nothing is carried out")).await;
    assert!(told.content.contains("An older log was put back"), "{told:?}");
    let accept = ["ledger", "accept-loss", "--reason", "the server's disk is gone"];
    let (code, said) = pair.services[1].on_the_host(&accept);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(" leads. Stop that process first"), "{said}");
    assert_eq!(serving.stop(), Some(0));
    assert_eq!((pair.services[0].events().len(), pair.instances()), (1, 4));

    let (code, said) = pair.services[1].on_the_host(&accept);
    assert_eq!(code, Some(0), "{said}");
    pair.serving[0] = Some(pair.services[0].start_ready());
    pair.is_refused().await;
    pair.services[0].until("command_refused", 2);
    until_told(&pair.discord, 3).await;
    assert_eq!(pair.serving[0].take().unwrap().stop(), Some(0));
    pair.services[0].proved();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_moved_to_postgresql_and_back_with_the_service_stopped() {
    let mut pair = Pair::led("60s").await;
    // As it was before anybody thought of PostgreSQL.
    let whole = std::fs::read_to_string(pair.services[0].config()).unwrap();
    let (without, _) = whole.split_once("[ledger]").unwrap();
    let (with, service) = (whole.clone(), &pair.services[0]);
    assert_eq!(pair.serving[0].take().unwrap().stop(), Some(0));
    pair.postgres.runs("DROP SCHEMA scalebot CASCADE").await;
    std::fs::write(service.config(), without).unwrap();
    let serving = service.start_ready();
    pair.is_refused().await;
    let events = service.until("command_refused", 1);

    std::fs::write(service.config(), &with).unwrap();
    let (code, said) = service.on_the_host(&["ledger", "move", "--to", "postgres"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Nothing was moved: ") && said.contains("Stop it first"), "{said}");
    until_told(&pair.discord, 1).await;
    assert_eq!(serving.stop(), Some(0));
    // Nobody forgets what is in the file.
    for command in [&["run"][..], &["check"]] {
        let (code, said) = service.on_the_host(command);
        assert_ne!(code, Some(0), "{said}");
        assert!(said.contains("scalebot ledger move --to postgres --config"), "{said}");
    }
    let (code, said) = service.on_the_host(&["ledger", "move", "--to", "postgres"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 event, the last with hash ") && !said.contains("postgres://"), "{said}");
    assert_eq!(service.events(), events);

    let serving = service.start_ready();
    pair.is_refused().await;
    let events = service.until("command_refused", 2);
    until_told(&pair.discord, 2).await;
    assert_eq!(serving.stop(), Some(0));
    service.proved();
    // The file is to be read, and no bot begins on it.
    std::fs::write(service.config(), without).unwrap();
    for command in [&["run"][..], &["check"]] {
        let (code, said) = service.on_the_host(command);
        assert_ne!(code, Some(0), "{said}");
        assert!(said.contains("moved to PostgreSQL at "), "{said}");
    }
    assert_eq!(service.events().len(), 1);

    std::fs::write(service.config(), &with).unwrap();
    let (code, said) = service.on_the_host(&["ledger", "move", "--to", "sqlite"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("holds a log already"), "{said}");
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::rename(service.state().join(name), service.home.path().join(name));
    }
    let (code, said) = service.on_the_host(&["ledger", "move", "--to", "sqlite"]);
    assert_eq!(code, Some(0), "{said}");
    std::fs::write(service.config(), without).unwrap();
    assert_eq!(service.events(), events);
    let serving = service.start_ready();
    assert_eq!(serving.stop(), Some(0));
    service.proved();
}
