//! A small HTTP/1.1 client: requests over a connection that stays open, bodies in chunks, and server-sent
//! events. It sends exactly the bytes that it is told to, and waits for nobody longer than it has to.

use std::io;
use std::time::Duration;

use flotilla_client::ClientTls;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use crate::stream::{Stream, connect};

/// Whoever has no answer by then gets none. Longer than a request may take in a node.
const ANSWER_LIMIT: Duration = Duration::from_secs(40);

/// What is asked of a server.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    /// Names are in small letters.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A connection that stays open as long as both sides want it.
pub struct HttpConnection {
    address: String,
    stream: BufReader<Stream>,
}

/// An answer that goes on: server-sent events.
pub struct EventStream {
    connection: HttpConnection,
    unread: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerEvent {
    pub kind: String,
    pub id: String,
    pub data: String,
}

/// One GET on a connection of its own.
pub async fn get(address: &str, path: &str) -> io::Result<HttpAnswer> {
    ask(address, &HttpRequest::get(path)).await
}

/// One request on a connection of its own, encrypted if there is something to do it with.
pub async fn ask_with(
    address: &str,
    tls: Option<&ClientTls>,
    request: &HttpRequest,
) -> io::Result<HttpAnswer> {
    let mut connection = HttpConnection::open_with(address, tls).await?;
    connection.ask(request).await
}

/// One request on a connection of its own.
pub async fn ask(address: &str, request: &HttpRequest) -> io::Result<HttpAnswer> {
    HttpConnection::open(address).await?.ask(request).await
}

impl HttpRequest {
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    pub fn post(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", path).body(body)
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn to_bytes(&self, address: &str) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {address}\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        [head.as_bytes(), &self.body].concat()
    }
}

impl HttpAnswer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text, whatever it is.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// # Panics
    ///
    /// If the body is not JSON.
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|error| panic!("{error} in {} {}", self.status, self.text()))
    }
}

impl HttpConnection {
    pub async fn open(address: &str) -> io::Result<Self> {
        Self::open_with(address, None).await
    }

    /// As [`open`](Self::open), encrypted if there is something to do it with.
    pub async fn open_with(address: &str, tls: Option<&ClientTls>) -> io::Result<Self> {
        Ok(Self {
            address: address.to_owned(),
            stream: BufReader::new(connect(address, tls).await?),
        })
    }

    /// Sends a request and waits for the answer.
    pub async fn ask(&mut self, request: &HttpRequest) -> io::Result<HttpAnswer> {
        let bytes = request.to_bytes(&self.address);
        self.write(&bytes).await?;
        self.answer().await
    }

    /// Sends these bytes, whatever they are.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        within(self.stream.get_mut().write_all(bytes)).await
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) -> io::Result<()> {
        within(self.stream.get_mut().shutdown()).await
    }

    /// The next answer.
    pub async fn answer(&mut self) -> io::Result<HttpAnswer> {
        within(self.read_answer()).await
    }

    /// Waits until the server has closed the connection, and returns what it said before.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        within(self.stream.read_to_end(&mut rest)).await?;
        Ok(rest)
    }

    async fn read_answer(&mut self) -> io::Result<HttpAnswer> {
        let mut answer = self.read_head().await?;
        while (100..200).contains(&answer.status) {
            answer = self.read_head().await?;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let chunk = self.read_chunk().await?;
                if chunk.is_empty() {
                    return Ok(answer);
                }
                answer.body.extend(chunk);
            }
        }
        let length = answer.header("content-length").unwrap_or("0");
        let length = length.parse().map_err(|_| unreadable(length))?;
        answer.body = vec![0; length];
        self.stream.read_exact(&mut answer.body).await?;
        Ok(answer)
    }

    async fn read_head(&mut self) -> io::Result<HttpAnswer> {
        let first = self.read_line().await?;
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let mut answer = HttpAnswer {
            status: status.ok_or_else(|| unreadable(&first))?,
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let line = self.read_line().await?;
            if line.is_empty() {
                return Ok(answer);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| unreadable(&line))?;
            let name = name.to_ascii_lowercase();
            answer.headers.push((name, value.trim().to_owned()));
        }
    }

    /// The next chunk of a body; the last one is empty.
    async fn read_chunk(&mut self) -> io::Result<Vec<u8>> {
        let size = self.read_line().await?;
        let size = usize::from_str_radix(&size, 16).map_err(|_| unreadable(&size))?;
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk).await?;
        self.read_line().await?;
        Ok(chunk)
    }

    async fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

impl EventStream {
    /// # Errors
    ///
    /// If nothing can be followed; a refusal is an error as well.
    pub async fn open(address: &str, request: &HttpRequest) -> io::Result<Self> {
        let mut connection = HttpConnection::open(address).await?;
        connection.write(&request.to_bytes(address)).await?;
        let head = within(connection.read_head()).await?;
        if head.status != 200 {
            return Err(unreadable(&format!("{head:?}")));
        }
        Ok(Self {
            connection,
            unread: String::new(),
        })
    }

    /// The next event. Lines that only keep the connection alive are none.
    pub async fn next(&mut self) -> io::Result<ServerEvent> {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let (event, rest) = (parse_event(event), rest.to_owned());
                self.unread = rest;
                if event != ServerEvent::default() {
                    return Ok(event);
                }
                continue;
            }
            let chunk = within(self.connection.read_chunk()).await?;
            if chunk.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // A chunk may end within a character only if the server cuts events, which it does not.
            self.unread.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

fn parse_event(text: &str) -> ServerEvent {
    let mut event = ServerEvent::default();
    for line in text.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match name {
            "event" => event.kind = value,
            "id" => event.id = value,
            "data" => event.data = value,
            _ => {}
        }
    }
    event
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let done = timeout(ANSWER_LIMIT, work).await;
    done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn unreadable(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn server_that_says(words: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(words.as_bytes()).await.unwrap();
            // Closing before the request is read would take the words back.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        address
    }

    #[tokio::test]
    async fn answers_come_whole_and_in_chunks() {
        let address = server_that_says(
            "HTTP/1.1 100 Continue\r\n\r\n\
             HTTP/1.1 503 Not yet\r\nRetry-After: 1\r\ncontent-length: 3\r\n\r\nno\n\
             HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nyes\r\nA\r\n0123456789\r\n0\r\n\r\n",
        )
        .await;
        let mut connection = HttpConnection::open(&address).await.unwrap();
        let answer = connection.ask(&HttpRequest::get("/")).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (503, "no\n"));
        assert_eq!(answer.header("retry-after"), Some("1"));
        let answer = connection.answer().await.unwrap();
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "yes0123456789")
        );
    }

    #[tokio::test]
    async fn events_are_told_from_signs_of_life() {
        let address = server_that_says(
            "HTTP/1.1 200 OK\r\n\r\n3\r\n:\n\n\r\n1d\r\nevent: record\nid: 0-1\ndata: {\r\n3\r\n}\n\n\r\n0\r\n\r\n",
        )
        .await;
        let mut events = EventStream::open(&address, &HttpRequest::get("/"))
            .await
            .unwrap();
        let event = events.next().await.unwrap();
        assert_eq!(
            (&*event.kind, &*event.id, &*event.data),
            ("record", "0-1", "{}")
        );
        assert!(events.next().await.is_err());
    }
}
