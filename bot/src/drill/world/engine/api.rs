//! What a world asks of its engine besides what a fleet's adapter does: to make what its instances run in, and to remove
//! everything that carries a label. <https://docs.docker.com/reference/api/engine/>

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// The name of every image of a rehearsal.
pub(super) const REPOSITORY: &str = "scalebot-drill";

/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(30);

/// How long everything may take to be gone, and how often that is looked at.
const GONE_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// An archive with nothing in it: two blocks of zeros, as POSIX has the end of one.
const EMPTY_ARCHIVE: [u8; 1_024] = [0; 1_024];

/// The engine at one socket.
pub(super) struct Api {
    client: Client,
    socket: String,
}

/// What an engine says of itself and of its machine.
#[derive(Debug, Deserialize)]
pub(super) struct Info {
    /// The machine's memory, in bytes.
    #[serde(rename = "MemTotal")]
    pub(super) memory: u64,
    #[serde(rename = "Swarm", default)]
    pub(super) swarm: InSwarm,
}

/// What it is in a swarm.
#[derive(Debug, Default, Deserialize)]
pub(super) struct InSwarm {
    #[serde(rename = "NodeID", default)]
    pub(super) node: String,
    /// Whether it is a manager.
    #[serde(rename = "ControlAvailable", default)]
    pub(super) manages: bool,
}

/// What has an identifier.
#[derive(Deserialize)]
struct Thing {
    #[serde(alias = "Id", alias = "ID")]
    id: String,
}

impl Api {
    pub(super) fn at(socket: &Path) -> anyhow::Result<Self> {
        let client =
            Client::builder().unix_socket(socket).timeout(LIMIT).build().context("Preparing to ask the engine")?;
        Ok(Self { client, socket: socket.display().to_string() })
    }

    /// What it says of itself.
    pub(super) async fn info(&self) -> anyhow::Result<Info> {
        self.read(self.request(Method::GET, "/info")).await
    }

    /// Makes something that is described so.
    pub(super) async fn make(&self, path: &str, described: &Value) -> anyhow::Result<()> {
        self.told(self.request(Method::POST, path).json(described)).await.map(|_| ())
    }

    /// Makes an image with no file in it, under that label.
    pub(super) async fn empty_image(&self, tag: &str, (key, value): (&str, &str)) -> anyhow::Result<()> {
        let request = self.request(Method::POST, "/images/create");
        // As in a Dockerfile, where a dollar would stand for a variable.
        let label = format!("LABEL {key}={}", Value::from(value).to_string().replace('$', "\\$"));
        let request = request.query(&[("fromSrc", "-"), ("repo", REPOSITORY), ("tag", tag), ("changes", &label)]);
        let said = self.told(request.header("content-type", "application/x-tar").body(EMPTY_ARCHIVE.to_vec())).await?;
        // It says so in a stream of lines, with the answer begun as a success.
        if said.contains("errorDetail") {
            bail!("The Docker engine cannot make an image: {}.", said.trim());
        }
        Ok(())
    }

    /// Removes everything with that label, and waits until it is gone.
    pub(super) async fn clear(&self, label: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        let in_swarm = self.info().await?.swarm.manages;
        loop {
            let mut left = 0;
            if in_swarm {
                left += self.remove("/services", label).await?;
            }
            left += self.remove("/containers", label).await?;
            // A network and an image are used for as long as a container of theirs is there.
            if left == 0 {
                left = self.remove("/networks", label).await? + self.remove("/images", label).await?;
            }
            if left == 0 {
                return Ok(());
            }
            if began.elapsed() > GONE_WITHIN {
                bail!("{left} things with the label {label} are still on the engine at {}.", self.socket);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Removes what is listed there with that label, and returns how many there were.
    async fn remove(&self, kind: &str, label: &str) -> anyhow::Result<usize> {
        let path = match kind {
            "/containers" => "/containers/json",
            "/images" => "/images/json",
            kind => kind,
        };
        let filters = json!({ "label": [label] }).to_string();
        let all: Vec<Thing> =
            self.read(self.request(Method::GET, path).query(&[("all", "1"), ("filters", &filters)])).await?;
        for Thing { id } in &all {
            self.delete(&format!("{kind}/{id}")).await?;
        }
        Ok(all.len())
    }

    /// Removes one thing. One that is gone, or is being removed, or is still used by another that is, is no failure.
    async fn delete(&self, path: &str) -> anyhow::Result<()> {
        let request = self.request(Method::DELETE, path);
        let forced =
            if path.starts_with("/containers") { request.query(&[("force", "1"), ("v", "1")]) } else { request };
        let answer = self.send(forced).await?;
        let passes = [StatusCode::NOT_FOUND, StatusCode::CONFLICT, StatusCode::FORBIDDEN];
        if answer.status().is_success() || passes.contains(&answer.status()) {
            return Ok(());
        }
        Err(self.refused(path, answer).await)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://localhost{path}"))
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<reqwest::Response> {
        request.send().await.map_err(|error| {
            let mut why: &dyn std::error::Error = &error;
            while let Some(deeper) = why.source() {
                why = deeper;
            }
            anyhow::anyhow!(
                "The Docker engine at {} does not answer: {why}. Start it, and let this user use it; DOCKER_HOST names \
                 the socket of another one on this machine.",
                self.socket
            )
        })
    }

    /// The answer's text, of a success.
    async fn told(&self, request: RequestBuilder) -> anyhow::Result<String> {
        let answer = self.send(request).await?;
        if !answer.status().is_success() {
            let path = answer.url().path().to_owned();
            return Err(self.refused(&path, answer).await);
        }
        answer.text().await.context("The Docker engine's answer cannot be read.")
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        serde_json::from_str(&self.told(request).await?).context("The Docker engine's answer cannot be read.")
    }

    async fn refused(&self, path: &str, answer: reqwest::Response) -> anyhow::Error {
        let status = answer.status();
        let said = answer.text().await.unwrap_or_default();
        let said =
            serde_json::from_str::<Value>(&said).ok().and_then(|said| said["message"].as_str().map(str::to_owned));
        anyhow::anyhow!("The Docker engine refused {path}: {}.", said.unwrap_or_else(|| status.to_string()))
    }
}
