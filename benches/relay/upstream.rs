//! The upstream. It speaks as mock-llm does, with answers made beforehand, so that two cores can offer more than relays carry.
//!
//! What a connection is to do is said by the path of each request, `/bench/WHAT/STREAM/NUMBER`:
//!
//! | what | answer |
//! |---|---|
//! | `paced` | an event each NUMBER nanoseconds, until the caller goes |
//! | `credit` | an event for each permit of its stream: what the load has read, it may have again |
//! | `idle` | one event, then silence until the caller goes, whose going is reported as one of batch NUMBER |
//! | `first` | one event and the end |
//! | `short` | a whole document |
//! | `bulk` | NUMBER bytes of known length, in large writes |

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::{Semaphore, mpsc::UnboundedReceiver, mpsc::UnboundedSender, mpsc::unbounded_channel},
    time::sleep,
};

use crate::{
    Result, clock,
    event::{Event, Stamp},
    pacer,
};

/// Largest head of a request that is read, bytes.
const HEAD: usize = 64 << 10;
/// Until the next attempt to accept after one that failed.
const RETRY: Duration = Duration::from_millis(10);
/// Bytes of a write of `bulk`.
const PIECE: usize = 64 << 10;

const STREAMED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n\
    transfer-encoding: chunked\r\n\r\n";
const END: &[u8] = b"0\r\n\r\n";
const DOCUMENT: &str = r#"{"id":"chatcmpl-0","object":"chat.completion","created":1795435200,"model":"mock","choices":[{"index":0,"message":{"role":"assistant","content":"Hello. How can I help?"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}"#;

/// A caller that went: which stream it had, and when that was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone {
    pub(crate) stream: u16,
    batch: u64,
    pub(crate) seen: u64,
}

#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    gone: UnboundedReceiver<Gone>,
    batch: u64,
}

#[derive(Debug)]
struct Shared {
    pacer: mpsc::Sender<pacer::Stream>,
    credit: Mutex<Arc<[Semaphore]>>,
    gone: UnboundedSender<Gone>,
}

impl Upstream {
    /// Serves on the runtime of `thread`.
    pub(crate) fn start(address: SocketAddr, thread: &Handle) -> Result<Self> {
        let (sender, gone) = unbounded_channel();
        let shared = Arc::new(Shared { pacer: pacer::start(), credit: Mutex::new(Arc::new([])), gone: sender });
        let served = shared.clone();
        let listener = {
            // It belongs to the runtime on which it is made.
            let _thread = thread.enter();
            listen(address).map_err(|error| format!("the upstream cannot listen on {address}: {error}"))?
        };
        let address = listener.local_addr()?;
        thread.spawn(async move { accept(&listener, &served).await });
        Ok(Self { address, shared, gone, batch: 0 })
    }

    /// Permits for the streams of a load with `credit`, each with so many to begin with.
    pub(crate) fn credit(&self, streams: usize, each: usize) -> Credit {
        let credit: Arc<[Semaphore]> = (0..streams).map(|_| Semaphore::new(each)).collect();
        *self.shared.credit.lock().unwrap_or_else(PoisonError::into_inner) = credit.clone();
        Credit(credit)
    }

    /// The number of a new batch of silent streams.
    pub(crate) const fn new_batch(&mut self) -> u64 {
        self.batch += 1;
        self.batch
    }

    /// The next caller of the newest batch that goes.
    pub(crate) async fn gone(&mut self) -> Result<Gone> {
        loop {
            let gone = self.gone.recv().await.ok_or("the upstream has ended")?;
            // A measure that failed may have left some.
            if gone.batch == self.batch {
                return Ok(gone);
            }
        }
    }
}

/// The permits of a load. With it, the upstream's streams of this load end.
pub(crate) struct Credit(pub(crate) Arc<[Semaphore]>);

impl Drop for Credit {
    fn drop(&mut self) {
        self.0.iter().for_each(Semaphore::close);
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    // Thousands may connect at once.
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        if let Ok((socket, _)) = listener.accept().await {
            let shared = shared.clone();
            tokio::spawn(async move { serve(socket, &shared).await });
        } else {
            // It is out of files: some may be free again soon.
            sleep(RETRY).await;
        }
    }
}

/// What a request's path asks for.
struct Wish {
    what: String,
    stream: u16,
    number: u64,
}

/// Nothing when the connection is over.
async fn serve(mut socket: TcpStream, shared: &Shared) -> Option<()> {
    socket.set_nodelay(true).ok()?;
    let mut buffer = Vec::new();
    loop {
        let wish = request(&mut socket, &mut buffer).await?;
        let mut event = Event::new();
        let mut stamp = Stamp { stream: wish.stream, ..Stamp::default() };
        match wish.what.as_str() {
            "paced" => {
                socket.write_all(STREAMED).await.ok()?;
                let socket = socket.into_std().ok()?;
                let stream = pacer::Stream { socket, number: wish.stream, period: wish.number.max(1) };
                return shared.pacer.send(stream).ok();
            }
            "credit" => {
                let credit = shared.credit.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let credit = credit.get(usize::from(wish.stream))?;
                socket.write_all(STREAMED).await.ok()?;
                loop {
                    credit.acquire().await.ok()?.forget();
                    stamp.sent = clock::now();
                    socket.write_all(event.stamped(stamp)).await.ok()?;
                    stamp.number += 1;
                }
            }
            "idle" => {
                let answer = [STREAMED, event.stamped(stamp)].concat();
                socket.write_all(&answer).await.ok()?;
                // An end and a reset alike.
                while matches!(socket.read(&mut [0; 512]).await, Ok(1..)) {}
                return shared.gone.send(Gone { stream: wish.stream, batch: wish.number, seen: clock::now() }).ok();
            }
            "first" => {
                stamp.sent = clock::now();
                socket.write_all(&[STREAMED, event.stamped(stamp)].concat()).await.ok()?;
                socket.write_all(END).await.ok()?;
            }
            "short" => {
                let head = known("application/json", DOCUMENT.len() as u64);
                socket.write_all(&[head.as_bytes(), DOCUMENT.as_bytes()].concat()).await.ok()?;
            }
            "bulk" => {
                socket.write_all(known("application/octet-stream", wish.number).as_bytes()).await.ok()?;
                let piece = vec![b'x'; PIECE];
                let mut left = usize::try_from(wish.number).ok()?;
                while left > 0 {
                    let now = left.min(PIECE);
                    socket.write_all(&piece[..now]).await.ok()?;
                    left -= now;
                }
            }
            _ => return socket.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.ok(),
        }
    }
}

/// The head of an answer of known length.
fn known(kind: &str, length: u64) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n")
}

/// The next request, its body read too. `buffer` keeps what came behind it.
async fn request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Wish> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Request::new(&mut fields);
        if let httparse::Status::Complete(length) = head.parse(buffer).ok()? {
            let mut parts = head.path?.strip_prefix("/bench/")?.split('/');
            let wish = Wish {
                what: parts.next()?.to_owned(),
                stream: parts.next()?.parse().ok()?,
                number: parts.next()?.parse().ok()?,
            };
            let body = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
            let body: usize = body.map_or(Some(0), |field| str::from_utf8(field.value).ok()?.parse().ok())?;
            while buffer.len() < length + body {
                more(socket, buffer).await?;
            }
            buffer.drain(..length + body);
            return Some(wish);
        }
        if buffer.len() > HEAD {
            return None;
        }
        more(socket, buffer).await?;
    }
}

async fn more(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    (socket.read_buf(buffer).await.ok()? > 0).then_some(())
}
