//! The runbook on a real Docker engine, which `./tests/run engine` starts for it.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

mod compose;
mod rehearsals;
mod swarm;

use std::net::SocketAddr;
use std::path::Path;

use scalebot_tests::binary::only;
use scalebot_tests::engine::Engine;
use scalebot_tests::services::{Launch, Running, on_free_port, program};
use serde_json::{Value, json};

fn ended(events: &[Value], outcome: &str, at: u32) {
    let finished = only(events, "finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!(outcome), &json!(at)), "{finished:#}");
}

/// The shipped filter before that engine, and at which port it is asked.
fn filtered(engine: &Engine, folder: &Path) -> (u16, Running) {
    let shipped = include_str!("../../../deploy/docker/socket-filter.cfg");
    let file = folder.join("filter.cfg");
    on_free_port("HAProxy", |port| {
        let text = shipped
            .replace("unix@/run/scalebot-docker/questions.sock mode 660 group scalebot", &format!("127.0.0.1:{port}"))
            .replace(
                "/run/scalebot-docker/orders.sock mode 660 group scalebot",
                &folder.join("orders.sock").to_string_lossy(),
            )
            .replace("/var/run/docker.sock", &engine.socket.to_string_lossy());
        std::fs::write(&file, text).unwrap();
        let launch = Launch {
            program: program("haproxy", "haproxy", &[]),
            arguments: vec!["-db".into(), "-f".into(), file.clone().into()],
            ended_by: "TERM",
            says: None,
            listens: SocketAddr::from(([127, 0, 0, 1], port)),
            user: None,
        };
        launch.start().map(|filter| (port, filter))
    })
}
