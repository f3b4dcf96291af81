//! Requests over HTTP whose bodies come slowly, in pieces, in part, or not as they were announced.

use flotilla_client::Client;
use flotilla_tests::cluster::{Cluster, ClusterOptions};
use flotilla_tests::http::{HttpConnection, HttpRequest, ask, get};
use flotilla_tests::phase::phase;
use futures::future::join_all;

use crate::doors::{assert_problem, values};
use crate::topics::{FIRST, create, name};

const PUBLISH: &str = "POST /publish/orders HTTP/1.1\r\nHost: node\r\n";

async fn one_node() -> (Cluster, Client, String) {
    let cluster = Cluster::start_with(ClusterOptions {
        node_count: 1,
        settings: vec![
            ("http.body_limit_ms", "500".to_owned()),
            ("http.header_timeout_ms", "1000".to_owned()),
        ],
    })
    .await;
    let client = cluster.client().await;
    create(&client, &name("orders"), 1, 1).await;
    let address = cluster.nodes()[0].http_address();
    (cluster, client, address)
}

async fn send(address: &str, bytes: &[u8]) -> HttpConnection {
    let mut connection = HttpConnection::open(address).await.unwrap();
    // A server that has refused already does not read the rest.
    let _ = connection.write(bytes).await;
    connection
}

fn chunked(pieces: &[&[u8]]) -> Vec<u8> {
    let mut request = format!("{PUBLISH}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for piece in pieces {
        request.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        request.extend(*piece);
        request.extend(b"\r\n");
    }
    request
}

async fn assert_healthy(address: &str) {
    assert_eq!(get(address, "/readyz").await.unwrap().status, 200);
    let request = HttpRequest::post("/publish/orders", "all is well");
    let answer = ask(address, &request).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Goal: a body in pieces is one payload, and one that does not end is none.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_end_are_not_stored() {
    let (_cluster, client, address) = one_node().await;

    phase("in pieces");
    let bytes = [&chunked(&[b"one", b" and ", b"two"])[..], b"0\r\n\r\n"].concat();
    let mut connection = send(&address, &bytes).await;
    assert_eq!(connection.answer().await.unwrap().status, 200);
    let slowly = format!("{PUBLISH}Content-Length: 11\r\n\r\none");
    connection.write(slowly.as_bytes()).await.unwrap();
    connection.write(b" and two").await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 200);
    let expecting = format!("{PUBLISH}Content-Length: 11\r\nExpect: 100-continue\r\n\r\n");
    connection.write(expecting.as_bytes()).await.unwrap();
    connection.write(b"one and two").await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 200);
    assert_eq!(
        values(&client, &name("orders"), FIRST).await,
        ["one and two"; 3]
    );

    phase("the rest never comes");
    let announced = format!("{PUBLISH}Content-Length: 10\r\n\r\nhalf");
    for half in [announced.as_bytes(), &chunked(&[b"half"]), b"POST /publish/orders HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf"] {
        let mut connection = send(&address, half).await;
        assert_problem(&connection.answer().await.unwrap(), 408, "BODY_TIMEOUT");
        connection.rest().await.unwrap();

        let mut connection = send(&address, half).await;
        connection.finish().await.unwrap();
        // It is closed, with a word about it or without.
        let _ = connection.rest().await;
        drop(send(&address, half).await);
    }
    assert_healthy(&address).await;
    let mut expected = vec!["one and two"; 3];
    expected.push("all is well");
    assert_eq!(values(&client, &name("orders"), FIRST).await, expected);
}

/// Goal: a body that is too large is refused as soon as that is known, whether its size was said before
/// or not.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_are_refused_however_they_come() {
    let (_cluster, client, address) = one_node().await;
    let piece = vec![b'x'; 16_384];
    let four = chunked(&[piece.as_slice(); 4]);

    phase("65,536 bytes in pieces");
    let mut connection = send(&address, &[&four[..], b"0\r\n\r\n"].concat()).await;
    let answer = connection.answer().await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());

    phase("one more");
    let mut connection = send(&address, &[&four[..], b"1\r\nx\r\n"].concat()).await;
    assert_problem(&connection.answer().await.unwrap(), 413, "BODY_TOO_LARGE");
    connection.rest().await.unwrap();

    phase("a size that nobody waits for");
    for size in ["65537", "99999999999", "9223372036854775808"] {
        let request = format!("{PUBLISH}Content-Length: {size}\r\n\r\n");
        let mut connection = send(&address, request.as_bytes()).await;
        assert_problem(&connection.answer().await.unwrap(), 413, "BODY_TOO_LARGE");
        connection.rest().await.unwrap();
    }
    assert_healthy(&address).await;
    assert_eq!(values(&client, &name("orders"), FIRST).await.len(), 2);
}

/// Goal: where a request does not say clearly how long its body is, nothing of it is taken, and least
/// of all for a second request.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_doubtful_length_are_refused() {
    let (_cluster, client, address) = one_node().await;
    let smuggled =
        "POST /publish/orders HTTP/1.1\r\nHost: node\r\nContent-Length: 8\r\n\r\nsmuggled";
    let length = smuggled.len();
    for (headers, body) in [
        ("Content-Length: x".to_owned(), "x"),
        ("Content-Length: -5".to_owned(), "12345"),
        ("Content-Length: +5".to_owned(), "12345"),
        ("Content-Length: 0x5".to_owned(), "12345"),
        ("Content-Length: 5, 6".to_owned(), "123456"),
        (
            "Content-Length: 5\r\nContent-Length: 6".to_owned(),
            "123456",
        ),
        (
            "Content-Length: 99999999999999999999999".to_owned(),
            "12345",
        ),
        ("Content-Length:".to_owned(), "12345"),
        ("Transfer-Encoding: gzip".to_owned(), "12345"),
        (
            "Transfer-Encoding: chunked".to_owned(),
            "zz\r\n12345\r\n0\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked".to_owned(),
            "-5\r\n12345\r\n0\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked".to_owned(),
            "5\r\n123456\r\n0\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked".to_owned(),
            "fffffffffffffffff\r\n12345",
        ),
        (
            format!("Content-Length: 0\r\nContent-Length: {length}"),
            smuggled,
        ),
        (
            format!("Transfer-Encoding: identity\r\nContent-Length: {length}"),
            smuggled,
        ),
    ] {
        phase(&headers);
        let request = format!("{PUBLISH}{headers}\r\n\r\n{body}");
        let mut connection = send(&address, request.as_bytes()).await;
        // One that is no HTTP at all may be closed without a word.
        if let Ok(answer) = connection.answer().await {
            assert!((400..=431).contains(&answer.status), "{answer:?}");
        }
        let rest = connection.rest().await.unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(&rest), "", "a second answer");
        assert_eq!(values(&client, &name("orders"), FIRST).await, [""; 0]);
    }
    assert_healthy(&address).await;
}

/// Goal: whatever is done to a request on its way, the node goes on, and has stored no more than it said.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_requests_leave_a_node_healthy() {
    const REQUESTS: u64 = 300;
    let (_cluster, client, address) = one_node().await;
    let seed = std::process::id().into();
    phase(format_args!("seed {seed}"));
    let mut random = Random(seed);
    let whole = [
        format!("{PUBLISH}Content-Length: 4\r\nContent-Type: text/plain\r\n\r\nbody").into_bytes(),
        [&chunked(&[b"bo", b"dy"])[..], b"0\r\n\r\n"].concat(),
        b"GET /v1/topics/orders/records?offset=0&limit=5 HTTP/1.1\r\nHost: node\r\n\r\n".to_vec(),
        b"POST /v1/topics/orders/records HTTP/1.1\r\nHost: node\r\nContent-Length: 13\r\n\r\n[{\"value\":1}]".to_vec(),
    ];
    let mut requests = Vec::new();
    for _ in 0..REQUESTS {
        let mut request = whole[random.below(whole.len())].clone();
        for _ in 0..=random.below(3) {
            let place = random.below(request.len());
            match random.below(3) {
                0 => request[place] = random.below(256) as u8,
                1 => drop(request.remove(place)),
                _ => request.insert(place, random.below(256) as u8),
            }
        }
        requests.push(request);
    }
    let answers = requests.iter().map(async |request| {
        let rest = send(&address, request).await.rest().await;
        String::from_utf8_lossy(&rest.unwrap_or_default()).into_owned()
    });
    let mut stored = 0;
    for (answer, request) in join_all(answers).await.iter().zip(&requests) {
        stored += answer.matches("\"duplicate\":false").count();
        let request = String::from_utf8_lossy(request);
        assert!(!answer.contains("HTTP/1.1 5"), "{request:?}: {answer}");
    }
    phase(format_args!(
        "{stored} of {REQUESTS} were stored all the same"
    ));
    assert_healthy(&address).await;
    assert_eq!(
        values(&client, &name("orders"), FIRST).await.len(),
        stored + 1
    );
}

/// The generator of Vigna, "splitmix64".
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}
