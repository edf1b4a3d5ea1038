//! The ways from the caller to the upstream that are compared.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    Result,
    call::{Connection, Io},
    system,
};

/// A way, as `--peers` describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Described {
    pub(crate) name: String,
    /// Where callers connect to; of several, in turn.
    pub(crate) connect: Vec<SocketAddr>,
    /// What comes before the upstream's paths.
    #[serde(default)]
    pub(crate) prefix: String,
    /// The caller speaks TLS, and trusts this certificate (PEM).
    #[serde(default)]
    pub(crate) certificate: Option<PathBuf>,
    /// The processes on the way, by what they are: `server` (the far end), `client` (the near one). What they have started counts
    /// as theirs.
    #[serde(default)]
    pub(crate) processes: BTreeMap<String, Vec<u32>>,
}

/// A way that can be gone.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) described: Described,
    tls: Option<TlsConnector>,
}

impl Route {
    pub(crate) fn new(described: Described) -> Result<Self> {
        let tls = described.certificate.as_deref().map(|file| connector(file, Resumption::default())).transpose()?;
        Ok(Self { described, tls })
    }

    /// The same, with a whole handshake for each connection. Otherwise tickets are used, where the server gives them.
    pub(crate) fn without_resumption(self) -> Result<Self> {
        let tls = self.described.certificate.as_deref().map(|file| connector(file, Resumption::disabled())).transpose()?;
        Ok(Self { tls, ..self })
    }

    /// The shortest of all: what it takes is what the load itself takes.
    pub(crate) fn straight(upstream: SocketAddr) -> Result<Self> {
        Self::new(Described {
            name: "straight".to_owned(),
            connect: vec![upstream],
            prefix: String::new(),
            certificate: None,
            processes: BTreeMap::new(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.described.name
    }

    /// A connection for this stream to the near end.
    pub(crate) async fn connect(&self, stream: u16) -> Result<Connection> {
        let near = &self.described.connect;
        let address = near.get(usize::from(stream) % near.len().max(1)).ok_or("the route leads nowhere")?;
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let io: Box<dyn Io> = match &self.tls {
            Some(tls) => Box::new(tls.connect(ServerName::try_from("localhost")?, socket).await?),
            None => Box::new(socket),
        };
        Ok(Connection::new(io, address.to_string()))
    }

    /// Sends a request for what the upstream calls `what`, and reads the answer's head.
    pub(crate) async fn ask(&self, connection: &mut Connection, what: &str, stream: u16, number: u64) -> Result<()> {
        connection.ask(&format!("{}/bench/{what}/{stream}/{number}", self.described.prefix)).await
    }

    /// The CPU time so far of each kind of process of the way, ns, and of the bench itself under `bench`.
    pub(crate) fn cpu(&self) -> Result<BTreeMap<String, u64>> {
        let mut cpu = self.of_each(system::cpu)?;
        cpu.insert("bench".to_owned(), system::own()?);
        Ok(cpu)
    }

    /// The memory of each kind of process of the way, bytes.
    pub(crate) fn memory(&self) -> Result<BTreeMap<String, u64>> {
        self.of_each(system::memory)
    }

    fn of_each(&self, used: impl Fn(u32) -> Result<u64>) -> Result<BTreeMap<String, u64>> {
        let sum = |pids: &[u32]| pids.iter().map(|pid| used(*pid)).sum::<Result<u64>>();
        self.described.processes.iter().map(|(name, pids)| Ok((name.clone(), sum(pids)?))).collect()
    }
}

/// TLS 1.3 with the cipher of all the others.
fn connector(certificate: &Path, resumption: Resumption) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(certificate)? {
        roots.add(certificate?)?;
    }
    let suite = aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384;
    let provider = CryptoProvider { cipher_suites: vec![suite], ..aws_lc_rs::default_provider() };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = resumption;
    Ok(TlsConnector::from(Arc::new(config)))
}
