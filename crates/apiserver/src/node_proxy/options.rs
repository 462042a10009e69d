//! What clients ask of a stream or a log, in the words of a node's server.

use crate::request::Parameters;

/// Options of logs, which both call the same ...
const OF_LOGS: [&str; 5] = ["sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream"];
/// ... and switches.
const SWITCHES_OF_LOGS: [&str; 3] = ["follow", "previous", "timestamps"];
/// Switches of streams: the client's name, and the node's.
const OF_STREAMS: [(&str, &str); 4] =
    [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];

/// The query for a node, of what the server has read: a node does not read what the client wrote.
pub(super) fn of_node(subresource: &str, parameters: &Parameters) -> String {
    let mut query = Vec::new();
    match subresource {
        "log" => {
            let on = SWITCHES_OF_LOGS.into_iter().filter(|name| parameters.is_true(name));
            query.extend(on.map(|name| pair(name, "true")));
            for name in OF_LOGS {
                query.extend(parameters.get(name).map(|value| pair(name, value)));
            }
        }
        "portforward" => query.extend(parameters.all("ports").map(|ports| pair("port", ports))),
        _ => {
            let on = OF_STREAMS.iter().filter(|(name, _)| parameters.is_true(name));
            query.extend(on.map(|(_, name)| pair(name, "1")));
            if subresource == "exec" {
                query.extend(parameters.all("command").map(|word| pair("command", word)));
            }
        }
    }
    query.join("&")
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

    #[test]
    fn a_node_is_asked_what_the_server_has_read() {
        let table = [
            (
                "exec",
                "command=sh&command=-c&command=echo+a%26b&container=c&stdin=false&stdin=true&stdout=1&tty=0",
                "output=1&command=sh&command=-c&command=echo%20a%26b",
            ),
            ("attach", "stdin=true&stderr&command=x&input=1", "input=1&error=1"),
            ("portforward", "ports=80,81&ports=82&port=1", "port=80%2C81&port=82"),
            (
                "log",
                "container=c&follow=true&follow=false&tailLines=5&sinceTime=2026-01-01T00:00:00Z&x=y",
                "follow=true&sinceTime=2026-01-01T00%3A00%3A00Z&tailLines=5",
            ),
            ("log", "", ""),
        ];
        for (subresource, query, expected) in table {
            assert_eq!(of_node(subresource, &Parameters::parse(Some(query))), expected, "{query}");
        }
    }
}
