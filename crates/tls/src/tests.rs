use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection, Stream};

use super::*;

/// A certificate for `localhost` that is its own authority, and its key.
fn certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Whether a client can talk to a server, and how many certificates it has presented; otherwise the error.
fn talk(server: &Arc<ServerConfig>, client: ClientConfig) -> Result<usize, String> {
    Ok(shown(server, &Arc::new(client))?.len())
}

/// The certificates that a client has shown.
fn shown(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Arc::clone(server);
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut connection = ServerConnection::new(server).unwrap();
        let mut tls = Stream::new(&mut connection, &mut stream);
        let mut byte = [0];
        tls.read_exact(&mut byte).and_then(|()| tls.write_all(&byte)).map_err(|error| error.to_string())?;
        Ok(connection.peer_certificates().unwrap_or_default().to_vec())
    });
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut tls = Stream::new(&mut connection, &mut stream);
    let mut byte = [7];
    let spoken = tls.write_all(&byte).and_then(|()| tls.read_exact(&mut byte));
    drop(stream);
    let served: Result<Vec<_>, String> = serving.join().unwrap();
    spoken.map_err(|error| error.to_string())?;
    served
}

#[test]
fn each_end_believes_its_authority() {
    let ((own, key), (foreign, foreign_key)) = (certificate(), certificate());
    let identity = Identity::from_pem(&own, &key).unwrap();
    let server = Arc::new(server(Arc::clone(&identity), &certificates(&own).unwrap(), &[]).unwrap());
    let with = |certificate: &str, key: &str| Some(Identity::from_pem(certificate, key).unwrap());
    assert_eq!(talk(&server, client(&own, None).unwrap()), Ok(0));
    assert_eq!(talk(&server, client(&own, with(&own, &key)).unwrap()), Ok(1));
    assert!(talk(&server, client(&own, with(&foreign, &foreign_key)).unwrap()).is_err());
    assert!(talk(&server, client(&foreign, None).unwrap()).unwrap_err().contains("invalid peer certificate"));
    assert_eq!(talk(&server, unverified_client()), Ok(0));

    // A renewed certificate is presented on new connections.
    identity.replace(&foreign, &foreign_key).unwrap();
    assert_eq!(talk(&server, client(&foreign, None).unwrap()), Ok(0));
    assert!(identity.replace(&own, &foreign_key).is_err());
    assert_eq!(talk(&server, client(&foreign, None).unwrap()), Ok(0));
}

#[test]
fn a_client_shows_what_is_renewed_on_its_next_connection() {
    let ((first, first_key), (second, second_key)) = (certificate(), certificate());
    let [first_der, second_der] = [&first, &second].map(|pem| certificates(pem).unwrap().remove(0));
    let of_server = Identity::from_pem(&first, &first_key).unwrap();
    let server = server(of_server, &[first_der.clone(), second_der.clone()], &[]).unwrap();
    let identity = Identity::from_pem(&first, &first_key).unwrap();
    let (server, client) = (Arc::new(server), Arc::new(client(&first, Some(Arc::clone(&identity))).unwrap()));
    assert_eq!(shown(&server, &client).unwrap(), [first_der]);
    identity.replace(&second, &second_key).unwrap();
    assert_eq!(shown(&server, &client).unwrap(), [second_der]);
}

#[test]
fn texts_without_what_is_wanted_are_refused() {
    assert!(certificates("").unwrap_err().to_string().contains("no certificate"));
    assert!(private_key(&certificate().0).is_err());
}
