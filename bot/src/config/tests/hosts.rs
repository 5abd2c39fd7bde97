//! A fleet on plain hosts, as an operator may write it.

use super::super::target::TrafficSource;
use super::*;

/// A fleet on hosts, with more in its section, and more at the end.
fn on_hosts(more: &str, end: &str) -> Result<Config, String> {
    read(&format!(
        "discord = {{ guild = \"1\", channels = {{ ops = [\"2\"], governance = \"3\", log = \"4\" }}, roles = {{ operator = \
         [\"5\"], governance_lead = [\"6\"] }} }}\nstate.directory = \"/var/lib/scalebot\"\n[targets.api]\nhalt.sources = []\n\
         [targets.api.fleet]\nkind = \"hosts\"\nservice = \"api\"\nport = 8000\n\
         ssh = {{ user = \"scalebot\", key_file = \"/k\", known_hosts = \"/h\" }}\n{more}\n{end}"
    ))
}

const HOSTS: &str = "hosts = [{ name = \"vm-1\", address = \"10.0.0.1\" }]";
const HAPROXY: &str = "[targets.api.haproxy]\nsocket = \"unix:/run/h.sock\"\nbackend = \"conclave\"\n";

#[test]
fn hosts_have_an_haproxy_before_them() {
    let config = on_hosts(HOSTS, HAPROXY).unwrap();
    assert_eq!(config.targets()[0].1.traffic(), TrafficSource::Haproxy);
    let without = on_hosts(HOSTS, "").unwrap_err();
    assert!(without.contains("there is no [targets.api.haproxy]"), "{without}");
}

#[test]
fn what_cannot_be_meant_of_hosts_is_refused_where_it_stands() {
    let refused = on_hosts("", HAPROXY).unwrap_err();
    assert!(refused.contains("targets.api.fleet.hosts: name the hosts, or the provision.command"), "{refused}");
    let refused = on_hosts(&HOSTS.replace("10.0.0.1", "-oProxyCommand=id"), HAPROXY).unwrap_err();
    assert!(refused.contains("targets.api.fleet.hosts: the address of"), "{refused}");
    let refused = on_hosts(&format!("{HOSTS}\nagent = true"), HAPROXY).unwrap_err();
    assert!(refused.contains("agent"), "{refused}");
}

#[test]
fn several_processes_share_what_is_remembered_of_hosts() {
    let ledger = "[ledger]\nurl = \"postgres://scalebot@127.0.0.1/scalebot\"\n";
    let refused = on_hosts(HOSTS, &format!("{HAPROXY}{ledger}")).unwrap_err();
    assert!(refused.contains("targets.api.fleet.directory: with [ledger]"), "{refused}");
    on_hosts(&format!("{HOSTS}\ndirectory = \"/shared/hosts\""), &format!("{HAPROXY}{ledger}")).unwrap();
}
