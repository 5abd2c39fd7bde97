//! A fleet in Kubernetes, as an operator may write it.

use scalebot_adapters::kubernetes::settings::Reach;

use super::super::target::TrafficSource;
use super::*;

/// The server without which nobody but a rehearsal is served.
const DISCORD: &str = "discord = { guild = \"1\", channels = { ops = [\"2\"], governance = \"3\", log = \"4\" }, roles = { \
                       operator = [\"5\"], governance_lead = [\"6\"] } }";

/// A fleet in Kubernetes, with more in its section.
fn in_kubernetes(more: &str) -> Result<Config, String> {
    read(&format!(
        "{DISCORD}\nstate.directory = \"/var/lib/scalebot\"\n[targets.api]\nhalt.sources = []\n[targets.api.fleet]\n\
         kind = \"kubernetes\"\nnamespace = \"conclave\"\nservice = \"api\"\n{more}"
    ))
}

#[test]
fn a_fleet_in_kubernetes_has_its_service_for_traffic_unless_something_else_is_written() {
    let config = in_kubernetes("deployment = \"api\"\ntime_out = \"2s\"\nreach = \"proxy\"\n").unwrap();
    let settings = config.targets()[0].1;
    let FleetSettings::Kubernetes(kubernetes) = &settings.fleet else { panic!("{config:?}") };
    assert_eq!((kubernetes.time_out, kubernetes.reach), (Duration::from_secs(2), Reach::Proxy));
    assert_eq!(settings.traffic(), TrafficSource::Kubernetes);

    let haproxy = "[targets.api.haproxy]\nsocket = \"unix:/run/h.sock\"\nbackend = \"conclave\"\n";
    let environment = [("SCALEBOT_TARGETS__API__TRAFFIC", "haproxy")];
    let text = format!(
        "{DISCORD}\nstate.directory = \"/s\"\n[targets.api]\nhalt.sources = []\n[targets.api.fleet]\nkind = \"kubernetes\"\n\
         namespace = \"conclave\"\nservice = \"api\"\nstateful_set = \"api\"\n{haproxy}"
    );
    assert_eq!(read_with(&text, &environment).unwrap().targets()[0].1.traffic(), TrafficSource::Haproxy);
    let environment = [("SCALEBOT_TARGETS__API__FLEET__NAMESPACE", "other")];
    let config = read_with(&text, &environment).unwrap();
    let FleetSettings::Kubernetes(kubernetes) = &config.targets()[0].1.fleet else { panic!("{config:?}") };
    assert_eq!(kubernetes.namespace, "other");
}

#[test]
fn what_cannot_be_meant_of_a_fleet_in_kubernetes_is_refused_where_it_stands() {
    let said = |more: &str| in_kubernetes(more).unwrap_err();
    insta::assert_snapshot!(said(""), @r"
    scalebot.toml, line 5:
    targets.api.fleet.deployment: name the deployment or the stateful_set that is the fleet.
    ");
    insta::assert_snapshot!(said("deployment = \"api\"\nstateful_set = \"api\"\n"), @r"
    scalebot.toml, line 10:
    targets.api.fleet.stateful_set: name either deployment or stateful_set, not both.
    ");
    insta::assert_snapshot!(said("deployment = \"../api\"\n"), @r"
    scalebot.toml, line 9:
    targets.api.fleet.deployment: it is no name in Kubernetes: lower-case letters, digits, - and . within.
    ");
    insta::assert_snapshot!(said("deployment = \"api\"\nkubeconfig = \"config\"\n"), @r"
    scalebot.toml, line 10:
    targets.api.fleet.kubeconfig: the file must be an absolute path.
    ");
    insta::assert_snapshot!(said("deployment = \"api\"\ncontext = \"production\"\n"), @r"
    scalebot.toml, line 10:
    targets.api.fleet.context: it is one of a file's: name the kubeconfig file as well.
    ");
    insta::assert_snapshot!(said("deployment = \"api\"\nreach = \"tunnel\"\n"), @r#"
    scalebot.toml, line 5:
    targets.api.fleet: "tunnel" is not known. Known here: address, proxy.
    "#);
    insta::assert_snapshot!(said("deployment = \"api\"\nreplicas = 3\n"), @r"
    scalebot.toml, line 10:
    targets.api.fleet.replicas is not known. Known here: namespace, deployment, stateful_set, service, container, port, reach, kubeconfig, context, declared, autoscaler, time_out.
    ");
}

#[test]
fn where_whoever_types_speaks_as_anybody_only_a_rehearsal_is_served() {
    let without = "state.directory = \"/s\"\n[targets.api]\nhalt.sources = []\n[targets.api.fleet]\nkind = \"kubernetes\"\n\
                   namespace = \"n\"\nservice = \"s\"\ndeployment = \"d\"\n";
    insta::assert_snapshot!(read(without).unwrap_err(), @r#"
    scalebot.toml, line 5:
    targets.api.fleet.kind: without [discord] whoever types on standard input speaks as anybody, so only a fleet of kind "process" is served then: describe [discord].
    "#);
    assert!(read(&format!("{DISCORD}\n{without}")).is_ok());
}

#[test]
fn what_only_a_fleet_of_processes_has_is_refused_with_another_kind() {
    let kubernetes = "kind = \"kubernetes\"\nnamespace = \"n\"\nservice = \"s\"\ndeployment = \"d\"";
    let least = LEAST.replace("kind = \"process\"", kubernetes);
    let said = |line: &str| read(&least.replace("halt.sources = []", line)).unwrap_err();
    insta::assert_snapshot!(said("halt.sources = [\"process_table\"]"), @r"
    scalebot.toml, line 4:
    targets.api.halt.sources: process_table is what a fleet of kind process has, and this one is of another kind; name postgres or redis, or write an empty list.
    ");
    insta::assert_snapshot!(said("halt.sources = []\npools = [\"process_redis\"]"), @r"
    scalebot.toml, line 5:
    targets.api.pools: process_redis is what a fleet of kind process has, and this one is of another kind; name postgres or redis, or leave it out.
    ");
    insta::assert_snapshot!(said("halt.sources = []\nchain = \"process\""), @r"
    scalebot.toml, line 5:
    targets.api.chain: process is what a fleet of kind process has, and this one is of another kind; name postgres, or leave it out.
    ");
    insta::assert_snapshot!(said("halt.sources = []\ntraffic = \"process\""), @r"
    scalebot.toml, line 5:
    targets.api.traffic: process is what a fleet of kind process has, and this one is of another kind; name haproxy, or leave it out for what comes with the fleet.
    ");
    let other = read(&LEAST.replace("sources = []", "sources = []\ntraffic = \"kubernetes\"")).unwrap_err();
    insta::assert_snapshot!(other, @r"
    scalebot.toml, line 5:
    targets.api.traffic: kubernetes is what a fleet of kind kubernetes has, and this one is of another kind.
    ");
}
