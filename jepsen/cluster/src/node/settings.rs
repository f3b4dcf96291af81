//! The settings file of a node.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::{NodeId, Ports};

/// What a node is told about itself and the others. Everybody else reaches it through the proxy.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) id: NodeId,
    /// As text of the file.
    pub(crate) data: String,
    pub(crate) ports: Ports,
    pub(crate) advertised: Advertised,
    pub(crate) cluster: Birth,
    pub(crate) more: Vec<(String, String)>,
}

/// Where others are told to dial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advertised {
    pub(crate) peer: SocketAddr,
    pub(crate) client: SocketAddr,
}

/// How a node comes to its cluster.
#[derive(Clone, Debug)]
pub(crate) enum Birth {
    /// The cluster is born with these.
    Founders(Vec<(NodeId, Advertised)>),
    /// It asks one of these to let it in.
    Join(Vec<SocketAddr>),
}

impl Settings {
    pub(crate) fn to_toml(&self) -> String {
        let Self {
            id,
            data,
            ports,
            advertised,
            ..
        } = self;
        let mut written = format!(
            "node.id = {id}\nnode.data_dir = {data:?}\nlisten.host = \"{}\"\n",
            id.address()
        );
        let birth = match &self.cluster {
            Birth::Founders(nodes) => format!("cluster.nodes = [{}]", founders(nodes)),
            Birth::Join(peers) => format!("cluster.join = \"{}\"", join(peers)),
        };
        let lines = [
            birth,
            format!("listen.client = \"{}\"", ports.client),
            format!("listen.peer = \"{}\"", ports.peer),
            format!("listen.http = \"{}\"", ports.http),
            format!("listen.text = \"{}\"", ports.text),
            format!("advertise.client = \"{}\"", advertised.client),
            format!("advertise.peer = \"{}\"", advertised.peer),
        ];
        let more = self.more.iter();
        for line in lines
            .into_iter()
            .chain(more.map(|(key, value)| format!("{key} = {value}")))
        {
            writeln!(written, "{line}").expect("text takes more text");
        }
        written
    }
}

fn founders(nodes: &[(NodeId, Advertised)]) -> String {
    let entries = nodes.iter().map(|(id, Advertised { peer, client })| {
        format!("{{ id = {id}, peer = \"{peer}\", client = \"{client}\" }}")
    });
    entries.collect::<Vec<_>>().join(", ")
}

fn join(peers: &[SocketAddr]) -> String {
    let peers = peers.iter().map(SocketAddr::to_string);
    peers.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(cluster: Birth) -> String {
        let id = NodeId::new(2).unwrap();
        let own = |port| SocketAddr::new(id.address(), port);
        let settings = Settings {
            id,
            data: "/disk/data".to_owned(),
            ports: Ports {
                client: own(1),
                peer: own(2),
                http: own(3),
                text: own(4),
            },
            advertised: proxy(),
            cluster,
            more: vec![("log.level".to_owned(), "\"debug\"".to_owned())],
        };
        settings.to_toml()
    }

    fn proxy() -> Advertised {
        Advertised {
            peer: "127.0.0.1:50".parse().unwrap(),
            client: "127.0.0.1:51".parse().unwrap(),
        }
    }

    #[test]
    fn others_are_told_to_dial_the_proxy() {
        let written = settings(Birth::Founders(vec![(NodeId::new(2).unwrap(), proxy())]));
        for line in [
            "node.data_dir = \"/disk/data\"",
            "cluster.nodes = [{ id = 2, peer = \"127.0.0.1:50\", client = \"127.0.0.1:51\" }]",
            "listen.peer = \"127.77.0.2:2\"",
            "advertise.peer = \"127.0.0.1:50\"",
            "log.level = \"debug\"",
        ] {
            assert!(written.lines().any(|one| one == line), "{line}: {written}");
        }
    }

    #[test]
    fn a_node_that_joins_is_told_whom_to_ask() {
        let written = settings(Birth::Join(vec![proxy().peer, proxy().client]));
        let join = "cluster.join = \"127.0.0.1:50,127.0.0.1:51\"";
        assert!(written.lines().any(|line| line == join), "{written}");
        assert!(!written.contains("cluster.nodes"), "{written}");
    }
}
