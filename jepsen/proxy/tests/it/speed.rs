//! What the proxy costs where nothing is wrong. Run with `--ignored --nocapture`, on a machine that has nothing
//! else to do.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::link::{Line, in_time};

const TOTAL: usize = 4 << 30;
const TURNS: usize = 20_000;

#[test]
#[ignore = "measures"]
fn how_fast_it_is() {
    let own = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let line = own.block_on(Line::open());
    let (direct, proxied) = (line.upstream.local_addr().unwrap(), line.route.address());
    for (name, address) in [("direct", direct), ("proxied", proxied)] {
        let ends = tokio::runtime::Runtime::new().unwrap();
        ends.block_on(async {
            let mut dialer = TcpStream::connect(address).await.unwrap();
            let mut listener = line.accept().await;
            for stream in [&dialer, &listener] {
                stream.set_nodelay(true).unwrap();
            }
            let turn = ping(&mut dialer, &mut listener).await;
            println!("{name}: there and back in {turn:?}");
            let taken = in_time(flood(dialer, listener)).await;
            let rate = TOTAL as f64 / taken.as_secs_f64() / 1e9;
            println!("{name}: {rate:.2} GB/s");
        });
    }
}

async fn ping(dialer: &mut TcpStream, listener: &mut TcpStream) -> Duration {
    let mut byte = [0; 1];
    let start = Instant::now();
    for _ in 0..TURNS {
        dialer.write_all(&[1]).await.unwrap();
        listener.read_exact(&mut byte).await.unwrap();
        listener.write_all(&[2]).await.unwrap();
        dialer.read_exact(&mut byte).await.unwrap();
    }
    start.elapsed() / TURNS as u32
}

async fn flood(mut dialer: TcpStream, mut listener: TcpStream) -> Duration {
    let start = Instant::now();
    let writing = tokio::spawn(async move {
        let piece = vec![0; 256 << 10];
        for _ in 0..TOTAL / piece.len() {
            dialer.write_all(&piece).await.unwrap();
        }
    });
    let reading = tokio::spawn(async move {
        let mut piece = vec![0; 256 << 10];
        let mut left = TOTAL;
        while left > 0 {
            left -= listener.read(&mut piece).await.unwrap();
        }
    });
    writing.await.unwrap();
    reading.await.unwrap();
    start.elapsed()
}
