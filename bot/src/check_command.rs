//! `scalebot check`: a doctor. Every system that a configuration names is looked at, all at once and each within its own
//! limit, and nothing is changed anywhere. A line says what was found and, where something is wrong, what to do.

mod fleet;
mod host;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _, join_all};
use scalebot_adapters::doctor::{Finding, Status};
use scalebot_commands::ports::World;
use scalebot_commands::request::escaped;
use tokio::time::timeout;

use crate::config::Config;
use crate::state_dir::StateDir;
use crate::system::System;

/// How long one system may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The longest text that is shown of one line, in characters.
const LONGEST: usize = 500;

/// One system that is looked at.
struct Look<'a> {
    /// Which, in words, for when it does not answer.
    system: String,
    /// What is found.
    found: BoxFuture<'a, Vec<Finding>>,
}

impl<'a> Look<'a> {
    fn at(system: impl Into<String>, found: impl Future<Output = Vec<Finding>> + Send + 'a) -> Self {
        Self { system: system.into(), found: found.boxed() }
    }

    /// What it comes to within the limit.
    async fn within(self, limit: Duration) -> Vec<Finding> {
        timeout(limit, self.found).await.unwrap_or_else(|_| {
            let text = format!("it did not answer within {} s", limit.as_secs());
            vec![Finding::failed(
                self.system,
                text,
                "See why it is slow or hangs, and what lies between it and the bot.",
            )]
        })
    }
}

/// Runs it; returns the exit code.
pub(crate) async fn run(file: &Path) -> ExitCode {
    let config = match Config::load(file) {
        Ok(config) => Arc::new(config),
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    let dir = StateDir::of_service(Arc::clone(&config));
    let clock: Arc<dyn World> = Arc::new(System::new());
    let found = look(&config, &dir, &clock).await;
    // Whoever reads no further has seen enough; the exit code says the rest.
    let _ = writeln!(std::io::stdout().lock(), "{}", said(&found));
    if found.iter().any(|finding| finding.status == Status::Failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Looks at everything, and returns what was found in the order in which it is configured.
async fn look(config: &Config, dir: &StateDir, clock: &Arc<dyn World>) -> Vec<Finding> {
    let mut looks = host::looks(config, dir);
    for (name, settings, policy) in config.targets() {
        looks.extend(fleet::looks(dir, clock, name, settings, policy));
    }
    join_all(looks.into_iter().map(|look| look.within(LIMIT))).await.into_iter().flatten().collect()
}

/// What was found, a line a system, with what to do below it.
fn said(found: &[Finding]) -> String {
    let mut lines = Vec::new();
    for Finding { system, status, text, to_do } in found {
        let sign = match status {
            Status::Ok => "✓ ok",
            Status::NotConfigured => "– not configured",
            Status::Warn => "! to be improved",
            Status::Failed => "✗ FAILED",
        };
        lines.push(format!("{sign}  {}: {}", escaped(system, LONGEST), plain(text)));
        lines.extend(to_do.as_deref().map(|to_do| format!("    → {}", plain(to_do))));
    }
    let count = |wanted| found.iter().filter(|finding| finding.status == wanted).count();
    let (failed, warned) = (count(Status::Failed), count(Status::Warn));
    lines.push(String::new());
    lines.push(match (failed, warned) {
        (0, 0) => "Everything that is configured is as it should be.".to_owned(),
        (0, _) => format!("Everything works. To be improved: {warned}."),
        _ => format!("Failed: {failed}. To be improved: {warned}.\nDo what stands below each, then look again."),
    });
    lines.join("\n")
}

/// Somebody else's words as one line.
fn plain(text: &str) -> String {
    escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "), LONGEST)
}
