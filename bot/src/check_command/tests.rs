//! What the doctor says, and what it says of a host on which something is wrong.

use scalebot_commands::event::{Claim, Draft, Kind};
use scalebot_commands::ports::{Ledger as _, PortError};
use scalebot_commands::units::{Epoch, OperationId, TargetName, Timestamp};

use super::*;

struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    /// What is found, with that in the configuration besides.
    async fn found(&self, more: &str) -> Vec<Finding> {
        self.found_of("kind = \"process\"", more).await
    }

    /// The same of that fleet.
    async fn found_of(&self, fleet: &str, more: &str) -> Vec<Finding> {
        let file = self.folder.path().join("scalebot.toml");
        let text = format!(
            "[state]\ndirectory = \"{}\"\n[targets.api]\nfleet = {{ {fleet} }}\nhalt.sources = []\n{more}",
            self.state().display()
        );
        std::fs::write(&file, text).unwrap();
        let config = Arc::new(Config::load(&file).unwrap());
        let dir = StateDir::of_service(Arc::clone(&config));
        let clock: Arc<dyn World> = Arc::new(System::new());
        look(&config, &dir, &clock).await
    }
}

fn of<'a>(found: &'a [Finding], system: &str) -> Vec<&'a Finding> {
    found.iter().filter(|finding| finding.system == system).collect()
}

#[test]
fn each_line_says_what_it_comes_to_by_a_word_and_a_sign_and_what_to_do() {
    let refused =
        PortError::Refused { what: "PostgreSQL".into(), detail: "no right to\n\u{202e}read halt_state".into() };
    let found = [
        Finding::ok("state directory", "can be used"),
        Finding::not_configured("chat", "standard input"),
        Finding::warn("limits of api", "one person alone can scale", "Set approval.requester_may = false."),
        Finding::unanswered("PostgreSQL at db.example:5432", &refused),
    ];
    insta::assert_snapshot!(said(&found), @r"
    ✓ ok  state directory: can be used
    – not configured  chat: standard input
    ! to be improved  limits of api: one person alone can scale
        → Set approval.requester_may = false.
    ✗ FAILED  PostgreSQL at db.example:5432: PostgreSQL refused: no right to \u{202e}read halt_state
        → Grant what it names, or correct the credentials in the configuration.

    Failed: 1. To be improved: 1.
    Do what stands below each, then look again.
    ");
    insta::assert_snapshot!(said(&found[2..3]), @r"
    ! to be improved  limits of api: one person alone can scale
        → Set approval.requester_may = false.

    Everything works. To be improved: 1.
    ");
    insta::assert_snapshot!(said(&found[..1]), @r"
    ✓ ok  state directory: can be used

    Everything that is configured is as it should be.
    ");
}

#[tokio::test(start_paused = true)]
async fn what_never_answers_holds_nothing_up_and_is_a_failure() {
    let hangs = Look::at("Redis", async { std::future::pending().await });
    let found = hangs.within(LIMIT).await;
    assert_eq!((found.len(), found[0].status, found[0].system.as_str()), (1, Status::Failed, "Redis"));
    assert_eq!(found[0].text, "it did not answer within 10 s");
}

#[tokio::test]
async fn a_host_on_which_nothing_was_ever_begun_is_as_it_should_be_and_stays_so() {
    let host = Host::new();
    let found = host.found("[http]\nenabled = false\n").await;
    assert!(found.iter().all(|finding| finding.status != Status::Failed), "{found:?}");
    assert!(of(&found, "state directory")[0].text.contains("the service makes it"));
    assert!(of(&found, "fleet api")[0].text.contains("no processes run"), "{found:?}");
    // That no source of truth is named is explicit, and still said.
    assert!(of(&found, "limits of api").iter().any(|finding| finding.status == Status::Warn));
    assert!(!host.state().exists());
}

#[tokio::test]
async fn what_is_wrong_on_the_host_is_found() {
    let host = Host::new();
    std::fs::write(host.state(), "").unwrap();
    let found = host.found("[http]\nenabled = false\n").await;
    assert_eq!(of(&found, "state directory")[0].status, Status::Failed);

    let host = Host::new();
    std::fs::create_dir(host.state()).unwrap();
    std::fs::write(host.state().join("ledger.db"), "no log").unwrap();
    let found = host.found("[http]\nenabled = false\n").await;
    assert!(of(&found, "state directory")[0].text.contains("holds the log of a rehearsal"));
    assert_eq!(of(&found, "operational log")[0].status, Status::Failed);

    let host = Host::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let found = host.found(&format!("[http]\nlisten = \"{}\"\n", taken.local_addr().unwrap())).await;
    assert_eq!(of(&found, "health and metrics")[0].status, Status::Failed);

    let nobody = taken.local_addr().unwrap();
    drop(taken);
    let more = format!("dashboards = [\"http://{nobody}/d\"]\nredis = {{ url = \"redis://{nobody}\", halt = {{}} }}\n");
    let found = host.found(&more).await;
    assert_eq!(of(&found, &format!("dashboard http://{nobody}/d"))[0].status, Status::Warn);
    assert!(found.iter().any(|finding| finding.system.starts_with("Redis") && finding.status == Status::Failed));
}

#[tokio::test]
async fn who_waits_for_the_heartbeat_is_reached_and_not_told_anything() {
    let host = Host::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let more = format!("[http]\nenabled = false\n[heartbeat]\nurl = \"http://{at}/hidden\"\n");
    let found = host.found(&more).await;
    let [line] = of(&found, "heartbeat")[..] else { panic!("{found:?}") };
    assert_eq!(
        (line.status, line.text.as_str()),
        (Status::Ok, "127.0.0.1 can be reached; it is told every 60 s while the bot is ready")
    );
    // Somebody has called, and said nothing.
    let (mut called, _) = listener.accept().await.unwrap();
    let mut heard = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut called, &mut heard).await.unwrap();
    assert_eq!(heard, b"");

    drop(listener);
    let found = host.found(&more).await;
    assert_eq!(of(&found, "heartbeat")[0].status, Status::Failed);
    assert!(!said(&found).contains("hidden"));
    let found = host.found("[http]\nenabled = false\n").await;
    assert_eq!(of(&found, "heartbeat")[0].status, Status::NotConfigured);
}

#[tokio::test]
async fn an_operation_that_waits_for_a_person_is_named() {
    let host = Host::new();
    std::fs::create_dir(host.state()).unwrap();
    std::fs::write(host.state().join("service"), "").unwrap();
    let ledger = scalebot_adapters::ledger::SqliteLedger::open(&host.state().join("ledger.db")).await.unwrap();
    let epoch = ledger.take_over().await.unwrap();
    let target = TargetName::new("api");
    for (op_seq, kind, body, claim) in [
        (1, Kind::Requested, "{}", Claim::Take(target.clone())),
        (2, Kind::Parked, r#"{"reason":"of another version"}"#, Claim::Keep),
    ] {
        let (operation, at) = (Some(OperationId::new("op-7f3a01")), Timestamp::now());
        let draft = Draft { operation, op_seq, epoch: Epoch(epoch.0), at, kind, body: body.to_owned(), claim };
        ledger.append(draft).await.unwrap();
    }
    ledger.close().await;
    let found = host.found("[http]\nenabled = false\n").await;
    let log = of(&found, "operational log")[0];
    assert_eq!((log.status, log.text.as_str()), (Status::Warn, "cannot go on by itself: operation 7f3a01 on api"));
    assert!(log.to_do.as_deref().unwrap().contains("scalebot operation list --config "), "{log:?}");
}

#[tokio::test]
async fn a_cluster_that_cannot_be_used_or_reached_is_found() {
    const MORE: &str = "[http]\nenabled = false\n[discord]\ntoken = \"t\"\napi_base = \"http://127.0.0.1:1\"\nguild = \"1\"\n\
                        channels = { ops = [\"2\"], governance = \"3\", log = \"4\" }\n\
                        roles = { operator = [\"5\"], governance_lead = [\"6\"] }\n";
    let host = Host::new();
    let kubeconfig = host.folder.path().join("kubeconfig");
    let fleet = format!(
        "kind = \"kubernetes\", namespace = \"conclave\", deployment = \"api\", service = \"api\", kubeconfig = \"{}\"",
        kubeconfig.display()
    );
    let found = host.found_of(&fleet, MORE).await;
    let absent = of(&found, "fleet api")[0];
    assert_eq!(absent.status, Status::Failed);
    assert!(absent.text.starts_with("targets.api.fleet.kubeconfig: "), "{absent:?}");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let contents = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
         clusters: [{{name: it, cluster: {{server: \"http://{nobody}\"}}}}]\n\
         users: [{{name: it, user: {{token: hidden}}}}]\n\
         contexts: [{{name: it, context: {{cluster: it, user: it}}}}]\n"
    );
    std::fs::write(&kubeconfig, contents).unwrap();
    let found = host.found_of(&fleet, MORE).await;
    let unreached = of(&found, "fleet api")[0];
    assert_eq!(unreached.status, Status::Failed);
    assert!(unreached.text.contains("the Kubernetes API cannot be reached"), "{unreached:?}");
    // What the cluster itself says has lines of its own.
    let own =
        found.iter().filter(|finding| finding.system.contains("Kubernetes") || finding.system.contains("conclave"));
    assert!(own.clone().any(|finding| finding.status == Status::Failed), "{found:?}");
    assert!(!said(&found).contains("hidden"));
}
