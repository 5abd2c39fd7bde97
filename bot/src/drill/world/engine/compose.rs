//! The instances as a service of a Compose project.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use scalebot_commands::request::escaped;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Engine, GRACE, LABEL, Recipe};
use crate::drill::containers::SERVICE;

/// Where Compose is looked for.
const USUAL: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];

/// How long it may take.
const LIMIT: Duration = Duration::from_mins(1);

/// How much of its words is repeated, in characters.
const QUOTED: usize = 300;

/// Writes the project's file, and has Compose make what it says.
pub(super) async fn make(engine: &Engine, file: &Path, recipe: &Recipe) -> anyhow::Result<()> {
    let text = project(recipe, engine.settings.instances, &engine.label());
    std::fs::write(file, text).with_context(|| format!("Writing {}", file.display()))?;
    let words = found(engine).await?;
    let mut order = command(engine, words);
    order
        .args(["--ansi", "never", "--project-name", &engine.containers.name, "--project-directory"])
        .arg(&engine.state);
    order.arg("--file").arg(file).args(["up", "-d", "--no-build", SERVICE]);
    said(order).await.map(|_| ()).with_context(|| format!("{} could not make the instances", words.join(" ")))
}

async fn found(engine: &Engine) -> anyhow::Result<&'static [&'static str]> {
    for words in USUAL {
        let mut asked = command(engine, words);
        asked.args(["version", "--short"]);
        if said(asked).await.is_ok() {
            return Ok(words);
        }
    }
    bail!("Neither docker compose nor docker-compose is on this machine (Debian: docker-compose).")
}

fn command(engine: &Engine, words: &[&str]) -> Command {
    let mut command = Command::new(words.first().copied().unwrap_or_default());
    command.args(words.iter().skip(1)).env("DOCKER_HOST", format!("unix://{}", engine.containers.socket.display()));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn said(mut command: Command) -> anyhow::Result<String> {
    let output = timeout(LIMIT, command.output()).await;
    let output = output.with_context(|| format!("It took more than {} s", LIMIT.as_secs()))??;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "It ended with {}: {}",
            output.status,
            escaped(&said.split_whitespace().collect::<Vec<_>>().join(" "), QUOTED)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The project's file, as a person would write it: what the next deployment would set up stands in it, too.
fn project(recipe: &Recipe, instances: u32, label: &str) -> String {
    let Recipe { image, words, health, mounts, memory } = recipe;
    let list = |words: &[String]| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
    let label = format!("labels: {{ {LABEL}: {} }}", quoted(label));
    let mut text = format!(
        "# The rehearsal's fleet, as the next deployment would set it up. Written once, when the world began.\n\
         version: \"2.4\"\nservices:\n  {SERVICE}:\n    image: {}\n    scale: {instances}\n    command: [{}]\n    \
         {label}\n    mem_limit: {memory}\n    stop_grace_period: {}s\n    healthcheck:\n      test: [{}]\n      \
         interval: 1s\n      timeout: 10s\n      retries: 3\n    volumes:\n",
        quoted(image),
        list(words),
        GRACE.as_secs(),
        list(health),
    );
    for mount in mounts {
        let path = |path: &Path| quoted(&path.display().to_string());
        let (source, target) = (path(&mount.source), path(&mount.target));
        // It cannot fail: a string takes whatever is written to it.
        let _ = writeln!(
            text,
            "      - {{ type: bind, source: {source}, target: {target}, read_only: {} }}",
            mount.read_only
        );
    }
    let _ = writeln!(text, "networks:\n  default:\n    {label}");
    text
}

/// A text in the file, where a dollar would stand for a variable.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text.replace('$', "$$")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::world::engine::program::Mount;

    #[test]
    fn the_file_says_what_a_person_would_and_no_path_can_say_anything_else() {
        let mount = Mount { source: "/tmp/a \"$HOME\": b".into(), target: "/world.sock".into(), read_only: false };
        let words = vec!["/scalebot".to_owned(), "drill-instance".to_owned()];
        let health = vec!["CMD".to_owned(), "/scalebot".to_owned()];
        let recipe =
            Recipe { image: "scalebot-drill:x".to_owned(), words, health, mounts: vec![mount], memory: 1 << 28 };
        let text = project(&recipe, 4, "/tmp/state");
        for line in [
            "    scale: 4",
            "    mem_limit: 268435456",
            "    labels: { scalebot.drill: \"/tmp/state\" }",
            "      - { type: bind, source: \"/tmp/a \\\"$$HOME\\\": b\", target: \"/world.sock\", read_only: false }",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
