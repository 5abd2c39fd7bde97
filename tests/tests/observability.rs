//! What a monitoring system has of the bot: figures that Prometheus takes, rules that say what to do, a dashboard that
//! shows what there is, and a heartbeat that stops when the bot does.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::{StatusCode, Uri};
use scalebot_tests::discord::Discord;
use scalebot_tests::run::Service;
use scalebot_tests::services::program;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// What begins every figure's name.
const PREFIX: &str = "scalebot_";

/// What stands for a moment's length in the dashboard, and for the job.
const VARIABLES: [(&str, &str); 2] = [("$__rate_interval", "5m"), ("$job", ".+")];

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/observability").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(shipped(name)).unwrap()
}

/// Prometheus' own tool, with that on its standard input.
fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(program("promtool", "prometheus", &[]))
        .args(arguments)
        .current_dir(shipped(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What it is held to takes without a remark.
fn accepts(arguments: &[&str], input: &str) {
    let output = promtool(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}\n{input}", said(&output));
}

/// The figures of a bot in Discord that nobody has asked for anything, without the answer's head.
fn page() -> &'static str {
    static PAGE: OnceLock<String> = OnceLock::new();
    PAGE.get_or_init(|| {
        let discord = Discord::ready_made();
        let service = Service::in_discord(&discord, "", "[policy.triggers]\nevery = \"1h\"\n");
        let _serving = service.start_ready();
        let answer = service.http("/metrics").unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    })
}

/// Every name of the page with its kind.
fn told(page: &str) -> BTreeMap<&str, &str> {
    page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect()
}

/// A figure's value; `None` where it is not there.
fn figure(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// The names of the bot's figures in an expression, each with what stands in its braces.
fn used(expression: &str) -> Vec<(&str, &str)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in expression.match_indices(PREFIX) {
        let rest = &expression[at..];
        let (name, behind) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
        let labels =
            behind.strip_prefix('{').and_then(|behind| behind.split_once('}')).map_or("", |(labels, _)| labels);
        found.push((name, labels));
    }
    found
}

/// The name of what a part of a histogram belongs to.
fn whole<'a>(name: &'a str, told: &BTreeMap<&str, &str>) -> &'a str {
    let of = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
    of.filter(|of| told.get(of) == Some(&"histogram")).unwrap_or(name)
}

fn rules() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read("scalebot.rules.yml")).unwrap();
    rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// Every expression of the dashboard, with its panel's title.
fn shown() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("scalebot.dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned()))
    };
    panels.iter().flat_map(targets).collect()
}

#[test]
fn prometheus_takes_the_figures_as_they_are_without_a_remark() {
    let page = page();
    accepts(&["check", "metrics"], page);
    let told = told(page);
    for (name, kind) in &told {
        assert!(page.contains(&format!("# HELP {name} ")), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == "counter", "{name} is a {kind}");
    }
    // Nothing that is counted is missing before it happens for the first time: a rise from nothing is not seen.
    for never in [
        "scalebot_operations_total{outcome=\"failed\"}",
        "scalebot_approvals_total{result=\"rejected\"}",
        "scalebot_checks_total{check=\"halt_state\",result=\"unknown\"}",
        "scalebot_append_failures_total",
        "scalebot_heartbeats_total{result=\"failed\"}",
        "scalebot_discord_requests_total{result=\"rate_limited\"}",
        "scalebot_escalations_open",
        "scalebot_operation_stalled_seconds",
    ] {
        assert_eq!(figure(page, never), Some(0.0), "{never}: {page}");
    }
    assert_eq!(figure(page, "scalebot_leader"), Some(1.0));
    assert_eq!(figure(page, "scalebot_front_reached"), Some(1.0));
    assert!(figure(page, "scalebot_discord_requests_total{result=\"done\"}").unwrap() >= 1.0, "{page}");
    assert!(figure(page, "scalebot_discord_request_duration_seconds_count").unwrap() >= 1.0, "{page}");
    // A page that is read every few seconds for years must not grow with what the bot has done.
    assert!(page.len() < 64 << 10, "{} bytes", page.len());
}

#[test]
fn every_rule_says_what_is_wrong_and_what_to_do_and_is_tested_both_ways() {
    accepts(&["check", "rules", "scalebot.rules.yml"], "");
    accepts(&["test", "rules", "scalebot.rules.test.yml"], "");
    let tests: Value = serde_saphyr::from_str(&read("scalebot.rules.test.yml")).unwrap();
    let tested: BTreeSet<(String, bool)> = tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .map(|test| {
            (test["alertname"].as_str().unwrap().to_owned(), !test["exp_alerts"].as_array().unwrap().is_empty())
        })
        .collect();
    let rules = rules();
    assert!(rules.len() >= 13);
    for rule in &rules {
        let name = rule["alert"].as_str().unwrap();
        for says in ["summary", "what_to_do"] {
            let text = rule["annotations"][says].as_str().unwrap_or_default();
            assert!(text.len() > 20 && text.len() < 400 && text.ends_with('.'), "{name}, {says}: {text}");
        }
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("critical" | "warning")), "{name}");
        for fires in [true, false] {
            assert!(tested.contains(&(name.to_owned(), fires)), "{name} is not tested: fires = {fires}");
        }
    }
}

#[test]
fn a_rule_that_is_wrong_does_not_pass() {
    let folder = tempfile::tempdir().unwrap();
    let rules = read("scalebot.rules.yml");
    let tests = folder.path().join("scalebot.rules.test.yml");
    std::fs::write(&tests, read("scalebot.rules.test.yml")).unwrap();
    let wrong = rules.replace("scalebot_operation_stalled == 1", "scalebot_operation_stalled == 2");
    assert_ne!(wrong, rules);
    std::fs::write(folder.path().join("scalebot.rules.yml"), wrong).unwrap();
    let output = promtool(&["test", "rules", &tests.display().to_string()], "");
    assert!(!output.status.success() && said(&output).contains("ScalebotOperationStalled"), "{}", said(&output));
}

#[test]
fn every_figure_that_is_alerted_on_or_shown_is_one_that_the_bot_tells_and_every_one_is_shown() {
    let page = page();
    let told = told(page);
    let rules = rules();
    let alerted = rules.iter().map(|rule| (rule["alert"].as_str().unwrap(), rule["expr"].as_str().unwrap()));
    let shown = shown();
    let shown = || shown.iter().map(|(title, expression)| (title.as_str(), expression.as_str()));
    for (wherever, expression) in alerted.chain(shown()) {
        for (name, labels) in used(expression) {
            let whole = whole(name, &told);
            assert!(told.contains_key(whole), "{wherever}: the bot does not tell {name}");
            // A label with a value that no line has would never be found.
            for pair in labels.split(", ").filter(|pair| pair.contains("=\"")).filter(|pair| !pair.starts_with("job="))
            {
                let has = |line: &str| line.starts_with(name) && line.contains(pair);
                assert!(page.lines().any(has), "{wherever}: no {name} has {pair}");
            }
        }
    }
    let on_it: BTreeSet<&str> =
        shown().flat_map(|(_, expression)| used(expression)).map(|(name, _)| whole(name, &told)).collect();
    let missing: Vec<_> = told.keys().filter(|name| !on_it.contains(*name)).collect();
    assert!(missing.is_empty(), "not on the dashboard: {missing:?}");
}

#[test]
fn every_expression_of_the_dashboard_is_one_that_prometheus_can_read() {
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    for (number, (_, expression)) in shown().into_iter().enumerate() {
        let expression = VARIABLES.iter().fold(expression, |text, (name, value)| text.replace(name, value));
        assert!(!expression.contains('$'), "{expression}");
        rules.push_str(&format!("  - {{ record: 'panel:{number}', expr: '{expression}' }}\n"));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dashboard.yml");
    std::fs::write(&file, rules).unwrap();
    accepts(&["check", "rules", &file.display().to_string()], "");
}

#[test]
fn every_panel_says_what_it_shows() {
    let dashboard: Value = serde_json::from_str(&read("scalebot.dashboard.json")).unwrap();
    let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()) && titles.insert(title), "{title} is there twice");
        let said = panel["description"].as_str().unwrap_or_default();
        assert!(panel["type"] == "row" || said.len() > 10, "{title}: what does it show?");
    }
}

/// Whoever waits for the heartbeat.
struct Monitor {
    url: String,
    asked: Arc<AtomicUsize>,
    told: Arc<Notify>,
}

impl Monitor {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ping/hidden-in-heartbeat", listener.local_addr().unwrap());
        let (asked, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (count, tell) = (Arc::clone(&asked), Arc::clone(&told));
        let answer = move |uri: Uri| {
            let right = uri == "/ping/hidden-in-heartbeat";
            count.fetch_add(1, Ordering::SeqCst);
            tell.notify_one();
            async move { if right { StatusCode::OK } else { StatusCode::NOT_FOUND } }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Self { url, asked, told }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_is_ready_is_heard_by_whoever_waits_for_it_and_its_scaling_is_in_the_figures() {
    let monitor = Monitor::start().await;
    let more = format!("[heartbeat]\nurl = \"{}\"\n[policy.triggers]\nevery = \"1h\"\n", monitor.url);
    let service = Service::with(&["api"], &more);
    let (code, checked) = service.on_the_host(&["check"]);
    assert_eq!(code, Some(0), "{checked}");
    assert!(checked.contains("heartbeat: 127.0.0.1 can be reached; it is told every 60 s"), "{checked}");
    assert_eq!(monitor.asked.load(Ordering::SeqCst), 0, "check said that the bot is ready");

    let mut serving = service.start_ready();
    monitor.told.notified().await;
    serving.types("operator> /scale up 5 reason:\"campaign\"");
    let events = service.until("finished", 1);
    let page = service.http("/metrics").unwrap();
    let (_, page) = page.split_once("\r\n\r\n").unwrap();
    accepts(&["check", "metrics"], page);
    assert!(figure(page, "scalebot_ledger_head").unwrap() >= events.len() as f64, "{page}");
    assert_eq!(figure(page, "scalebot_heartbeats_total{result=\"failed\"}"), Some(0.0), "{page}");
    for (step, least) in [("scale", 0.0), ("monitor", 9.0), ("verify", 0.0)] {
        let of = |end: &str| figure(page, &format!("scalebot_step_duration_seconds_{end}{{step=\"{step}\"}}")).unwrap();
        assert!(of("count") >= 1.0 && of("sum") >= least, "{step}: {page}");
    }
    assert_eq!(figure(page, "scalebot_checks_total{check=\"halt_state\",result=\"pass\"}"), Some(1.0), "{page}");
    // Who asked, and which operation it was, is nobody's business there.
    let operation = events.iter().find_map(|event| event["operation"].as_str()).unwrap();
    for private in [operation, "operator", "campaign", "hidden-in-heartbeat"] {
        assert!(!page.contains(private), "{private}: {page}");
    }
    let said = serving.said();
    assert_eq!(serving.stop(), Some(0));
    assert!(!said.contains("hidden-in-heartbeat") && !checked.contains("hidden-in-heartbeat"), "{said}");
}
