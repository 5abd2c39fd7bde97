//! What an operator may write, and what is said of anything else.

use std::time::Duration;

use scalebot_commands::policy::{Policy, TakeBack};
use scalebot_commands::ports::Role;

use super::target::{FleetSettings, HaltSourceName, MetricsSettings};
use super::*;

mod compose;
mod example;
mod hosts;
mod kubernetes;
mod swarm;
mod whatever;

/// The least that can be written.
const LEAST: &str = "\
[state]
directory = \"/var/lib/scalebot\"
[targets.api]
halt.sources = []
[targets.api.fleet]
kind = \"process\"
";

fn read_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let file = Path::new("scalebot.toml");
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let source = Source::parse(file, text.to_owned(), environment)?;
    Ok(Config::of(file, &source)?)
}

fn read(text: &str) -> Result<Config, String> {
    read_with(text, &[])
}

/// The least, with more below it.
fn with(more: &str) -> Result<Config, String> {
    read(&format!("{LEAST}{more}"))
}

fn refused(more: &str) -> String {
    with(more).unwrap_err()
}

fn policy(config: &Config) -> Policy {
    config.targets()[0].2.clone()
}

#[test]
fn whatever_is_not_written_is_the_runbooks_own() {
    let config = read(LEAST).unwrap();
    let (name, settings, policy) = &config.targets()[0];
    assert_eq!((name.as_str(), *policy), ("api", &Policy::default()));
    assert_eq!(policy.digest(), Policy::default().digest());
    assert_eq!(settings.halt.sources, []);
    let MetricsSettings::Scrape(metrics) = &settings.metrics else { panic!("{:?}", settings.metrics) };
    assert_eq!(**metrics, scalebot_adapters::scrape::Config::default());
}

#[test]
fn limits_are_read_with_their_units() {
    let config = with(
        "[policy]\n\
         load = { p99 = \"750ms\", cpu = \"65%\", memory_limit = \"512MiB\" }\n\
         back = { rule = \"ask\" }\n\
         escalation.next = { system_architect = \"governance_lead\" }\n\
         triggers.by_itself = [\"latency\"]\n\
         drain.unmeasured = \"5m\"\n\
         [policy.count]\nmaximum = 12\nlargest_step = \"50%\"\ncool_down = \"90s\"\n\
         [[policy.count.freeze]]\n\
         from = \"2026-12-24T12:00:00Z\"\nuntil = \"2026-12-27T06:00:00Z\"\nwhy = \"year's end\"\n",
    );
    let policy = policy(&config.unwrap());
    assert_eq!(policy.count.maximum.map(|maximum| maximum.0), Some(12));
    assert_eq!((policy.count.largest_step_percent, policy.count.cool_down), (50, Duration::from_secs(90)));
    assert_eq!((policy.load.p99_ms, policy.load.cpu, policy.load.memory_limit_bytes), (750.0, 0.65, Some(512 << 20)));
    assert_eq!(policy.back.rule, TakeBack::Ask);
    assert_eq!(policy.escalation.next, [(Role::SystemArchitect, Role::GovernanceLead)]);
    assert_eq!(policy.drain.unmeasured, Some(Duration::from_mins(5)));
    assert_eq!(policy.count.freeze[0].why, "year's end");
    // What was not written stays.
    assert_eq!((policy.count.minimum, policy.approval), (Policy::default().count.minimum, Policy::default().approval));
}

#[test]
fn a_fleet_may_have_limits_of_its_own() {
    let config = read(&format!(
        "default_target = \"web\"\n{LEAST}\
         [policy.approval]\nquorum = 2\n[policy.count]\nmaximum = 12\n\
         [targets.web]\nfleet = {{ kind = \"process\" }}\nhalt.sources = []\n\
         [targets.web.policy.count]\nmaximum = 6\n"
    ))
    .unwrap();
    let targets = config.targets();
    let limits = |at: usize| (targets[at].0.as_str(), targets[at].2.count.maximum.map(|max| max.0));
    assert_eq!([limits(0), limits(1)], [("web", Some(6)), ("api", Some(12))]);
    assert!(targets.iter().all(|(_, _, policy)| policy.approval.quorum == 2));
    assert_ne!(targets[0].2.digest(), targets[1].2.digest());
}

#[test]
fn the_environment_counts_more_than_the_file_and_other_variables_are_nobodys_business() {
    let config = read_with(
        LEAST,
        &[
            ("SCALEBOT_POLICY__APPROVAL__QUORUM", "2"),
            ("SCALEBOT_POLICY__TIME__LOOK", "3s"),
            ("SCALEBOT_TARGETS__API__HALT__SOURCES", "[\"process_table\"]"),
            ("SCALEBOT_TARGETS__API__REDIS__URL", "redis://cache.example"),
            ("SCALEBOT_TARGETS__API__REDIS__PASSWORD", "12345"),
            ("SCALEBOT_BIN", "/usr/bin/scalebot"),
            ("HOME", "/root"),
        ],
    )
    .unwrap();
    assert_eq!((policy(&config).approval.quorum, policy(&config).time.look), (2, Duration::from_secs(3)));
    let settings = config.targets()[0].1;
    assert_eq!(settings.halt.sources, [HaltSourceName::ProcessTable]);
    // A secret is a text, whatever it looks like.
    assert!(settings.redis.as_ref().unwrap().password.is_some());
}

#[test]
fn no_secret_is_ever_shown() {
    let config = read_with(
        &format!("{LEAST}[targets.api.postgres]\nurl = \"postgres://scalebot:hidden@db.example/conclave\"\n"),
        &[("SCALEBOT_TARGETS__API__POSTGRES__PASSWORD", "hidden")],
    );
    let shown = format!("{:?}", config.unwrap());
    assert!(shown.contains("postgres") && !shown.contains("hidden"), "{shown}");
    for more in [
        "[targets.api.postgres]\nurl = [\"hidden\"]\n",
        "[targets.api.postgres]\nurl = \"postgres://db.example\"\npasword = \"hidden\"\n",
        "[targets.api.postgres]\nurl = \"hidden\"\nurl = \"hidden\"\n",
        "[targets.api.postgres]\nurl = \"hidden\n",
        "[targets.api.postgres]\nurl = { hidden = 1 }\npassword = 12345\n",
    ] {
        let said = refused(more);
        assert!(!said.contains("hidden") && !said.contains("12345"), "{said}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_what_would_be_right() {
    let said = |more: &str| refused(more);
    insta::assert_snapshot!(said("[policy.aproval]\nquorum = 2\n"), @r"
    scalebot.toml, line 7:
    policy.aproval is not known. Did you mean approval?
    ");
    insta::assert_snapshot!(said("[policy.approval]\n\nquorom = 2\n"), @r"
    scalebot.toml, line 9:
    policy.approval.quorom is not known. Did you mean quorum?
    ");
    insta::assert_snapshot!(said("[policy.approval]\nvoters = 2\n"), @r"
    scalebot.toml, line 8:
    policy.approval.voters is not known. Known here: decide_within, execute_within, quorum, requester_may.
    ");
    insta::assert_snapshot!(said("[policy.approval]\nquorum = \"two\"\n"), @r"
    scalebot.toml, line 8:
    policy.approval.quorum: it is a text, and must be a whole number from 0.
    ");
    insta::assert_snapshot!(said("[policy.time]\nmonitor = \"soon\"\n"), @r#"
    scalebot.toml, line 8:
    policy.time.monitor: "soon" is no length of time; write it as 1500ms, 2s or 15m.
    "#);
    insta::assert_snapshot!(said("[policy.back]\nrule = \"automatically\"\n"), @r#"
    scalebot.toml, line 8:
    policy.back.rule: "automatically" is not known. Did you mean automatic?
    "#);
    insta::assert_snapshot!(said("[policy.time]\nguard = \"3s\"\n"), @r"
    scalebot.toml, line 8:
    policy.time.guard: it is 3 s, and must be from 100 ms to 2 s.
    ");
    insta::assert_snapshot!(said("[[targets.api.policy.count.freeze]]\nfrom = 1\nuntil = 2\nwhy = 3\n"), @r#"
    scalebot.toml, line 8:
    targets.api.policy.count.freeze.0.from: it is a number, and must be a time in quotes, such as "2026-12-24T12:00:00Z".
    "#);
    insta::assert_snapshot!(said("[policy.triggers]\nplanned = [\n  { from = \"x\" },\n]\n"), @r"
    scalebot.toml, line 9:
    policy.triggers.planned.0.from: expected four digit year (or leading sign for six digit year), but found end of input.
    ");
    insta::assert_snapshot!(said("[log\n"), @r"
    scalebot.toml, line 7:
    It is no TOML here: invalid table header, expected `.`, `]`.
    ");
}

#[test]
fn what_is_missing_is_named_with_how_it_is_written() {
    let without = |line: &str| read(&LEAST.replace(line, "")).unwrap_err();
    insta::assert_snapshot!(without("halt.sources = []\n"), @r#"
    scalebot.toml, line 3:
    targets.api.halt is missing. Write halt.sources = ["…"]; an empty list where there is none.
    "#);
    insta::assert_snapshot!(read(&LEAST.replace("halt.sources = []", "halt = {}")).unwrap_err(), @r"
    scalebot.toml, line 4:
    targets.api.halt.sources is missing. Name every source of truth about the halt.
    Where there is none, write an empty list: sources = []. Nothing can say then that the system is not halted, so every scaling needs governance's approval.
    ");
    insta::assert_snapshot!(without("kind = \"process\"\n"), @r#"
    scalebot.toml, line 5:
    targets.api.fleet.kind is missing. Say which kind: kind = "…".
    "#);
    insta::assert_snapshot!(without("directory = \"/var/lib/scalebot\"\n"), @r"
    scalebot.toml, line 1:
    state.directory is missing. It has no default: write it down.
    ");
    let nothing = read("").unwrap_err();
    assert!(nothing.contains("state is missing. Write directory"), "{nothing}");
}

#[test]
fn what_contradicts_itself_is_refused_where_it_stands() {
    let said = |text: &str| read(text).unwrap_err();
    insta::assert_snapshot!(said(&LEAST.replace("/var/lib", "var")), @r"
    scalebot.toml, line 2:
    state.directory: it must be an absolute path, such as /var/lib/scalebot: what is typed on the host is typed anywhere.
    ");
    insta::assert_snapshot!(said(&LEAST.replace("sources = []", "sources = [\"redis\"]")), @r"
    scalebot.toml, line 4:
    targets.api.halt.sources: it names redis, and there is no [targets.api.redis.halt].
    ");
    let with_traffic = LEAST.replace("sources = []", "sources = []\ntraffic = \"haproxy\"");
    insta::assert_snapshot!(said(&with_traffic), @r"
    scalebot.toml, line 5:
    targets.api.traffic: it names haproxy, and there is no [targets.api.haproxy].
    ");
    let haproxy = "[targets.api.haproxy]\nsocket = \"unix:/run/h.sock\"\nbackend = \"conclave\"\n";
    insta::assert_snapshot!(said(&format!("{with_traffic}{haproxy}")), @r#"
    scalebot.toml, line 6:
    targets.api.fleet: with traffic = "haproxy" it needs through: where that HAProxy takes requests, for the load.
    "#);
    insta::assert_snapshot!(said(&format!("{with_traffic}through = \"http://127.0.0.1:8000/x\"\n{haproxy}")), @r"
    scalebot.toml, line 6:
    targets.api.fleet: through is a URL without a path, such as http://127.0.0.1:8000.
    ");
    insta::assert_snapshot!(said(&format!("{LEAST}[targets.api.metrics]\nkind = \"prometheus\"\n")), @r"
    scalebot.toml, line 7:
    targets.api.metrics: it names prometheus, and there is no [targets.api.prometheus].
    ");
    insta::assert_snapshot!(said(&format!("{LEAST}[targets.api.metrics]\nkind = \"prometheus\"\npath = \"/m\"\n")), @r"
    scalebot.toml, line 9:
    targets.api.metrics.path is not known. Nothing can be set here.
    ");
    insta::assert_snapshot!(said(&LEAST.replace("sources = []", "sources = []\ndashboards = [\"https://u:hidden@g/d\"]")), @r"
    scalebot.toml, line 5:
    targets.api.dashboards: one holds a user's name or password, which everybody would read.
    ");
    let two = format!("{LEAST}[targets.web]\nfleet = {{ kind = \"process\" }}\nhalt.sources = []\n");
    insta::assert_snapshot!(said(&two), @r"
    scalebot.toml:
    default_target: write it above the first section: several fleets are described, and one is meant where a command names none.
    ");
    insta::assert_snapshot!(said(&format!("default_target = \"wob\"\n{two}")), @r"
    scalebot.toml, line 1:
    default_target: there is no [targets.wob].
    ");
    insta::assert_snapshot!(said(&format!("{LEAST}[targets.api.policy.count]\nminimum = 4\nmaximum = 2\n")), @r"
    scalebot.toml, line 9:
    targets.api.policy.count.maximum: it is under the minimum of 4.
    ");
}

#[test]
fn what_a_variable_says_wrong_is_said_of_the_variable() {
    let said = |name: &str, value: &str| read_with(LEAST, &[(name, value)]).unwrap_err();
    insta::assert_snapshot!(said("SCALEBOT_POLICY__APPROVAL__QUORUM", "many"), @r"
    Environment variable SCALEBOT_POLICY__APPROVAL__QUORUM:
    policy.approval.quorum: it is a text, and must be a whole number from 0.
    ");
    insta::assert_snapshot!(said("SCALEBOT_POLICY__APPROVAL__QUORUM", "0"), @r"
    Environment variable SCALEBOT_POLICY__APPROVAL__QUORUM:
    policy.approval.quorum: it must be from 1 to 100.
    ");
    insta::assert_snapshot!(said("SCALEBOT_STATE__DIRECTRY", "/srv"), @r"
    Environment variable SCALEBOT_STATE__DIRECTRY:
    state.directry is not known. Did you mean directory?
    ");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let absent = Config::load(&folder.path().join("absent.toml")).unwrap_err().to_string();
    assert!(absent.contains("absent.toml:\nIt cannot be read: No such file"), "{absent}");
    let large = folder.path().join("large.toml");
    std::fs::write(&large, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(Config::load(&large).unwrap_err().to_string().contains("larger than 1 MiB"));
    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe]).unwrap();
    assert!(Config::load(&binary).unwrap_err().to_string().contains("no text"));
}

#[test]
fn a_fleet_of_processes_is_started_as_it_is_written() {
    let written =
        LEAST.replace("kind = \"process\"", "kind = \"process\"\ninstances = 2\nload = 5.5\nfault = \"slow\"");
    let config = read(&written).unwrap();
    let FleetSettings::Process(process) = &config.targets()[0].1.fleet else { panic!("{config:?}") };
    let world = process.world();
    assert_eq!((world.instances, world.load, world.seed, world.halted), (2, 5.5, 72, false));
    for (wrong, why) in [("instances = 65", "from 1 to 64"), ("load = -1.0", "from 0 to 10000")] {
        let said = read(&LEAST.replace("kind = \"process\"", &format!("kind = \"process\"\n{wrong}"))).unwrap_err();
        assert!(said.contains(why), "{said}");
    }
}
