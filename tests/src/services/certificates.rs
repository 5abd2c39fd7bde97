//! Certificates for a test's servers, from an authority that nobody else knows.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{program, run};

/// An authority that signs certificates.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
    openssl: PathBuf,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let authority = Self { folder: TempDir::new().unwrap(), openssl: program("openssl", "openssl", &[]) };
        let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        // A name of its own: authorities of the same name would be taken for one another.
        let name = authority.folder.path().file_name().unwrap().to_string_lossy().into_owned();
        run(authority
            .openssl()
            .args(new)
            .args(["-subj", &format!("/CN=authority {name}"), "-keyout", "ca.key"])
            .args(["-addext", "keyUsage=critical,keyCertSign", "-out", "ca.pem"]));
        authority
    }

    /// Its own certificate, PEM: who trusts it trusts what it signs.
    pub fn certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A certificate for that name, as `IP:127.0.0.1` or `DNS:db.example`.
    pub fn certifies(&self, name: &str) -> Certificate {
        let file = name.replace(|character: char| !character.is_ascii_alphanumeric(), "-");
        let [request, key, signed, extensions] =
            ["csr", "key", "pem", "ext"].map(|kind| self.path(&format!("{file}.{kind}")));
        std::fs::write(&extensions, format!("subjectAltName={name}\nbasicConstraints=CA:FALSE\n")).unwrap();
        let new = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        run(self
            .openssl()
            .args(new)
            .args(["-subj", "/CN=a server of a test", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&request));
        let sign = ["x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"];
        run(self
            .openssl()
            .args(sign)
            .arg("-in")
            .arg(&request)
            .arg("-extfile")
            .arg(&extensions)
            .arg("-out")
            .arg(&signed));
        Certificate { certificate: signed, key }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self) -> Command {
        let mut command = Command::new(&self.openssl);
        command.current_dir(self.folder.path());
        command
    }
}

impl Certificate {
    /// Copies both into a folder, readable by their owner only: the certificate and the key there.
    pub fn copied_to(&self, folder: &Path) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let copied = Self { certificate: folder.join("server.pem"), key: folder.join("server.key") };
        for (from, to) in [(&self.certificate, &copied.certificate), (&self.key, &copied.key)] {
            std::fs::copy(from, to).unwrap();
            std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        copied
    }
}
