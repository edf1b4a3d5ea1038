//! TLS for tests: an authority that exists for one test, and a terminator before a plain server.

use std::{net::SocketAddr, path::Path, sync::Arc};

use mock_llm::MockLlm;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::child::Stand;

/// A mock and a server that calls it by HTTPS, with these protocols offered, and the mock's origin.
pub(crate) async fn https(protocols: &[&str], config: &str) -> (Stand, String) {
    let mock = MockLlm::start(mock_llm::Config::default()).await.unwrap();
    let plain = mock.addr();
    https_before(plain, mock, protocols, config).await
}

/// The same; what is called by HTTPS is this plain server.
pub(crate) async fn https_before(plain: SocketAddr, mock: MockLlm, protocols: &[&str], config: &str) -> (Stand, String) {
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
    let roots = folder.path().join("ca.pem");
    authority.write(&roots);
    let url = format!("https://{}", authority.terminate(plain, protocols).await);
    let mocks = mock.url();
    let stand = Stand::trusting(&roots, config, mock, &[&url, &mocks]).await;
    (stand, url)
}

/// An authority and a certificate of `localhost` and `127.0.0.1` by it.
pub(crate) struct Authority {
    pem: String,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&ca_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let certificate = leaf.signed_by(&key, &Issuer::new(params, ca_key)).unwrap();
        Self { pem, certificate: certificate.into(), key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) }
    }

    /// Writes the authority's certificate, for `SSL_CERT_FILE`.
    pub(crate) fn write(&self, path: &Path) {
        std::fs::write(path, &self.pem).unwrap();
    }

    /// Ends TLS and passes on to `plain`. `protocols` are offered by ALPN.
    pub(crate) async fn terminate(&self, plain: SocketAddr, protocols: &[&str]) -> SocketAddr {
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    stream.set_nodelay(true).unwrap();
                    let Ok(mut secure) = acceptor.accept(stream).await else { return };
                    let Ok(mut plain) = TcpStream::connect(plain).await else { return };
                    plain.set_nodelay(true).unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
                });
            }
        });
        address
    }
}
