//! A private Redis.

use std::net::SocketAddr;

use tempfile::TempDir;

use super::certificates::Certificate;
use super::{Launch, Running, give, on_free_port, program};

/// Redis needs no rights of root; the Debian package brings this user.
const USER: &str = "redis";

/// The password of the user who may do everything.
const PASSWORD: &str = "hidden-in-an-administrator";

/// A Redis server with nothing in it.
#[derive(Debug)]
pub struct Redis {
    folder: TempDir,
    port: u16,
    encrypted: bool,
    arguments: Vec<String>,
    server: Option<Running>,
}

impl Redis {
    /// Starts one that knows an administrator, and the users of these lines of an ACL file.
    pub fn new(users: &str) -> Self {
        Self::build(users, &[], None)
    }

    /// Starts one with these settings besides, as `["--maxclients", "100"]`.
    pub fn with(users: &str, settings: &[&str]) -> Self {
        Self::build(users, settings, None)
    }

    /// Starts one that takes encrypted connections only.
    pub fn with_certificate(users: &str, certificate: &Certificate) -> Self {
        Self::build(users, &[], Some(certificate))
    }

    fn build(users: &str, settings: &[&str], certificate: Option<&Certificate>) -> Self {
        let folder = TempDir::new().unwrap();
        let administrator = format!("user default off\nuser administrator on >{PASSWORD} ~* &* +@all\n");
        std::fs::write(folder.path().join("users.acl"), administrator + users).unwrap();
        let mut arguments: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        if let Some(certificate) = certificate {
            let copied = certificate.copied_to(folder.path());
            let file = |path: &std::path::Path| path.display().to_string();
            arguments.extend(["--tls-cert-file".into(), file(&copied.certificate)]);
            arguments.extend(["--tls-key-file".into(), file(&copied.key)]);
            arguments.extend(["--tls-ca-cert-file".into(), file(&copied.certificate)]);
            arguments.extend(["--tls-auth-clients", "no"].map(str::to_owned));
        }
        give(folder.path(), USER);
        let mut redis = Self { folder, port: 0, encrypted: certificate.is_some(), arguments, server: None };
        let (port, server) = on_free_port("Redis", |port| redis.launch(port).start().map(|server| (port, server)));
        (redis.port, redis.server) = (port, Some(server));
        redis
    }

    fn launch(&self, port: u16) -> Launch {
        let port_text = port.to_string();
        let ports = if self.encrypted {
            ["--port", "0", "--tls-port", &port_text]
        } else {
            ["--port", &port_text, "--tls-port", "0"]
        };
        let mut arguments: Vec<std::ffi::OsString> = ports.map(Into::into).into();
        arguments.extend(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"].map(Into::into));
        arguments.extend(["--dir".into(), self.folder.path().as_os_str().to_owned()]);
        arguments.extend(["--aclfile".into(), self.folder.path().join("users.acl").into_os_string()]);
        arguments.extend(self.arguments.iter().map(Into::into));
        Launch {
            program: program("redis-server", "redis-server", &[]),
            arguments,
            ended_by: "KILL",
            says: Some("eady to accept connections"),
            listens: SocketAddr::from(([127, 0, 0, 1], port)),
            user: Some(USER),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Ends it, keeping what was written.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.end_by("TERM");
        }
    }

    /// Starts it again where it was, with what is in it.
    pub fn start_again(&mut self) {
        self.stop();
        self.server = Some(self.launch(self.port).start().unwrap_or_else(|why| panic!("Redis: {why}")));
    }

    /// Its process, to be stopped and continued.
    ///
    /// # Panics
    /// When it was stopped.
    pub fn server(&self) -> &Running {
        self.server.as_ref().expect("it was stopped")
    }

    /// The URL by which an administrator reaches it.
    pub fn administrator(&self) -> String {
        format!("redis://administrator:{PASSWORD}@{}", self.address())
    }
}
