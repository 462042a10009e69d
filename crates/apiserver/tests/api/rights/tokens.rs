//! The bearer token that browsers send as a subprotocol.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

#[tokio::test]
async fn a_subprotocol_is_a_token_of_a_websocket_beside_another_one() {
    let server = server_for_pods().await;
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let token = call(&server, "POST", path, &value!({"spec": {}})).await.success();
    let protocol =
        |token: &str| format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(token));
    let good = protocol(token.str_at("status.token"));
    let (bad, both, twice) = (protocol("x"), format!("chat, {good}"), format!("chat,{good},{good}"));
    let malformed = "base64url.bearer.authorization.k8s.io.!, chat";
    let name = "sec-websocket-protocol";
    let websocket = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
    type Headers<'h> = &'h [(&'h str, &'h str)];
    // The headers, and the code: 403 is the anonymous user's.
    let table: [(Headers<'_>, Headers<'_>, u16); 8] = [
        (&websocket, &[(name, &both)], 201),
        (&websocket, &[(name, "chat"), (name, &good)], 201),
        (&websocket, &[(name, &good)], 401),
        (&websocket, &[(name, &twice)], 401),
        (&websocket, &[(name, malformed)], 401),
        (&websocket, &[(name, "chat"), (name, &bad)], 401),
        (&websocket, &[(name, "chat")], 403),
        (&[], &[(name, &both)], 403),
    ];
    for (upgrade, protocols, code) in table {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(upgrade.iter().chain(protocols));
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let reply = send(&server, None, "POST", path, &headers, "{}").await;
        assert_eq!(reply.code, code, "{headers:?}: {:?}", reply.bytes);
        if code == 201 {
            let user = reply.json().at("status.userInfo.username").clone();
            assert_eq!(user.as_str(), Some("system:serviceaccount:default:default"));
        }
    }
}
