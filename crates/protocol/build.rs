//! Generates Rust from `/proto`, without a `protoc` on the machine.

use std::error::Error;
use std::path::PathBuf;

const PROTO_ROOT: &str = "../../proto";
const FILES: [&str; 13] = [
    "flotilla/v1/errors.proto",
    "flotilla/v1/metadata.proto",
    "flotilla/v1/records.proto",
    "flotilla/v1/topics.proto",
    "flotilla/v1/cluster.proto",
    "flotilla/v1/groups.proto",
    "flotilla/v1/jobs.proto",
    "flotilla/v1/schemas.proto",
    "flotilla/v1/manifests.proto",
    "flotilla/v1/access.proto",
    "flotilla/internal/v1/caller.proto",
    "flotilla/internal/v1/metadata_link.proto",
    "flotilla/internal/v1/peer.proto",
];
const PUBLIC_FILES: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed={PROTO_ROOT}");

    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .build_transport(false)
        .codec_path("crate::codec::RoomyCodec")
        .extern_path(".flotilla.v1.FetchResponse", "crate::bulk::FetchResponse")
        .compile_fds(protox::compile(FILES, [PROTO_ROOT])?)?;

    let public_api = protox::compile(&FILES[..PUBLIC_FILES], [PROTO_ROOT])?;
    let descriptors = prost::Message::encode_to_vec(&public_api);
    std::fs::write(out_dir.join("flotilla_v1_descriptors.bin"), descriptors)?;
    Ok(())
}
