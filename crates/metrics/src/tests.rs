use super::*;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    verb: Arc<str>,
    code: u16,
}

fn exposition() -> Exposition {
    let exposition = Exposition::default();
    exposition.with(|registry| {
        let requests: Family<Labels, Counter> = registry.add("requests", "Requests");
        requests.get_or_create(&Labels { verb: "GET".into(), code: 200 }).inc();
        registry.add::<Gauge>("open", "What is open").set(3);
        let took: Histograms<Labels> =
            registry.add_histograms("took_seconds", "How long", || Histogram::new([0.5, 1.0]));
        took.get_or_create(&Labels { verb: "PUT".into(), code: 409 }).observe(0.7);
    });
    exposition
}

#[test]
fn the_older_format_declares_counters_by_their_whole_name() {
    let text = exposition().text();
    assert_eq!(
        text,
        "# HELP requests_total Requests.\n\
         # TYPE requests_total counter\n\
         requests_total{verb=\"GET\",code=\"200\"} 1\n\
         # HELP open What is open.\n\
         # TYPE open gauge\n\
         open 3\n\
         # HELP took_seconds How long.\n\
         # TYPE took_seconds histogram\n\
         took_seconds_sum{verb=\"PUT\",code=\"409\"} 0.7\n\
         took_seconds_count{verb=\"PUT\",code=\"409\"} 1\n\
         took_seconds_bucket{le=\"0.5\",verb=\"PUT\",code=\"409\"} 0\n\
         took_seconds_bucket{le=\"1.0\",verb=\"PUT\",code=\"409\"} 1\n\
         took_seconds_bucket{le=\"+Inf\",verb=\"PUT\",code=\"409\"} 1\n"
    );
}

#[test]
fn the_newer_format_has_an_end() {
    let text = exposition().open_metrics();
    assert!(text.contains("# TYPE requests counter\nrequests_total{"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn the_process_is_measured() {
    let exposition = Exposition::default();
    exposition.with(|registry| registry.register_collector(Box::new(Process)));
    let text = exposition.text();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    };
    assert!(value("process_resident_memory_bytes") > 100_000.0);
    assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
    assert!(value("process_open_fds") > 0.0 && value("process_open_fds") <= value("process_max_fds"));
    assert!(value("process_start_time_seconds") > 1_600_000_000.0);
    assert!(value("process_cpu_seconds_total") >= 0.0);
}

#[test]
fn older_counters_keep_their_names() {
    let exposition = exposition();
    exposition.without_total("requests");
    let text = exposition.text();
    let expected =
        "# HELP requests Requests.\n# TYPE requests counter\nrequests{verb=\"GET\",code=\"200\"} 1\n";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn what_is_gone_does_not_come_back() {
    let family: Family<Labels, Counter> = Family::default();
    let labels = |verb: &str| Labels { verb: verb.into(), code: 200 };
    let exists = std::cell::Cell::new(true);
    let kept = family.get_while(&labels("GET"), || exists.get());
    family.get_or_create(&labels("PUT")).inc();
    exists.set(false);
    family.retain(|labels| &*labels.verb != "GET");
    kept.inc();
    family.get_while(&labels("GET"), || exists.get()).inc();
    assert_eq!(format!("{family:?}"), "{Labels { verb: \"PUT\", code: 200 }}");
    // Its name is free for another subject, which starts at zero.
    exists.set(true);
    assert_eq!(family.get_while(&labels("GET"), || exists.get()).inc(), 0);
    assert!(family.remove(&labels("GET")) && !family.remove(&labels("GET")));
}
