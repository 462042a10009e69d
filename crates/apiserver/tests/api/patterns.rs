//! Patterns and paths of definitions, as Go's libraries read them.

use apiserver::testing::TestServer;
use object::{Value, value};

use crate::support::*;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const THINGS: &str = "/apis/example.com/v1/namespaces/default/things";

fn definition(pattern: &str, columns: Value) -> Value {
    value!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "additionalPrinterColumns": columns,
                "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {"code": {"type": "string", "pattern": pattern}}
                }}
            }]
        }
    })
}

#[tokio::test]
async fn patterns_are_those_of_go() {
    let server = TestServer::start().await;
    for (pattern, told) in [
        ("(", "missing closing ): `(`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
    ] {
        let refused = call(&server, "POST", DEFINITIONS, &definition(pattern, value!([]))).await;
        let (code, _, message) = refused.status();
        assert_eq!(code, 422, "{message}");
        let told = format!("must be a valid regular expression, but isn't: error parsing regexp: {told}");
        assert!(message.contains(&told), "{message}");
    }
    let accepted = definition(r"^\Qa.\E{,2}$", value!([]));
    call(&server, "POST", DEFINITIONS, &accepted).await.success();
    established(&server).await;
    let thing = |name: &str, code: &str| value!({"metadata": {"name": name}, "code": code});
    call(&server, "POST", THINGS, &thing("good", "a.{,2}")).await.success();
    let (code, _, message) = call(&server, "POST", THINGS, &thing("bad", "ab")).await.status();
    assert_eq!(code, 422, "{message}");
}

#[tokio::test]
async fn columns_show_what_paths_lead_to() {
    let server = TestServer::start().await;
    let column = |name: &str, path: &str| value!({"name": name, "type": "string", "jsonPath": path});
    let columns = value!([
        (column("Union", ".spec['none','b']")),
        (column("Descent", "..deep")),
        (column("Both", ".list[-1,0].n")),
        (column("Nothing", "..nothing"))
    ]);
    call(&server, "POST", DEFINITIONS, &definition("a", columns)).await.success();
    established(&server).await;
    let thing = value!({
        "metadata": {"name": "t"}, "spec": {"b": 2i64, "in": [{"deep": "yes"}]},
        "list": [{"n": 1i64}, {"n": 5i64}]
    });
    call(&server, "POST", THINGS, &thing).await.success();
    server.registry.hub.catch_up().await.unwrap();
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = send(&server, Some(&apiserver::testing::admin()), "GET", THINGS, &accept, "").await.success();
    let row = table.get("rows").items().next().unwrap();
    assert_eq!(row.get("cells"), &value!(["t", "2", "yes", "5", (Value::Null)]));
}
