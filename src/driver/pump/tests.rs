use std::{sync::Arc, task::Poll};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::PollSemaphore;

use super::{super::session::Incoming, *};
use crate::proto::{
    AES_GCM, ClientConfig, Connection, Credential, Profile, ServerConfig, ServerKey,
    crypto::Secret,
    frame::{BodyLength, Mode, Policy, Response},
    limits,
};

fn psk() -> Psk {
    Secret::new([2; 32])
}

/// Answers each request with more than the transport of these tests takes.
struct Talkative {
    exchanges: Vec<Exchange>,
    turns: PollSemaphore,
}

impl Talkative {
    fn with(turns: &Arc<Semaphore>) -> Self {
        Self { exchanges: Vec::new(), turns: PollSemaphore::new(turns.clone()) }
    }
}

impl Default for Talkative {
    fn default() -> Self {
        Self::with(&Arc::new(Semaphore::new(1)))
    }
}

impl Hook for Talkative {
    type Turn = Option<OwnedSemaphorePermit>;

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Self::Turn> {
        self.turns.poll_acquire(cx)
    }

    fn key(&mut self, _id: KeyId) -> Option<(Psk, Profile)> {
        Some((psk(), Profile::Off))
    }

    fn established(&mut self, _hello: Option<ServerHello>) {}

    fn rejected(&mut self, error: Error) {
        panic!("{error}");
    }

    fn request(&mut self, exchange: Exchange, _request: Box<Request>) {
        let response = Response { status: 200, headers: Vec::new(), length: None };
        exchange.with(|connection, now, number| {
            connection.respond(now, number, &response).expect("in order");
            connection.send_data(now, number, vec![b'd'; 50_000].into()).expect("in order");
        });
        self.exchanges.push(exchange);
    }

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

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_and_never_closes_does_not_hold_a_session_for_ever() {
    let key = ServerKey::new(Secret::new([9; 32]));
    let (near, mut far) = tokio::io::duplex(1024);
    let session = Session::new(server(key.clone()), Instant::now(), Arc::default());
    let pump = tokio::spawn(drive(near, session, Talkative::default(), || 0));

    let (mut client, mut input, mut output) = (client(&key), BytesMut::new(), BytesMut::new());
    while !client.can_open() {
        client.poll_transmit(Duration::ZERO, &mut output);
        far.write_all_buf(&mut output).await.expect("written");
        far.read_buf(&mut input).await.expect("read");
        client.receive(Duration::ZERO, &mut input);
    }
    client.request(Duration::ZERO, &request()).expect("in order");
    client.poll_transmit(Duration::ZERO, &mut output);
    far.write_all_buf(&mut output).await.expect("written");

    // From here on it reads nothing. The clock jumps whenever nothing else can happen.
    tokio::time::timeout(Duration::from_mins(10), pump).await.expect("the session ends").expect("in order");
}

#[tokio::test]
async fn a_hello_is_worked_on_in_its_turn_which_ends_with_the_answer() {
    let key = ServerKey::new(Secret::new([9; 32]));
    let turns = Arc::new(Semaphore::new(0));
    let mut far = Vec::new();
    for _ in 0..3 {
        let (near, mut end) = tokio::io::duplex(1024);
        let session = Session::new(server(key.clone()), Instant::now(), Arc::default());
        tokio::spawn(drive(near, session, Talkative::with(&turns), || 0));
        let mut hello = BytesMut::new();
        client(&key).poll_transmit(Duration::ZERO, &mut hello);
        end.write_all(&hello).await.expect("written");
        far.push(end);
    }
    let mut answer = [0; HELLO];
    for end in &mut far {
        let mut read = pin!(end.read_exact(&mut answer));
        for _ in 0..10 {
            yield_now().await;
            assert!(futures::poll!(&mut read).is_pending(), "it is nobody's turn");
        }
    }
    turns.add_permits(1);
    for end in &mut far {
        end.read_exact(&mut answer).await.expect("one after the other is answered");
    }
    let turn = tokio::time::timeout(Duration::from_secs(30), turns.acquire()).await;
    assert!(turn.is_ok(), "and then it is another's turn");
}

#[tokio::test]
async fn a_pump_that_is_dropped_tells_whoever_waits() {
    let key = ServerKey::new(Secret::new([9; 32]));
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let session = Session::new(client(&key), Instant::now(), Arc::default());
    let pump = tokio::spawn(drive(near, session.clone(), Talkative::default(), || 0));

    let (mut server, mut input, mut output) = (server(key), BytesMut::new(), BytesMut::new());
    let mut established = false;
    while !established {
        far.read_buf(&mut input).await.expect("read");
        server.receive(Duration::ZERO, &mut input);
        while let Some(event) = server.poll_event() {
            established |= matches!(event, Event::Established(_));
            if let Event::Hello(_) = event {
                server.answer_hello(Some(&psk()), Profile::Off, 0).expect("in order");
            }
        }
        server.poll_transmit(Duration::ZERO, &mut output);
        far.write_all_buf(&mut output).await.expect("written");
    }
    let Poll::Ready(Some(Ok(exchange))) = session.request(&request()) else { panic!("it is open") };
    pump.abort();
    let told = exchange.incoming().await;
    assert!(matches!(told, Some(Incoming::Closed { .. })), "{told:?}");
    assert!(matches!(session.request(&request()), Poll::Ready(None)));
}
