use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::*;

/// Version 2: command, family, and what follows.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [&SIGNATURE[..], &[0x20 | command, family], &length, rest].concat()
}

const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0xc3, 0x83];

fn v6(source: [u8; 16]) -> Vec<u8> {
    [&source[..], &[0; 16], &[0x30, 0x39, 0xc3, 0x83]].concat()
}

fn with_tlv(length: u16) -> Vec<u8> {
    [V4, &[4], &length.to_be_bytes(), &vec![7; length.into()]].concat()
}

/// What is read of these bytes in front of `rest`, given in pieces of so many bytes; the rest must be left.
async fn read_of(header: &[u8], piece: usize) -> Result<Option<SocketAddr>, Fault> {
    let (mut ours, mut theirs) = tokio::io::duplex(1 << 16);
    let bytes = [header, b"hello"].concat();
    let write = async {
        for piece in bytes.chunks(piece) {
            theirs.write_all(piece).await.expect("there is room");
            tokio::task::yield_now().await;
        }
        drop(theirs);
    };
    let (source, ()) = tokio::join!(read(&mut ours), write);
    let mut left = Vec::new();
    ours.read_to_end(&mut left).await.expect("it reads");
    assert!(source.is_err() || left == b"hello", "{left:?}");
    source
}

#[tokio::test]
async fn a_header_names_the_source_and_nothing_behind_it_is_read() {
    let v6_source = "[2001:db8::7]:12345";
    let mut db8 = [0; 16];
    db8[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
    db8[15] = 7;
    for (header, source) in [
        (v2(1, 0x11, V4), Some("192.0.2.1:12345")),
        (v2(1, 0x11, &with_tlv(1)), Some("192.0.2.1:12345")),
        (v2(1, 0x11, &with_tlv(2017)), Some("192.0.2.1:12345")),
        (v2(1, 0x21, &v6(db8)), Some(v6_source)),
        (v2(0, 0x00, &[]), None),
        (v2(0, 0x11, V4), None),
        (v2(1, 0x00, &[]), None),
        (v2(1, 0x00, &[1, 2, 3]), None),
        (v2(1, 0x31, &[0; 216]), None),
        (v2(1, 0x12, V4), None),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 50051\r\n".to_vec(), Some("192.0.2.1:12345")),
        (b"PROXY TCP6 2001:db8::7 ::1 12345 50051\r\n".to_vec(), Some(v6_source)),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
    ] {
        for piece in [1, 2, 11, 12, 13, 16, 17, 4096] {
            let found = read_of(&header, piece).await.expect("a header");
            assert_eq!(found, source.map(|source| source.parse().expect("an address")), "{header:?}, {piece}");
        }
    }
}

#[tokio::test]
async fn what_is_no_header_is_refused() {
    let mut long = v2(1, 0x11, &with_tlv(2018));
    for header in [
        &[0x42; 256][..],
        &v2(2, 0x11, V4),
        &v2(1, 0x11, &V4[..11]),
        &v2(1, 0x21, V4),
        &v2(1, 0x41, V4),
        &[&SIGNATURE[..], &[0x11, 0x11, 0, 12], V4].concat(),
        &[&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat(),
        &std::mem::take(&mut long),
        b"PROXY TCP4 192.0.2.1 198.51.100.2 12345\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
        &[b"PROXY UNKNOWN ", &[b'x'; 100][..]].concat(),
        b"GET / HTTP/1.1\r\n",
        b"\r\n\r\n\0\r\nQUIT\r",
    ] {
        for piece in [1, 4096] {
            assert!(matches!(read_of(header, piece).await, Err(Fault::Wrong)), "{header:?}");
        }
    }
}

#[tokio::test]
async fn a_header_that_ends_early_is_a_lost_connection() {
    for header in [v2(1, 0x11, &with_tlv(20)), b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n".to_vec()] {
        for end in 0..header.len() {
            assert!(matches!(read(&mut &header[..end]).await, Err(Fault::Io(_))), "{end}");
        }
    }
}

/// Whom a balancer speaks for with these bytes, all of which are read.
async fn source_of(bytes: &[u8]) -> Option<SocketAddr> {
    let mut stream = bytes;
    let deadline = Instant::now() + Duration::from_secs(10);
    let source = source(&mut stream, balancer(), deadline, &CancellationToken::new()).await;
    assert!(stream.is_empty());
    source
}

fn balancer() -> SocketAddr {
    "10.9.8.7:1".parse().expect("an address")
}

#[tokio::test]
async fn a_balancer_speaks_for_a_client_or_itself_and_a_mapped_address_is_the_ipv4_one() {
    let told = "192.0.2.1:12345".parse().ok();
    assert_eq!(source_of(&v2(1, 0x11, V4)).await, told);
    assert_eq!(source_of(&v2(0, 0, &[])).await, Some(balancer()));
    let mut mapped = [0; 16];
    mapped[10..12].fill(0xff);
    mapped[12..].copy_from_slice(&[192, 0, 2, 1]);
    assert_eq!(source_of(&v2(1, 0x21, &v6(mapped))).await, told);
    assert_eq!(
        canonical("[::ffff:192.0.2.1]:12345".parse().expect("an address")),
        "192.0.2.1:12345".parse().expect("an address")
    );
    assert_eq!(source_of(&[1; 256]).await, None);
}

#[tokio::test(start_paused = true)]
async fn whoever_owes_a_header_has_until_the_hello_time_or_the_stop() {
    for bytes in [&b""[..], &SIGNATURE[..], &[1; 20]] {
        for stopped in [false, true] {
            let (mut ours, mut theirs) = tokio::io::duplex(64);
            theirs.write_all(bytes).await.expect("there is room");
            let (stop, begin) = (CancellationToken::new(), Instant::now());
            if stopped {
                stop.cancel();
            }
            let wait = Duration::from_secs(10);
            assert_eq!(source(&mut ours, balancer(), begin + wait, &stop).await, None);
            assert_eq!(begin.elapsed() >= wait, !stopped);
        }
    }
}
