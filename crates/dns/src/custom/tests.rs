use super::*;

fn parse(upstreams: &str, stubs: &str) -> Result<CustomServers, String> {
    let data = [(UPSTREAMS.to_owned(), upstreams.to_owned()), (STUBS.to_owned(), stubs.to_owned())];
    let cluster = Name::from_ascii("cluster.local.").unwrap();
    CustomServers::parse(&data.into(), &cluster).map_err(|error| error.to_string())
}

#[test]
fn the_form_of_kube_dns_is_read() {
    let custom = parse(
        r#"["9.9.9.9", "149.112.112.112:5353", "2001:db8::1"]"#,
        r#"{"Corp.Example": ["192.0.2.53"], "10.in-addr.arpa.": ["[2001:db8::53]:5353"]}"#,
    )
    .unwrap();
    let texts: Vec<String> = custom.upstreams.iter().map(SocketAddr::to_string).collect();
    assert_eq!(texts, ["9.9.9.9:53", "149.112.112.112:5353", "[2001:db8::1]:53"]);
    let stubs: Vec<String> =
        custom.stubs.iter().map(|(name, servers)| format!("{name} {}", servers[0])).collect();
    assert_eq!(stubs, ["10.in-addr.arpa. [2001:db8::53]:5353", "corp.example. 192.0.2.53:53"]);
    assert_eq!(parse("", " "), Ok(CustomServers::default()));
    assert_eq!(parse("[]", "{}"), Ok(CustomServers::default()));
}

#[test]
fn what_is_wrong_is_named() {
    for (upstreams, stubs, expected) in [
        ("9.9.9.9", "", "upstreamNameservers is not a JSON list of texts"),
        ("[1]", "", "upstreamNameservers is not a JSON list of texts"),
        (r#"["dns.example"]"#, "", "upstreamNameservers: \"dns.example\" is not an address"),
        (r#"["9.9.9.9:0"]"#, "", "\"9.9.9.9:0\" is not an address"),
        (r#"["1.1.1.1","1.1.1.2","1.1.1.3","1.1.1.4"]"#, "", "names 4 servers; one to 3 are allowed"),
        ("", "[]", "stubDomains is not a JSON map of lists of texts"),
        ("", r#"{"a.example": []}"#, "stubDomains: a.example names 0 servers"),
        ("", r#"{"a..example": ["1.1.1.1"]}"#, "\"a..example\" is not a domain name"),
        ("", r#"{".": ["1.1.1.1"]}"#, "is not a domain name"),
        ("", r#"{"svc.Cluster.local": ["1.1.1.1"]}"#, "is within the cluster's own domain"),
    ] {
        let error = parse(upstreams, stubs).unwrap_err();
        assert!(error.contains(expected), "{upstreams} {stubs}: {error}");
    }
}
