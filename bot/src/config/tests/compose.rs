//! A fleet on Docker Compose, as an operator may write it.

use scalebot_adapters::docker::Reach;

use super::super::target::TrafficSource;
use super::*;

/// A fleet on Compose, with more in its section and after it.
fn on_compose(more: &str) -> Result<Config, String> {
    read(&format!(
        "discord = {{ guild = \"1\", channels = {{ ops = [\"2\"], governance = \"3\", log = \"4\" }}, roles = {{ operator = \
         [\"5\"], governance_lead = [\"6\"] }} }}\nstate.directory = \"/var/lib/scalebot\"\n[targets.api]\n\
         halt.sources = []\n[targets.api.fleet]\nkind = \"compose\"\nproject = \"conclave\"\nservice = \"api\"\n{more}"
    ))
}

#[test]
fn a_fleet_on_compose_is_taken_for_one_whose_name_is_resolved_unless_something_else_is_written() {
    let config = on_compose("files = [\"/srv/compose.yaml\"]\nreach = \"published\"\nmemory = \"512MiB\"\n").unwrap();
    let settings = config.targets()[0].1;
    let FleetSettings::Compose(compose) = &settings.fleet else { panic!("{config:?}") };
    assert_eq!((compose.reach, compose.memory, compose.keep_free), (Reach::Published, Some(512 << 20), 256 << 20));
    assert_eq!(compose.order_limit, Duration::from_mins(2));
    assert_eq!(settings.traffic(), TrafficSource::Compose);
}

#[test]
fn what_cannot_be_meant_of_a_fleet_on_compose_is_refused_where_it_stands() {
    let said = |more: &str| on_compose(more).unwrap_err();
    insta::assert_snapshot!(said("files = []\n"), @r"
    scalebot.toml, line 9:
    targets.api.fleet.files: name the project's files.
    ");
    insta::assert_snapshot!(said("files = [\"compose.yaml\"]\n"), @r"
    scalebot.toml, line 9:
    targets.api.fleet.files: it must be an absolute path.
    ");
    let with = |more: &str| said(&format!("files = [\"/srv/compose.yaml\"]\n{more}"));
    insta::assert_snapshot!(with("socket = \"/run/docker.sock\"\n"), @r"
    scalebot.toml, line 10:
    targets.api.fleet.socket: write it as unix:/run/docker.sock or tcp:127.0.0.1:2375.
    ");
    insta::assert_snapshot!(with("memory = \"512\"\n"), @r#"
    scalebot.toml, line 5:
    targets.api.fleet: "512" is no amount of memory; write it as 512MiB or 2GiB.
    "#);
    insta::assert_snapshot!(with("register = true\n"), @r#"
    scalebot.toml, line 10:
    targets.api.fleet.register: it makes instances servers of an HAProxy: write traffic = "haproxy" as well.
    "#);
    insta::assert_snapshot!(with("command = []\n"), @r#"
    scalebot.toml, line 10:
    targets.api.fleet.command: name the program, as ["docker", "compose"].
    "#);
    let said = with("order_limit = \"1s\"\n");
    assert!(said.starts_with("scalebot.toml, line 10:\ntargets.api.fleet.order_limit: "), "{said}");
    let said = on_compose("files = [\"/srv/compose.yaml\"]\n").unwrap().targets()[0].1.traffic();
    assert_eq!(said, TrafficSource::Compose);
}
