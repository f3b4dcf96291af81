//! Where routes are dialled.

use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, KERNEL_BYTES};
use crate::counters::add;
use crate::ways::{Way, Ways};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1_024;
/// Pause after the system could not do what was asked: it is short of something.
const PAUSE: Duration = Duration::from_millis(50);

/// A port that stays ours, whether anybody listens on it or not: whoever dials while nobody does is refused.
pub(crate) struct Door {
    address: SocketAddr,
    listener: Option<TcpListener>,
    /// Is bound and never listens, so that nobody else gets the port meanwhile.
    _keeper: TcpSocket,
}

impl Door {
    /// Opens this port, or any that is free, for processes on this machine.
    pub(crate) fn open(port: Option<u16>) -> io::Result<Self> {
        let keeper = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0))))?;
        let address = keeper.local_addr()?;
        Ok(Self {
            address,
            listener: Some(listen(address)?),
            _keeper: keeper,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves who dials, until `stop`. Whoever cancels it ends the connections too.
    pub(crate) async fn run(mut self, ways: Arc<Ways>, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        let accepting = self.accept_all(&ways, &mut connections);
        stop.run_until_cancelled(accepting).await;
        connections.shutdown().await;
    }

    async fn accept_all(&mut self, ways: &Ways, connections: &mut JoinSet<()>) {
        loop {
            while connections.try_join_next().is_some() {}
            let now = ways.now();
            // As long as somebody is let in, whoever is not has to be accepted to be told.
            if let Err(error) = self.set_open(!now.iter().all(Way::refuses)) {
                tracing::warn!(%error, address = %self.address, "cannot listen for a route again");
                sleep(PAUSE).await;
                continue;
            }
            let accepted = tokio::select! {
                biased;
                () = ways.changed() => continue,
                accepted = accept(self.listener.as_ref()) => accepted,
            };
            match accepted {
                Ok((dialer, source)) => {
                    let way = ways.choose(source, &now);
                    if way.refuses() {
                        refuse(&way, dialer);
                    } else {
                        connections.spawn(Connection::new(way.route, dialer, way.orders).run());
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, address = %self.address, "cannot accept a connection");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn set_open(&mut self, is_open: bool) -> io::Result<()> {
        match (is_open, &self.listener) {
            (true, None) => self.listener = Some(listen(self.address)?),
            (false, Some(_)) => self.listener = None,
            _ => {}
        }
        Ok(())
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, IpAddr)> {
    match listener {
        Some(listener) => {
            let (dialer, source) = listener.accept().await?;
            Ok((dialer, source.ip()))
        }
        None => pending().await,
    }
}

fn refuse(way: &Way, dialer: TcpStream) {
    add(&way.route.counters().resets, 1);
    // A socket that cannot be reset is closed, which is the next best.
    let _ = dialer.set_zero_linger();
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address)?.listen(BACKLOG)
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections have it from the socket that they were accepted on.
    socket.set_recv_buffer_size(KERNEL_BYTES)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
