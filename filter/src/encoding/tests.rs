use std::io::{Read as _, Write as _};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CAP: usize = 32 << 20;
/// No limit.
const ANY: usize = usize::MAX;
const BOTH: [Encoding; 2] = [Encoding::Gzip, Encoding::Zstd];

fn gzip(content: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// As a client streams it: the frame does not state its length.
fn zstd_stream(content: &[u8], level: i32, summed: bool) -> Vec<u8> {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), level).unwrap();
    encoder.include_checksum(summed).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn encode(encoding: Encoding, content: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Gzip => gzip(content, 6),
        Encoding::Zstd => zstd_stream(content, 3, true),
    }
}

/// How another implementation decodes a body.
fn oracle(encoding: Encoding, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    match encoding {
        Encoding::Gzip => flate2::read::MultiGzDecoder::new(body).read_to_end(&mut content)?,
        Encoding::Zstd => {
            let mut decoder = ::zstd::Decoder::new(body)?;
            // 8 MiB, the limit for HTTP.
            decoder.window_log_max(23)?;
            decoder.read_to_end(&mut content)?
        }
    };
    Ok(content)
}

/// Words, runs and noise by turns: literals, matches and stored blocks.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..300),
        (any::<u8>(), 0usize..70_000).prop_map(|(byte, length)| vec![byte; length]),
        ("[a-e{}\":, ]{1,40}", 1usize..200).prop_map(|(text, times)| text.repeat(times).into_bytes()),
    ];
    vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn encodings() -> impl Strategy<Value = Encoding> {
    prop_oneof![Just(Encoding::Gzip), Just(Encoding::Zstd)]
}

proptest! {
    #[test]
    fn gzip_of_any_level_is_decoded(content in contents(), level in 0u32..=9) {
        prop_assert_eq!(decode(Encoding::Gzip, &gzip(&content, level), CAP, ANY), Ok(content));
    }

    #[test]
    fn zstd_of_any_level_is_decoded(content in contents(), level in -5i32..=15, summed: bool, sized: bool) {
        let body = if sized {
            ::zstd::bulk::compress(&content, level).unwrap()
        } else {
            zstd_stream(&content, level, summed)
        };
        prop_assert_eq!(decode(Encoding::Zstd, &body, CAP, ANY), Ok(content));
    }

    #[test]
    fn what_is_stored_is_read_by_others_and_by_us(content in contents(), encoding in encodings()) {
        let body = store(encoding, &content);
        prop_assert_eq!(&oracle(encoding, &body).unwrap(), &content);
        prop_assert_eq!(decode(encoding, &body, content.len(), 1), Ok(content));
    }

    #[test]
    fn several_frames_or_members_are_one_content(parts in vec(contents(), 1..5), encoding in encodings()) {
        let body: Vec<u8> = parts.iter().flat_map(|part| encode(encoding, part)).collect();
        prop_assert_eq!(decode(encoding, &body, CAP, ANY), Ok(parts.concat()));
    }

    #[test]
    fn a_body_that_is_cut_is_refused(content in contents(), encoding in encodings(), summed: bool, at: prop::sample::Index) {
        let body = match encoding {
            Encoding::Gzip => gzip(&content, 6),
            Encoding::Zstd => zstd_stream(&content, 3, summed),
        };
        let cut = &body[..at.index(body.len())];
        prop_assert!(decode(encoding, cut, CAP, ANY).is_err());
    }

    #[test]
    fn what_follows_the_end_is_refused(content in contents(), encoding in encodings(), tail in vec(any::<u8>(), 1..20)) {
        let mut body = encode(encoding, &content);
        body.extend_from_slice(&tail);
        prop_assert!(decode(encoding, &body, CAP, ANY).is_err());
    }

    #[test]
    fn garbage_is_refused(body in vec(any::<u8>(), 0..200), encoding in encodings()) {
        prop_assert!(decode(encoding, &body, CAP, ANY).is_err());
    }

    /// With a checksum, only undamaged content is read. Without one, damage may go unseen: then we and
    /// another implementation read the same.
    #[test]
    fn a_damaged_body_is_refused_or_read_as_others_read_it(
        content in contents(),
        encoding in encodings(),
        summed: bool,
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut body = match encoding {
            Encoding::Gzip => gzip(&content, 6),
            Encoding::Zstd => zstd_stream(&content, 3, summed),
        };
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Ok(read) = decode(encoding, &body, CAP, ANY) {
            // Damage may also take away the bit that says that there is a checksum.
            if encoding == Encoding::Gzip || summed && body[4] & 0b100 != 0 {
                prop_assert_eq!(&read, &content);
            }
            if let Ok(theirs) = oracle(encoding, &body) {
                prop_assert_eq!(read, theirs);
            }
        }
    }
}

#[test]
fn a_header_names_one_coding() {
    for (value, expected) in [
        ("zstd", Some(Encoding::Zstd)),
        (" ZSTD ", Some(Encoding::Zstd)),
        ("gzip", Some(Encoding::Gzip)),
        ("x-gzip", Some(Encoding::Gzip)),
        ("deflate", None),
        ("br", None),
        ("gzip, zstd", None),
        ("identity", None),
        ("", None),
    ] {
        assert_eq!(Encoding::from_header(value.as_bytes()), expected, "{value:?}");
    }
    assert_eq!(["gzip", "zstd"].map(|name| Encoding::from_header(name.as_bytes())), BOTH.map(Some));
}

#[test]
fn the_cap_is_the_last_length_that_is_decoded() {
    let noise: Vec<u8> = (0u32..3 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for encoding in BOTH {
        for body in [encode(encoding, &noise), store(encoding, &noise)] {
            assert_eq!(decode(encoding, &body, noise.len(), ANY).as_deref(), Ok(noise.as_slice()));
            let cap = noise.len() - 1;
            assert_eq!(decode(encoding, &body, cap, ANY), Err(DecodeError::TooLarge(cap)), "{encoding:?}");
        }
        assert_eq!(decode(encoding, &encode(encoding, b""), 0, ANY), Ok(Vec::new()));
        assert_eq!(decode(encoding, &encode(encoding, b"1"), 0, ANY), Err(DecodeError::TooLarge(0)));
    }
}

#[test]
fn a_bomb_is_refused_and_a_short_content_that_compresses_well_is_not() {
    let zeros = vec![0; 200 << 20];
    let short = vec![b'x'; RATIO_FLOOR_BYTES];
    for encoding in BOTH {
        let bomb = encode(encoding, &zeros);
        assert!(bomb.len() < 300 << 10, "{} bytes", bomb.len());
        assert_eq!(decode(encoding, &bomb, CAP, ANY), Err(DecodeError::TooLarge(CAP)));
        assert_eq!(decode(encoding, &bomb, CAP, 20), Err(DecodeError::Ratio(20)));
        assert_eq!(decode(encoding, &encode(encoding, &short), CAP, 20), Ok(short.clone()));
    }
    let sized = ::zstd::bulk::compress(&zeros, 3).unwrap();
    assert_eq!(decode(Encoding::Zstd, &sized, CAP, ANY), Err(DecodeError::TooLarge(CAP)));
}

#[test]
fn a_length_that_is_announced_takes_no_memory_beyond_the_bounds() {
    // A frame of one empty block that announces 31 MiB, and a member that announces as much.
    let mut frame = store(Encoding::Zstd, b"");
    frame[6..14].copy_from_slice(&(31u64 << 20).to_le_bytes());
    assert_eq!(decode(Encoding::Zstd, &frame, CAP, 100), Err(DecodeError::Ratio(100)));
    assert_eq!(decode(Encoding::Zstd, &frame, CAP, ANY), Err(DecodeError::Mismatch("length")));
    let mut member = store(Encoding::Gzip, b"");
    let at = member.len() - 4;
    member[at..].copy_from_slice(&(31u32 << 20).to_le_bytes());
    assert_eq!(decode(Encoding::Gzip, &member, CAP, ANY), Err(DecodeError::Mismatch("length")));
}

#[test]
fn sums_are_verified() {
    let mut frame = zstd_stream(b"some content", 3, true);
    *frame.last_mut().unwrap() ^= 1;
    assert_eq!(decode(Encoding::Zstd, &frame, CAP, ANY), Err(DecodeError::Mismatch("checksum")));
    let mut member = gzip(b"some content", 6);
    let at = member.len() - 8;
    member[at] ^= 1;
    assert_eq!(decode(Encoding::Gzip, &member, CAP, ANY), Err(DecodeError::Mismatch("CRC-32")));
}

#[test]
fn a_gzip_header_may_have_every_field() {
    let builder = flate2::GzBuilder::new().filename("body.json").comment("a comment").extra([7; 300]);
    let mut encoder = builder.write(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"content").unwrap();
    let body = encoder.finish().unwrap();
    assert_eq!(decode(Encoding::Gzip, &body, CAP, ANY), Ok(b"content".to_vec()));
    for end in 0..body.len() {
        assert!(decode(Encoding::Gzip, &body[..end], CAP, ANY).is_err());
    }

    let plain = gzip(b"content", 6);
    let mut summed = plain[..10].to_vec();
    summed[3] = 2;
    let sum = crc32fast::hash(&summed) as u16;
    for (sum, expected) in
        [(sum, Ok(b"content".to_vec())), (!sum, Err(DecodeError::Mismatch("sum of the gzip header")))]
    {
        let body = [&summed, &sum.to_le_bytes()[..], &plain[10..]].concat();
        assert_eq!(decode(Encoding::Gzip, &body, CAP, ANY), expected);
    }
}

#[test]
fn skippable_frames_hold_nothing() {
    let skippable = [&0x184D_2A53_u32.to_le_bytes()[..], &5u32.to_le_bytes(), b"12345"].concat();
    let body = [&skippable[..], &zstd_stream(b"content", 3, false), &skippable].concat();
    assert_eq!(decode(Encoding::Zstd, &body, CAP, ANY), Ok(b"content".to_vec()));
    assert!(decode(Encoding::Zstd, &body[..body.len() - 1], CAP, ANY).is_err());
}

#[test]
fn the_number_of_parts_is_bounded() {
    for encoding in BOTH {
        let part = store(encoding, b"x");
        assert_eq!(decode(encoding, &part.repeat(MAX_PARTS), CAP, ANY), Ok(vec![b'x'; MAX_PARTS]));
        let refused = decode(encoding, &part.repeat(MAX_PARTS + 1), CAP, ANY);
        assert!(matches!(refused, Err(DecodeError::Unsupported(_))), "{refused:?}");
    }
}

#[test]
fn what_needs_a_dictionary_or_a_larger_window_is_refused() {
    let dictionary = b"words that many bodies have in common ".repeat(20);
    let mut encoder = ::zstd::bulk::Compressor::with_dictionary(3, &dictionary).unwrap();
    // A raw dictionary has no id, so the frame does not say that it needs one; its matches do.
    let body = encoder.compress(&dictionary).unwrap();
    assert!(decode(Encoding::Zstd, &body, CAP, ANY).is_err());
    let named = [&[0x28, 0xB5, 0x2F, 0xFD, 0b0010_0001, 9, 1][..], &[1, 0, 0]].concat();
    assert_eq!(decode(Encoding::Zstd, &named, CAP, ANY), Err(DecodeError::Unsupported("a zstd dictionary")));

    let mut encoder = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(24).unwrap();
    encoder.write_all(b"content").unwrap();
    let refused = decode(Encoding::Zstd, &encoder.finish().unwrap(), CAP, ANY);
    assert_eq!(refused, Err(DecodeError::Unsupported("a zstd window of more than 8 MiB")));
}

#[test]
fn a_long_stored_body_needs_no_large_window() {
    let content = b"0123456789abcdef".repeat((20 << 20) / 16);
    for encoding in BOTH {
        let body = store(encoding, &content);
        assert!(body.len() < content.len() + content.len() / 8_000);
        assert_eq!(oracle(encoding, &body).unwrap(), content);
    }
}

/// Blocks that claim more than a block may hold: each of their bytes would stand for megabytes.
#[test]
fn a_block_of_long_matches_is_bounded() {
    let zeros = vec![0; 32 << 20];
    let body = zstd_stream(&zeros, 19, false);
    assert_eq!(decode(Encoding::Zstd, &body, zeros.len(), ANY).map(|content| content.len()), Ok(zeros.len()));
    // A run of 2 MB in one block: more than a block may hold.
    let run = [&[0x28, 0xB5, 0x2F, 0xFD, 0, 0x58][..], &[0b011, 0x00, 0xFF, b'x']].concat();
    assert_eq!(decode(Encoding::Zstd, &run, CAP, ANY), Err(DecodeError::Malformed("zstd")));
}
