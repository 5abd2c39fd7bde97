//! What the tests of this adapter share: settings that name a server of the test.

use std::path::PathBuf;

use tempfile::TempDir;

use super::{Kubernetes, Settings};

/// The fleet of the tests: Deployment and Service `api` in the namespace `conclave`, at that address.
pub(super) struct Named {
    /// Until then the file is there.
    _folder: TempDir,
    pub(super) settings: Settings,
}

impl Named {
    pub(super) fn at(address: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file: PathBuf = folder.path().join("kubeconfig");
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
             clusters: [{{name: it, cluster: {{server: \"http://{address}\"}}}}]\n\
             users: [{{name: it, user: {{token: hidden}}}}]\n\
             contexts: [{{name: it, context: {{cluster: it, user: it}}}}]\n"
        );
        std::fs::write(&file, kubeconfig).unwrap();
        let settings = serde_json::from_value(serde_json::json!({
            "namespace": "conclave", "deployment": "api", "service": "api", "kubeconfig": file, "time_out": "10s",
        }));
        Self { _folder: folder, settings: settings.unwrap() }
    }

    pub(super) fn kubernetes(&self) -> Kubernetes {
        Kubernetes::new(&self.settings).unwrap()
    }
}
