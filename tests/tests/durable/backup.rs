//! A backup that is made while an operation is under way, and what becomes of it once it is put back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use scalebot_tests::binary::only;
use scalebot_tests::run::Service;

use super::EASY;

/// As the README has it: what is there is put aside, with all that belongs to it, and the backup takes its place.
fn restore(service: &Service, backup: &Path) {
    let aside = service.home.path().join("aside");
    std::fs::create_dir(&aside).unwrap();
    for entry in std::fs::read_dir(service.state()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("ledger.db") {
            std::fs::rename(entry.path(), aside.join(entry.file_name())).unwrap();
        }
    }
    std::fs::copy(backup, service.state().join("ledger.db")).unwrap();
}

#[test]
fn one_that_is_made_in_the_middle_is_whole_and_put_back_later_it_is_seen_to_be_older() {
    let service = Service::with(&["api"], EASY);
    let mut serving = service.start_ready();
    serving.types("/scale up 6 reason:\"campaign\"");
    service.until("scaled", 1);
    let backup = service.home.path().join("backup.db");
    let name = backup.to_str().unwrap();
    let (code, said) = service.on_the_host(&["ledger", "backup", name]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Backed up to") && said.contains("1 operation not ended"), "{said}");
    assert!(said.contains("It was read again there: it is whole and in order."), "{said}");
    assert_eq!(std::fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);

    // Nothing that exists is written over, and nothing is left of what was not made.
    let before = std::fs::read(&backup).unwrap();
    let (code, said) = service.on_the_host(&["ledger", "backup", name]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("exists already and is left as it is; name another file"), "{said}");
    assert_eq!(std::fs::read(&backup).unwrap(), before);
    let (code, said) = service.on_the_host(&["ledger", "backup", "/no/such/folder/backup.db"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("not backed up: /no/such/folder/backup.db cannot be made"), "{said}");

    // The operation went on meanwhile.
    let events = service.until("finished", 1);
    assert_eq!(only(&events, "finished")["outcome"], "completed");
    assert_eq!(serving.stop(), Some(0));
    service.proved();

    restore(&service, &backup);
    let (code, said) = service.on_the_host(&["ledger", "verify"]);
    assert_eq!(code, Some(1), "{said}");
    let serving = service.start();
    serving.until_it_says("Nothing is carried out: the log channel was told of events up to");
    serving.until_it_says("An older log was put back");
    // Nobody has decided yet, and it can be told to stop all the same.
    assert_eq!(serving.stop(), Some(0));
    let restored = service.events();
    assert!(events.starts_with(&restored) && restored.len() < events.len(), "nothing was added to it");

    // With the newer one back in its place everything is as it was.
    for entry in std::fs::read_dir(service.home.path().join("aside")).unwrap() {
        let entry = entry.unwrap();
        std::fs::rename(entry.path(), service.state().join(entry.file_name())).unwrap();
    }
    let serving = service.start_ready();
    assert_eq!(serving.stop(), Some(0));
    service.proved();

    // Where the newer one is lost, a person says so, and the fleet is found as it is.
    std::fs::remove_dir(service.home.path().join("aside")).unwrap();
    restore(&service, &backup);
    let (code, said) = service.on_the_host(&["ledger", "accept-loss", "--reason", "the disk is broken"]);
    assert_eq!(code, Some(0), "{said}");
    let serving = service.start_ready();
    let events = service.until("finished", 1);
    assert_eq!(only(&events, "finished")["ended_at"], 6);
    assert_eq!(service.processes("drill-instance").len(), 6);
    assert_eq!(serving.stop(), Some(0));
}
