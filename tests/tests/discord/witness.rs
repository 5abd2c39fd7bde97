//! The log channel as the log's witness.

use scalebot_tests::binary::only;
use scalebot_tests::discord::{Asked, Discord};
use scalebot_tests::run::Service;
use serde_json::json;

/// Somebody who may not asks for something: it is refused, which is on record.
async fn is_refused(discord: &Discord) -> Asked {
    let asked = discord.person("viewer").command("up", &[("count", json!(6))]);
    asked.said_where(|seen| seen.content.contains("operator")).await;
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_older_log_is_put_back_nothing_is_carried_out_until_a_person_says_that_the_newer_one_is_lost() {
    let discord = Discord::ready_made();
    let service = Service::in_discord(&discord, "", "");
    let log = service.state().join("ledger.db");
    let kept = service.home.path().join("kept.db");

    let serving = service.start_ready();
    discord.until_registered("scale").await;
    is_refused(&discord).await;
    service.until("command_refused", 1);
    assert_eq!(serving.stop(), Some(0));
    std::fs::copy(&log, &kept).unwrap();
    let serving = service.start_ready();
    is_refused(&discord).await;
    service.until("command_refused", 2);
    assert_eq!(serving.stop(), Some(0));
    assert_eq!(discord.channel("scaling-log").messages().len(), 2);

    // Somebody puts the older one back.
    for name in ["ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(service.state().join(name));
    }
    std::fs::copy(&kept, &log).unwrap();
    let serving = service.start();
    serving.until_it_says("Nothing is carried out: the log channel was told of events up to 2");
    discord.until_identifies(3).await;
    discord.until_sessions(1).await;
    let asked = discord.person("operator").command("up", &[("count", json!(6))]);
    let told = asked.said_where(|seen| seen.content.contains("Nothing is carried out")).await;
    assert!(told.ephemeral && told.content.contains("An older log was put back"), "{told:?}");
    assert!(told.content.contains("accept-loss"), "{told:?}");
    let ready = service.http("/ready").unwrap();
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("this log ends before that"), "{ready}");
    assert!(service.http("/health").unwrap().starts_with("HTTP/1.1 200"));
    let (code, said) = service.on_the_host(&["ledger", "accept-loss", "--reason", "the disk is gone"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Stop that process first"), "{said}");
    assert_eq!(serving.stop(), Some(0));
    // Nothing was written meanwhile, so that the newer one could still be put back.
    assert_eq!(service.events().len(), 1);
    let (code, said) = service.on_the_host(&["ledger", "verify"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("event 2 is missing"), "{said}");

    let (code, said) = service.on_the_host(&["ledger", "accept-loss", "--reason", "the disk is gone"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = service.on_the_host(&["ledger", "accept-loss", "--reason", "twice"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no event is lost"), "{said}");
    let gap = only(&service.events(), "witness_gap").clone();
    assert_eq!((&gap["newest"]["last"], &gap["reason"]), (&json!(2), &json!("the disk is gone")));

    let serving = service.start_ready();
    is_refused(&discord).await;
    service.until("command_refused", 2);
    assert_eq!(serving.stop(), Some(0));
    let (code, said) = service.on_the_host(&["ledger", "verify"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("up to seq 3") && said.contains("were lost, as was put on record"), "{said}");
    service.proved();
}
