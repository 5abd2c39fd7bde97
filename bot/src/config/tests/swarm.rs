//! A fleet on Docker Swarm, as an operator may write it.

use super::super::target::TrafficSource;
use super::*;

/// A fleet on Swarm, with more in its section and after it.
fn on_swarm(more: &str) -> Result<Config, String> {
    read(&format!(
        "discord = {{ guild = \"1\", channels = {{ ops = [\"2\"], governance = \"3\", log = \"4\" }}, roles = {{ operator = \
         [\"5\"], governance_lead = [\"6\"] }} }}\nstate.directory = \"/var/lib/scalebot\"\n[targets.api]\n\
         halt.sources = []\n[targets.api.fleet]\nkind = \"swarm\"\nservice = \"conclave_api\"\n{more}"
    ))
}

#[test]
fn a_fleet_on_swarm_is_taken_for_one_whose_name_is_resolved() {
    let config = on_swarm("reach = \"published\"\n").unwrap();
    let settings = config.targets()[0].1;
    let FleetSettings::Swarm(swarm) = &settings.fleet else { panic!("{config:?}") };
    assert_eq!((swarm.service.as_str(), swarm.port, swarm.register), ("conclave_api", None, false));
    assert_eq!(settings.traffic(), TrafficSource::Swarm);
}

#[test]
fn what_cannot_be_meant_of_a_fleet_on_swarm_is_refused_where_it_stands() {
    for (more, says) in [
        ("", "targets.api.fleet.port: name the container's port"),
        ("port = 8000\nfiles = [\"stack.yaml\"]\n", "targets.api.fleet.files: it must be an absolute path"),
        ("port = 8000\nregister = true\n", "targets.api.fleet.register: it makes instances servers of an HAProxy"),
        ("port = 8000\nproject = \"conclave\"\n", "project"),
    ] {
        let said = on_swarm(more).unwrap_err();
        assert!(said.contains(says) && said.contains("line "), "{said}");
    }
    let elsewhere = read(
        "state.directory = \"/var/lib/scalebot\"\n[targets.api]\nhalt.sources = []\ntraffic = \"swarm\"\n\
         [targets.api.fleet]\nkind = \"process\"\n",
    );
    assert!(elsewhere.unwrap_err().contains("swarm is what a fleet of kind swarm has"));
}
