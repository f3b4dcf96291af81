use std::io::Write;

use super::samples::{batch, replace_records};
use super::{BatchError, Compression};
use crate::ErrorCode;
use crate::limits::{BATCH_BYTES_MAX, BATCH_DECOMPRESSED_BYTES_MAX};

const COMPRESSING: [Compression; 4] = [
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn compress(compression: Compression, records: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compression.compress(records, &mut out);
    out
}

#[test]
fn codecs_have_the_names_and_numbers_of_the_format() {
    for (codec, name) in ["none", "gzip", "snappy", "lz4", "zstd"]
        .into_iter()
        .enumerate()
    {
        let compression = Compression::parse(name).unwrap();
        assert_eq!(compression.as_str(), name);
        assert_eq!(usize::from(compression.codec()), codec);
        assert_eq!(Compression::from_codec(codec as u8), Some(compression));
    }
    assert_eq!(Compression::parse("brotli"), None);
    assert_eq!(Compression::parse("GZIP"), None);
    assert_eq!(Compression::from_codec(5), None);
}

#[test]
fn what_was_compressed_comes_back() {
    let text = "the quick brown fox ".repeat(20_000);
    for compression in Compression::ALL {
        for length in [0, 1, 100, 32 << 10, (32 << 10) + 1, text.len()] {
            let records = &text.as_bytes()[..length];
            let compressed = compress(compression, records);
            assert_eq!(
                compression.decompress(&compressed).unwrap(),
                records,
                "{compression}"
            );
        }
    }
}

#[test]
fn a_compressed_stream_cut_short_anywhere_is_refused() {
    for compression in COMPRESSING {
        let whole = batch(compression).as_bytes().slice(61..);
        for length in 0..whole.len() {
            let cut = replace_records(&batch(compression), &whole[..length]);
            let error = cut.records().unwrap_err();
            assert_eq!(
                error.code(),
                ErrorCode::BatchMalformed,
                "{compression} {length}"
            );
            assert!(cut.verify_records().is_err(), "{compression} {length}");
        }
    }
}

#[test]
fn bytes_behind_the_compressed_stream_are_refused() {
    for compression in COMPRESSING {
        let longer = [&batch(compression).as_bytes()[61..], &[0; 5]].concat();
        let error = replace_records(&batch(compression), &longer)
            .records()
            .unwrap_err();
        assert!(
            matches!(error, BatchError::Decompression { .. }),
            "{compression}: {error}"
        );
    }
}

#[test]
fn a_damaged_stream_is_an_error_or_other_records_but_never_a_panic() {
    for compression in COMPRESSING {
        let whole = batch(compression).as_bytes().slice(61..);
        let mut refused = 0;
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let batch = replace_records(&batch(compression), &damaged);
            refused += usize::from(batch.records().is_err());
        }
        assert!(refused > 0, "{compression}");
    }
}

#[test]
fn a_decompression_bomb_is_refused() {
    let bomb = vec![0; BATCH_DECOMPRESSED_BYTES_MAX + 1];
    for compression in COMPRESSING {
        let compressed = compress(compression, &bomb);
        assert!(compressed.len() < BATCH_BYTES_MAX / 4, "{compression}");
        let batch = replace_records(&batch(compression), &compressed);
        let error = batch.verify_records().unwrap_err();
        assert!(
            matches!(error, BatchError::DecompressedTooLarge { .. }),
            "{error}"
        );
        assert_eq!(error.code(), ErrorCode::BatchTooLarge);
        let largest = compress(compression, &bomb[1..]);
        assert_eq!(
            compression.decompress(&largest).unwrap().len(),
            bomb.len() - 1
        );
    }
}

/// Frames that make 64 GiB together, none of which says how much it holds.
#[test]
fn a_bomb_that_hides_its_size_is_read_no_further_than_the_limit() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(&vec![0; 4 << 20]).unwrap();
    let frame = encoder.finish().unwrap();
    let frames = (64 << 30) / (4 << 20);
    let compressed = frame.repeat(frames.min(BATCH_BYTES_MAX / 2 / frame.len()));
    let batch = replace_records(&batch(Compression::Zstd), &compressed);
    let error = batch.records().unwrap_err();
    assert!(
        matches!(error, BatchError::DecompressedTooLarge { .. }),
        "{error}"
    );
}

#[test]
fn raw_snappy_is_read_as_well_as_framed() {
    let framed = batch(Compression::Snappy);
    let records = batch(Compression::None).as_bytes().slice(61..);
    assert!(framed.as_bytes()[61..].starts_with(b"\x82SNAPPY\0"));
    let raw = snap::raw::Encoder::new().compress_vec(&records).unwrap();
    let raw = replace_records(&framed, &raw);
    assert_eq!(raw.records().unwrap(), framed.records().unwrap());
}

#[test]
fn a_snappy_block_cannot_claim_what_it_does_not_hold() {
    let claims_four_gib = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let framed = [
        b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".as_slice(),
        &(claims_four_gib.len() as u32).to_be_bytes(),
        &claims_four_gib,
    ]
    .concat();
    for claim in [claims_four_gib.as_slice(), &framed] {
        let error = Compression::Snappy.decompress(claim).unwrap_err();
        assert!(matches!(error, BatchError::Decompression { .. }), "{error}");
    }
}

#[test]
fn the_best_compressed_snappy_block_is_within_what_one_is_believed_to_hold() {
    let zeros = vec![0; 1 << 20];
    let raw = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
    assert_eq!(Compression::Snappy.decompress(&raw).unwrap(), zeros);
}

#[test]
fn linked_lz4_blocks_with_checksums_are_read() {
    use lz4_flex::frame::{BlockMode, FrameEncoder, FrameInfo};
    let text = "all hands on deck, ".repeat(20_000);
    let info = FrameInfo::new()
        .block_mode(BlockMode::Linked)
        .block_checksums(true)
        .content_checksum(true)
        .content_size(Some(text.len() as u64));
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(text.as_bytes()).unwrap();
    let compressed = encoder.finish().unwrap();
    assert_eq!(
        Compression::Lz4.decompress(&compressed).unwrap(),
        text.as_bytes()
    );
    for length in 0..compressed.len() {
        assert!(
            Compression::Lz4.decompress(&compressed[..length]).is_err(),
            "{length}"
        );
    }
}
