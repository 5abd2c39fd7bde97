//! Every message of one scaling with an approval, as Discord receives it. What differs from run to run (figures, moments,
//! identifiers, the verdict and what it rests on) is replaced.

use scalebot_tests::binary::only;
use scalebot_tests::discord::{Discord, Request};
use serde_json::{Value, json};

use crate::setting::{NO_PROPOSALS, Stage, title};

const POST: &str = "POST /channels/{channel_id}/messages";
const EDIT: &str = "PATCH /channels/{channel_id}/messages/{message_id}";

#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_an_approved_scaling_as_discord_receives_it() {
    // Nothing here is near a limit, so that every run finds the same.
    let replaced = [
        ("kind = \"process\"\n", "kind = \"process\"\nhalted = true\nload = 24.0\n"),
        ("memory_limit = \"256MiB\"\n", "memory_limit = \"256MiB\"\np99 = \"10s\"\n"),
    ];
    let stage = Stage::with(&replaced, NO_PROPOSALS).await;
    let asked = stage.up("operator", 6);
    let request = stage.request().await;
    stage.discord.person("lead").react(&request, "✅");
    request.until(|seen| title(seen).contains("Approved")).await;
    stage.discord.channel("ops").message_with("6 instances now").await;
    let events = stage.service.until("finished", 1);
    request.until(|seen| seen.buttons().is_empty()).await;
    assert_eq!(only(&events, "finished")["outcome"], "completed");

    let operation = events[0]["operation"].as_str().unwrap().to_owned();
    let digest = only(&events, "approval_requested")["digest"].as_str().unwrap().to_owned();
    let home = stage.service.home.path().display().to_string();
    let settle = |value: &Value| settled(&stage.discord.named(value), &operation, &digest, &home);
    let mut received = String::new();
    let mut add = |what: &str, value: &Value| {
        let value = if value.is_string() { value.as_str().unwrap().to_owned() } else { format!("{value:#}") };
        received.push_str(&format!("── {what}\n{value}\n\n"));
    };
    let said = asked.said();
    add("said to the operator alone", &settle(&json!(said[0].content)));
    for (name, body) in cards(&stage.discord) {
        add(&name, &settle(&body));
    }
    let log: Vec<String> =
        stage.discord.channel("scaling-log").messages().iter().map(|post| post.content.clone()).collect();
    let log: Vec<&str> = log.iter().flat_map(|post| post.lines()).filter(|line| !line.starts_with("-# ")).collect();
    add("the log channel, line by line", &settle(&json!(log.join("\n"))));
    stage.ends().await;
    insta::assert_snapshot!(received);
}

/// What every card's message was first and became, by where it stands; of what is edited all the time only the first.
fn cards(discord: &Discord) -> Vec<(String, Value)> {
    let requests = discord.requests();
    let done = |request: &&Request| request.status == 200;
    let mut all = Vec::new();
    let ops = discord.channel("ops");
    let threads = ops.threads();
    for channel in [&discord.channel("governance"), &ops].into_iter().chain(&threads) {
        let name = if channel.name().starts_with("Operation ") {
            "the thread".to_owned()
        } else {
            format!("#{}", channel.name())
        };
        let path = format!("/channels/{}/messages", channel.id());
        for post in requests.iter().filter(done).filter(|one| one.name() == POST && one.path == path) {
            let footer = post.body["embeds"][0]["footer"]["text"].as_str().unwrap();
            let card = footer.rsplit_once(" · ").unwrap().1.to_owned();
            all.push((format!("{name}: {card}"), post.body.clone()));
            let edited = format!("{path}/{}", post.answer["id"].as_str().unwrap());
            let edits = requests.iter().filter(done).filter(|one| one.name() == EDIT && one.path == edited);
            let told = edits.filter(|_| card != "progress");
            all.extend(told.map(|edit| (format!("{name}: {card}, edited"), edit.body.clone())));
        }
    }
    all
}

fn settled(value: &Value, operation: &str, digest: &str, home: &str) -> Value {
    match value {
        Value::String(text) => Value::String(steady(text, operation, digest, home)),
        Value::Array(all) => all.iter().map(|one| settled(one, operation, digest, home)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let value = match name.as_str() {
                    "nonce" => json!("{nonce}"),
                    // Of the summary, as its verdict is.
                    "color" => json!("{colour}"),
                    "description" if value.as_str().is_some_and(|text| text.starts_with("api 4 → 6. Verdict: ")) => {
                        json!("{what the chart shows}")
                    }
                    _ => settled(value, operation, digest, home),
                };
                (name.clone(), value)
            })
            .collect(),
        other => other.clone(),
    }
}

/// The same text in every run.
fn steady(text: &str, operation: &str, digest: &str, home: &str) -> String {
    let short = &operation[operation.len() - 6..];
    let text = text.replace(operation, "{operation}").replace(short, "{operation}").replace(digest, "{digest}");
    let text = text.replace(&digest[..8], "{digest}").replace(home, "{home}");
    if let Some((before, _)) = text.rsplit_once(':').filter(|(_, packed)| text.starts_with("s1:") && packed.len() == 44)
    {
        return format!("{before}:{{digest, packed}}");
    }
    let mut lines: Vec<String> = text.lines().map(line).collect();
    // Between the two lines what the verdict rests on is said.
    if let Some(end) = lines.iter().position(|line| line.starts_with("The fleet has 6 instances now")) {
        let table = lines.iter().skip(end).position(String::is_empty).map_or(lines.len(), |table| end + table);
        lines.splice(end + 1..table, []);
        lines.splice(..end, ["{why}".to_owned()]);
    }
    lines.join("\n")
}

fn line(line: &str) -> String {
    let mut line = figures(line);
    for verdict in ["not improved", "improved", "stable", "inconclusive"] {
        line = line.replace(&format!("one, {verdict}: "), "one, {verdict}: ");
    }
    let shape = ["✔ pass", "▲ warn", "✖ fail", "? unknown", "· info"].into_iter().find(|shape| line.starts_with(shape));
    // How far an instance is when it is first shown.
    if let Some((instance, _)) = line.split_once("  starting: ") {
        return format!("{instance}  starting: …");
    }
    if let Some((before, _)) = line.split_once("  monitored  ") {
        return format!("{before}  monitored  {{verdict}}");
    }
    if line.contains("  verified  ") {
        // On a machine that is busy it takes seconds.
        return line.replace(", in # s", ", in # ms");
    }
    match shape {
        // Whether a figure is within its limit is the machine's to say.
        Some(shape) if line.contains('#') || line.contains("{verdict}") => line.replacen(shape, "{tone}", 1),
        _ => line,
    }
}

/// Numbers that were measured, or are moments, as `#`; those of the request itself stay.
fn figures(line: &str) -> String {
    const KEPT: [&str; 6] =
        ["4 → 6", "2 more", "6 instances", "back to, should it make things worse: 4", "/scale up 6", "api 4 → 6"];
    let mut out = String::new();
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        if let Some(kept) = KEPT.iter().find(|kept| rest.starts_with(**kept)) {
            out.push_str(kept);
            rest = &rest[kept.len()..];
        } else if next.is_ascii_digit()
            && !out.ends_with(|before: char| before.is_alphanumeric())
            && !out.ends_with("api-")
        {
            let length = rest.find(|sign: char| !sign.is_ascii_digit() && sign != '.').unwrap_or(rest.len());
            let number = rest[..length].trim_end_matches('.');
            out.push('#');
            rest = &rest[number.len()..];
        } else if next == '█' || next == '░' {
            out.push_str("{bar}");
            rest = rest.trim_start_matches(['█', '░']);
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}
