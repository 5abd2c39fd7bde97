//! The file by which a Prometheus finds the instances (`file_sd_configs`).

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use serde_json::json;

/// Where an instance answers with its figures, whatever the job says.
const PATH: &str = "/v1/metrics";

/// What the file holds.
pub(super) fn targets(addresses: &[String], labels: &BTreeMap<String, String>) -> String {
    let mut labels = labels.clone();
    labels.insert("__metrics_path__".to_owned(), PATH.to_owned());
    json!([{ "targets": addresses, "labels": labels }]).to_string()
}

/// Writes it as a whole: it is read whenever it changes.
pub(super) fn write(file: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = file.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    // Prometheus is somebody else, and the addresses are no secret.
    new.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    new.write_all(text.as_bytes())?;
    new.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prometheus_finds_the_addresses_and_where_to_ask() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("targets.json");
        let labels = BTreeMap::from([("drill".to_owned(), "a1".to_owned())]);
        write(&file, "[]").unwrap();
        write(&file, &targets(&["127.0.0.1:9001".to_owned()], &labels)).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(
            read,
            json!([{ "targets": ["127.0.0.1:9001"], "labels": { "drill": "a1", "__metrics_path__": "/v1/metrics" } }])
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }
}
