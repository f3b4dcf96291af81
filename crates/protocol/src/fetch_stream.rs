//! The answers to a fetch as the body of an HTTP/2 response, in the pieces in which they were read.
//!
//! What a generated server and client do puts each message together in memory of its own, twice on its
//! way out and in. A replay is hardly more than copies, so these two leave the batches where they are.
//! On the wire they are what every gRPC client and server sends and reads
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::{Body, Frame};
use http_body_util::Full;
use prost::Message;
use tonic::codegen::http;
use tonic::codegen::http::header::{CONTENT_TYPE, TE};
use tonic::codegen::http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use tonic::codegen::tokio_stream::Stream;
use tonic::{Code, Response, Status, Streaming};
use tonic_prost::ProstDecoder;

use crate::pieces::{Pieces, PiecesWriter};
use crate::v1::{FetchRequest, FetchResponse};

/// The path of the call.
pub const FETCH_PATH: &str = "/flotilla.v1.Fetch/Fetch";
const GRPC_CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

/// A flag, and a length of four bytes.
const PREFIX_BYTES: usize = 5;
const UNCOMPRESSED: u8 = 0;
/// Small answers share a frame of so many bytes, if they are there at the same time.
const SHARED_BYTES: usize = 32 << 10;

/// Reads the request of a call.
pub async fn read_fetch_request(
    body: tonic::body::Body,
    message_bytes_max: usize,
) -> Result<FetchRequest, Status> {
    let decoder = ProstDecoder::<FetchRequest>::default();
    let mut messages = Streaming::new_request(decoder, body, None, Some(message_bytes_max));
    let message = messages.message().await?;
    // To its end, so that the client is done, too.
    messages.trailers().await?;
    message.ok_or_else(|| Status::internal("the request has no message"))
}

/// Answers a call.
pub fn fetch_response<S>(answers: Response<S>) -> http::Response<tonic::body::Body>
where
    S: Stream<Item = Result<FetchResponse, Status>> + Send + Unpin + 'static,
{
    let (metadata, answers, _) = answers.into_parts();
    let mut response = http::Response::new(tonic::body::Body::new(FetchBody::new(answers)));
    *response.headers_mut() = metadata.into_headers();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

struct FetchBody<S> {
    /// `None` once all have been taken.
    answers: Option<S>,
    /// Of answers that are on their way.
    pieces: Pieces,
    /// What is said when they have gone.
    end: Option<Status>,
}

impl<S> FetchBody<S>
where
    S: Stream<Item = Result<FetchResponse, Status>> + Unpin,
{
    const fn new(answers: S) -> Self {
        Self {
            answers: Some(answers),
            pieces: Pieces::new(),
            end: None,
        }
    }

    /// Takes answers that are ready, as many as small ones should share a frame: HTTP/2 libraries count
    /// small frames as an attack.
    fn take_answers(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut writer = PiecesWriter::default();
        while let Some(answers) = &mut self.answers
            && writer.len() < SHARED_BYTES
        {
            match Pin::new(answers).poll_next(context) {
                Poll::Ready(Some(Ok(answer))) => write_message(answer, &mut writer),
                Poll::Ready(ended) => {
                    let status = ended.and_then(Result::err);
                    self.end = Some(status.unwrap_or_else(|| Status::new(Code::Ok, "")));
                    self.answers = None;
                }
                Poll::Pending if writer.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        self.pieces = writer.finish();
        Poll::Ready(())
    }
}

impl<S> Body for FetchBody<S>
where
    S: Stream<Item = Result<FetchResponse, Status>> + Unpin,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.pieces.is_empty() {
            ready!(self.take_answers(context));
        }
        let frame = match self.pieces.pop() {
            Some(piece) => Some(Frame::data(piece)),
            None => self
                .end
                .take()
                .map(|status| Frame::trailers(trailers(&status))),
        };
        Poll::Ready(frame.map(Ok))
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // What cannot be said is left out, but never the code.
        let code = HeaderValue::from(status.code() as i32);
        trailers.insert(Status::GRPC_STATUS, code);
    }
    trailers
}

/// The message behind its prefix.
fn write_message(mut answer: FetchResponse, writer: &mut PiecesWriter) {
    let out = writer.small();
    out.put_u8(UNCOMPRESSED);
    out.put_u32(answer.encoded_len() as u32);
    answer.encode_head(out);
    writer.push_all(std::mem::take(&mut answer.batches));
}

/// The request of a call, to be sent to a node.
pub fn fetch_request(request: &FetchRequest) -> http::Request<tonic::body::Body> {
    let length = request.encoded_len();
    let mut body = BytesMut::with_capacity(PREFIX_BYTES + length);
    body.put_u8(UNCOMPRESSED);
    body.put_u32(length as u32);
    body.put_slice(&request.encode_to_vec());
    let mut http = http::Request::new(tonic::body::Body::new(Full::new(body.freeze())));
    *http.method_mut() = Method::POST;
    *http.version_mut() = Version::HTTP_2;
    *http.uri_mut() = http::Uri::from_static(FETCH_PATH);
    let headers = http.headers_mut();
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    http
}

/// What comes back.
#[derive(Debug)]
pub struct FetchAnswers {
    body: tonic::body::Body,
    /// What came of the next message.
    received: Pieces,
    /// How long that is, once its prefix is there.
    length: Option<usize>,
    message_bytes_max: usize,
    /// The head has said already how it ends.
    has_status: bool,
    has_ended: bool,
}

impl FetchAnswers {
    /// Reads the beginning of a response.
    pub fn open(
        response: http::Response<tonic::body::Body>,
        message_bytes_max: usize,
    ) -> Result<Self, Status> {
        let (head, body) = response.into_parts();
        let status = Status::from_header_map(&head.headers);
        if let Some(status) = &status
            && status.code() != Code::Ok
        {
            return Err(status.clone());
        }
        if head.status != StatusCode::OK {
            let message = format!("the answer to a gRPC call has HTTP status {}", head.status);
            return Err(match head.status {
                StatusCode::NOT_FOUND => Status::unimplemented(message),
                _ => Status::unavailable(message),
            });
        }
        Ok(Self {
            body,
            received: Pieces::new(),
            length: None,
            message_bytes_max,
            has_status: status.is_some(),
            has_ended: false,
        })
    }

    /// The next answer; `None` if the node has sent all, and after an error. Nothing is lost if the wait
    /// is given up.
    pub async fn message(&mut self) -> Result<Option<FetchResponse>, Status> {
        if self.has_ended {
            return Ok(None);
        }
        let message = self.next().await;
        self.has_ended = !matches!(message, Ok(Some(_)));
        message
    }

    async fn next(&mut self) -> Result<Option<FetchResponse>, Status> {
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(Some(message));
            }
            let frame = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await;
            let Some(frame) = frame.transpose()? else {
                return match self.has_status {
                    true => Ok(None),
                    false => Err(Status::unavailable("the answers end without a status")),
                };
            };
            match frame.into_data() {
                Ok(data) => self.received.push(data),
                Err(frame) => return self.end(frame.trailers_ref()),
            }
        }
    }

    fn end(&self, trailers: Option<&HeaderMap>) -> Result<Option<FetchResponse>, Status> {
        let status = trailers.and_then(Status::from_header_map);
        let status = status.ok_or_else(|| Status::internal("the trailers have no status"))?;
        if status.code() != Code::Ok {
            return Err(status);
        }
        match self.received.is_empty() && self.length.is_none() {
            true => Ok(None),
            false => Err(Status::internal("the last answer is cut short")),
        }
    }

    fn take_message(&mut self) -> Result<Option<FetchResponse>, Status> {
        let length = match self.length {
            Some(length) => length,
            None if self.received.len() < PREFIX_BYTES => return Ok(None),
            None => self.read_prefix()?,
        };
        self.length = Some(length);
        if self.received.len() < length {
            return Ok(None);
        }
        self.length = None;
        let message = FetchResponse::decode((&mut self.received).take(length));
        let message = message.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Some(message))
    }

    fn read_prefix(&mut self) -> Result<usize, Status> {
        if self.received.get_u8() != UNCOMPRESSED {
            return Err(Status::internal("a compressed answer was not asked for"));
        }
        let length = self.received.get_u32() as usize;
        if length > self.message_bytes_max {
            return Err(Status::out_of_range(format!(
                "the node sends an answer of {length} bytes: {} are the most",
                self.message_bytes_max
            )));
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tonic::codegen::tokio_stream;

    use super::*;

    /// A body that comes in frames of so many bytes, with what follows them.
    struct Cut(VecDeque<Frame<Bytes>>);

    impl Body for Cut {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }

    fn answer(batches: &[&'static [u8]]) -> FetchResponse {
        FetchResponse {
            partition: 3,
            next_offset: 300,
            batches: batches
                .iter()
                .map(|batch| Bytes::from_static(batch))
                .collect(),
            ..FetchResponse::default()
        }
    }

    /// What a node sends.
    fn sent(answers: Vec<Result<FetchResponse, Status>>) -> (Bytes, HeaderMap) {
        let mut body = FetchBody::new(tokio_stream::iter(answers));
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut data = BytesMut::new();
        loop {
            let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) else {
                panic!("the body waits, or ends without a status");
            };
            match frame.into_data() {
                Ok(piece) => data.put(piece),
                Err(frame) => return (data.freeze(), frame.into_trailers().unwrap()),
            }
        }
    }

    /// What a client makes of bytes that arrive so many at a time.
    fn read(
        mut data: Bytes,
        cut: usize,
        trailers: Option<HeaderMap>,
    ) -> (Vec<FetchResponse>, Result<(), Code>) {
        let mut frames = VecDeque::new();
        while !data.is_empty() {
            frames.push_back(Frame::data(data.split_to(cut.min(data.len()))));
        }
        frames.extend(trailers.map(Frame::trailers));
        let response = http::Response::new(tonic::body::Body::new(Cut(frames)));
        let mut answers = FetchAnswers::open(response, 10_000).unwrap();
        let mut read = Vec::new();
        let mut context = Context::from_waker(std::task::Waker::noop());
        loop {
            match std::pin::pin!(answers.message()).poll(&mut context) {
                Poll::Ready(Ok(Some(answer))) => read.push(answer),
                Poll::Ready(Ok(None)) => return (read, Ok(())),
                Poll::Ready(Err(status)) => return (read, Err(status.code())),
                Poll::Pending => panic!("everything is there"),
            }
        }
    }

    #[test]
    fn answers_arrive_as_they_were_sent_however_they_are_cut() {
        static LARGE: [u8; 9_000] = [7; 9_000];
        let answers = [answer(&[]), answer(&[b"one", &LARGE]), answer(&[b"end"])];
        let (data, trailers) = sent(answers.clone().map(Ok).into());
        for cut in [1, 4, 5, 6, 1_000, 20_000] {
            let (read, end) = read(data.clone(), cut, Some(trailers.clone()));
            assert_eq!(read, answers, "{cut}");
            assert_eq!(end, Ok(()));
        }
    }

    #[test]
    fn small_answers_share_a_frame() {
        let answers = [answer(&[b"one"]), answer(&[b"two"])];
        let mut body = FetchBody::new(tokio_stream::iter(answers.map(Ok)));
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut frames = Vec::new();
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) {
            frames.push(frame.is_data());
        }
        assert_eq!(frames, [true, false]);
    }

    #[test]
    fn a_message_is_on_the_wire_what_a_generated_one_is() {
        let (data, _) = sent(vec![Ok(answer(&[b"one", b"two"]))]);
        let generated = answer(&[b"onetwo"]).encode_to_vec();
        let prefix = [0, 0, 0, 0, generated.len() as u8];
        assert_eq!(data, [&prefix[..], &generated].concat());
    }

    #[test]
    fn a_failure_comes_after_what_was_sent_before_it() {
        let failed = Err(Status::not_found("gone"));
        let (data, trailers) = sent(vec![Ok(answer(&[b"one"])), failed]);
        let (read, end) = read(data, 7, Some(trailers));
        assert_eq!(read, [answer(&[b"one"])]);
        assert_eq!(end, Err(Code::NotFound));
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_an_error() {
        let (data, trailers) = sent(vec![Ok(answer(&[b"one"]))]);
        for length in 1..data.len() {
            let (read, end) = read(data.slice(..length), 7, Some(trailers.clone()));
            assert_eq!((read.len(), end), (0, Err(Code::Internal)), "{length}");
        }
        assert_eq!(read(data, 7, None).1, Err(Code::Unavailable));
        let too_long = Bytes::from_static(&[0, 0, 0, 255, 255]);
        assert_eq!(read(too_long, 7, None).1, Err(Code::OutOfRange));
        let compressed = Bytes::from_static(&[1, 0, 0, 0, 0]);
        assert_eq!(read(compressed, 7, None).1, Err(Code::Internal));
    }
}
