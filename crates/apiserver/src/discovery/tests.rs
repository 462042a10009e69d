use super::*;

fn json(documents: &Documents, path: &str, accept: &'static str) -> Option<(Value, String)> {
    use http_body_util::BodyExt;
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    let response = documents.answer(path, &headers).unwrap()?;
    let content_type = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    let collected = futures::executor::block_on(response.into_body().collect()).unwrap();
    Some((object::json::parse(&collected.to_bytes()).unwrap(), content_type))
}

#[test]
fn every_group_version_has_a_document() {
    let documents = Documents::new(&Catalogue::of_table(), None);
    for def in schema::resources() {
        let prefix = if def.group.is_empty() { "/api" } else { "/apis" };
        let path = format!("{prefix}/{}", api_version(&def.group, &def.version));
        let (list, _) = json(&documents, &path, "application/json").expect("a document");
        let entry =
            list.get("resources").items().find(|entry| entry.str_at("name") == def.plural).expect("an entry");
        assert_eq!(entry.str_at("kind"), def.kind);
        assert_eq!(entry.get("verbs").items().len(), def.verbs.len());
    }
    assert!(json(&documents, "/apis/none", "application/json").is_none());
}

#[test]
fn aggregated_discovery_is_for_those_who_ask() {
    let documents = Documents::new(&Catalogue::of_table(), None);
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let (list, content_type) = json(&documents, "/apis", accept).unwrap();
    assert_eq!(content_type, AGGREGATED);
    let apps = list.get("items").items().find(|item| item.str_at("metadata.name") == "apps").expect("apps");
    let version = apps.get("versions").items().next().unwrap();
    let deployments =
        version.get("resources").items().find(|r| r.str_at("resource") == "deployments").unwrap();
    assert_eq!(deployments.get("shortNames").items().next().unwrap().as_str(), Some("deploy"));
    let (plain, content_type) = json(&documents, "/apis", "application/json").unwrap();
    assert_eq!((plain.str_at("kind"), content_type.as_str()), ("APIGroupList", "application/json"));
}

#[test]
fn an_unchanged_document_is_not_sent_again() {
    let documents = Documents::new(&Catalogue::of_table(), None);
    let first = documents.answer("/apis", &HeaderMap::new()).unwrap().unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
    let second = documents.answer("/apis", &headers).unwrap().unwrap();
    assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
}

#[test]
fn what_did_not_change_is_taken_over() {
    let first = Catalogue::of_table();
    let before = Documents::new(&first, None);
    let config_maps = first.endpoint("", "v1", "configmaps").unwrap();
    let widgets = schema::ResourceDef {
        group: "example.com".into(),
        plural: "widgets".into(),
        ..(*config_maps.def).clone()
    };
    let widgets = crate::catalogue::Endpoint {
        def: Arc::new(widgets).into(),
        strategy: config_maps.strategy.clone(),
        type_meta: Arc::clone(&config_maps.type_meta),
        collection: None,
        conversion: None,
        terminating: false,
    };
    let second = first.with([Arc::new(widgets)]);
    let after = Documents::new(&second, Some(&before));
    let etag = |documents: &Documents, path: &str| {
        let response = documents.answer(path, &HeaderMap::new()).unwrap().unwrap();
        response.headers()[ETAG].clone()
    };
    for path in ["/api", "/api/v1", "/apis/apps", "/apis/apps/v1"] {
        assert_eq!(etag(&before, path), etag(&after, path), "{path}");
    }
    assert_ne!(etag(&before, "/apis"), etag(&after, "/apis"));
    let is_kept = |part: &Arc<Part>| before.parts.iter().any(|known| Arc::ptr_eq(known, part));
    assert_eq!(after.parts.iter().filter(|part| !is_kept(part)).count(), 1);
    assert!(json(&after, "/apis/example.com/v1", "application/json").is_some());
    let third = Documents::new(&second.without("example.com", "widgets"), Some(&after));
    assert_eq!(etag(&before, "/apis"), etag(&third, "/apis"));
    assert!(json(&third, "/apis/example.com/v1", "application/json").is_none());
}

#[test]
fn a_long_document_is_compressed_for_those_who_accept_it() {
    use std::io::Read;

    use crate::catalogue::Endpoint;
    use http_body_util::BodyExt;

    let table = Catalogue::of_table();
    let model = table.endpoint("apps", "v1", "deployments").unwrap();
    let many = (0..400).map(|number| {
        let def = ResourceDef { plural: format!("things-{number}").into(), ..(*model.def).clone() };
        Arc::new(Endpoint {
            def: Arc::new(def).into(),
            strategy: kinds::strategy("apps", "deployments").into(),
            type_meta: Arc::clone(&model.type_meta),
            collection: None,
            conversion: None,
            terminating: false,
        })
    });
    let long = Documents::new(&table.with(many), None);
    let short = Documents::new(&Catalogue::of_table(), None);
    let answer = |documents: &Documents, encoding: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(AGGREGATED));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encoding));
        let (head, body) = documents.answer("/apis", &headers).unwrap().unwrap().into_parts();
        let bytes = futures::executor::block_on(body.collect()).unwrap().to_bytes();
        (head.headers.contains_key(CONTENT_ENCODING), head.headers[ETAG].clone(), bytes)
    };
    let (is_packed, etag, plain) = answer(&long, "identity");
    assert!(!is_packed && plain.len() > COMPRESS_FROM);
    let (is_packed, of_packed, packed) = answer(&long, "gzip");
    assert!(is_packed && of_packed == etag && packed.len() < plain.len() / 5);
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&*packed).read_to_end(&mut text).unwrap();
    assert_eq!(text, plain);
    assert!(!answer(&short, "gzip").0);
}
