use serde_json::json;

use super::*;
use crate::kubernetes::stand_in::{Cluster, holds_count};

const AT: &str = "2026-11-25T12:00:00Z";

async fn asked(cluster: Cluster) -> Result<Option<Declared>, PortError> {
    let running = cluster.run().await;
    declared(&running.server(), &running.settings, &running.workload().await).await
}

fn applied(text: &str) -> Cluster {
    Cluster::new().deployed(json!({"metadata": {"annotations": {LAST_APPLIED: text}}}))
}

fn managed(entry: Value) -> Cluster {
    Cluster::new().deployed(json!({"metadata": {"managedFields": [entry]}}))
}

async fn in_this_file(text: &[u8]) -> Result<Declared, String> {
    let running = Cluster::new().run().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, text).unwrap();
    let place = DeclaredIn { file: file.clone(), key: "api.replicaCount".to_owned() };
    let folder = folder.path().display().to_string();
    in_file(&place, &running.workload().await).await.map_err(|error| error.to_string().replace(&folder, ""))
}

#[tokio::test]
async fn what_was_applied_last_is_what_the_next_apply_puts_back() {
    let found = asked(applied(r#"{"spec": {"replicas": 3}}"#)).await.unwrap().unwrap();
    assert_eq!(found.count, Replicas(3));
    assert_eq!(found.place, "the last-applied configuration of Deployment api");
    assert_eq!(found.line, "replicas: 3");
}

#[tokio::test]
async fn what_was_applied_last_without_a_count_declares_none() {
    assert_eq!(asked(applied(r#"{"spec": {"paused": false}}"#)).await, Ok(None));
    assert_eq!(asked(Cluster::new()).await, Ok(None));
}

#[tokio::test]
async fn what_was_applied_last_and_cannot_be_understood_is_never_a_guess() {
    for text in ["{", r#"{"spec": {"replicas": "3"}}"#, r#"{"spec": {"replicas": -3}}"#] {
        let error = asked(applied(text)).await.unwrap_err().to_string();
        assert!(error.contains("the last-applied configuration of api cannot be understood"), "{error}");
    }
}

#[tokio::test]
async fn an_applier_that_holds_the_count_declares_it_and_a_person_s_scale_does_not() {
    let found = asked(managed(holds_count("helm", "Update", AT))).await.unwrap().unwrap();
    assert_eq!((found.count, found.place), (Replicas(4), "what helm applied to Deployment api".to_owned()));
    let found = asked(managed(holds_count("ci", "Apply", AT))).await.unwrap().unwrap();
    assert_eq!(found.place, "what ci applied to Deployment api");
    let mut scaled = holds_count("kubectl", "Update", AT);
    scaled["subresource"] = json!("scale");
    assert_eq!(asked(managed(scaled)).await, Ok(None));
    assert_eq!(asked(managed(holds_count("scalebot-018f", "Update", AT))).await, Ok(None));
}

#[tokio::test]
async fn a_file_says_its_line() {
    let found = in_this_file(b"api:\n  replicaCount: 4 # see the runbook\n").await.unwrap();
    assert_eq!(found.count, Replicas(4));
    assert_eq!(found.line, "  replicaCount: 4 # see the runbook");
    assert!(found.place.ends_with("values.yaml, line 2"), "{}", found.place);
}

#[tokio::test]
async fn a_file_that_does_not_say_it_is_named_with_what_is_wrong() {
    assert_eq!(
        in_this_file(b"web:\n  replicaCount: 4\n").await.unwrap_err(),
        "/values.yaml answered something unexpected (it has no line for api.replicaCount)"
    );
    assert_eq!(
        in_this_file(b"\xff\xfe").await.unwrap_err(),
        "/values.yaml answered something unexpected (it is no text)"
    );
    assert_eq!(
        in_this_file(&vec![b' '; (1 << 20) + 1]).await.unwrap_err(),
        "/values.yaml answered something unexpected (it is larger than 1 MiB)"
    );
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_the_same_as_none() {
    let mut running = Cluster::new().run().await;
    running.settings.declared = Some(DeclaredIn { file: "/nowhere/values.yaml".into(), key: "replicas".to_owned() });
    let error = declared(&running.server(), &running.settings, &running.workload().await).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/values.yaml") && error.to_string().contains("it cannot be read"));
}
