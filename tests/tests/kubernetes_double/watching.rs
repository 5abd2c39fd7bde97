//! Watches: what changes is told, until nobody knows any more what changed.

use reqwest::{Method, Response};
use scalebot_tests::kubernetes::{Cluster, Setup};
use serde_json::Value;

use super::asking::{Client, PODS};

/// A watch that is read line by line.
struct Lines {
    response: Response,
    read: Vec<u8>,
}

impl Lines {
    async fn of(client: &Client, query: &str) -> Self {
        let path = format!("{PODS}?watch=1&{query}");
        let response = client.send(Method::GET, &path, "application/json", &Value::Null).await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, read: Vec::new() }
    }

    /// The next line; `None` when it is over.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = self.response.chunk().await.ok()??;
            self.read.extend_from_slice(&chunk);
        }
    }

    async fn until(&mut self, fate: &str) -> Value {
        loop {
            let line = self.next().await.expect("the watch goes on");
            if line["type"] == fate {
                return line["object"].clone();
            }
        }
    }
}

async fn version(client: &Client) -> String {
    client.get(PODS).await.1["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_watch_tells_what_changes_after_its_version_and_nothing_else() {
    let cluster = Cluster::start(Setup::default()).await;
    let client = Client::of(&cluster, "administrator");
    let mut lines = Lines::of(&client, &format!("resourceVersion={}", version(&client).await)).await;
    cluster.pods_linger(true);
    cluster.kubectl_scale(5);
    let added = lines.until("ADDED").await;
    let name = added["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(added["spec"]["nodeName"].is_null() && added["status"]["phase"] == "Pending", "{added:#}");
    cluster.until_ready(5).await;
    cluster.kubectl_scale(4);
    loop {
        let changed = lines.until("MODIFIED").await;
        if changed["metadata"]["deletionTimestamp"].is_string() {
            break;
        }
    }
    cluster.pods_linger(false);
    let gone = lines.until("DELETED").await;
    assert!(gone["metadata"]["name"].is_string(), "{name}");
}

#[tokio::test]
async fn without_a_version_a_watch_begins_with_what_is_there() {
    let cluster = Cluster::start(Setup::default()).await;
    let client = Client::of(&cluster, "administrator");
    let mut lines = Lines::of(&client, "").await;
    for _ in 0..4 {
        assert_eq!(lines.next().await.unwrap()["type"], "ADDED");
    }
}

#[tokio::test]
async fn one_that_is_no_longer_selected_is_gone_for_the_watch() {
    let cluster = Cluster::start(Setup::default()).await;
    let client = Client::of(&cluster, "administrator");
    let query = format!("labelSelector=receives-requests%3Dtrue&resourceVersion={}", version(&client).await);
    let mut lines = Lines::of(&client, &query).await;
    let name = cluster.pods()[0].clone();
    let drained = serde_json::json!({ "metadata": { "labels": { "receives-requests": "false" } } });
    assert_eq!(client.patch(&format!("{PODS}/{name}"), &drained).await.0, 200);
    assert_eq!(lines.until("DELETED").await["metadata"]["name"], name.as_str());
    // It is out of the Service, and still the workload's own.
    cluster.until("Deployment", "api", |one| one["status"]["replicas"] == 4).await;
    let ready = |slice: &Value| {
        let endpoints = slice["endpoints"].as_array().map_or(&[][..], Vec::as_slice);
        endpoints.iter().filter(|endpoint| endpoint["conditions"]["ready"] == true).count()
    };
    let slice = cluster.objects("EndpointSlice")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    cluster.until("EndpointSlice", &slice, |slice| ready(slice) == 3).await;
}

#[tokio::test]
async fn a_watch_from_a_version_that_is_forgotten_ends_with_expired() {
    let cluster = Cluster::start(Setup::default()).await;
    let client = Client::of(&cluster, "administrator");
    let old = version(&client).await;
    cluster.kubectl_scale(5);
    cluster.until_ready(5).await;
    cluster.compact();
    let mut lines = Lines::of(&client, &format!("resourceVersion={old}")).await;
    let said = lines.next().await.unwrap();
    assert_eq!(said["type"], "ERROR");
    assert_eq!((said["object"]["code"].as_u64(), said["object"]["reason"].as_str()), (Some(410), Some("Expired")));
    assert_eq!(lines.next().await, None);
}

#[tokio::test]
async fn a_bookmark_moves_who_asked_for_it_and_a_cut_ends_the_watch() {
    let cluster = Cluster::start(Setup::default()).await;
    let client = Client::of(&cluster, "administrator");
    let query = format!("allowWatchBookmarks=true&resourceVersion={}", version(&client).await);
    let mut lines = Lines::of(&client, &query).await;
    cluster.bookmarks();
    let bookmark = lines.until("BOOKMARK").await;
    assert_eq!(bookmark["kind"], "Pod");
    assert!(bookmark["metadata"]["resourceVersion"].is_string());
    cluster.cut();
    while lines.next().await.is_some() {}
    let mut slow = Lines::of(&client, &query).await;
    cluster.watches_expire();
    assert_eq!(slow.until("ERROR").await["code"], 410);
}
