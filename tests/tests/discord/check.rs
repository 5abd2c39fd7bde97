//! `scalebot check`, before a service is started: a server in which everything is as it has to be, and each fault of one.

use scalebot_tests::discord::permissions::{EMBED_LINKS, Permissions, SEND_MESSAGES_IN_THREADS};
use scalebot_tests::discord::{Away, Discord};
use scalebot_tests::run::Service;

/// What it says of the service as it is configured now: whether all is well, and the words.
fn checked(service: &Service) -> (bool, String) {
    let (code, said) = service.on_the_host(&["check"]);
    assert!(matches!(code, Some(0 | 1)), "{code:?}: {said}");
    (code == Some(0), said)
}

/// With some of the configuration replaced, it fails: what is wrong, and what to do.
fn fails_with(service: &Service, lines: &str, others: &str, wrong: &str, to_do: &str) {
    let text = std::fs::read_to_string(service.config()).unwrap();
    assert!(text.contains(lines), "{lines} in {text}");
    std::fs::write(service.config(), text.replace(lines, others)).unwrap();
    fails(service, wrong, to_do);
    std::fs::write(service.config(), text).unwrap();
}

fn fails(service: &Service, wrong: &str, to_do: &str) {
    let (well, said) = checked(service);
    assert!(!well, "{said}");
    let mut lines = said.lines().skip_while(|line| !(line.contains("FAILED") && line.contains(wrong)));
    let (_, next) = (lines.next().unwrap_or_else(|| panic!("not {wrong}: {said}")), lines.next().unwrap());
    assert!(next.contains(to_do), "not {to_do}: {said}");
    // What hangs on nothing else is one fault and not several.
    assert!(said.contains("Failed: 1."), "{said}");
}

fn is_well(service: &Service) -> String {
    let (well, said) = checked(service);
    assert!(well && said.contains("Everything works."), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_start_check_says_whether_the_server_is_as_it_has_to_be_and_what_to_do_where_it_is_not() {
    let discord = Discord::ready_made();
    let service = Service::in_discord(&discord, "", "");

    let said = is_well(&service);
    for found in [
        "It is that of scalebot.",
        "sessions are left today",
        "The bot is in Archon 72.",
        "the bot may do there what it has to",
        "3 governance leads, of whom 1 has to approve",
    ] {
        assert!(said.contains(found), "not {found}: {said}");
    }

    // Each fault by itself.
    let token = service.home.path().join("discord.token");
    std::fs::write(&token, "MTIz.somebody.elses").unwrap();
    fails(&service, "Discord, token: Discord does not accept it", "Copy the bot's token anew");
    std::fs::write(&token, discord.token()).unwrap();

    let missing = EMBED_LINKS.and(SEND_MESSAGES_IN_THREADS);
    discord.take_from_bot("ops", missing);
    let lacks = "the ops channel: #ops: the bot lacks Embed Links, Send Messages in Threads";
    fails(&service, lacks, "Grant that to the bot's role in the channel's settings");
    discord.give_to_bot("ops", missing);

    let gone = "999999999999999999";
    let operator = discord.role("operator").to_string();
    let wrong = format!("discord.roles.operator: There is no role {gone}");
    fails_with(&service, &operator, gone, &wrong, "Correct the configuration");
    let server = discord.guild().to_string();
    fails_with(&service, &server, gone, "The bot is not in the configured server", "Invite the bot to that server");
    let channel = discord.channel_id("governance").to_string();
    fails_with(&service, &channel, gone, "the governance channel: There is no channel", "Correct discord.channels");

    // With one lead nobody approves what the lead asks for, which is said and does not stop anybody.
    discord.set_roles("lead2", &[]);
    discord.set_roles("voting bot", &[]);
    let said = is_well(&service);
    assert!(said.contains("Nobody can approve what one of them asks for"), "{said}");
    discord.set_roles("lead", &[]);
    fails(&service, "No approval can be had: 0 governance leads, of whom 1 has to approve", "to more people");
    discord.set_roles("lead", &["governance lead"]);

    let (log, everybodys) =
        (discord.channel_id("scaling-log").to_string(), discord.channel_id("elsewhere").to_string());
    fails_with(
        &service,
        &log,
        &everybodys,
        "Others than the bot may write there: everybody",
        "Take Send Messages and Manage Webhooks from them in that channel",
    );

    // One that the bot does not even see.
    discord.take_from_bot("scaling-log", Permissions::ALL);
    let (well, said) = checked(&service);
    assert!(!well && said.contains("the log channel") && said.contains("View Channel"), "{said}");
    discord.give_to_bot("scaling-log", scalebot_tests::discord::scene::BOT);

    discord.say_the_gateway_is_at(Some("ws://127.0.0.2:1"));
    fails(&service, "leads away from 127.0.0.1; nothing is sent there", "Correct discord.api_base");
    discord.say_the_gateway_is_at(None);

    discord.take_away(Away::Unavailable);
    let (well, said) = checked(&service);
    assert!(!well && said.contains("Discord"), "{said}");
    discord.bring_back();
    is_well(&service);
    // Nothing was changed there, and nobody is listened to.
    assert!(discord.commands().is_empty() && discord.identifies().is_empty());
    assert!(discord.channel("scaling-log").messages().is_empty());
}
