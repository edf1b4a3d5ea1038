//! Somebody on the path between client and server, who reads along and does harm.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

pub(crate) const HELLO: usize = 256;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

/// What is done to one way. Unit 0 is the hello, unit `k` the record of number `k - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    None,
    /// Flips a bit of the byte at this place of the unit.
    Flip(usize, usize),
    /// The unit and the one behind it change places.
    Swap(usize),
    Repeat(usize),
    Drop(usize),
    /// The last byte of the unit is missing, and its length says so.
    Shorten(usize),
    /// Both ways end after so many bytes of this one.
    Cut(usize),
    /// Unit and all behind it are held until [`Mitm::let_go`].
    Hold(usize),
    /// All is held between [`Mitm::hold`] and [`Mitm::let_go`]; it begins held.
    Gate,
}

/// All that went one way in one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape {
    pub(crate) up: Vec<u8>,
    pub(crate) down: Vec<u8>,
}

impl Tape {
    pub(crate) fn way(&self, way: Way) -> &[u8] {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }
}

/// A hello and records; panics at anything else.
pub(crate) fn units(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    while !bytes.is_empty() {
        let size = if units.is_empty() { HELLO } else { 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]])) };
        let (unit, rest) = bytes.split_at_checked(size).expect("whole units");
        units.push(unit);
        bytes = rest;
    }
    units
}

#[derive(Debug, Default)]
struct Shared {
    tapes: Mutex<Vec<Tape>>,
    /// Sessions that ended from the client's side.
    left: watch::Sender<usize>,
    go: watch::Sender<bool>,
}

/// Listens, and passes on to the server. Dropping it cuts everything.
pub(crate) struct Mitm {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Mitm {
    /// Reads along.
    pub(crate) async fn listen(server: SocketAddr) -> Self {
        Self::harm(server, Way::Up, Harm::None).await
    }

    /// Does this to every session.
    pub(crate) async fn harm(server: SocketAddr, way: Way, harm: Harm) -> Self {
        Self::harm_first(usize::MAX, server, way, harm).await
    }

    /// Does this to so many sessions, and reads along in all that follow.
    pub(crate) async fn harm_first(count: usize, server: SocketAddr, way: Way, harm: Harm) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(accept(listener, server, count, (way, harm), shared.clone()));
        Self { address, shared, task }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// What went by, a tape for each session.
    pub(crate) fn tapes(&self) -> Vec<Tape> {
        self.shared.tapes.lock().unwrap().clone()
    }

    /// Holds what comes from now on.
    pub(crate) fn hold(&self) {
        self.shared.go.send_replace(false);
    }

    /// Passes on what was held.
    pub(crate) fn let_go(&self) {
        self.shared.go.send_replace(true);
    }

    /// Waits until this many sessions were ended by the client.
    pub(crate) async fn left(&self, count: usize) {
        let mut left = self.shared.left.subscribe();
        super::within("the client's leaving", left.wait_for(|left| *left >= count)).await.unwrap();
    }
}

impl Drop for Mitm {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, count: usize, (way, harm): (Way, Harm), shared: Arc<Shared>) {
    // Dropped with this task, and all sessions with it.
    let mut sessions = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(server).await else { continue };
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let number = {
            let mut tapes = shared.tapes.lock().unwrap();
            tapes.push(Tape::default());
            tapes.len() - 1
        };
        let shared = shared.clone();
        sessions.spawn(async move {
            let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
            let for_way = |this| if way == this && number < count { harm } else { Harm::None };
            let up = Pipe { from: client_in, to: server_out, harm: for_way(Way::Up), way: Way::Up, number, shared: &shared };
            let down =
                Pipe { from: server_in, to: client_out, harm: for_way(Way::Down), way: Way::Down, number, shared: &shared };
            let up = async {
                let cut = up.run().await;
                shared.left.send_modify(|left| *left += usize::from(!cut));
                cut
            };
            let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down.run()));
            // A cut ends both ways at once; an end of one way leaves the other.
            tokio::select! {
                cut = &mut up => if !cut { down.await; },
                cut = &mut down => if !cut { up.await; },
            }
        });
    }
}

struct Pipe<'a> {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    harm: Harm,
    way: Way,
    number: usize,
    shared: &'a Shared,
}

impl Pipe<'_> {
    /// Whether it ended by a cut.
    async fn run(mut self) -> bool {
        let cut = if let Harm::Cut(after) = self.harm {
            self.cut(after).await
        } else {
            self.units().await;
            false
        };
        let _ = self.to.shutdown().await;
        cut
    }

    async fn pass(&mut self, bytes: &[u8]) -> Option<()> {
        {
            let mut tapes = self.shared.tapes.lock().unwrap();
            match self.way {
                Way::Up => tapes[self.number].up.extend_from_slice(bytes),
                Way::Down => tapes[self.number].down.extend_from_slice(bytes),
            }
        }
        self.to.write_all(bytes).await.ok()
    }

    async fn cut(&mut self, after: usize) -> bool {
        let (mut left, mut buffer) = (after, [0; 4096]);
        while left > 0 {
            let most = left.min(buffer.len());
            match self.from.read(&mut buffer[..most]).await {
                Ok(read) if read > 0 => {
                    left -= read;
                    if self.pass(&buffer[..read]).await.is_none() {
                        return false;
                    }
                }
                _ => return false,
            }
        }
        true
    }

    async fn unit(&mut self, index: usize) -> Option<Vec<u8>> {
        let mut unit = vec![0; if index == 0 { HELLO } else { 2 }];
        self.from.read_exact(&mut unit).await.ok()?;
        if index > 0 {
            let size = usize::from(u16::from_be_bytes([unit[0], unit[1]]));
            unit.resize(2 + size, 0);
            self.from.read_exact(&mut unit[2..]).await.ok()?;
        }
        Some(unit)
    }

    /// Unit for unit, to the end of the stream.
    async fn units(&mut self) {
        let mut held: Option<Vec<u8>> = None;
        for index in 0.. {
            let Some(mut unit) = self.unit(index).await else { break };
            let mut copies = 1;
            match self.harm {
                Harm::Flip(at, byte) if at == index => {
                    let byte = byte.min(unit.len() - 1);
                    unit[byte] ^= 1;
                }
                Harm::Swap(at) if at == index => {
                    held = Some(unit);
                    continue;
                }
                Harm::Repeat(at) if at == index => copies = 2,
                Harm::Drop(at) if at == index => copies = 0,
                Harm::Shorten(at) if at == index => {
                    unit.pop();
                    let size = u16::try_from(unit.len() - 2).unwrap();
                    unit[..2].copy_from_slice(&size.to_be_bytes());
                }
                Harm::Hold(at) if at != index => {}
                Harm::Hold(_) | Harm::Gate => {
                    let mut go = self.shared.go.subscribe();
                    let _ = go.wait_for(|go| *go).await;
                }
                _ => {}
            }
            for _ in 0..copies {
                if self.pass(&unit).await.is_none() {
                    // Closing with unread bytes would reset the connection, and what goes the other way would be lost.
                    let _ = tokio::io::copy(&mut self.from, &mut tokio::io::sink()).await;
                    return;
                }
            }
            if let Some(late) = held.take()
                && self.pass(&late).await.is_none()
            {
                return;
            }
        }
    }
}
