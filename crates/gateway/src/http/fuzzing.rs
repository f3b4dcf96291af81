//! What callers send, and what is understood: for the fuzz target `http_body`, and no part of the API.
//! Refusals are told as callers get them.

use axum::body::Bytes;
use axum::extract::Query;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use flotilla_client::{ConsumerRecord, FetchOptions, Publication, TopicName};

use super::problem::Problem;
use super::record::{NewRecord, RecordBody};
use super::records::{FetchQuery, read_record, split_array, split_lines};
use super::{publish, record, tail};

/// The records of a JSON array, or why there are none.
pub fn read_array(body: &[u8]) -> Result<Vec<Result<Publication, String>>, String> {
    let records = split_array(body).map_err(told)?;
    Ok(records.into_iter().map(read_one).collect())
}

/// The records of NDJSON, or why there are none.
pub fn read_lines(body: &[u8]) -> Result<Vec<Result<Publication, String>>, String> {
    let records = split_lines(body).map_err(told)?;
    Ok(records.into_iter().map(read_one).collect())
}

/// A record as readers get it.
pub fn write_record(record: ConsumerRecord) -> String {
    let body = RecordBody::from(record);
    serde_json::to_string(&body).expect("invariant: a record is JSON")
}

/// What the headers of `POST /publish/{topic}` make of a payload. Headers that no request can have are
/// left out.
pub fn read_headers(fields: &[(&[u8], &[u8])], payload: Bytes) -> Result<Publication, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers
                .try_append(name, value)
                .map_err(|error| error.to_string())?;
        }
    }
    let read = publish::read_publication(topic(), &headers, payload);
    read.map(|(_, publication)| publication).map_err(told)
}

/// What the query of `GET /v1/topics/{topic}/records` asks for.
pub fn read_query(query: &str) -> Result<FetchOptions, String> {
    let uri = Uri::try_from(format!("/?{query}")).map_err(|error| error.to_string())?;
    let query = Query::<FetchQuery>::try_from_uri(&uri);
    let Query(query) = query.map_err(|rejection| rejection.body_text())?;
    query.options(topic()).map_err(told)
}

/// Milliseconds since 1970 of a moment in words.
pub fn read_time(text: &str) -> Result<i64, String> {
    let time = record::read_time(text).map_err(told)?;
    Ok(time.as_millis())
}

/// The id of an event, as it would be written.
pub fn read_event_id(id: &[u8]) -> Result<String, String> {
    let positions = tail::Positions::parse(&String::from_utf8_lossy(id)).map_err(told)?;
    Ok(positions.to_text())
}

fn read_one(text: &[u8]) -> Result<Publication, String> {
    let publication =
        read_record(text).and_then(|record| NewRecord::into_publication(record, topic()));
    publication
        .map(|(_, publication)| publication)
        .map_err(told)
}

fn topic() -> TopicName {
    TopicName::parse("orders").expect("invariant: a plain word is a name")
}

fn told(problem: Problem) -> String {
    problem.into_json()
}
