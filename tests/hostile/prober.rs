//! A prober without a key learns nothing (protocol.md, 3.7): whatever it sends, in whatever pieces, what it gets back is the same.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::OwnedWriteHalf,
};
use xllm_proxy::proto::{Credential, ServerKey, crypto::Secret};

use super::{
    crowd, hellos,
    support::{
        child::Stand,
        mitm::{Mitm, units},
        process::raise_descriptors,
        request::{get, whole},
        within,
    },
    vigil::Vigil,
};

const PROBES: usize = 3200;
/// At once. Fewer from one address and in all than the server's doorway has places, so that nobody gives way.
const AT_ONCE: usize = 320;
const FROM_ONE: usize = 8;
/// Until the server closes.
const HELLO: Duration = Duration::from_millis(2500);
/// A machine that has other things to do may take so much longer.
const GENEROUS: Duration = Duration::from_secs(20);

/// What is sent.
#[derive(Clone)]
struct Content {
    name: &'static str,
    bytes: Vec<u8>,
    /// Whether it begins with a hello that the server can open.
    opens: bool,
}

/// In what pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    Whole,
    /// In two, the second when the first has had time to be read.
    Broken(usize),
    /// Byte by byte, those of the beginning and those around the border of the hello; the others between.
    Bytes,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Silence,
    /// A byte each few milliseconds: some come between deadline and close.
    Chatter,
    /// As much as the connection takes: the server has unread bytes whenever it closes.
    Flood,
    HalfClose,
}

/// What came of it.
#[derive(Debug)]
struct Seen {
    answer: Vec<u8>,
    /// From before the connection was made to the end of the stream.
    after: Duration,
    /// The error that ended it, if it was no end in order.
    error: Option<String>,
    /// When the hello was sent in whole.
    sent: Option<Duration>,
}

/// A recorded conversation of a client, and all that a prober can make of it or by itself.
fn contents(credential: &Credential, recorded: &[u8]) -> Vec<Content> {
    let mut contents = Vec::new();
    let mut add = |name, bytes: &[u8], opens| contents.push(Content { name, bytes: bytes.to_vec(), opens });
    let units = units(recorded);
    let (hello, first) = (units[0], units[1]);
    let other = Credential { server: *ServerKey::new(Secret::new([42; 32])).public(), ..credential.clone() };

    add("nothing", b"", false);
    add("a byte", b"\x16", false);
    add("255 bytes", &hellos::random::<255>(), false);
    add("256 bytes", &hellos::random::<256>(), false);
    add("257 bytes", &hellos::random::<257>(), false);
    add("70,000 bytes", &hellos::random::<70_000>(), false);
    add("zeros", &[0; 600], false);
    add("HTTP", b"GET / HTTP/1.1\r\nhost: proxy.example\r\nuser-agent: curl/8.5.0\r\naccept: */*\r\n\r\n", false);
    add("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", false);
    add("SSH", b"SSH-2.0-OpenSSH_9.7\r\n", false);
    let mut tls = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    tls.extend(hellos::random::<506>());
    add("TLS", &tls, false);
    add("a truncated hello", &hello[..200], false);
    add("a hello to another server", &hellos::good(&other).1, false);
    add("a point of small order", &[&[0; 32][..], &hellos::random::<224>()].concat(), false);
    for bit in [0, 7, 255, 256, 1024, 2047] {
        let mut flipped = hello.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        add("a hello with a flipped bit", &[&flipped[..], first].concat(), false);
    }
    for payload in hellos::malformed() {
        add("a malformed payload", &hellos::with_payload(&credential.server, &payload), false);
    }
    add("a replayed hello", hello, true);
    add("a replayed conversation", recorded, true);
    add("a hello and a part of a record", &recorded[..256 + 40], true);
    add("a hello of another key ID", &hellos::good(&hellos::stranger(credential)).1, true);
    for (name, key) in [
        ("a known key ID", credential.clone()),
        ("an unknown key ID", hellos::stranger(credential)),
        ("a wrong PSK", hellos::impostor(credential)),
    ] {
        let hello = hellos::good(&key).1;
        for rest in
            [&[0, 0][..], &[0, 16], &[0, 17], &[0xff, 0xff], &[0; 700], first, &first[..300], &hellos::random::<40_000>()]
        {
            add(name, &[&hello[..], rest].concat(), true);
        }
    }
    contents
}

/// Writes until it is done, or nobody reads any more. Keeps in `sent` when the hello was through.
async fn say(out: &mut OwnedWriteHalf, content: &[u8], pieces: Pieces, start: Instant, sent: &mut Option<Duration>) {
    let border = |at: usize| at < 40 || (248..264).contains(&at);
    let mut at = 0;
    while at < content.len() {
        let end = match pieces {
            Pieces::Broken(place) if at < place => place.min(content.len()),
            Pieces::Whole | Pieces::Broken(_) => content.len(),
            Pieces::Bytes if border(at) => at + 1,
            Pieces::Bytes => (at + 1..content.len()).find(|&at| border(at)).unwrap_or(content.len()),
        };
        if out.write_all(&content[at..end]).await.is_err() {
            return;
        }
        at = end;
        if at >= 256 {
            sent.get_or_insert_with(|| start.elapsed());
        }
        match pieces {
            Pieces::Broken(_) => tokio::time::sleep(Duration::from_millis(30)).await,
            _ => tokio::task::yield_now().await,
        }
    }
}

async fn go_on(out: &mut OwnedWriteHalf, then: Then) {
    match then {
        Then::Silence => {}
        Then::HalfClose => drop(out.shutdown().await),
        Then::Chatter => {
            while out.write_all(b"?").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
        Then::Flood => while out.write_all(&[0x5a; 16_384]).await.is_ok() {},
    }
    // The connection stays as it is until the server has closed it.
    std::future::pending::<()>().await;
}

async fn probe(server: SocketAddr, party: usize, content: &Content, pieces: Pieces, then: Then) -> Seen {
    let start = Instant::now();
    let (mut input, mut out) = crowd::connect(party, server).await.unwrap().into_split();
    let mut sent = None;
    let talk = async {
        say(&mut out, &content.bytes, pieces, start, &mut sent).await;
        go_on(&mut out, then).await;
    };
    let mut answer = Vec::new();
    let end = tokio::select! {
        () = talk => unreachable!("it never ends by itself"),
        end = within("the server's close", input.read_to_end(&mut answer)) => end,
    };
    Seen { answer, after: start.elapsed(), error: end.err().map(|error| error.to_string()), sent }
}

/// A client's conversation with the server, as somebody on the path records it.
async fn record(stand: &Stand) -> Vec<u8> {
    let mitm = Mitm::listen(stand.server.address).await;
    let client = xllm_proxy::client::Client::builder(&mitm.address(), stand.server.credential.clone()).unwrap().build();
    whole(&client, get(&stand.url("/raw/binary"))).await.unwrap();
    let tapes = mitm.tapes();
    tapes[0].up.clone()
}

fn thens(number: usize) -> Then {
    // A flood is as much as a core bears: some are enough.
    match number % 16 {
        0 => Then::Flood,
        1..=4 => Then::Chatter,
        _ => Then::Silence,
    }
}

/// The pieces and what follows differ from probe to probe of a content.
fn ways(number: usize) -> Pieces {
    match number % 6 {
        0 | 1 => Pieces::Whole,
        2 => Pieces::Broken(1),
        3 => Pieces::Broken(256),
        4 => Pieces::Broken(257),
        _ => Pieces::Bytes,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_prober_sends_it_gets_the_same_close_at_the_deadline() {
    let config = format!("[limits]\nhello_seconds = {}\n", HELLO.as_secs_f64());
    let vigil = Vigil::begin("3200 probes", &config, &[]).await;
    let contents = contents(&vigil.server.credential, &record(&vigil).await);
    let (server, kinds) = (vigil.server.address, contents.len());
    let probes = stream::iter(0..PROBES).map(|number| {
        let content = &contents[number % kinds];
        let (pieces, then) = (ways(number / kinds), thens(number / 7));
        async move { (content, pieces, then, probe(server, number % (AT_ONCE / FROM_ONE), content, pieces, then).await) }
    });
    let seen: Vec<_> = probes.buffer_unordered(AT_ONCE).collect().await;
    assert_eq!(seen.len(), PROBES);
    let (mut closes, mut late) = (BTreeMap::<_, Vec<Duration>>::new(), 0);
    for (content, pieces, then, seen) in &seen {
        let what = format!("{}, {pieces:?}, {then:?}: {:?} after {:?}", content.name, seen.error, seen.after);
        assert_eq!(seen.error, None, "a reset: {what}");
        let answer = seen.answer.len();
        // What came late may be too late for an answer.
        if content.bytes.len() >= 256 && seen.sent.is_none_or(|sent| sent > HELLO / 2) {
            late += 1;
            assert!(answer == 0 || (content.opens && answer == 256), "{what}");
        } else {
            assert_eq!(answer, if content.opens { 256 } else { 0 }, "{what}");
        }
        assert!((HELLO..HELLO + GENEROUS).contains(&seen.after), "{what}");
        closes.entry(if content.opens { "hellos that open" } else { content.name }).or_default().push(seen.after);
    }
    assert!(late < PROBES / 2, "{late} hellos took too long to say anything");
    println!("{PROBES} probes, {late} of them late; milliseconds from the deadline to the close: p50, p99, max");
    for (name, closes) in &mut closes {
        closes.sort();
        let at = |share: usize| closes[(closes.len() - 1) * share / 100].saturating_sub(HELLO).as_millis();
        println!("{name:>32} ({:>4}) {:>5} {:>5} {:>5}", closes.len(), at(50), at(99), at(100));
    }
    vigil.end(64 * 1024).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prober_that_ends_its_side_gets_the_end_at_once_whatever_it_has_sent() {
    const LONG: Duration = Duration::from_secs(25);
    let vigil = Vigil::begin("probes that end", &format!("[limits]\nhello_seconds = {}\n", LONG.as_secs()), &[]).await;
    let contents = contents(&vigil.server.credential, &record(&vigil).await);
    let server = vigil.server.address;
    let probes = stream::iter(contents.iter().enumerate()).flat_map(|(number, content)| {
        stream::iter([Pieces::Whole, Pieces::Broken(256), Pieces::Bytes])
            .map(move |pieces| async move { (content, pieces, probe(server, number, content, pieces, Then::HalfClose).await) })
    });
    let seen: Vec<_> = probes.buffer_unordered(64).collect().await;
    for (content, pieces, seen) in seen {
        let what = format!("{}, {pieces:?}: {:?} after {:?}", content.name, seen.error, seen.after);
        assert_eq!((seen.answer.len(), &seen.error), (if content.opens { 256 } else { 0 }, &None), "{what}");
        assert!(seen.after < LONG, "it had to wait for the deadline: {what}");
    }
    vigil.end(64 * 1024).await;
}

/// Whether the key ID is known is in nothing that a prober sees. How long an answer takes is printed: on a busy machine it says
/// nothing, but a look-up that took part of it would show on an idle one.
#[tokio::test]
async fn an_unknown_key_id_a_wrong_psk_and_a_good_key_get_answers_that_look_alike() {
    raise_descriptors();
    let stand = Stand::logging("info", "", &[]).await;
    let credential = &stand.server.credential;
    let keys =
        [("known", credential.clone()), ("unknown", hellos::stranger(credential)), ("wrong", hellos::impostor(credential))];
    let mut took = [const { Vec::new() }; 3];
    for _ in 0..200 {
        for ((_, key), took) in keys.iter().zip(&mut took) {
            let mut io = crowd::connect(0, stand.server.address).await.unwrap();
            let (_, hello) = hellos::good(key);
            let start = Instant::now();
            io.write_all(&hello).await.unwrap();
            let mut answer = [0; 256];
            within("the answer", io.read_exact(&mut answer)).await.unwrap();
            took.push(start.elapsed());
            io.shutdown().await.unwrap();
            assert_eq!(within("the end", io.read(&mut answer)).await.unwrap(), 0, "256 bytes and no more");
        }
    }
    for ((name, _), took) in keys.iter().zip(&mut took) {
        took.sort();
        println!("hello of a key that is {name}: {:?} p10, {:?} p50, {:?} p90", took[20], took[100], took[180]);
    }
}
