//! The connection to Discord, however it breaks off: what people do is heard once, and a session is begun anew only where
//! it must be.

use std::net::TcpListener;
use std::time::Duration;

use scalebot_tests::discord::{Asked, Discord, Scene};
use scalebot_tests::run::Service;
use serde_json::json;

/// Somebody who may not asks for something.
fn asks(discord: &Discord) -> Asked {
    discord.person("viewer").command("up", &[("count", json!(6))])
}

async fn is_refused(asked: &Asked) {
    asked.said_where(|seen| seen.content.contains("operator")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_do_while_the_connection_breaks_off_is_heard_once() {
    let discord = Discord::start(Scene::ready_made().heartbeat_every(Duration::from_secs(1)));
    let service = Service::in_discord(&discord, "", "");
    let serving = service.start_ready();
    discord.until_registered("scale").await;
    discord.until_sessions(1).await;

    // Discord asks to connect anew (op 7), and what somebody does from then on is told again.
    discord.send_reconnect();
    let asked = asks(&discord);
    is_refused(&asked).await;
    assert_eq!((discord.resumes(), discord.identifies().len()), (1, 1));
    service.until("command_refused", 1);

    // Nothing is answered any more on the connection, which is dead without saying so.
    discord.stop_acking();
    discord.until_resumes(2).await;
    discord.go_on_acking();
    // Discord ends the connection and not the session (op 9, and a code).
    discord.until_sessions(1).await;
    discord.invalidate_session(true);
    discord.until_resumes(3).await;
    is_refused(&asks(&discord)).await;
    service.until("command_refused", 2);
    assert_eq!(discord.identifies().len(), 1);

    // Discord ends the session itself.
    discord.invalidate_session(false);
    discord.until_identifies(2).await;
    discord.until_sessions(1).await;
    is_refused(&asks(&discord)).await;
    let events = service.until("command_refused", 3);
    assert_eq!(events.len(), 3, "{events:?}");
    // Each was acknowledged once, and answered once.
    let answers = discord.requests().into_iter().filter(|one| one.path.ends_with("/callback"));
    assert_eq!(answers.count(), 3, "{}", discord.transcript());
    assert_eq!(asked.said().len(), 1);
    assert_eq!(serving.stop(), Some(0));
    service.proved();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_discord_closes_is_resumed_or_begun_anew_by_its_code() {
    let discord = Discord::ready_made();
    let service = Service::in_discord(&discord, "", "");
    let serving = service.start_ready();
    discord.until_registered("scale").await;
    discord.until_sessions(1).await;

    discord.close_gateway(4000, "Unknown error.");
    discord.until_resumes(1).await;
    discord.until_sessions(1).await;
    discord.close_gateway(4009, "Session timed out.");
    discord.until_identifies(2).await;
    discord.until_sessions(1).await;
    assert_eq!(discord.resumes(), 1);
    is_refused(&asks(&discord)).await;
    service.until("command_refused", 1);

    // What cannot get better by itself ends it.
    discord.close_gateway(4014, "Disallowed intent(s).");
    serving.until_it_says("Discord does not let this bot hear of what it asks for");
    assert_eq!(serving.end(), Some(2));
    assert_eq!(discord.identifies().len(), 2);
    service.proved();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_days_sessions_nearly_used_up_it_waits_until_there_are_more_and_says_so() {
    let discord = Discord::ready_made();
    let service = Service::in_discord(&discord, "", "");
    // Something has begun so many already; there are more in a while.
    discord.identified_already(960, Duration::from_secs(20));
    let serving = service.start();
    serving.until_it_says("sessions with Discord were begun too often today; the next one waits");
    assert_eq!(discord.gateway_connections(), 0);
    let ready = service.http("/ready");
    assert!(ready.is_none_or(|ready| ready.starts_with("HTTP/1.1 503")));
    let (_, said) = service.on_the_host(&["check"]);
    assert!(said.contains("40 of 1000 sessions are left today"), "{said}");
    assert!(said.contains("see whether another process uses the token"), "{said}");

    // As soon as Discord gives more.
    discord.until_identifies(961).await;
    discord.until_sessions(1).await;
    discord.until_registered("scale").await;
    is_refused(&asks(&discord)).await;
    assert_eq!(discord.identifies().len(), 961);
    service.until("command_refused", 1);
    assert_eq!(serving.stop(), Some(0));
    service.proved();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_that_discord_does_not_accept_it_ends_and_says_what_to_do() {
    let discord = Discord::ready_made();
    let service = Service::in_discord(&discord, "", "");
    std::fs::write(service.home.path().join("discord.token"), "MTIz.somebody.elses").unwrap();
    let serving = service.start();
    serving.until_it_says("Discord does not accept the bot's token. Put the current one where the configuration says");
    assert!(!serving.said().contains("somebody.elses"), "{}", serving.said());
    assert_eq!(serving.end(), Some(2));
    // It did not go on trying: Discord bans an address that does.
    assert!(discord.invalid_requests() <= 3 && discord.identifies().is_empty(), "{}", discord.transcript());

    // Somebody gives the bot another token while it runs.
    std::fs::write(service.home.path().join("discord.token"), discord.token()).unwrap();
    let serving = service.start_ready();
    discord.until_registered("scale").await;
    is_refused(&asks(&discord)).await;
    service.until("command_refused", 1);
    let before = discord.invalid_requests();
    discord.reset_token();
    assert_eq!(serving.end(), Some(2));
    let said = std::fs::read_to_string(service.home.path().join("said.txt")).unwrap();
    assert_eq!(said.matches("Discord does not accept the bot's token").count(), 2, "{said}");
    assert!(discord.invalid_requests() - before <= 3, "{}", discord.transcript());
    assert_eq!(discord.identifies().len(), 1);
    assert_eq!(service.events().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_named_elsewhere_is_refused_and_said() {
    let discord = Discord::ready_made();
    let service = Service::in_discord(&discord, "", "");
    let elsewhere = TcpListener::bind(("127.0.0.2", 0)).unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    discord.say_the_gateway_is_at(Some(&format!("ws://{}", elsewhere.local_addr().unwrap())));
    let serving = service.start();
    serving.until_it_says("leads away from 127.0.0.1; nothing is sent there");
    let asked = |discord: &Discord| discord.requests().iter().filter(|one| one.path == "/gateway/bot").count();
    // It is asked again, and never goes there.
    discord.request_where(|_| asked(&discord) >= 3).await;
    assert_eq!((discord.gateway_connections(), discord.identifies().len()), (0, 0));
    assert!(elsewhere.accept().is_err(), "somebody connected to where nothing is to be sent");

    discord.say_the_gateway_is_at(None);
    discord.until_sessions(1).await;
    discord.until_registered("scale").await;
    is_refused(&asks(&discord)).await;
    service.until("command_refused", 1);
    assert!(elsewhere.accept().is_err(), "somebody connected to where nothing is to be sent");
    assert_eq!(serving.stop(), Some(0));
    service.proved();
}
