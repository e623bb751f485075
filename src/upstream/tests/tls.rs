//! https upstreams: whom we believe, and HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::upstream::Error;
use crate::wan::Governor;

/// A certificate authority's PEM, and an acceptor with a certificate of it for `secure.test`.
fn authority(protocols: &[&str]) -> (Vec<u8>, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let leaf_key = KeyPair::generate().unwrap();
    let leaf =
        CertificateParams::new(vec!["secure.test".into()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    (root.pem().into_bytes(), TlsAcceptor::from(Arc::new(config)))
}

/// Accepts connections and hands those whose handshake succeeds to `serve`.
async fn listen<F>(
    acceptor: TlsAcceptor,
    serve: impl Fn(TlsStream<TcpStream>) -> F + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(serve(stream));
            }
        }
    });
    address
}

async fn plain(acceptor: TlsAcceptor, answer: &'static str) -> SocketAddr {
    listen(acceptor, move |mut stream| async move {
        while origin::read_head(&mut stream).await.is_some() {
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn names() -> [(&'static str, &'static [&'static str]); 2] {
    [("secure.test", &["127.0.0.1"]), ("other.test", &["127.0.0.1"])]
}

#[tokio::test]
async fn our_own_authority_is_believed() {
    let (ca, acceptor) = authority(&[]);
    let url = format!("https://secure.test:{}/a", plain(acceptor, OK).await.port());
    let client = client(&Config { ca: vec![ca], ..config() }, &[&url], &names());
    assert_eq!(read(get(&client, &url).await.unwrap()).await.unwrap(), b"hello");
}

#[tokio::test]
async fn an_unknown_authority_and_another_name_are_not() {
    let (ca, acceptor) = authority(&[]);
    let port = plain(acceptor, OK).await.port();
    let (secure, other) = (format!("https://secure.test:{port}/a"), format!("https://other.test:{port}/a"));

    let (unrelated, _) = authority(&[]);
    let stranger = client(&Config { ca: vec![unrelated], ..config() }, &[&secure], &names());
    let error = get(&stranger, &secure).await.unwrap_err();
    assert_eq!((error.reason(), error.is_transient()), ("tls", false), "{error}");
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");

    let friend = client(&Config { ca: vec![ca], ..config() }, &[&other], &names());
    let error = get(&friend, &other).await.unwrap_err();
    assert_eq!(error.reason(), "tls", "{error}");
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn https_is_not_given_up_for_http() {
    let inside = origin::Origin::start(|_| origin::Reply::ok("secret")).await;
    let (ca, acceptor) = authority(&[]);
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", inside.url("/b"));
    let address = listen(acceptor, move |mut stream| {
        let answer = answer.clone();
        async move {
            origin::read_head(&mut stream).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let url = format!("https://secure.test:{}/a", address.port());
    let client = client(&Config { ca: vec![ca], ..config() }, &[&url, &inside.url("/")], &names());
    let error = get(&client, &url).await.unwrap_err();
    assert!(error.to_string().contains("would give up https for http"), "{error}");
    assert_eq!(inside.seen().len(), 0);
}

/// Without a length only TLS's own goodbye tells the end from a cut.
#[tokio::test]
async fn a_tls_connection_that_just_ends_is_a_truncation() {
    let (ca, acceptor) = authority(&[]);
    let address = listen(acceptor, |mut stream| async move {
        origin::read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").await.unwrap();
        stream.flush().await.unwrap();
        let (tcp, _) = stream.get_mut();
        tcp.shutdown().await.unwrap();
    })
    .await;
    let url = format!("https://secure.test:{}/a", address.port());
    let client = client(&Config { ca: vec![ca], ..config() }, &[&url], &names());
    let error = read(get(&client, &url).await.unwrap()).await.unwrap_err();
    assert_eq!(error.reason(), "truncated", "{error}");
}

#[tokio::test]
async fn not_tls_at_all() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://secure.test:{}/a", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = origin::read_head(&mut stream).await;
    });
    let (ca, _) = authority(&[]);
    let client = client(&Config { ca: vec![ca], ..config() }, &[&url], &names());
    let error = get(&client, &url).await.unwrap_err();
    assert_eq!(error.reason(), "tls", "{error}");
}

#[tokio::test]
async fn http2_where_it_is_offered() {
    let (ca, acceptor) = authority(&["h2", "http/1.1"]);
    let address = listen(acceptor, |stream| async move {
        let service =
            hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                let seen = format!("{:?} {:?}", request.version(), request.headers().get("accept-encoding"));
                Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(seen))))
            });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = connection.serve_connection(TokioIo::new(stream), service).await;
    })
    .await;
    let url = format!("https://secure.test:{}/a", address.port());
    let client = client(&Config { ca: vec![ca], ..config() }, &[&url], &names());
    let body = read(get(&client, &url).await.unwrap()).await.unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), "HTTP/2.0 Some(\"identity\")");
}

#[test]
fn what_is_no_certificate_is_refused() {
    for bad in [b"".to_vec(), b"not PEM".to_vec()] {
        let (good, _) = authority(&[]);
        let config = Config { ca: vec![good, bad], ..config() };
        let error = Client::new(&config, &[], &Governor::unlimited()).unwrap_err();
        assert!(matches!(error, Error::Authority { index: 1 }), "{error}");
    }
}
