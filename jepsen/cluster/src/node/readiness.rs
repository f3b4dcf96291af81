//! What a node says when it is asked whether it is ready.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A node that takes longer to answer is not ready.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// More than any answer to this question has.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// `Ok` if it is ready, or else what it says.
pub(super) async fn ask(http: SocketAddr) -> Result<(), String> {
    match timeout(ANSWER_LIMIT, get(http)).await {
        Ok(Ok(answer)) => judge(&answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

async fn get(http: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(http).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {http}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn judge(answer: &str) -> Result<(), String> {
    let status = answer.split(' ').nth(1);
    if status == Some("200") {
        return Ok(());
    }
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Err(format!("{} {body}", status.unwrap_or("nothing")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_yes_is_ready() {
        assert_eq!(judge("HTTP/1.1 200 OK\r\n\r\n{}"), Ok(()));
        let busy = judge("HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nstarting");
        assert_eq!(busy, Err("503 starting".to_owned()));
        assert_eq!(judge(""), Err("nothing ".to_owned()));
    }
}
