//! Machines that are logged in to: an OpenSSH server on each of several addresses of this machine, with a host key of its
//! own. A small program on each plays what starts and ends services there.

use std::fs::{File, OpenOptions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Launch, Running, free_port, is_root, on_free_port, program, run};

/// What `systemctl` and a deployment tool are on a real host. Who holds `alive` open is the test; with it all of them end.
const HOST: &str = r#"#!/bin/sh
set -eu
cd "$HOST"
runs() { [ -e pid ] && kill -0 "$(cat pid)" 2>/dev/null; }
held() { while [ -e "../hold-$1" ]; do sleep 0.05; done; }
if [ "$1" != status ] && [ "$1" != logs ]; then
    echo "$1" >>done
    held "$1"
fi
case $1 in
status) if runs; then echo active; else echo inactive; exit 3; fi ;;
logs) tail -n 200 log ;;
deploy) [ ! -e ../cannot-deploy ] || { echo 'no space left on device' >&2; exit 1; } ;;
start)
    runs && exit 0
    HOST_NAME=$(basename "$HOST") setsid sh -c '
        "$PROGRAM" drill-instance --name "$HOST_NAME" --alone "$SERVED" --fault crash --fault-if "$HOST/crash" &
        instance=$!
        echo "$instance" >pid
        (read -r _ <../alive || true; kill -9 "$instance") 2>/dev/null &
        wait "$instance" || true
        rm -f pid
    ' </dev/null >log 2>&1 &
    while [ ! -s pid ] && kill -0 $! 2>/dev/null; do sleep 0.02; done
    ;;
stop)
    while runs; do kill "$(cat pid)" 2>/dev/null || true; sleep 0.05; done
    rm -f pid
    ;;
esac
"#;

/// Machines on one network of this machine.
#[derive(Debug)]
pub struct Machines {
    folder: TempDir,
    /// All programs on the machines end as soon as nobody holds it open.
    _alive: File,
    network: [u8; 2],
    ssh: u16,
    service: u16,
    count: u8,
    servers: Vec<Running>,
}

impl Machines {
    /// So many, called `vm-1` and so on, with nothing running on them.
    pub fn start(count: u8) -> Self {
        let folder = tempfile::Builder::new().prefix("vm").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        run(Command::new("mkfifo").arg(at("alive")));
        let alive = OpenOptions::new().read(true).write(true).open(at("alive")).unwrap();
        std::fs::write(at("host"), HOST).unwrap();
        std::fs::set_permissions(at("host"), std::fs::Permissions::from_mode(0o755)).unwrap();
        if is_root() {
            // What a server that was started by the system finds there.
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        key(&at("bot"));
        let network = [fastrand::u8(1..=254), fastrand::u8(1..=254)];
        let mut machines =
            Self { folder, _alive: alive, network, ssh: 0, service: free_port(), count, servers: Vec::new() };
        for number in 1..=count {
            let place = machines.place(number);
            std::fs::create_dir(&place).unwrap();
            key(&place.join("host_key"));
        }
        let (ssh, servers) = on_free_port("sshd", |port| {
            let started: Result<Vec<_>, String> =
                (1..=count).map(|number| machines.launch(number, port).start()).collect();
            started.map(|servers| (port, servers))
        });
        (machines.ssh, machines.servers) = (ssh, servers);
        machines.write_known_hosts();
        machines
    }

    fn launch(&self, number: u8, port: u16) -> Launch {
        let place = self.place(number);
        let address = IpAddr::V4(self.address(number));
        let text = format!(
            "Port {port}\nListenAddress {address}\nHostKey {place}/host_key\nAuthorizedKeysFile {folder}/bot.pub\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPidFile none\n\
             PermitRootLogin prohibit-password\nMaxStartups 100\nMaxSessions 100\n\
             SetEnv HOST={place} PROGRAM={program} SERVED={address}:{service}\n",
            place = place.display(),
            folder = self.folder.path().display(),
            program = crate::binary::program().display(),
            service = self.service,
        );
        let file = place.join("sshd_config");
        std::fs::write(&file, text).unwrap();
        Launch {
            program: program("sshd", "openssh-server", &[]),
            arguments: ["-D".into(), "-e".into(), "-f".into(), file.into()].to_vec(),
            ended_by: "TERM",
            says: Some("Server listening"),
            listens: SocketAddr::new(address, port),
            user: None,
        }
    }

    fn write_known_hosts(&self) {
        let lines = (1..=self.count).map(|number| {
            let key = std::fs::read_to_string(self.place(number).join("host_key.pub")).unwrap();
            format!("[{}]:{} {key}", self.address(number), self.ssh)
        });
        std::fs::write(self.known_hosts(), lines.collect::<String>()).unwrap();
    }

    /// The machine of that number has another host key from now on than the one that is known.
    pub fn is_another(&self, number: u8) {
        let (one, other) = (self.place(number), self.place(if number == 1 { 2 } else { 1 }));
        let known = std::fs::read_to_string(self.known_hosts()).unwrap();
        let key = |place: &Path| std::fs::read_to_string(place.join("host_key.pub")).unwrap().trim().to_owned();
        std::fs::write(self.known_hosts(), known.replacen(&key(&one), &key(&other), 1)).unwrap();
    }

    /// The name of a machine.
    pub fn name(number: u8) -> String {
        format!("vm-{number}")
    }

    /// Its address.
    pub fn address(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.network[0], self.network[1], number)
    }

    /// Where the services listen, on every machine.
    pub fn service(&self) -> u16 {
        self.service
    }

    /// Where the machines are logged in to.
    pub fn ssh(&self) -> u16 {
        self.ssh
    }

    /// Where everything of them is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What acts on a machine.
    pub fn program(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    /// The bot's key.
    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("bot")
    }

    /// The machines' own keys.
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    fn place(&self, number: u8) -> PathBuf {
        self.folder.path().join(Self::name(number))
    }

    /// Somebody does that on a machine: `start` or `stop`.
    pub fn somebody(&self, does: &str, number: u8) {
        let served = format!("{}:{}", self.address(number), self.service);
        let mut command = Command::new(self.program());
        command.arg(does).env("HOST", self.place(number)).env("SERVED", served);
        run(command.env("PROGRAM", crate::binary::program()));
    }

    /// What was done on a machine, in order.
    pub fn done(&self, number: u8) -> Vec<String> {
        let done = std::fs::read_to_string(self.place(number).join("done")).unwrap_or_default();
        done.lines().map(str::to_owned).collect()
    }

    /// Whether its service runs.
    pub fn runs(&self, number: u8) -> bool {
        self.place(number).join("pid").exists()
    }

    /// The service that is started next on a machine crashes soon after it was ready.
    pub fn will_crash(&self, number: u8) {
        std::fs::write(self.place(number).join("crash"), "").unwrap();
    }

    /// Whoever does that on any machine waits from now on: `deploy`, `start`, `stop`; or `make`, the tool that makes hosts.
    pub fn holds(&self, what: &str) {
        std::fs::write(self.folder.path().join(format!("hold-{what}")), "").unwrap();
    }

    /// They go on.
    pub fn lets_go(&self, what: &str) {
        std::fs::remove_file(self.folder.path().join(format!("hold-{what}"))).unwrap();
    }
}

/// A key pair without a passphrase.
fn key(file: &Path) {
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(file));
}
