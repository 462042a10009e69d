//! Options of streams and logs, translated for a node's server.

use object::field::{Errors, Path};
use object::{Status, Value, value};
use schema::SubresourceDef;

use crate::registry::api_version;
use crate::request::{Parameters, RequestInfo};

/// Options of logs, which have the same name on both sides ...
const OF_LOGS: [&str; 5] = ["sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream"];
/// ... and switches.
const SWITCHES_OF_LOGS: [&str; 3] = ["follow", "previous", "timestamps"];
/// Switches of streams: the client's name, and the node's.
const OF_STREAMS: [(&str, &str); 4] =
    [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];

/// The options of a connection, as an object of the API (such as `PodExecOptions`).
///
/// # Errors
/// 400 for a port that is not a number.
pub(super) fn read(part: &SubresourceDef, info: &RequestInfo) -> Result<Value, Status> {
    let parameters = &info.parameters;
    let api_version = api_version(&part.group, &part.version);
    let mut options = value!({"kind": part.kind.as_ref(), "apiVersion": api_version});
    match &*part.name {
        "proxy" if info.rest.is_empty() => {}
        "proxy" => options.set("path", format!("/{}", info.rest)),
        "portforward" => {
            let ports = parameters.all("ports").flat_map(|ports| ports.split(','));
            let ports = ports.map(|port| {
                port.parse::<i64>()
                    .map(Value::from)
                    .map_err(|_| Status::bad_request(format!("invalid port {port:?}")))
            });
            let ports: Vec<Value> = ports.collect::<Result<_, _>>()?;
            if !ports.is_empty() {
                options.set("ports", ports);
            }
        }
        name => {
            for (switch, _) in OF_STREAMS.iter().filter(|(switch, _)| parameters.is_true(switch)) {
                options.set(*switch, true);
            }
            if let Some(container) = parameters.get("container").filter(|name| !name.is_empty()) {
                options.set("container", container);
            }
            let command: Vec<Value> = parameters.all("command").map(Value::from).collect();
            if name == "exec" && !command.is_empty() {
                options.set("command", command);
            }
        }
    }
    Ok(options)
}

/// The query for a node, from the options of a connection after admission.
pub(super) fn of_node(options: &Value) -> String {
    let mut query = Vec::new();
    let on = OF_STREAMS.iter().filter(|(name, _)| options.get(name).as_bool() == Some(true));
    query.extend(on.map(|(_, name)| pair(name, "1")));
    let command = options.get("command").items().filter_map(Value::as_str);
    query.extend(command.map(|word| pair("command", word)));
    let ports = options.get("ports").items().filter_map(Value::as_i64);
    query.extend(ports.map(|port| pair("port", &port.to_string())));
    query.join("&")
}

/// The query for a node, built from the parsed options of a log request: a node never sees the client's own text.
pub(super) fn log_of_node(parameters: &Parameters) -> String {
    let on = SWITCHES_OF_LOGS.into_iter().filter(|name| parameters.is_true(name));
    let mut query: Vec<String> = on.map(|name| pair(name, "true")).collect();
    for name in OF_LOGS {
        query.extend(parameters.get(name).map(|value| pair(name, value)));
    }
    query.join("&")
}

/// Checks the options of a log, as far as they are numbers (upstream: `ValidatePodLogOptions`).
///
/// # Errors
/// 422 with everything that is wrong.
pub(super) fn check_log(parameters: &Parameters, pod: &str) -> Result<(), Status> {
    let mut errors = Errors::new();
    let number = |name: &str| parameters.get(name).and_then(|text| text.parse::<i64>().ok());
    if let Some(lines) = number("tailLines").filter(|lines| *lines < 0) {
        errors.invalid(&Path::root("tailLines"), lines, "must be greater than or equal to 0");
    }
    for name in ["limitBytes", "sinceSeconds"] {
        let has_both =
            name == "sinceSeconds" && parameters.get("sinceTime").is_some_and(|time| !time.is_empty());
        match number(name) {
            Some(_) if has_both => {
                let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
                errors.forbidden(&Path::root(""), why);
            }
            Some(given) if given < 1 => errors.invalid(&Path::root(name), given, "must be greater than 0"),
            _ => {}
        }
    }
    if let Some(stream) =
        parameters.get("stream").filter(|stream| !matches!(*stream, "All" | "Stdout" | "Stderr"))
    {
        errors.not_supported(&Path::root("stream"), stream, &["All", "Stderr", "Stdout"]);
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid("", "PodLogOptions", pod, &errors)) }
}

fn pair(name: &str, value: &str) -> String {
    let mut out = format!("{name}=");
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The options of a connection, and the query for a node.
    fn connection(resource: &str, path: &str, query: &str) -> Result<(Value, String), Status> {
        let path = format!("/api/v1/{path}");
        let info = RequestInfo::parse(&http::Method::GET, &path, Some(query));
        let def = schema::resource("", "v1", resource).unwrap();
        let options = read(def.subresource(&info.subresource).unwrap(), &info)?;
        let of_node = of_node(&options);
        Ok((options, of_node))
    }

    #[test]
    fn connections_have_options_and_a_node_is_asked_what_they_say() {
        let pod = |part: &str| format!("namespaces/default/pods/p/{part}");
        let table = [
            (
                "exec",
                "command=sh&command=-c&command=echo+a%26b&container=c&stdin=false&stdin=true&stdout=1&tty=0",
                value!({"kind": "PodExecOptions", "stdout": true, "container": "c", "command": ["sh", "-c", "echo a&b"]}),
                "output=1&command=sh&command=-c&command=echo%20a%26b",
            ),
            (
                "attach",
                "stdin=true&stderr&command=x&input=1",
                value!({"kind": "PodAttachOptions", "stdin": true, "stderr": true}),
                "input=1&error=1",
            ),
            (
                "portforward",
                "ports=80,81&ports=82&port=1",
                value!({"kind": "PodPortForwardOptions", "ports": [80i64, 81i64, 82i64]}),
                "port=80&port=81&port=82",
            ),
        ];
        for (part, query, mut expected, of_node) in table {
            expected.set("apiVersion", "v1");
            assert_eq!(
                connection("pods", &pod(part), query).unwrap(),
                (expected, of_node.to_owned()),
                "{part}"
            );
        }
        let (proxy, _) = connection("nodes", "nodes/n/proxy/stats/summary", "").unwrap();
        assert_eq!(proxy, value!({"kind": "NodeProxyOptions", "apiVersion": "v1", "path": "/stats/summary"}));
        assert_eq!(connection("pods", &pod("portforward"), "ports=http").unwrap_err().code, 400);
    }

    #[test]
    fn options_of_logs_are_checked() {
        let check =
            |query: &str| check_log(&Parameters::parse(Some(query)), "p").map_err(|status| status.message);
        let wrong = |why: &str| Err(format!("PodLogOptions \"p\" is invalid: {why}"));
        assert_eq!(check("tailLines=0&sinceSeconds=1&limitBytes=1&stream=All"), Ok(()));
        assert_eq!(check("sinceTime=2026-01-01T00:00:00Z"), Ok(()));
        assert_eq!(
            check("tailLines=-1"),
            wrong("tailLines: Invalid value: -1: must be greater than or equal to 0")
        );
        assert_eq!(check("sinceSeconds=0"), wrong("sinceSeconds: Invalid value: 0: must be greater than 0"));
        assert_eq!(check("limitBytes=0"), wrong("limitBytes: Invalid value: 0: must be greater than 0"));
        assert_eq!(
            check("sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z"),
            wrong(": Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified")
        );
        assert_eq!(
            check("stream=Odd"),
            wrong(r#"stream: Unsupported value: "Odd": supported values: "All", "Stderr", "Stdout""#)
        );
        assert_eq!(check_log(&Parameters::parse(Some("tailLines=-1")), "p").unwrap_err().code, 422);
    }

    #[test]
    fn a_node_is_asked_for_the_log_that_the_server_has_read() {
        let query = "container=c&follow=true&follow=false&tailLines=5&sinceTime=2026-01-01T00:00:00Z&x=y";
        let expected = "follow=true&sinceTime=2026-01-01T00%3A00%3A00Z&tailLines=5";
        assert_eq!(log_of_node(&Parameters::parse(Some(query))), expected);
        assert_eq!(log_of_node(&Parameters::parse(Some(""))), "");
    }
}
