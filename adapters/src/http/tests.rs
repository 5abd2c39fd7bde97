use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::Redirect;
use axum::routing::get;
use serde_json::Value;

use super::testing::{Server, nobody};
use super::*;

/// Waits longer than any answer here takes on a busy machine.
fn http() -> Http {
    Http::new("the backend", Duration::from_secs(10)).unwrap()
}

fn hasty() -> Http {
    Http::new("the backend", Duration::from_millis(100)).unwrap()
}

async fn asked(server: &Server, path: &str) -> Result<Value, PortError> {
    http().get_json(&http().url(&server.address(), path).unwrap()).await
}

async fn read_lines(server: &Server, path: &str, most: usize) -> Result<Vec<String>, PortError> {
    let mut lines = Vec::new();
    let url = http().url(&server.address(), path).unwrap();
    http()
        .lines(&url, most, |line| {
            lines.push(line.to_owned());
            if line == "bad" { Err("not good".into()) } else { Ok(()) }
        })
        .await
        .map(|()| lines)
}

#[tokio::test]
async fn every_failure_becomes_the_error_that_an_operator_would_act_on() {
    let server = Server::start(
        Router::new()
            .route("/denied", get(async || (StatusCode::FORBIDDEN, "not you")))
            .route("/broken", get(async || (StatusCode::INTERNAL_SERVER_ERROR, "oops")))
            .route("/busy", get(async || (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "60")], "slow down")))
            .route("/away", get(async || Redirect::temporary("/fine")))
            .route("/fine", get(async || "{}"))
            .route("/text", get(async || "hello"))
            .route("/huge", get(async || vec![b'['; MAX_BODY + 1])),
    )
    .await;
    let said = async |path: &str| asked(&server, path).await.unwrap_err();

    assert!(matches!(said("/nowhere").await, PortError::NotServed { .. }));
    assert!(matches!(said("/denied").await, PortError::Refused { .. }));
    for path in ["/broken", "/away", "/text", "/huge"] {
        let error = said(path).await;
        assert!(matches!(error, PortError::Unreadable { .. }), "{path}: {error:?}");
    }
    assert_eq!(
        said("/busy").await.to_string(),
        "the backend answered something unexpected (/busy answered 429 Too Many Requests: slow down; ask again in 60 s)"
    );
    assert!(asked(&server, "/fine").await.is_ok());
}

#[tokio::test]
async fn silence_is_a_time_out_even_in_the_middle_of_an_answer() {
    let silent = Server::silent().await;
    let started = Server::start(Router::new().route(
        "/half",
        get(async || {
            let first = futures::stream::once(async { Ok::<_, std::io::Error>("half\n") });
            axum::body::Body::from_stream(futures::StreamExt::chain(first, futures::stream::pending()))
        }),
    ))
    .await;
    for (server, path) in [(silent, "/"), (started, "/half")] {
        let url = hasty().url(&server.address(), path).unwrap();
        assert!(matches!(hasty().get(&url).await, Err(PortError::TimedOut { .. })), "{path}");
        assert!(matches!(hasty().lines(&url, 100, |_| Ok(())).await, Err(PortError::TimedOut { .. })), "{path}");
    }
}

#[tokio::test]
async fn nobody_there_and_half_an_answer_are_errors() {
    let url = http().url(&nobody().await, "/").unwrap();
    assert!(matches!(http().get(&url).await, Err(PortError::Unreachable { .. })));
    let half = Server::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}").await;
    assert!(matches!(asked(&half, "/").await, Err(PortError::Unreachable { .. })));
}

#[tokio::test]
async fn an_error_quotes_little_and_nothing_that_a_terminal_obeys() {
    let server = Server::start(
        Router::new()
            .route("/esc", get(async || (StatusCode::BAD_GATEWAY, format!("\u{1b}[2J{}", "x".repeat(5_000)))))
            .route("/long", get(async || format!("\"{}\"", "x".repeat(100_000)))),
    )
    .await;
    let error = asked(&server, "/esc?token=secret").await.unwrap_err().to_string();
    assert!(error.len() < 400 && !error.contains('\u{1b}') && !error.contains("secret"), "{error}");

    let url = http().url(&server.address(), "/long").unwrap();
    let error = http().get_json::<bool>(&url).await.unwrap_err().to_string();
    assert!(error.len() < 400, "{error}");
}

#[tokio::test]
async fn an_answer_is_read_line_by_line_to_its_last_line_feed() {
    let server = Server::start(
        Router::new()
            .route("/three", get(async || "one\n\nthree\n"))
            .route("/none", get(async || ""))
            .route("/cut", get(async || "one\ntw"))
            .route("/bad", get(async || "one\nbad\nthree\n"))
            .route("/bytes", get(async || b"one\n\xff\n".to_vec()))
            .route("/wide", get(async || "x".repeat(MAX_LINE + 1)))
            .route("/long", get(async || "x\n".repeat(1_000))),
    )
    .await;
    assert_eq!(read_lines(&server, "/three", 100).await.unwrap(), ["one", "", "three"]);
    assert_eq!(read_lines(&server, "/none", 100).await.unwrap(), [""; 0]);
    assert!(matches!(read_lines(&server, "/absent", 100).await, Err(PortError::NotServed { .. })));
    for (path, wrong) in [
        ("/cut", "/cut: ends in the middle of a line"),
        ("/bad", "/bad: line 2: not good"),
        ("/bytes", "/bytes: line 2: no UTF-8"),
        ("/wide", "/wide: line 1 is too long"),
        ("/long", "/long: more than 0 MiB"),
    ] {
        let error = read_lines(&server, path, if path == "/wide" { 1 << 20 } else { 100 }).await.unwrap_err();
        assert_eq!(error, http().unreadable(wrong));
    }
}

#[test]
fn an_address_is_a_host_and_a_port_and_nothing_else() {
    for address in ["127.0.0.1:80", "[::1]:8000", "api-1.api.svc:8000"] {
        assert_eq!(http().url(address, "/v1").unwrap(), format!("http://{address}/v1"));
    }
    for address in ["", "a/b", "user@host:1", "host?x", "host#x", "ho st", "host\r\nx"] {
        assert!(http().url(address, "/v1").is_err(), "{address}");
    }
    assert!(http().url("host:1", "v1").is_err());
}
