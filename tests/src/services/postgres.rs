//! A private PostgreSQL.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tempfile::TempDir;

use super::certificates::Certificate;
use super::{Launch, Running, give, is_root, on_free_port, program, run};

/// PostgreSQL refuses to be run by root; the Debian package brings this user.
const USER: &str = "postgres";

/// The superuser's password.
const PASSWORD: &str = "hidden-in-a superuser";

/// A PostgreSQL server with nothing in it.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
    server: Option<Running>,
}

impl Default for Postgres {
    fn default() -> Self {
        Self::new()
    }
}

impl Postgres {
    /// Starts one that accepts 100 connections.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// Starts one with these settings, as `max_connections=20`.
    pub fn with(settings: &[&str]) -> Self {
        Self::build(settings, None)
    }

    /// Starts one that takes encrypted connections.
    pub fn with_certificate(certificate: &Certificate) -> Self {
        Self::build(&[], Some(certificate))
    }

    fn build(settings: &[&str], certificate: Option<&Certificate>) -> Self {
        let folder = TempDir::new().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let mut arguments: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        if let Some(certificate) = certificate {
            let copied = certificate.copied_to(folder.path());
            arguments.push("ssl=on".into());
            arguments.push(format!("ssl_cert_file={}", copied.certificate.display()));
            arguments.push(format!("ssl_key_file={}", copied.key.display()));
        }
        give(folder.path(), USER);
        let initdb = binary("initdb");
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(initdb);
            command
        } else {
            Command::new(initdb)
        };
        command.current_dir("/").arg("--pgdata").arg(folder.path().join("data")).arg("--pwfile").arg(&password);
        run(command.args([
            "--no-sync",
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        ]));
        let mut postgres = Self { folder, port: 0, arguments, server: None };
        let (port, server) =
            on_free_port("PostgreSQL", |port| postgres.launch(port).start().map(|server| (port, server)));
        (postgres.port, postgres.server) = (port, Some(server));
        postgres
    }

    fn launch(&self, port: u16) -> Launch {
        let mut arguments = vec!["-D".into(), self.folder.path().join("data").into_os_string()];
        let fixed = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "shared_buffers=4MB"];
        let settings = fixed.into_iter().chain(self.arguments.iter().map(String::as_str));
        arguments.extend(settings.flat_map(|setting| ["-c".into(), setting.into()]));
        arguments.extend(["-p".into(), port.to_string().into()]);
        Launch {
            program: binary("postgres"),
            arguments,
            ended_by: "QUIT",
            says: Some("database system is ready to accept"),
            listens: SocketAddr::from(([127, 0, 0, 1], port)),
            user: Some(USER),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The URL by which an administrator reaches it.
    pub fn administrator(&self) -> String {
        format!("postgres://postgres:{}@{}/postgres", PASSWORD.replace(' ', "%20"), self.address())
    }

    /// Ends it as an administrator would who does not wait: every session is told and ended.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.end_by("INT");
        }
    }

    /// Starts it again where it was, with what is in it.
    pub fn start_again(&mut self) {
        self.stop();
        self.server = Some(self.launch(self.port).start().unwrap_or_else(|why| panic!("PostgreSQL: {why}")));
    }

    /// Starts it again as one that follows another server, as far as it knows.
    pub fn start_again_as_a_follower(&mut self) {
        self.stop();
        let signal = self.folder.path().join("data/standby.signal");
        std::fs::write(&signal, "").unwrap();
        give(&signal, USER);
        self.start_again();
    }

    /// Keeps a copy of everything that is in it, as a backup does. Every session is ended.
    pub fn keeps_a_copy(&mut self) {
        self.stop();
        self.copy("data", "kept");
        self.start_again();
    }

    /// Puts that copy in place of what is in it: whatever came since is lost. Every session is ended.
    pub fn puts_the_copy_back(&mut self) {
        self.stop();
        self.copy("kept", "data");
        self.start_again();
    }

    fn copy(&self, from: &str, to: &str) {
        let to = self.folder.path().join(to);
        if to.exists() {
            std::fs::remove_dir_all(&to).unwrap();
        }
        run(Command::new("cp").arg("-a").arg(self.folder.path().join(from)).arg(&to));
    }

    /// A connection that may do everything.
    pub async fn superuser(&self) -> PgConnection {
        self.connect("postgres", PASSWORD).await
    }

    /// A connection of that role.
    pub async fn connect(&self, role: &str, password: &str) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(self.port).username(role);
        options.password(password).database("postgres").ssl_mode(PgSslMode::Prefer).connect().await.unwrap()
    }

    /// Carries statements out, everything permitted.
    pub async fn runs(&self, statements: &str) {
        let mut connection = self.superuser().await;
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
    }
}

/// A program that comes with it, such as `pg_dump`.
pub fn tool(name: &str) -> Command {
    Command::new(binary(name))
}

fn binary(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut folders: Vec<PathBuf> = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    folders.sort();
    folders.reverse();
    program(name, "postgresql", &folders)
}
