//! Which node it is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// The number of a node in its cluster: 1 to 254.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u8);

impl NodeId {
    /// `None` if there can be no such node.
    pub fn new(id: u64) -> Option<Self> {
        let id = u8::try_from(id).ok();
        id.filter(|id| (1..255).contains(id)).map(Self)
    }

    pub fn get(self) -> u64 {
        u64::from(self.0)
    }

    /// The address that the node listens on and dials from. All of 127/8 is this machine.
    pub fn address(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, 77, 0, self.0))
    }

    /// What the node is called in the network.
    pub fn name(self) -> String {
        format!("node {self}")
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
