//! Connecting.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

/// Where connections come from, as the other end sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Whatever the system chooses.
    #[default]
    Any,
    /// This address of the machine, where it can lead to the other end at all.
    Address(IpAddr),
}

impl Source {
    fn socket_to(self, address: SocketAddr) -> io::Result<TcpSocket> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Self::Address(own) = self {
            let other = address.ip();
            if own.is_ipv4() == other.is_ipv4() && own.is_loopback() == other.is_loopback() {
                socket.bind(SocketAddr::new(own, 0))?;
            }
        }
        Ok(socket)
    }
}

/// Connects to a `host:port`. The addresses of a host are tried one after the other, each for its share of the
/// time that is left, so that one where nobody answers does not take all of it.
pub async fn connect_tcp(address: &str, source: Source, limit: Duration) -> io::Result<TcpStream> {
    let end = Instant::now() + limit;
    let timed_out = || io::Error::from(io::ErrorKind::TimedOut);
    let found = timeout_at(end, lookup_host(address)).await;
    let found: Vec<_> = found.map_err(|_| timed_out())??.collect();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for (tried, found_address) in found.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(found.len() - tried).unwrap_or(u32::MAX);
        let connecting = source.socket_to(*found_address)?.connect(*found_address);
        match timeout_at(Instant::now() + share, connecting).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => failure = error,
            Err(_) => failure = timed_out(),
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_connection_comes_from_where_it_is_told_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let own: IpAddr = "127.0.0.9".parse().unwrap();
        let elsewhere: IpAddr = "192.0.2.1".parse().unwrap();
        for (source, is_own) in [
            (Source::Address(own), true),
            (Source::Any, false),
            (Source::Address(elsewhere), false),
        ] {
            let _stream = connect_tcp(&address, source, LIMIT).await.unwrap();
            let (_, from) = listener.accept().await.unwrap();
            assert_eq!(from.ip() == own, is_own, "{source:?}");
        }
    }

    #[tokio::test]
    async fn an_address_where_nobody_listens_is_not_the_last() {
        // `localhost` has two addresses on most machines, and this listens on one of them.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        connect_tcp(&format!("localhost:{port}"), Source::Any, LIMIT)
            .await
            .unwrap();
        drop(listener);
        let refused = connect_tcp(&format!("localhost:{port}"), Source::Any, LIMIT).await;
        assert_eq!(
            refused.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }
}
