//! Where a node listens.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use super::NodeId;

/// Below the ports that the kernel gives to outgoing connections. One of those could take the port of a node between its
/// death and its next start.
const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// The addresses of a node itself, behind the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub client: SocketAddr,
    pub peer: SocketAddr,
    pub http: SocketAddr,
    pub text: SocketAddr,
}

impl Ports {
    pub(super) fn find(node: NodeId) -> io::Result<Self> {
        let address = node.address();
        Ok(Self {
            client: next(address)?,
            peer: next(address)?,
            http: next(address)?,
            text: next(address)?,
        })
    }
}

/// A port that nobody listens on. Within a process it is given out once; other processes begin elsewhere.
fn next(address: IpAddr) -> io::Result<SocketAddr> {
    let start = process::id().wrapping_mul(97);
    let mut last = None;
    for _ in 0..COUNT {
        let step = TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let port = u16::try_from(port).expect("the range ends below 65,536");
        match TcpListener::bind((address, port)) {
            Ok(listener) => return listener.local_addr(),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("there are ports to try"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_is_given_out_once() {
        let node = NodeId::new(9).unwrap();
        let Ports {
            client,
            peer,
            http,
            text,
        } = Ports::find(node).unwrap();
        let mut ports = vec![client, peer, http, text];
        ports.dedup();
        assert_eq!(ports.len(), 4);
        assert!(ports.iter().all(|port| port.ip() == node.address()));
    }
}
