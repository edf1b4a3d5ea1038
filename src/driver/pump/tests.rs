use std::{sync::Arc, task::Poll};

use tokio::{io::DuplexStream, sync::Notify, time::Instant};

use super::{super::session::Incoming, *};
use crate::proto::{
    AES_GCM, ClientConfig, Code, Connection, Credential, Fault, Profile, ServerConfig, ServerKey,
    crypto::Secret,
    frame::{BodyLength, Mode, Notice, Policy, Response},
    limits,
};

fn psk() -> Psk {
    Secret::new([2; 32])
}

/// Answers each request with more than the transport of these tests takes.
#[derive(Default)]
struct Talkative {
    exchanges: Vec<Arc<Exchange>>,
    /// For how long a request has its peer not read.
    rest: Duration,
}

impl Hook for Talkative {
    const SLICE: Duration = Duration::from_micros(200);

    fn key(&mut self, _id: KeyId) -> Option<(Psk, Terms)> {
        Some((psk(), Terms::default()))
    }

    fn established(&mut self, _hello: Option<ServerHello>) {}

    fn rejected(&mut self, error: Error) {
        panic!("{error}");
    }

    fn request(&mut self, exchange: Arc<Exchange>, _request: Box<Request>) -> Duration {
        let response = Response { status: 200, headers: Vec::new(), length: None };
        exchange.with(|connection, now, number| {
            connection.respond(now, number, &response).expect("in order");
            connection.send_data(now, number, vec![b'd'; 50_000].into()).expect("in order");
        });
        self.exchanges.push(exchange);
        self.rest
    }

    fn resume(&mut self, _number: u32, _resume: &Resume) {}

    fn adrift(&mut self, _exchange: Arc<Exchange>, _anew: bool) {}

    fn going_away(&mut self, _goaway: &GoAway) {}

    fn closed(&mut self, _why: &Closed) {}
}

fn server(key: ServerKey) -> Connection {
    let config = ServerConfig {
        keys: [key].into(),
        profile: Profile::Off,
        exchanges: 4,
        credit: 1 << 20,
        buffered: 1 << 20,
        hello_time: limits::HELLO_TIME,
        keep_alive: limits::SERVER_KEEP_ALIVE,
        idle: Duration::from_mins(10),
        node: None,
        instance: [0; 8],
    };
    Connection::server(config, Secret::new([3; 32]), Secret::new([4; 32]), Duration::ZERO, &AES_GCM)
}

fn client(key: &ServerKey) -> Connection {
    let config = ClientConfig {
        credential: Credential { key_id: KeyId([1; 16]), psk: psk(), server: *key.public() },
        profile: Profile::Off,
        hello_time: limits::HELLO_TIME,
        keep_alive: limits::CLIENT_KEEP_ALIVE,
    };
    Connection::client(config, Secret::new([5; 32]), Duration::ZERO, &AES_GCM).expect("a usable key")
}

fn request() -> Request {
    Request {
        id: [0; 16],
        method: "GET".into(),
        url: "https://api.example/".into(),
        headers: Vec::new(),
        mode: Mode::Streaming,
        timings: false,
        policy: Policy::Neutral,
        body: BodyLength::None,
        credit: 1 << 20,
    }
}

/// A client by hand.
struct Peer {
    client: Connection,
    io: DuplexStream,
    input: BytesMut,
    /// Answers that have begun.
    answers: usize,
}

impl Peer {
    fn new(key: &ServerKey, io: DuplexStream) -> Self {
        Self { client: client(key), io, input: BytesMut::new(), answers: 0 }
    }

    async fn write(&mut self) {
        let mut output = BytesMut::new();
        self.client.poll_transmit(Duration::ZERO, &mut output);
        self.io.write_all_buf(&mut output).await.expect("written");
    }

    async fn read(&mut self) {
        self.io.read_buf(&mut self.input).await.expect("read");
        self.client.receive(Duration::ZERO, &mut self.input);
        while let Some(event) = self.client.poll_event() {
            self.answers += usize::from(matches!(event, Event::Response(..)));
        }
    }

    /// Up to where the key is as good as proved: what is written next does it.
    async fn come_in(&mut self) {
        self.write().await;
        while !self.client.can_open() {
            self.read().await;
        }
    }

    /// Makes so many requests, at once.
    async fn ask(&mut self, count: usize) {
        for _ in 0..count {
            self.client.request(Duration::ZERO, &request()).expect("in order");
        }
        self.write().await;
    }

    /// Until so many answers have begun in all.
    async fn hear(&mut self, answers: usize) {
        while self.answers < answers {
            self.read().await;
        }
    }
}

/// A server by hand.
struct House {
    server: Connection,
    io: DuplexStream,
    input: BytesMut,
}

impl House {
    /// One whose client has proved its key.
    async fn open(key: ServerKey, io: DuplexStream) -> Self {
        let mut this = Self { server: server(key), io, input: BytesMut::new() };
        while !this.hear(|event| matches!(event, Event::Established(_))).await {}
        this
    }

    async fn write(&mut self) {
        let mut output = BytesMut::new();
        self.server.poll_transmit(Duration::ZERO, &mut output);
        self.io.write_all_buf(&mut output).await.expect("written");
    }

    /// Reads once, and answers. Says whether there was such an event.
    async fn hear(&mut self, wanted: impl Fn(&Event) -> bool) -> bool {
        let mut heard = false;
        self.io.read_buf(&mut self.input).await.expect("read");
        self.server.receive(Duration::ZERO, &mut self.input);
        while let Some(event) = self.server.poll_event() {
            heard |= wanted(&event);
            if let Event::Hello(_) = event {
                self.server.answer_hello(Some(&psk()), &Terms::default(), 0).expect("in order");
            }
        }
        self.write().await;
        heard
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_and_never_closes_does_not_hold_a_session_for_ever() {
    let key = ServerKey::new(Secret::new([9; 32]));
    let (near, far) = tokio::io::duplex(1024);
    let session = Session::new(server(key.clone()), Instant::now(), Arc::default());
    let pump = tokio::spawn(Pump::new(near, session, Talkative::default(), || 0).run());

    let mut peer = Peer::new(&key, far);
    peer.come_in().await;
    peer.ask(1).await;

    // From here on it reads nothing. The clock jumps whenever nothing else can happen.
    tokio::time::timeout(Duration::from_mins(10), pump).await.expect("the session ends").expect("in order");
}

#[tokio::test]
async fn a_session_goes_on_elsewhere_when_the_peer_has_proved_its_key() {
    let key = ServerKey::new(Secret::new([9; 32]));
    let (near, far) = tokio::io::duplex(1 << 20);
    let session = Session::new(server(key.clone()), Instant::now(), Arc::default());
    let mut pump = Pump::new(near, session, Talkative::default(), || 0);
    let mut peer = Peer::new(&key, far);
    {
        let (mut greet, mut come_in) = (pin!(pump.greet()), pin!(peer.come_in()));
        tokio::select! {
            _ = &mut greet => panic!("its key is not proved before the second message"),
            () = &mut come_in => {}
        }
    }
    peer.ask(1).await;
    assert_eq!(pump.greet().await, Reached::Established);
    // Another thread, with a runtime of its own: timers and sockets belong to one.
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { pump.move_here(Ok).expect("it moves").run().await });
    });
    peer.ask(1).await;
    peer.hear(2).await;
    drop(peer);
    elsewhere.join().expect("it has ended in order");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_asks_for_too_much_is_not_read_for_as_long_as_it_costs() {
    const REST: Duration = Duration::from_millis(500);
    let key = ServerKey::new(Secret::new([9; 32]));
    let (near, far) = tokio::io::duplex(1 << 20);
    let session = Session::new(server(key.clone()), Instant::now(), Arc::default());
    let hook = Talkative { rest: REST, ..Talkative::default() };
    tokio::spawn(Pump::new(near, session, hook, || 0).run());
    let mut peer = Peer::new(&key, far);
    peer.come_in().await;
    peer.ask(2).await;
    peer.hear(2).await;
    let before = Instant::now();
    peer.ask(1).await;
    peer.hear(3).await;
    let waited = before.elapsed();
    assert!((REST / 2..REST * 2).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn a_pump_that_is_dropped_tells_whoever_waits() {
    let key = ServerKey::new(Secret::new([9; 32]));
    let (near, far) = tokio::io::duplex(1 << 20);
    let session = Session::new(client(&key), Instant::now(), Arc::default());
    let pump = tokio::spawn(Pump::new(near, session.clone(), Talkative::default(), || 0).run());

    let _house = House::open(key, far).await;
    let Poll::Ready(Some(Ok(exchange))) = session.request(&request()) else { panic!("it is open") };
    pump.abort();
    let told = exchange.incoming().await;
    assert!(matches!(told, Some(Incoming::Closed { .. })), "{told:?}");
    assert!(matches!(session.request(&request()), Poll::Ready(None)));
}

#[tokio::test]
async fn the_next_place_is_for_who_comes_back() {
    let key = ServerKey::new(Secret::new([9; 32]));
    let (near, far) = tokio::io::duplex(1 << 20);
    let free = Arc::new(Notify::new());
    let session = Session::new(client(&key), Instant::now(), free.clone());
    let pump = tokio::spawn(Pump::new(near, session.clone(), Talkative::default(), || 0).run());
    let mut house = House::open(key, far).await;
    let mut asked = Vec::new();
    while let Poll::Ready(opened) = session.request(&request()) {
        asked.push(opened.expect("it opens").expect("in order"));
    }
    while !house.hear(|event| matches!(event, Event::Request(number, _) if *number as usize == asked.len())).await {}

    let (first, second) = (session.returning(), session.returning());
    let (mut first_word, mut second_word) = (Box::pin(first.word()), Box::pin(second.word()));
    assert!(!first_word.as_mut().enable() && !second_word.as_mut().enable());
    // The word of the places that were taken above.
    let _ = pin!(free.notified()).enable();
    house.server.fail(1, &Notice::new(Code::Internal, Fault::Proxy, "it made room")).expect("in order");
    house.write().await;
    first_word.await;
    assert!(session.request(&request()).is_pending(), "there is a place, and it is not for new ones");
    drop(first);
    second_word.await;
    assert!(session.request(&request()).is_pending(), "one is still there");
    let mut new = pin!(free.notified());
    assert!(!new.as_mut().enable());
    drop(second);
    new.await;
    assert!(session.request(&request()).is_ready());

    let last = session.returning();
    let mut word = pin!(last.word());
    word.as_mut().enable();
    pump.abort();
    word.await;
}
