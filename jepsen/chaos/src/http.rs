//! As much of HTTP/1.1 as it takes to publish a record: a request with a body of known length, and an
//! answer whose body is one too, or comes in chunks. Each request has a connection of its own.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No answer of the broker is longer.
const BODY_BYTES_MAX: usize = 16 << 20;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct HttpCall<'a> {
    pub method: &'static str,
    pub path: &'a str,
    pub headers: &'a [(&'static str, String)],
    pub body: &'a [u8],
}

/// Status and body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpReply {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum HttpFailure {
    /// Nobody took the connection: nothing was sent.
    NotConnected(io::Error),
    /// The request may have arrived.
    Broken(io::Error),
}

/// Makes a call, and waits so long for the connection and as long again for the answer.
pub(crate) async fn call(
    address: &str,
    request: &HttpCall<'_>,
    limit: Duration,
) -> Result<HttpReply, HttpFailure> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let connected = timeout(limit, TcpStream::connect(address)).await;
    let stream = connected
        .map_err(late)
        .and_then(|connected| connected)
        .map_err(HttpFailure::NotConnected)?;
    let answered = timeout(limit, exchange(stream, address, request)).await;
    answered
        .map_err(late)
        .and_then(|answered| answered)
        .map_err(HttpFailure::Broken)
}

async fn exchange(
    stream: TcpStream,
    address: &str,
    request: &HttpCall<'_>,
) -> io::Result<HttpReply> {
    let mut stream = BufReader::new(stream);
    stream.write_all(&bytes_of(address, request)).await?;
    stream.flush().await?;
    let status_line = line(&mut stream).await?;
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| unreadable(&status_line))?;
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let header = line(&mut stream).await?;
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().map_err(|_| unreadable(&header))?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            is_chunked = value.eq_ignore_ascii_case("chunked");
        }
    }
    let mut body = Vec::new();
    if is_chunked {
        while append_chunk(&mut stream, &mut body).await? {}
    } else {
        read_part(&mut stream, length, &mut body).await?;
    }
    Ok(HttpReply { status, body })
}

fn bytes_of(address: &str, request: &HttpCall<'_>) -> Vec<u8> {
    let (method, path, length) = (request.method, request.path, request.body.len());
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
    [head.as_bytes(), request.body].concat()
}

/// Whether there may be another chunk.
async fn append_chunk(stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> io::Result<bool> {
    let size = line(stream).await?;
    let size = usize::from_str_radix(&size, 16).map_err(|_| unreadable(&size))?;
    read_part(stream, size, body).await?;
    line(stream).await?;
    Ok(size > 0)
}

async fn read_part(
    stream: &mut BufReader<TcpStream>,
    length: usize,
    body: &mut Vec<u8>,
) -> io::Result<()> {
    let start = body.len();
    if length > BODY_BYTES_MAX - start.min(BODY_BYTES_MAX) {
        return Err(unreadable("a body that is too long"));
    }
    body.resize(start + length, 0);
    stream.read_exact(&mut body[start..]).await.map(drop)
}

async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}

fn unreadable(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    async fn ask(words: &'static str) -> Result<HttpReply, HttpFailure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 16];
            stream.read_exact(&mut request).await.unwrap();
            assert_eq!(&request, b"POST /publish/or");
            stream.write_all(words.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            // Closing before the request is read would take the words back.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        let request = HttpCall {
            method: "POST",
            path: "/publish/orders",
            headers: &[("Idempotency-Key", "a".to_owned())],
            body: b"x",
        };
        tokio::join!(call(&address, &request, LIMIT), server).0
    }

    #[tokio::test]
    async fn bodies_come_whole_and_in_chunks() {
        let reply = ask("HTTP/1.1 503 Not yet\r\ncontent-length: 3\r\n\r\nno\n").await;
        let reply = reply.unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (503, &b"no\n"[..]));
        let reply = ask(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\nA\r\n0123456789\r\n0\r\n\r\n",
        );
        assert_eq!(reply.await.unwrap().body, b"yes0123456789");
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_says_nothing() {
        for words in [
            "",
            "HTTP/1.1 200",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
        ] {
            let failure = ask(words).await.unwrap_err();
            assert!(matches!(failure, HttpFailure::Broken(_)), "{words:?}");
        }
    }

    #[tokio::test]
    async fn where_nobody_listens_nothing_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let request = HttpCall {
            method: "GET",
            path: "/",
            headers: &[],
            body: b"",
        };
        let failure = call(&address, &request, LIMIT).await.unwrap_err();
        assert!(matches!(failure, HttpFailure::NotConnected(_)));
    }
}
