//! A backend's servers as HAProxy has them, and which instance each of them is.

use std::collections::BTreeMap;

use scalebot_commands::ports::{Instance, Routed};
use scalebot_commands::units::InstanceId;

use super::table::{Row, Table};

/// Stands for the instance's name in a server's.
pub(super) const INSTANCE: &str = "{instance}";

/// Told to be in maintenance.
const MAINTENANCE: u64 = 0x01;

/// Told to be in maintenance or to drain, itself or by way of the server that it tracks. Not those that have no address
/// just now, who get requests as soon as they have one.
const TOLD: u64 = MAINTENANCE | 0x02 | 0x08 | 0x10;

/// It began in maintenance because of the configuration, and need not be in it any more.
const BEGAN_DISABLED: u64 = 0x04;

/// States in which requests are sent: starting slowly, and running. Not those of one that is down or stopping softly.
const SENDS: [u64; 2] = [1, 2];

/// One server of the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) name: String,
    /// Address and port, as an instance's is written.
    pub(super) address: String,
    /// Whether it could be sent requests: neither told otherwise nor down, and of some weight.
    pub(super) is_in_rotation: bool,
    /// What it was told, whatever state it is in.
    pub(super) told: Told,
    pub(super) is_backup: bool,
    /// Whether a cookie binds clients to it.
    pub(super) has_cookie: bool,
    /// Requests (sessions, in TCP mode) sent to it since HAProxy counts.
    pub(super) requests: u64,
    /// Of these, not answered yet; and those that wait for it.
    pub(super) in_flight: u32,
}

/// What a server was told, itself or by way of the one that it tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// To get requests.
    Ready,
    /// To get no new ones.
    Drain,
    /// To get none at all, itself.
    Maintenance,
}

impl Told {
    fn of(admin: u64) -> Self {
        match admin & TOLD {
            0 => Self::Ready,
            told if told & MAINTENANCE != 0 => Self::Maintenance,
            _ => Self::Drain,
        }
    }
}

/// Reads a backend's servers off the two tables that hold them.
///
/// # Errors
/// When the tables cannot be read or do not hold the same servers.
pub(super) fn read(states: &str, figures: &str) -> Result<Vec<Server>, String> {
    let (states, figures) = (Table::of_states(states)?, Table::of_figures(figures)?);
    let mut counted: BTreeMap<&str, Row<'_>> = BTreeMap::new();
    for row in figures.rows() {
        counted.insert(row.text("svname")?, row);
    }
    let mut servers = Vec::new();
    for state in states.rows() {
        let name = state.text("srv_name")?;
        let figures = counted.remove(name).ok_or_else(|| format!("server {} has no figures", super::quote(name)))?;
        let admin = state.number("srv_admin_state")?;
        let is_in_rotation = admin & !BEGAN_DISABLED == 0
            && SENDS.contains(&state.number("srv_op_state")?)
            && state.number("srv_uweight")? > 0;
        let in_flight = figures.number("scur")?.saturating_add(figures.number("qcur")?);
        servers.push(Server {
            name: name.to_owned(),
            address: address(state.text("srv_addr")?, state.number("srv_port")?),
            is_in_rotation,
            told: Told::of(admin),
            is_backup: figures.number("bck")? > 0,
            // Older versions do not show it, and where it is not shown there is none.
            has_cookie: figures.text("cookie").is_ok_and(|cookie| !cookie.is_empty()),
            requests: figures.number("stot")?,
            in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
        });
    }
    match counted.keys().next() {
        None => Ok(servers),
        Some(name) => Err(format!("server {} has no state", super::quote(name))),
    }
}

pub(super) fn address(host: &str, port: u64) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Which server is which instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mapping {
    /// By its name, which begins and ends so around the instance's.
    Name { before: String, after: String },
    /// By its address, of these instances.
    Address(Vec<(String, InstanceId)>),
}

impl Mapping {
    /// By the address of these.
    pub(super) fn by_address(instances: &[Instance]) -> Self {
        let known = instances.iter().filter_map(|one| Some((one.address.clone()?, one.id.clone())));
        Self::Address(known.collect())
    }

    /// The instance that the server is; `None` for one that is none of them.
    fn instance(&self, server: &Server) -> Option<InstanceId> {
        match self {
            Self::Name { before, after } => {
                let name = server.name.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
                (!name.is_empty()).then(|| InstanceId::new(name))
            }
            Self::Address(known) => {
                known.iter().find(|(address, _)| *address == server.address).map(|(_, instance)| instance.clone())
            }
        }
    }

    /// The servers that are that instance.
    pub(super) fn servers_of<'a>(&self, instance: &InstanceId, servers: &'a [Server]) -> Vec<&'a Server> {
        servers.iter().filter(|server| self.instance(server).as_ref() == Some(instance)).collect()
    }

    /// Every instance with what HAProxy sends it. Where several servers are one instance, it is drained once all are.
    pub(super) fn routed(&self, servers: &[Server]) -> Vec<Routed> {
        // Backup servers get requests once no other server can.
        let by_backups = !servers.iter().any(|server| server.is_in_rotation && !server.is_backup);
        let mut routed: BTreeMap<InstanceId, Routed> = BTreeMap::new();
        for server in servers {
            // Who is none of the fleet's stays visible, by an address that is no instance's name.
            let instance = self.instance(server).unwrap_or_else(|| InstanceId::new(server.address.as_str()));
            let receives = server.is_in_rotation && (by_backups || !server.is_backup);
            let one = routed.entry(instance.clone()).or_insert(Routed {
                instance,
                receives: false,
                drained: true,
                requests: Some(0),
                in_flight: Some(0),
            });
            one.receives |= receives;
            one.drained &= server.told != Told::Ready;
            one.requests = one.requests.map(|sum| sum.saturating_add(server.requests));
            one.in_flight = one.in_flight.map(|sum| sum.saturating_add(server.in_flight));
        }
        routed.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, address: &str) -> Server {
        Server {
            name: name.into(),
            address: address.into(),
            is_in_rotation: true,
            told: Told::Ready,
            is_backup: false,
            has_cookie: false,
            requests: 5,
            in_flight: 1,
        }
    }

    fn by_name() -> Mapping {
        Mapping::Name { before: "srv-".into(), after: String::new() }
    }

    fn states(op: u64, admin: u64, weight: u64) -> String {
        format!(
            "1\n# be_name srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_port\n\
             api a 10.0.0.1 {op} {admin} {weight} 8000\n"
        )
    }

    const FIGURES: &str = "# pxname,svname,qcur,scur,stot,bck,cookie\napi,a,1,2,30,0,\n";

    #[test]
    fn whether_a_server_gets_requests_is_read_off_every_state_that_keeps_them_away() {
        let read = |op, admin, weight| {
            let server = read(&states(op, admin, weight), FIGURES).unwrap().remove(0);
            (server.is_in_rotation, server.told != Told::Ready)
        };
        assert_eq!([read(2, 0, 1), read(1, 0, 1)], [(true, false); 2]);
        // Down; stopping softly; without weight: it gets none, and nobody told it so.
        assert_eq!([read(0, 0, 1), read(3, 0, 1), read(2, 0, 0)], [(false, false); 3]);
        for admin in [0x01, 0x02, 0x05, 0x08, 0x10] {
            assert_eq!(read(2, admin, 1), (false, true), "{admin:#x}");
        }
        // It began disabled, and was told to get requests since.
        assert_eq!(read(2, 0x04, 1), (true, false));
        // Without an address it gets none, until it has one again.
        assert_eq!([read(0, 0x20, 1), read(0, 0x40, 1)], [(false, false); 2]);
        // A state that this program does not know is none in which requests are sent for certain.
        assert_eq!([read(7, 0, 1), read(2, 0x80, 1)], [(false, false); 2]);
    }

    #[test]
    fn figures_are_those_of_the_same_server_or_none() {
        let read = |figures: &str| read(&states(2, 0, 1), figures);
        let server = read(FIGURES).unwrap().remove(0);
        assert_eq!((server.address.as_str(), server.requests, server.in_flight), ("10.0.0.1:8000", 30, 3));
        assert!(read("# pxname,svname,qcur,scur,stot,bck,cookie\n").unwrap_err().contains("no figures"));
        assert!(read(&format!("{FIGURES}api,b,0,0,0,0,\n")).unwrap_err().contains("no state"));
        assert!(read("# pxname,svname,qcur,scur,bck,cookie\napi,a,1,2,0,\n").unwrap_err().contains("stot"));
        assert_eq!(address("::1", 8000), "[::1]:8000");
    }

    #[test]
    fn a_server_is_known_by_its_name_or_by_its_address() {
        let servers = [server("srv-api-1", "10.0.0.1:80"), server("other", "10.0.0.2:80")];
        assert_eq!(by_name().servers_of(&InstanceId::new("api-1"), &servers), [&servers[0]]);
        let names: Vec<_> = by_name().routed(&servers).into_iter().map(|one| one.instance.to_string()).collect();
        assert_eq!(names, ["10.0.0.2:80", "api-1"]);

        let addressed = Mapping::Address(vec![("10.0.0.2:80".into(), InstanceId::new("api-2"))]);
        assert_eq!(addressed.servers_of(&InstanceId::new("api-2"), &servers), [&servers[1]]);
        assert!(addressed.servers_of(&InstanceId::new("api-1"), &servers).is_empty());
    }

    #[test]
    fn an_instance_with_two_servers_is_drained_once_both_are() {
        let one = Server { is_in_rotation: false, told: Told::Drain, ..server("srv-api-1", "10.0.0.1:80") };
        let other = server("second", "10.0.0.1:80");
        let mapping = Mapping::Address(vec![("10.0.0.1:80".into(), InstanceId::new("api-1"))]);
        let routed = mapping.routed(&[one.clone(), other.clone()]);
        assert_eq!((routed.len(), routed[0].receives, routed[0].drained), (1, true, false));
        assert_eq!((routed[0].requests, routed[0].in_flight), (Some(10), Some(2)));
        let both = mapping.routed(&[one, Server { is_in_rotation: false, told: Told::Drain, ..other }]);
        assert_eq!((both[0].receives, both[0].drained), (false, true));
    }

    #[test]
    fn a_backup_gets_requests_once_nobody_else_can() {
        let backup = Server { is_backup: true, ..server("srv-b", "10.0.0.2:80") };
        let receives = |first: Server| {
            let routed = by_name().routed(&[first, backup.clone()]);
            routed.iter().map(|one| one.receives).collect::<Vec<_>>()
        };
        assert_eq!(receives(server("srv-a", "10.0.0.1:80")), [true, false]);
        assert_eq!(receives(Server { is_in_rotation: false, ..server("srv-a", "10.0.0.1:80") }), [false, true]);
    }
}
