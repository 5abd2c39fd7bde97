//! The last of what an instance wrote. Where its container was started again, what the one before wrote comes first: that is
//! where the reason stands.

use futures::join;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::core::Request;
use kube::core::subresource::LogParams;
use scalebot_commands::ports::PortError;
use scalebot_commands::units::InstanceId;

use super::server::{Answered, Refusal, Server, unreadable};
use super::settings::Settings;
use super::{missing, pods};

/// How many lines are asked for, and fewer where these are too long: the server's own limit on bytes cuts off the newest.
const LINES: [i64; 3] = [5_000, 500, 50];

/// The most that is read of one container, in bytes, beyond what is kept.
const SLACK: usize = 1 << 20;

const BEFORE: &str = "--- the container before it was started again ---\n";
const NOW: &str = "--- the container that runs now ---\n";

/// The end of it, at most so many bytes.
///
/// # Errors
/// When there is no such pod, or nothing of it can be read.
pub(super) async fn end_of(
    server: &Server,
    settings: &Settings,
    instance: &InstanceId,
    most: usize,
) -> Result<String, PortError> {
    let name = instance.as_str();
    // A name of a pod, and nothing that leads elsewhere as part of a path.
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if name.is_empty() || !name.bytes().all(plain) || name.starts_with('.') {
        return Err(unreadable("an instance whose name is none of a pod"));
    }
    let pod = match server.get::<Pod>(Some(&settings.namespace), name).await? {
        Ok(pod) => pod,
        Err(refusal) if refusal.is_not_found() && missing::is_a_place(instance) => {
            let detail = "its pod was never created, so it wrote nothing".to_owned();
            return Err(PortError::NotServed { what: format!("instance {instance}"), detail });
        }
        Err(refusal) => return Err(refusal.error()),
    };
    let container = pods::container(&pod, settings).map(|container| container.name.clone());
    let log = Log { server, settings, name, container: container.as_deref(), most };
    if !was_started_again(&pod, container.as_deref()) {
        return Ok(end(&log.read(false).await?.map_err(Refusal::error)?, most).to_owned());
    }
    let (before, now) = join!(log.read(true), log.read(false));
    match (before, now) {
        (Ok(Ok(before)), Ok(Ok(now))) => Ok(together(&before, &now, most)),
        // One of both is not there any more, or not yet.
        (Ok(Ok(before)), _) => Ok(marked(BEFORE, &before, most)),
        (_, Ok(Ok(now))) => Ok(marked(NOW, &now, most)),
        (_, now) => Err(match now? {
            Err(refusal) => refusal.error(),
            Ok(_) => unreadable("no log"),
        }),
    }
}

fn was_started_again(pod: &Pod, container: Option<&str>) -> bool {
    let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let is_it = |status: &&ContainerStatus| container.is_none_or(|name| status.name == name);
    status.iter().filter(is_it).any(|status| status.restart_count > 0)
}

struct Log<'a> {
    server: &'a Server,
    settings: &'a Settings,
    name: &'a str,
    container: Option<&'a str>,
    most: usize,
}

impl Log<'_> {
    async fn read(&self, previous: bool) -> Result<Answered<String>, PortError> {
        let limit = self.most.saturating_add(SLACK);
        let mut text = String::new();
        for lines in LINES {
            let params = LogParams {
                container: self.container.map(ToOwned::to_owned),
                limit_bytes: i64::try_from(limit).ok(),
                previous,
                tail_lines: Some(lines),
                ..LogParams::default()
            };
            let path = <Pod as kube::Resource>::url_path(&(), Some(&self.settings.namespace));
            let request =
                Request::new(path).logs(self.name, &params).map_err(|error| unreadable(&error.to_string()))?;
            let bytes = match self.server.bytes(request).await? {
                Ok(bytes) => bytes,
                Err(refusal) => return Ok(Err(refusal)),
            };
            text = String::from_utf8_lossy(&bytes).into_owned();
            if bytes.len() < limit {
                break;
            }
        }
        Ok(Ok(text))
    }
}

/// Both, each with at least half of the room where it needs it.
fn together(before: &str, now: &str, most: usize) -> String {
    let room = most.saturating_sub(BEFORE.len() + NOW.len() + 1);
    let kept_now = now.len().min(room - before.len().min(room / 2));
    let before = ended_by_a_line(end(before, room - kept_now));
    let text = format!("{BEFORE}{before}{NOW}{}", end(now, kept_now));
    end(&text, most).to_owned()
}

fn marked(mark: &str, text: &str, most: usize) -> String {
    let text = format!("{mark}{}", end(text, most.saturating_sub(mark.len())));
    end(&text, most).to_owned()
}

fn ended_by_a_line(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

/// The last bytes of a text, at most so many, beginning with a whole character.
fn end(text: &str, most: usize) -> &str {
    let mut from = text.len().saturating_sub(most);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

#[cfg(test)]
mod tests;
