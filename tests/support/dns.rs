//! A DNS server that answers as a test says, over UDP and TCP.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
    task::JoinSet,
};

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// In small letters, without the dot at its end.
    pub(crate) name: String,
    /// For IPv6 addresses; for IPv4 ones otherwise.
    pub(crate) v6: bool,
    pub(crate) over_tcp: bool,
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    /// The names that it leads through, each the other name of the one before.
    pub(crate) through: Vec<String>,
    /// The last one's addresses, of whichever kind: a server says what it likes.
    pub(crate) addresses: Vec<IpAddr>,
    /// Seconds for which it holds.
    pub(crate) ttl: u32,
    /// It did not fit, and is to be asked for over TCP.
    pub(crate) truncated: bool,
}

impl Reply {
    /// These addresses, of the kind that is asked for, for this moment alone.
    pub(crate) fn of(question: &Question, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|address| address.parse::<IpAddr>().unwrap());
        Self { addresses: addresses.filter(|address| address.is_ipv6() == question.v6).collect(), ..Self::default() }
    }
}

type Script = dyn Fn(&Question, usize) -> Reply + Send + Sync;

/// A DNS server. Dropping it ends it.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    asked: watch::Receiver<Vec<Question>>,
    _tasks: JoinSet<()>,
}

impl Dns {
    /// Answers each question by this, which is told how often the same name was asked for before, for the same kind of address.
    pub(crate) async fn answering(script: impl Fn(&Question, usize) -> Reply + Send + Sync + 'static) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            // The same port may be taken there.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let (address, (questions, asked)) = (udp.local_addr().unwrap(), watch::channel(Vec::new()));
        let shared = Arc::new((script, questions));
        let mut tasks = JoinSet::new();
        let over_udp = shared.clone();
        tasks.spawn(async move {
            let mut packet = [0; 4096];
            while let Ok((size, from)) = udp.recv_from(&mut packet).await {
                let answer = answer(&packet[..size], false, &over_udp.0, &over_udp.1);
                let _ = udp.send_to(&answer, from).await;
            }
        });
        tasks.spawn(async move {
            while let Ok((stream, _)) = tcp.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move { converse(stream, &shared.0, &shared.1).await });
            }
        });
        Self { address, asked, _tasks: tasks }
    }

    /// The configuration of a server that asks this one.
    pub(crate) fn config(&self) -> String {
        format!("[dns]\nservers = ['{}']\n", self.address)
    }

    /// What was asked so far, in its order.
    pub(crate) fn asked(&self) -> Vec<Question> {
        self.asked.borrow().clone()
    }
}

async fn converse(mut stream: TcpStream, script: &Script, questions: &watch::Sender<Vec<Question>>) -> Option<()> {
    loop {
        let size = stream.read_u16().await.ok()?;
        let mut packet = vec![0; size.into()];
        stream.read_exact(&mut packet).await.ok()?;
        let answer = answer(&packet, true, script, questions);
        let size = u16::try_from(answer.len()).unwrap();
        stream.write_all(&[&size.to_be_bytes(), answer.as_slice()].concat()).await.ok()?;
    }
}

/// The answer to a query (RFC 1035 section 4.1) with one question.
fn answer(query: &[u8], over_tcp: bool, script: &Script, questions: &watch::Sender<Vec<Question>>) -> Vec<u8> {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8(query[at + 1..end].to_ascii_lowercase()).unwrap());
        at = end;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let question = Question { name: labels.join("."), v6: kind == AAAA, over_tcp };
    let before = questions.borrow().iter().filter(|other| **other == question).count();
    let reply = if kind == A || kind == AAAA { script(&question, before) } else { Reply::default() };
    let mut owner = question.name.clone();
    questions.send_modify(|questions| questions.push(question));

    let mut records: Vec<Vec<u8>> = Vec::new();
    for next in &reply.through {
        records.push(record(&owner, CNAME, reply.ttl, &name(next)));
        owner.clone_from(next);
    }
    for address in &reply.addresses {
        records.push(match address {
            IpAddr::V4(address) => record(&owner, A, reply.ttl, &Ipv4Addr::octets(address)),
            IpAddr::V6(address) => record(&owner, AAAA, reply.ttl, &Ipv6Addr::octets(address)),
        });
    }
    // A response, recursion desired and available.
    let flags = 0x8180 | if reply.truncated { 0x0200_u16 } else { 0 };
    let count = u16::try_from(records.len()).unwrap();
    let mut answer = query[..2].to_vec();
    for number in [flags, 1, count, 0, 0] {
        answer.extend(number.to_be_bytes());
    }
    answer.extend(&query[12..at + 5]);
    answer.extend(records.concat());
    answer
}

fn name(name: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat();
    name.split('.').flat_map(label).chain([0]).collect()
}

fn record(owner: &str, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let size = u16::try_from(data.len()).unwrap();
    let (kind, class, ttl, size) = (kind.to_be_bytes(), 1_u16.to_be_bytes(), ttl.to_be_bytes(), size.to_be_bytes());
    [name(owner).as_slice(), &kind, &class, &ttl, &size, data].concat()
}
