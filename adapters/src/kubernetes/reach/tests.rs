//! Instances that are asked through the API server.

use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Uri, header};
use scalebot_commands::ports::Probe as _;
use serde_json::json;

use super::*;
use crate::conclave::{Conclave, Config};
use crate::http::Http;
use crate::http::testing::{ManualWorld, Server as Listening, instance, nobody};
use crate::kubernetes::named::Named;

/// What was asked of the API server.
type Asked = Arc<Mutex<Vec<(Method, String, HeaderMap, Vec<u8>)>>>;

/// An API server that gives every question this answer, and the way through it.
async fn answering(status: u16, answer: &str) -> (Listening, Named, Reach, Asked) {
    let asked = Asked::default();
    let (seen, answer) = (Arc::clone(&asked), answer.to_owned());
    let status = StatusCode::from_u16(status).unwrap();
    let router = Router::new().fallback(async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        seen.lock().unwrap().push((method, uri.to_string(), headers, body.to_vec()));
        (status, answer.clone())
    });
    let listening = Listening::start(router).await;
    let named = Named::at(&listening.address());
    let reach = through(&named);
    (listening, named, reach, asked)
}

fn through(named: &Named) -> Reach {
    let mut named = named.settings.clone();
    named.reach = settings::Reach::Proxy;
    Kubernetes::new(&named).unwrap().reach()
}

fn http(reach: &Reach) -> Http {
    Http::to_instances("instance api-1", Duration::from_secs(10), reach).unwrap()
}

fn conclave(reach: &Reach) -> Conclave {
    Conclave::reaching(Arc::new(ManualWorld::new()), Duration::from_secs(10), Config::default(), reach).unwrap()
}

fn said(code: u16, message: &str) -> String {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code,
    })
    .to_string()
}

const DIALLED: &str = "error trying to reach service: dial tcp 10.244.0.9:8000: connect: connection refused";

#[tokio::test]
async fn an_instance_is_asked_by_its_pods_name() {
    let (_listening, _named, reach, asked) = answering(200, "{}").await;
    assert_eq!(conclave(&reach).healthy(&instance("api-7c9f-x2x", "10.244.0.9:8000")).await, Ok(true));
    let (method, uri, headers, _) = asked.lock().unwrap().remove(0);
    assert_eq!(
        (method, uri.as_str()),
        (Method::GET, "/api/v1/namespaces/conclave/pods/api-7c9f-x2x:8000/proxy/v1/health")
    );
    assert_eq!(headers[header::AUTHORIZATION], "Bearer hidden");

    let mut without = instance("api-7c9f-x2x", "");
    without.address = None;
    let unreached = conclave(&reach).healthy(&without).await.unwrap_err();
    assert_eq!(unreached.to_string(), "instance api-7c9f-x2x cannot be reached (it has no address yet)");
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_order_arrives_as_it_was_given_and_once() {
    let (_listening, _named, reach, asked) = answering(200, r#"{"success": true}"#).await;
    let url = "http://api-1:8000/v1/governance/halt?really=1";
    let answer = http(&reach).order(url, &[("X-Operator-Id", "seven")], &json!({ "reason": "why" })).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    let [(method, uri, headers, body)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(*method, Method::POST);
    assert_eq!(uri, "/api/v1/namespaces/conclave/pods/api-1:8000/proxy/v1/governance/halt?really=1");
    assert_eq!(
        (&headers["x-operator-id"], &headers["content-type"]),
        (&"seven".parse().unwrap(), &"application/json".parse().unwrap())
    );
    assert_eq!(serde_json::from_slice::<serde_json::Value>(body).unwrap(), json!({ "reason": "why" }));
}

#[tokio::test]
async fn what_the_api_server_says_itself_is_no_word_of_the_instances() {
    let one = instance("api-1", "10.244.0.9:8000");
    // An instance that says so itself is not healthy.
    let (_listening, _named, reach, _) = answering(503, r#"{"detail": "starting"}"#).await;
    assert_eq!(conclave(&reach).healthy(&one).await, Ok(false));

    for (status, message) in
        [(503, DIALLED), (503, "error trying to reach service: EOF"), (404, "pods \"api-1\" not found")]
    {
        let (_listening, _named, reach, _) = answering(status, &said(status, message)).await;
        let error = conclave(&reach).healthy(&one).await.unwrap_err();
        assert!(matches!(&error, PortError::Unreachable { detail, .. } if detail.contains(message)), "{error:?}");
        // Nor is it that something is not configured there.
        let error = conclave(&reach).warnings(&one).await.unwrap_err();
        assert!(matches!(error, PortError::Unreachable { .. }), "{error:?}");
    }
    let message = "pods \"api-1:8000\" is forbidden: User \"bot\" cannot get resource \"pods/proxy\"";
    let (_listening, _named, reach, _) = answering(403, &said(403, message)).await;
    let error = conclave(&reach).healthy(&one).await.unwrap_err();
    assert!(matches!(&error, PortError::Refused { detail, .. } if detail.contains("pods/proxy")), "{error:?}");
}

#[tokio::test]
async fn an_order_is_unheard_only_where_the_instance_cannot_have_heard_it() {
    for (status, answer, heard) in [
        (503, said(503, DIALLED), Some(false)),
        (403, said(403, "forbidden"), Some(false)),
        (404, said(404, "pods \"api-1\" not found"), Some(false)),
        (429, "Too many requests, please try again later.\n".to_owned(), Some(false)),
        (503, said(503, "error trying to reach service: EOF"), Some(true)),
        (500, said(500, "error trying to reach service: read tcp 10.0.0.1:1: i/o timeout"), Some(true)),
        (504, said(504, "request did not complete within the allotted timeout"), Some(true)),
        // Of another code than its status: that is somebody's text, and no word of the API server's.
        (503, said(200, DIALLED), None),
        (403, r#"{"detail": "not you"}"#.to_owned(), None),
        (429, r#"{"detail": "slow down"}"#.to_owned(), None),
        (200, said(200, "fine"), None),
    ] {
        let (_listening, _named, reach, _) = answering(status, &answer).await;
        let ordered = http(&reach).order("http://api-1:8000/v1/halt", &[], &json!({})).await;
        let got = match &ordered {
            Ok(answer) => {
                assert_eq!(answer.status.as_u16(), status);
                None
            }
            Err(Unanswered::Unheard(_)) => Some(false),
            Err(Unanswered::Unknown(_)) => Some(true),
        };
        assert_eq!(got, heard, "{status} {answer}: {ordered:?}");
    }
    // Whether a server that is not there has heard it is not said to be known.
    let reach = through(&Named::at(&nobody().await));
    let ordered = http(&reach).order("http://api-1:8000/v1/halt", &[], &json!({})).await;
    assert!(matches!(ordered, Err(Unanswered::Unknown(_))), "{ordered:?}");
}

#[tokio::test]
async fn a_long_answer_is_read_line_by_line_and_silence_in_it_is_a_time_out() {
    let (_listening, _named, reach, _) = answering(200, "one\ntwo\n").await;
    let mut lines = Vec::new();
    let url = "http://api-1:8000/v1/metrics";
    let instance = http(&reach);
    let read = instance.lines(url, 100, |line| {
        lines.push(line.to_owned());
        Ok(())
    });
    read.await.unwrap();
    assert_eq!(lines, ["one", "two"]);
    let (_listening, _named, reach, _) = answering(503, &said(503, DIALLED)).await;
    assert!(matches!(http(&reach).lines(url, 100, |_| Ok(())).await, Err(PortError::Unreachable { .. })));

    let half = Router::new().fallback(async || {
        let first = stream::once(async { Ok::<_, std::io::Error>("half\n") });
        Body::from_stream(futures::StreamExt::chain(first, stream::pending()))
    });
    let listening = Listening::start(half).await;
    let reach = through(&Named::at(&listening.address()));
    let hasty = Http::to_instances("instance api-1", Duration::from_millis(200), &reach).unwrap();
    for answer in [hasty.lines(url, 100, |_| Ok(())).await, hasty.get(url).await.map(|_| ())] {
        assert!(matches!(answer, Err(PortError::TimedOut { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn no_path_leads_out_of_the_pod() {
    let (_listening, _named, reach, asked) = answering(200, "{}").await;
    let PortError::Unreadable { .. } = http(&reach).url("api-1:8000/../..", "/v1").unwrap_err() else { panic!() };
    for path in ["/../../secrets", "/v1/%2e%2e/%2e%2e/x"] {
        // What is left of it after the client's own reading stays beneath the pod.
        let url = http(&reach).url("api-1:8000", path).unwrap();
        let _ = http(&reach).get(&url).await;
    }
    let asked = asked.lock().unwrap();
    assert!(
        asked
            .iter()
            .all(|(_, uri, ..)| uri.starts_with("/api/v1/namespaces/conclave/pods/api-1:8000/proxy/")
                && !uri.contains("..")),
        "{asked:?}"
    );
}
