//! The keys of service account tokens over restarts.

use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libtest_mimic::Trial;
use testbed::{Server, output, until};

use crate::support::{Cluster, PATIENCE, timed_trial};

pub fn trials() -> Vec<Trial> {
    vec![timed_trial("signing_keys::a_cluster_gains_an_rsa_key_and_keeps_it", || {
        a_cluster_gains_an_rsa_key_and_keeps_it();
        Ok(())
    })]
}

/// A new token, and the algorithm and the key that its header names.
fn token(server: &Server) -> (String, [String; 2]) {
    let token = output(&mut server.kubectl(&["create", "token", "default"])).unwrap().trim().to_owned();
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    let text = |field: &str| header[field].as_str().unwrap().to_owned();
    let names = [text("alg"), text("kid")];
    (token, names)
}

/// The published keys, once there is an RSA key.
fn keys_with_rsa(server: &Server) -> serde_json::Value {
    until("an RSA key", PATIENCE, || {
        let keys = output(&mut server.kubectl(&["get", "--raw", "/openid/v1/jwks"]));
        let keys = keys.map_err(|error| error.to_string())?;
        if keys.contains("RS256") { Ok(serde_json::from_str(&keys).unwrap()) } else { Err(keys) }
    })
    .unwrap_or_else(|error| panic!("{error:?}"))
}

/// The code of a request that a service account is not allowed to make: 403, or 401 if the token is not good.
fn code(server: &Server, token: &str) -> String {
    let mut curl = server.host().command("curl");
    let header = format!("Authorization: Bearer {token}");
    curl.args(["-sk", "-m", "30", "-o", "/dev/null", "-w", "%{http_code}", "-H", &header]);
    output(curl.arg("https://127.0.0.1:6443/api/v1/secrets")).unwrap()
}

fn a_cluster_gains_an_rsa_key_and_keeps_it() {
    let cluster = Cluster::without_images();
    let server = &cluster.server;
    let file = server.data_dir().join("tls/service-rsa.key");
    let restart = |between: &dyn Fn()| {
        server.stop().unwrap();
        between();
        server.start_again().unwrap();
        server.wait_ready().unwrap();
    };
    let keys = keys_with_rsa(server);
    let (first, [algorithm, first_key]) = token(server);
    assert_eq!(algorithm, "RS256");
    let published: Vec<&str> =
        keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert!(published.len() == 2 && published.contains(&first_key.as_str()), "{keys}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(code(server, &first), "403");

    restart(&|| ());
    let (_, names) = token(server);
    assert_eq!(names, [algorithm.clone(), first_key.clone()]);
    assert_eq!(code(server, &first), "403");

    // It verifies the tokens of all pods: a start without it would be a silent loss.
    server.stop().unwrap();
    std::fs::remove_file(&file).unwrap();
    server.start_again().unwrap();
    let refused = server.wait_ready().unwrap_err();
    let refused = format!("{refused:?}");
    assert!(refused.contains("service-rsa.key, a key of the cluster, is missing"), "{refused}");
    server.set_flags(&["--accept-data-loss", "new-keys"]);
    server.start_again().unwrap();
    server.wait_ready().unwrap();
    keys_with_rsa(server);
    let (second, [algorithm, second_key]) = token(server);
    assert!(algorithm == "RS256" && second_key != first_key, "{algorithm} {second_key}");
    assert_eq!(code(server, &second), "403");
    assert_eq!(code(server, &first), "401");
    server.set_flags(&[]);
    restart(&|| ());
    assert_eq!(token(server).1, [algorithm, second_key]);
}
