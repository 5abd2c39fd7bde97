//! The budget of connections: what the server allows, less what others hold.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ::redis::cmd;
use async_trait::async_trait;
use scalebot_commands::ports::{Pool, PoolBudget, PortError};

use super::connection::{About, Asking, Question, Server};
use super::failure::Failure;
use super::settings::{ConnectionSettings, FleetSettings};

/// The most clients that are told apart: a line of some 400 bytes each.
const MOST_CLIENTS: u32 = 20_000;

/// The connections of a Redis.
#[derive(Clone, Debug)]
pub struct RedisConnections {
    server: Arc<Server>,
    about: About,
    settings: ConnectionSettings,
}

/// Who is connected.
pub(super) struct Clients {
    /// How many there may be.
    maximum: u32,
    /// How many are not the fleet's.
    others: u32,
}

impl RedisConnections {
    /// As a card says it.
    pub const NAME: &str = "Redis connections";

    pub(super) fn new(server: Arc<Server>, settings: &ConnectionSettings) -> Self {
        let about = About { what: Self::NAME.to_owned(), rights: "+info +client|list".to_owned() };
        Self { server, about, settings: settings.clone() }
    }
}

#[async_trait]
impl Question for RedisConnections {
    type Answer = Clients;

    async fn put(&self, asking: &mut Asking) -> Result<Clients, Failure> {
        let clients = asking.info("clients").await?;
        let maximum = clients.count("maxclients")?;
        // The bus of a cluster takes places of clients.
        let bus = if clients.has("cluster_connections") { clients.count("cluster_connections")? } else { 0 };
        let connected = clients.count("connected_clients")?;
        if connected > MOST_CLIENTS {
            let why = format!("{connected} clients are connected, too many to tell the fleet's from others");
            return Err(Failure::Unreadable(why));
        }
        let list: String = asking.command(cmd("CLIENT").arg("LIST")).await?;
        let others = others(&list, &self.settings.fleet).map_err(Failure::Unreadable)?;
        Ok(Clients { maximum, others: others.saturating_add(bus) })
    }
}

/// How many clients of the list are not the fleet's.
fn others(list: &str, fleet: &FleetSettings) -> Result<u32, String> {
    let mut others = 0;
    for line in list.lines().filter(|line| !line.is_empty()) {
        if !is_of(line, fleet)? {
            others += 1;
        }
    }
    Ok(others)
}

/// Whether a client is the fleet's, by everything that is named of it.
fn is_of(line: &str, fleet: &FleetSettings) -> Result<bool, String> {
    let field = |name: &str| {
        let value = line.split(' ').find_map(|field| field.split_once('=').filter(|(key, _)| *key == name));
        value.map(|(_, value)| value).ok_or_else(|| format!("its list of clients does not tell their {name}"))
    };
    let among = |named: &[String], name: &str| -> Result<bool, String> {
        if named.is_empty() {
            return Ok(true);
        }
        let value = field(name)?;
        Ok(named.iter().any(|named| named == value))
    };
    let from = || -> Result<bool, String> {
        if fleet.addresses.is_empty() {
            return Ok(true);
        }
        let address = field("addr")?.parse::<SocketAddr>().map(|address| address.ip());
        let contains = |address: IpAddr| fleet.addresses.iter().any(|network| network.contains(address));
        // A client on a Unix socket has no address, and is of none.
        Ok(address.is_ok_and(contains))
    };
    Ok(among(&fleet.users, "user")? && among(&fleet.names, "name")? && from()?)
}

#[async_trait]
impl Pool for RedisConnections {
    async fn budget(&self) -> Result<PoolBudget, PortError> {
        let Clients { maximum, others } = self.server.ask(&self.about, self).await?;
        let ConnectionSettings { per_instance, surge, .. } = self.settings;
        // Redis keeps nothing for others: what it needs for itself was taken from its limit when it started.
        Ok(PoolBudget { limit: maximum, reserved: 0, others, per_instance, surge, limit_of: None })
    }

    fn name(&self) -> String {
        Self::NAME.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIST: &str = "\
id=1 addr=10.1.0.7:51000 laddr=10.0.0.1:6379 name=api user=conclave lib-name=redis-py\n\
id=2 addr=10.1.0.8:51000 laddr=10.0.0.1:6379 name= user=conclave lib-name=\n\
id=3 addr=10.2.0.1:51000 laddr=10.0.0.1:6379 name=api user=default lib-name=\n\
id=4 addr=/run/redis.sock:0 laddr=/run/redis.sock:0 name=cron user=conclave lib-name=\n";

    fn fleet(users: &[&str], names: &[&str], addresses: &[&str]) -> FleetSettings {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        FleetSettings { users: texts(users), names: texts(names), addresses }
    }

    #[test]
    fn the_fleets_clients_are_those_that_fit_everything_that_is_named() {
        assert_eq!(others(LIST, &fleet(&["conclave"], &[], &[])), Ok(1));
        assert_eq!(others(LIST, &fleet(&["conclave"], &["api"], &[])), Ok(3));
        assert_eq!(others(LIST, &fleet(&[], &["api"], &[])), Ok(2));
        assert_eq!(others(LIST, &fleet(&["conclave"], &[], &["10.1.0.0/16"])), Ok(2));
        assert_eq!(others(LIST, &fleet(&[], &[], &["10.0.0.0/8"])), Ok(1));
    }

    proptest! {
        #[test]
        fn whatever_list_of_clients_redis_gives_is_counted_or_refused(
            lines in prop::collection::vec(prop_oneof!["\\PC{0,60}", "user=(conclave|x) addr=[0-9.:/a-z]{0,20}"], 0..8),
            by_address in any::<bool>(),
        ) {
            let addresses: &[&str] = if by_address { &["10.0.0.0/8"] } else { &[] };
            let told = lines.iter().flat_map(|line| line.lines()).filter(|line| !line.is_empty());
            let (all, unknown) = told.fold((0, 0), |(all, unknown), line| {
                let tells = line.split(' ').any(|field| field.starts_with("user="));
                (all + 1, unknown + u32::from(!tells))
            });
            match others(&lines.join("\n"), &fleet(&["conclave"], &[], addresses)) {
                // Whoever is not known counts for nobody: the whole list is refused.
                Ok(others) => prop_assert!(others <= all && unknown == 0),
                Err(_) => prop_assert!(all > 0),
            }
        }
    }

    #[test]
    fn a_list_that_does_not_tell_is_no_count() {
        let old = "id=1 addr=10.1.0.7:51000 name=api\n";
        assert!(others(old, &fleet(&["conclave"], &[], &[])).unwrap_err().contains("user"));
        assert_eq!(others(old, &fleet(&[], &["api"], &[])), Ok(0));
    }
}
