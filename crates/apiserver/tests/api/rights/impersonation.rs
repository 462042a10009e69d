//! Acting as somebody else.

use super::*;

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// Who the request comes from, as the server sees it; or the refusal.
async fn who(server: &TestServer, user: &User, headers: &[(&str, &str)]) -> Result<Value, String> {
    let mut headers = headers.to_vec();
    headers.push(("content-type", "application/json"));
    let reply = send(server, Some(user), "POST", REVIEWS, &headers, "{}").await;
    if reply.code == 201 { Ok(reply.json().at("status.userInfo").clone()) } else { Err(reply.status().2) }
}

fn groups(user: &Value) -> Vec<&str> {
    user.get("groups").items().filter_map(Value::as_str).collect()
}

const ACCOUNT: (&str, &str) = ("impersonate-user", "system:serviceaccount:default:robot");

#[tokio::test]
async fn only_groups_that_the_server_derives_are_free() {
    let server = TestServer::start().await;
    grant(&server, "editor", vec![rule(&["impersonate"], &[""], &["serviceaccounts"])]).await;
    let editor = User::new("editor", &[]);
    let user = who(&server, &editor, &[ACCOUNT]).await.unwrap();
    assert_eq!(user.str_at("username"), "system:serviceaccount:default:robot");
    let derived = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    assert_eq!(groups(&user), derived);
    for group in [
        "system:serviceaccounts:kube-system",
        "system:serviceaccounts",
        "system:serviceaccounts:default",
        "system:authenticated",
        "system:masters",
    ] {
        let refused = who(&server, &editor, &[ACCOUNT, ("impersonate-group", group)]).await.unwrap_err();
        assert_eq!(
            refused,
            format!(
                "groups \"{group}\" is forbidden: User \"editor\" cannot impersonate resource \"groups\" in API group \"\" at the cluster scope"
            )
        );
    }
    // A role may say which groups.
    let mut allowed = rule(&["impersonate"], &[""], &["groups"]);
    allowed.set("resourceNames", value!(["dev", "system:unauthenticated"]));
    grant(&server, "lead", vec![rule(&["impersonate"], &[""], &["serviceaccounts", "users"]), allowed]).await;
    let lead = User::new("lead", &[]);
    let user = who(&server, &lead, &[ACCOUNT, ("impersonate-group", "dev")]).await.unwrap();
    // Explicit groups take the place of the derived ones.
    assert_eq!(groups(&user), ["dev", "system:authenticated"]);
    let user = who(&server, &lead, &[ACCOUNT, ("impersonate-group", "system:unauthenticated")]).await;
    assert_eq!(user.unwrap_err(), refused_review());
    let anonymous = [("impersonate-user", "system:anonymous"), ("impersonate-group", "dev")];
    assert_eq!(who(&server, &lead, &anonymous).await.unwrap_err(), refused_anonymous());
}

/// Only authenticated users may ask who they are, so the refusal shows which groups the user lacks.
fn refused_review() -> String {
    refusal("system:serviceaccount:default:robot")
}

fn refused_anonymous() -> String {
    refusal("system:anonymous")
}

fn refusal(user: &str) -> String {
    format!(
        "selfsubjectreviews.authentication.k8s.io is forbidden: User \"{user}\" cannot create resource \"selfsubjectreviews\" in API group \"authentication.k8s.io\" at the cluster scope"
    )
}

#[tokio::test]
async fn uids_extras_and_names_each_take_their_right() {
    let server = TestServer::start().await;
    grant(&server, "jane", vec![rule(&["impersonate"], &[""], &["users"])]).await;
    let jane = User::new("jane", &[]);
    let joe = ("impersonate-user", "joe");
    for (header, refused) in [
        (("impersonate-uid", "1"), "uids.authentication.k8s.io \"1\" is forbidden"),
        (("impersonate-extra-scopes", "all"), "userextras.authentication.k8s.io \"all\" is forbidden"),
        (("impersonate-user", ""), ""),
    ] {
        match who(&server, &jane, &[joe, header]).await {
            Ok(user) => assert_eq!((user.str_at("username"), refused), ("joe", "")),
            Err(message) => assert!(!refused.is_empty() && message.starts_with(refused), "{message}"),
        }
    }
    // A name that only begins like a service account's is a user name, so the right on the account is not enough.
    grant(&server, "editor", vec![rule(&["impersonate"], &[""], &["serviceaccounts"])]).await;
    let editor = User::new("editor", &[]);
    for name in
        ["system:serviceaccount:default:a:b", "system:serviceaccount:default:", "system:serviceaccount:A:b"]
    {
        let message = who(&server, &editor, &[("impersonate-user", name)]).await.unwrap_err();
        assert!(message.starts_with(&format!("users \"{name}\" is forbidden")), "{message}");
    }
    let message = who(&server, &jane, &[ACCOUNT]).await.unwrap_err();
    assert_eq!(
        message,
        "serviceaccounts \"robot\" is forbidden: User \"jane\" cannot impersonate resource \"serviceaccounts\" in API group \"\" in the namespace \"default\""
    );
    // Of a repeated name the first counts.
    let twice = [joe, ("impersonate-user", "system:serviceaccount:default:robot")];
    assert_eq!(who(&server, &jane, &twice).await.unwrap().str_at("username"), "joe");
}
