//! Connections to nodes, encrypted or not.

use std::io;

use flotilla_client::ClientTls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Something that can be read and written.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

pub type Stream = Box<dyn Duplex>;

/// Connects to a `host:port`.
pub async fn connect(address: &str, tls: Option<&ClientTls>) -> io::Result<Stream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    match tls {
        None => Ok(Box::new(stream)),
        Some(tls) => {
            let (host, _) = address.rsplit_once(':').unwrap_or((address, ""));
            let stream = tls.without_http_2().connect(host, stream).await?;
            Ok(Box::new(stream))
        }
    }
}
