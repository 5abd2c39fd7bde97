//! Requests to a small server, and addresses that can be none.

use std::sync::Mutex;

use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::response::IntoResponse as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;

const SECRET: &str = "s3cret-path";

fn settings(toml: &str) -> Result<Settings, String> {
    use figment::Figment;
    use figment::providers::{Format as _, Toml};
    let settings = Figment::from(Toml::string(toml)).extract::<Settings>().map_err(|error| error.to_string())?;
    settings.usable().map_err(|error| error.to_string())?;
    Ok(settings)
}

/// Whoever waits for heartbeats.
#[derive(Clone, Default)]
struct Monitor {
    asked: Arc<Mutex<Vec<String>>>,
    told: Arc<Notify>,
    answers: Arc<Mutex<StatusCode>>,
}

impl Monitor {
    async fn heartbeat(&self, beats: &Arc<Beats>) -> Heartbeat {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let monitor = self.clone();
        let answer = move |uri: Uri| async move {
            monitor.asked.lock().unwrap().push(uri.to_string());
            monitor.told.notify_one();
            let status = *monitor.answers.lock().unwrap();
            (status, [(header::LOCATION, "/elsewhere")]).into_response()
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        let settings = settings(&format!("url = \"http://{address}/{SECRET}\"")).unwrap();
        Heartbeat::new(&settings, Arc::clone(beats)).unwrap()
    }
}

#[tokio::test]
async fn a_beat_that_is_taken_is_counted_and_one_that_is_not_is_too_and_leads_nowhere_else() {
    let (monitor, beats) = (Monitor::default(), Arc::new(Beats::default()));
    let heartbeat = monitor.heartbeat(&beats).await;
    heartbeat.once().await;
    assert_eq!(beats.counts(), [("sent", 1), ("failed", 0)]);
    let at = beats.last_sent().unwrap();
    for refused in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::FOUND, StatusCode::NOT_FOUND] {
        *monitor.answers.lock().unwrap() = refused;
        let why = heartbeat.request().await.unwrap_err();
        assert_eq!(why, format!("the answer was {}", refused.as_u16()));
        heartbeat.once().await;
    }
    assert_eq!(beats.counts(), [("sent", 1), ("failed", 3)]);
    assert_eq!(beats.last_sent(), Some(at));
    assert!(monitor.asked.lock().unwrap().iter().all(|asked| asked == &format!("/{SECRET}")));
}

#[tokio::test]
async fn nobody_there_is_said_without_the_address() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let settings = settings(&format!("url = \"http://{nobody}/{SECRET}\"")).unwrap();
    let heartbeat = Heartbeat::new(&settings, Arc::default()).unwrap();
    let why = heartbeat.request().await.unwrap_err();
    assert!(why.contains("refused") && !why.contains(SECRET), "{why}");
    assert!(!format!("{settings:?} {:?}", heartbeat.address).contains(SECRET));
}

#[test]
fn an_address_that_can_be_none_is_refused_without_being_repeated() {
    for (toml, wanted) in [
        ("", "no address is given"),
        ("url = \"s3cret\"", "heartbeat.url: it is no address"),
        ("url = \"ftp://s3cret.example\"", "heartbeat.url: it must begin with https:// or http://"),
        ("url = \"https://a.example/s3cret\"\nevery = \"1s\"", "heartbeat.every: it must be from 10s to 1h"),
        ("url = \"\"", "heartbeat.url: it is empty"),
    ] {
        let wrong = settings(toml).unwrap_err();
        assert!(wrong.contains(wanted) && !wrong.contains("s3cret"), "{toml}: {wrong}");
    }
    assert!(settings("url_file = \"/run/credentials/heartbeat\"").is_ok(), "it is read where it is used");
    let both = settings("url = \"https://a.example/s3cret\"\nurl_file = \"/x\"").unwrap();
    let wrong = Heartbeat::new(&both, Arc::default()).err().unwrap();
    assert!(wrong.contains("not both") && !wrong.contains("s3cret"), "{wrong}");
}

#[test]
fn what_is_shown_of_an_address_is_its_host() {
    let of = |url: &str| settings(&format!("url = \"{url}\"")).unwrap().address().unwrap();
    assert_eq!(of("https://user:pass@a.example/s3cret?k=1").host(), ("a.example".to_owned(), 443));
    assert_eq!(of("http://[::1]:8080/x").host(), ("::1".to_owned(), 8_080));
    assert!(of("http://a.example/x").is_readable_on_its_way());
    for safe in ["https://a.example/x", "http://127.0.0.1/x", "http://[::1]/x", "http://localhost/x"] {
        assert!(!of(safe).is_readable_on_its_way(), "{safe}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_bot_that_is_ready_is_heard_and_as_soon_as_it_is() {
    // Ready from 12 s to 100 s after the beginning.
    let began = Instant::now();
    let is_ready = || std::future::ready((12..100).contains(&began.elapsed().as_secs())).boxed();
    let heard = Mutex::new(Vec::new());
    let request = || {
        {
            let _: () = heard.lock().unwrap().push(began.elapsed().as_secs());
            std::future::ready(())
        }
        .boxed()
    };
    let beating = while_ready(Duration::from_mins(1), is_ready, request);
    assert!(tokio::time::timeout(Duration::from_mins(10), beating).await.is_err());
    assert_eq!(*heard.lock().unwrap(), [15, 75]);
}
