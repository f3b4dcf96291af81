//! Three real nodes through everything that can be done to them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use flotilla_chaos_cluster::{
    CleanedUp, Cluster, ClusterError, ClusterOptions, Damage, DiskKind, NodeError, NodeId, Status,
    Vandal, clean_up, flotilla_binary,
};
use flotilla_proxy::{Condition, Network, Plan, Route};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::can_mount;

const LIMIT: Duration = Duration::from_secs(20);
const GIB: u64 = 1 << 30;

fn binary() -> PathBuf {
    flotilla_binary().expect("`make build` makes the binary")
}

fn options(binary: PathBuf, directory: &TempDir, disks: DiskKind) -> ClusterOptions {
    ClusterOptions {
        nodes: 3,
        binary,
        directory: directory.path().to_owned(),
        disks,
        settings: vec![(
            "storage.journal_file_bytes".to_owned(),
            "1048576".to_owned(),
        )],
        seed: 1,
    }
}

fn id(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

/// The status of an answer to GET.
async fn get(http: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(http).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

async fn until_refused(address: SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        yield_now().await;
    }
}

/// Dials a node as another one does, and waits until the route between them sees it.
async fn reach_as_peer(network: &Network, from: NodeId, to: NodeId) {
    let ends = (from.name(), to.name());
    let is_between = |route: &&Route| (route.from(), route.to()) == (&*ends.0, &*ends.1);
    let routes = network.routes();
    let route = routes.iter().find(is_between).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from.address(), 0).into()).unwrap();
    let _dialer = socket.connect(route.address()).await.unwrap();
    let seen = async {
        while route.counts().connections == 0 {
            yield_now().await;
        }
    };
    timeout(LIMIT, seen).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_come_back_from_kills_pauses_and_power_cuts() {
    if !can_mount() {
        return;
    }
    let binary = binary();
    let directory = TempDir::new().unwrap();
    let disks = DiskKind::Image { bytes: 2 * GIB };
    let options = options(binary, &directory, disks);
    let mut cluster = Cluster::start(options).await.unwrap();
    cluster.wait_all_ready(LIMIT).await.unwrap();
    for http in cluster.http_addresses() {
        assert_eq!(get(http, "/readyz").await, "200");
    }

    cluster.kill(id(1)).unwrap();
    assert_eq!(cluster.node_mut(id(1)).unwrap().status(), Status::Down);
    cluster.pause(id(2)).unwrap();
    assert_eq!(cluster.node_mut(id(2)).unwrap().status(), Status::Paused);
    cluster.resume(id(2)).unwrap();
    cluster.start_node(id(1)).unwrap();
    cluster.wait_all_ready(LIMIT).await.unwrap();

    let all = cluster.ids();
    cluster.power_cut(&all).await.unwrap();
    for id in all {
        assert!(!cluster.node_mut(id).unwrap().is_alive());
        cluster.start_node(id).unwrap();
    }
    cluster.wait_all_ready(LIMIT).await.unwrap();
    assert_eq!(cluster.panics(), [""; 0]);
    assert_eq!(cluster.node(id(1)).unwrap().restart_count(), 2);
    let stopped = cluster.stop(id(3)).await.unwrap();
    assert!(stopped.success(), "{stopped}");
    println!("{}", cluster.describe());

    drop(cluster);
    let left = clean_up(directory.path()).await.unwrap();
    assert_eq!(left, CleanedUp::default(), "nothing outlives its cluster");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_through_the_proxy_and_gets_a_new_disk() {
    let binary = binary();
    let directory = TempDir::new().unwrap();
    let options = options(binary, &directory, DiskKind::Directory);
    let mut cluster = Cluster::start(options).await.unwrap();
    cluster.wait_all_ready(LIMIT).await.unwrap();
    let fourth = cluster.add_node().await.unwrap();
    cluster.wait_ready(fourth, LIMIT).await.unwrap();
    assert_eq!(cluster.client_addresses().len(), 4);

    let power = cluster.power_cut(&[fourth]).await.unwrap_err();
    assert!(matches!(power, ClusterError::Disk { .. }), "{power}");
    cluster.replace_disk(fourth).await.unwrap();
    let data = cluster.node(fourth).unwrap().data_directory();
    assert!(!data.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_and_nodes_can_be_cut_off_one_by_one() {
    let binary = binary();
    let directory = TempDir::new().unwrap();
    let options = options(binary, &directory, DiskKind::Directory);
    let mut cluster = Cluster::start(options).await.unwrap();
    cluster.wait_all_ready(LIMIT).await.unwrap();
    let network = cluster.network();
    reach_as_peer(network, id(1), id(2)).await;
    let reset = Plan::both(Condition::Reset);
    network.set_plan("client", "node 1", reset).unwrap();
    let [first, second, _] = cluster.http_addresses()[..] else {
        panic!("there are three nodes");
    };
    timeout(LIMIT, until_refused(first)).await.unwrap();
    assert_eq!(get(second, "/readyz").await, "200");
    for from in cluster.ids() {
        for to in cluster.ids().into_iter().filter(|to| *to != from) {
            let plan = Plan::both(Condition::Cut);
            network.set_plan(&from.name(), &to.name(), plan).unwrap();
        }
    }
}

#[tokio::test]
async fn damage_is_done_to_the_files_of_a_real_node() {
    let binary = binary();
    let directory = TempDir::new().unwrap();
    let mut options = options(binary, &directory, DiskKind::Directory);
    options.nodes = 1;
    let mut cluster = Cluster::start(options).await.unwrap();
    cluster.wait_all_ready(LIMIT).await.unwrap();
    cluster.stop(id(1)).await.unwrap();
    let copies = TempDir::new().unwrap();
    let mut vandal = Vandal::new(1, copies.path());
    let data = cluster.node(id(1)).unwrap().data_directory();
    assert!(vandal.keep_copies(&data).unwrap() >= 2);
    cluster.start_node(id(1)).unwrap();
    cluster.wait_all_ready(LIMIT).await.unwrap();
    cluster.kill(id(1)).unwrap();
    for damage in Damage::ALL {
        println!("{}", vandal.harm(&data, damage).unwrap());
    }
}

#[tokio::test]
async fn a_node_that_ends_by_itself_is_told_with_its_log() {
    let binary = binary();
    let directory = TempDir::new().unwrap();
    let mut options = options(binary, &directory, DiskKind::Directory);
    options.settings = vec![("no.such_setting".to_owned(), "1".to_owned())];
    let mut cluster = Cluster::start(options).await.unwrap();
    let ended = cluster.wait_ready(id(1), LIMIT).await.unwrap_err();
    let ClusterError::Node(NodeError::Ended { status, log, .. }) = ended else {
        panic!("{ended}");
    };
    assert!(
        !status.success() && log.contains("no.such_setting"),
        "{log}"
    );
}

#[tokio::test]
async fn the_nodes_of_a_killed_run_are_found_and_ended() {
    if !can_mount() {
        return;
    }
    let binary = binary();
    let directory = TempDir::new().unwrap();
    let mut options = options(binary, &directory, DiskKind::Image { bytes: GIB });
    options.nodes = 2;
    let mut cluster = Cluster::start(options).await.unwrap();
    cluster.wait_all_ready(LIMIT).await.unwrap();
    cluster.pause(id(2)).unwrap();
    // Nothing is dropped of a process that is killed.
    std::mem::forget(cluster);
    let cleaned = clean_up(directory.path()).await.unwrap();
    assert_eq!(cleaned.processes.len(), 2, "{cleaned:?}");
    assert_eq!(cleaned.mount_points.len(), 2, "{cleaned:?}");
    let again = clean_up(directory.path()).await.unwrap();
    assert_eq!(again, CleanedUp::default());
}
