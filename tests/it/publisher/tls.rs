//! TLS: the server behind a judged address must prove the name of the URL.
//!
//! The client believes the machine's certificate authorities, whom a process reads from its environment: the story is
//! told by a second process, whose environment names ours.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use marketplace_fulfillment::publisher::UnsentKind;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{looking_up, moving, post, refused};

/// Names the folder of the certificates to the second process.
const FOLDER: &str = "PUBLISHER_STORY_CERTIFICATES";

/// A certificate authority, and a certificate of it for the publisher's host.
fn certificates(folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    std::fs::write(folder.join("ca.pem"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let host = CertificateParams::new(vec!["app.contoso.example".to_owned()]).unwrap();
    let host = host.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    std::fs::write(folder.join("host.pem"), host.pem()).unwrap();
    std::fs::write(folder.join("host.key"), key.serialize_pem()).unwrap();
}

/// A server with that certificate: its port, and how many connections and requests it has seen.
async fn server(folder: &Path) -> (u16, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let certificate = CertificateDer::from_pem_file(folder.join("host.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("host.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&connections), Arc::clone(&requests));
    #[expect(clippy::disallowed_methods, reason = "the server lives beside its test and ends with its runtime")]
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            counts.0.fetch_add(1, Ordering::Relaxed);
            let Ok(mut secured) = acceptor.accept(connection).await else { continue };
            let _request = secured.read(&mut [0; 8192]).await;
            counts.1.fetch_add(1, Ordering::Relaxed);
            let _heard = secured.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
            let _closed = secured.shutdown().await;
        }
    });
    (port, connections, requests)
}

/// What the second process tells.
async fn with_the_authority(folder: &Path) {
    let (port, connections, requests) = server(folder).await;
    let seen = || (connections.load(Ordering::Relaxed), requests.load(Ordering::Relaxed));
    let allowed = ["app.contoso.example", "other.contoso.example", "127.0.0.1"];
    let (lookup, _) = moving(&[&["127.0.0.1"], &["127.0.0.1"], &["10.0.0.1", "169.254.169.254"]]);
    let publisher = looking_up(&allowed, lookup);

    assert_eq!(post(&publisher, &format!("https://app.contoso.example:{port}/")).await.unwrap().status, 200);
    assert_eq!(seen(), (1, 1));
    // Proven is the URL's name, and not whoever is at the address.
    for host in ["other.contoso.example", "127.0.0.1"] {
        let unsent = refused(&publisher, &format!("https://{host}:{port}/")).await;
        assert_eq!(unsent.kind, UnsentKind::Unreachable, "{}", unsent.why);
        assert!(unsent.why.contains("certificate"), "{}", unsent.why);
    }
    assert_eq!(seen(), (3, 1), "nothing was sent");
    let unsent = refused(&publisher, &format!("https://app.contoso.example:{port}/")).await;
    assert_eq!(unsent.kind, UnsentKind::Forbidden, "{}", unsent.why);
    assert_eq!(seen(), (3, 1));
}

#[tokio::test]
async fn a_server_proves_its_name() {
    #[expect(clippy::disallowed_methods, reason = "it tells the second process that it is the second")]
    if let Some(folder) = std::env::var_os(FOLDER) {
        return with_the_authority(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "publisher::tls::a_server_proves_its_name"])
        .env(FOLDER, folder.path())
        .env("SSL_CERT_FILE", folder.path().join("ca.pem"))
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );

    // Without that authority the same server proves nothing.
    let (port, _, requests) = server(folder.path()).await;
    let publisher = looking_up(&["app.contoso.example"], moving(&[&["127.0.0.1"]]).0);
    let unsent = refused(&publisher, &format!("https://app.contoso.example:{port}/")).await;
    assert_eq!(unsent.kind, UnsentKind::Unreachable, "{}", unsent.why);
    assert!(unsent.why.contains("certificate"), "{}", unsent.why);
    assert_eq!(requests.load(Ordering::Relaxed), 0);
}
