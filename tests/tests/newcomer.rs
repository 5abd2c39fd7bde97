//! The README's "Put it in your server", step by step: the example configuration, with the README's own lines at its end
//! and nothing filled in but identifiers and paths, is checked and serves.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};

use scalebot_tests::binary::{only, program};
use scalebot_tests::discord::{Discord, Scene};
use scalebot_tests::run::Service;

const README: &str = include_str!("../../README.md");
const EXAMPLE: &str = include_str!("../../deploy/scalebot.example.toml");
const UNIT: &str = include_str!("../../deploy/systemd/scalebot.service");

/// Where the README has them put.
const CONFIGURATION: &str = "/etc/scalebot/scalebot.toml";
const TOKEN: &str = "/etc/scalebot/discord.token";

/// What the README has put at the configuration's end.
fn block() -> &'static str {
    let (_, section) = README.split_once("## Put it in your server\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut blocks = section.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let block = blocks.next().unwrap();
    assert_eq!(blocks.next(), None, "which one is meant?");
    block
}

/// The same text with something else in one place of it.
fn with(text: &str, what: &str, by: &str) -> String {
    assert_eq!(text.matches(what).count(), 1, "{what} in {text}");
    text.replace(what, by)
}

/// A service as a newcomer has it after step 5, at the double instead of at Discord.
fn installed(discord: &Discord) -> Service {
    let service = Service::with(&["api"], "");
    let home = service.home.path();
    std::fs::write(home.join("discord.token"), format!("{}\n", discord.token())).unwrap();

    let mut block = block().to_owned();
    for (placeholder, id) in [
        ("SERVER", discord.guild()),
        ("OPS", discord.channel_id("ops")),
        ("GOVERNANCE", discord.channel_id("governance")),
        ("SCALING_LOG", discord.channel_id("scaling-log")),
        ("OPERATOR", discord.role("operator")),
        ("GOVERNANCE_LEAD", discord.role("governance lead")),
    ] {
        block = with(&block, &format!("\"{placeholder}\""), &format!("\"{id}\""));
    }
    // What stands in capitals between quotes is to be filled in, and everything is.
    let left =
        block.split('"').skip(1).step_by(2).find(|text| text.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
    assert_eq!(left, None);
    let block = with(&block, TOKEN, &home.join("discord.token").display().to_string());
    let block = with(&block, "[discord]\n", &format!("[discord]\napi_base = \"{}\"\n", discord.api_base()));

    let text = with(EXAMPLE, "\"/var/lib/scalebot\"\n", &format!("\"{}\"\n", service.state().display()));
    let text = with(&text, "\"127.0.0.1:9464\"", &format!("\"{}\"", service.listen));
    std::fs::write(service.config(), format!("{text}{block}")).unwrap();
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_readme_says_passes_check_and_serves() {
    let discord = Discord::ready_made();
    let service = installed(&discord);
    let (code, said) = service.on_the_host(&["check"]);
    assert_eq!(code, Some(0), "{said}");
    for wanted in ["Discord, server: The bot is in", "3 governance leads, of whom 1 has to approve"] {
        assert!(said.contains(wanted), "no {wanted}: {said}");
    }
    assert!(!said.contains("FAILED"), "{said}");

    let serving = service.start_ready();
    discord.until_registered("scale").await;
    discord.person("operator").command("plan", &[("count", 6)]).message().await;
    discord.person("operator").command("up", &[("count", 6)]).acknowledged().await;
    service.until("requested", 1);
    discord.channel("ops").message_with("6").await;
    assert_eq!(only(&service.events(), "requested")["to"], 6);
    assert_eq!(serving.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_readme_says_of_a_complaint_is_what_check_says() {
    let (_, table) = README.split_once("| it says | do |\n|---|---|\n").unwrap();
    let table = table.split("\n\n").next().unwrap();
    let promised: Vec<String> =
        table.lines().map(|row| row.split('|').nth(1).unwrap().trim().trim_end_matches(" …").to_lowercase()).collect();
    assert_eq!(promised.len(), 6, "{promised:?}");

    let mut said = String::new();
    let mut look = |discord: &Discord| {
        let (code, lines) = installed(discord).on_the_host(&["check"]);
        assert_eq!(code, Some(1), "{lines}");
        said.push_str(&lines.to_lowercase());
    };
    let nothing = scalebot_tests::discord::permissions::Permissions::NONE;
    // A server in which nothing was done but to invite the bot, with a permission less.
    let embeds = scalebot_tests::discord::permissions::EMBED_LINKS;
    let bare = Scene::empty().role("operator", nothing).role("governance lead", nothing);
    let bare = Discord::start(bare.channel("ops").channel("governance").channel("scaling-log"));
    bare.take_from_bot("ops", embeds);
    look(&bare);
    let discord = Discord::ready_made();
    let service = installed(&discord);
    let text = std::fs::read_to_string(service.config()).unwrap();
    let elsewhere = with(&text, &format!("guild = \"{}\"", discord.guild()), "guild = \"100000000000000009\"");
    std::fs::write(service.config(), elsewhere).unwrap();
    said.push_str(&service.on_the_host(&["check"]).1.to_lowercase());
    discord.reset_token();
    said.push_str(&service.on_the_host(&["check"]).1.to_lowercase());
    for line in promised {
        assert!(said.contains(&line), "no {line}: {said}");
    }
}

#[test]
fn the_unit_runs_what_the_readme_installs_with_the_token_from_its_credential() {
    let exec = UNIT.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    assert_eq!(exec, format!("/usr/local/bin/scalebot run --config {CONFIGURATION}"));
    assert!(README.contains(CONFIGURATION) && README.contains("/usr/local/bin/\n"));
    assert!(EXAMPLE.contains("\ndirectory = \"/var/lib/scalebot\"\n") && UNIT.contains("\nStateDirectory=scalebot\n"));
    let (name, path) = UNIT.lines().find_map(|line| line.strip_prefix("LoadCredential=")?.split_once(':')).unwrap();
    assert!(path == TOKEN && block().contains(TOKEN));

    let discord = Discord::ready_made();
    let service = installed(&discord);
    let credentials = service.home.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::rename(service.home.path().join("discord.token"), credentials.join(name)).unwrap();
    let variable = UNIT.lines().find_map(|line| line.strip_prefix("Environment=")).unwrap();
    let (key, file) = variable.split_once('=').unwrap();
    let check = |value: Option<&Path>| {
        let mut command = Command::new(program());
        command.args(["check", "--config"]).arg(service.config()).stdin(Stdio::null());
        command.envs(value.map(|value| (key, value))).output().unwrap().status.code()
    };
    assert_eq!(check(None), Some(1), "the token lies elsewhere now");
    assert_eq!(check(Some(Path::new(&file.replace("%d", &credentials.display().to_string())))), Some(0));
}
