use clock::Clock;
use object::{FieldValues, Selector, TypeMeta, Value};
use store::{Embedded, Expect, Write};

use super::*;
use crate::cache::{CollectionSpec, Hub};

const NAMESPACES: usize = 3;
const EACH: usize = 500;
const LIMIT: usize = 50;

/// Pods in some namespaces, every tenth with a label.
async fn pods() -> (Arc<Hub>, Arc<Collection>) {
    let store: Arc<dyn Store> = Arc::new(Embedded::in_memory(Clock::system()));
    for number in 0..NAMESPACES * EACH {
        let (namespace, name) = (format!("ns-{}", number % NAMESPACES), format!("p-{number:05}"));
        let labels = if (number / NAMESPACES).is_multiple_of(10) { r#","labels":{"app":"web"}"# } else { "" };
        let pod = format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"{namespace}"{labels}}}}}"#
        );
        store
            .write(Write::put(format!("/registry/pods/{namespace}/{name}"), pod, Expect::Any))
            .await
            .unwrap();
    }
    let hub = Arc::new(Hub::new(store));
    let collection = Arc::new(Collection::new(CollectionSpec {
        prefix: "/registry/pods/".into(),
        type_meta: TypeMeta::new("v1", "Pod"),
        fields: Box::new(|_: &Value| FieldValues::default()),
        leases: None,
        amend: None,
    }));
    hub.add(Arc::clone(&collection));
    hub.start().await.unwrap();
    (hub, collection)
}

fn filter(namespace: &str, labels: &str) -> Filter {
    let labels = (!labels.is_empty()).then(|| Selector::parse(labels).unwrap());
    Filter { namespace: namespace.to_owned(), name: String::new(), labels, fields: None }
}

/// All pages of a list, from memory or from the store's history.
async fn walk(hub: &Hub, collection: &Collection, filter: &Filter, past: bool) -> Vec<Taken> {
    let snapshot = hub.snapshot(collection);
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = Page { filter, counts: after.is_none(), after, limit: LIMIT };
        let taken = match past {
            true => page.take_past(collection, hub.store().as_ref(), snapshot.revision).await.unwrap(),
            false => page.take(&snapshot),
        };
        after = taken.last.clone();
        pages.push(taken);
        if after.is_none() {
            return pages;
        }
    }
}

fn names(pages: &[Taken]) -> Vec<String> {
    pages.iter().flat_map(|page| page.items.iter().map(|pod| pod.key().to_string())).collect()
}

/// A page took time for each object of the collection: it counted what follows.
#[tokio::test]
async fn a_page_looks_at_its_own_objects_and_one_more() {
    let (hub, collection) = pods().await;
    for (namespace, all) in [("", NAMESPACES * EACH), ("ns-1", EACH), ("ns-9", 0)] {
        for past in [false, true] {
            let pages = walk(&hub, &collection, &filter(namespace, ""), past).await;
            assert_eq!(pages.len(), all.div_ceil(LIMIT).max(1));
            for page in &pages {
                assert!(page.looked_at <= LIMIT + 1, "{} objects for a page of {LIMIT}", page.looked_at);
            }
            let totals: Vec<_> = pages.iter().filter_map(|page| page.total).collect();
            assert_eq!(totals, [all], "the first page tells how many there are");
            let names = names(&pages);
            assert_eq!(names.len(), all);
            assert!(names.is_sorted() && names.iter().all(|name| name.starts_with(namespace)));
        }
    }
}

#[tokio::test]
async fn a_selector_looks_on_from_where_the_page_before_ended() {
    let (hub, collection) = pods().await;
    for past in [false, true] {
        let pages = walk(&hub, &collection, &filter("", "app=web"), past).await;
        assert_eq!(names(&pages).len(), NAMESPACES * EACH / 10);
        let looked_at: usize = pages.iter().map(|page| page.looked_at).sum();
        // Each page looks again at the object that did not fit into the previous one, and at what leads to it.
        assert!(looked_at <= NAMESPACES * EACH + pages.len() * 10, "{looked_at} objects were looked at");
    }
}

#[tokio::test]
async fn a_key_of_another_namespace_does_not_hide_a_page() {
    let (hub, collection) = pods().await;
    let filter = filter("ns-1", "");
    let page = Page { filter: &filter, after: Some("ns-0/p-00000".into()), limit: LIMIT, counts: true };
    let snapshot = hub.snapshot(&collection);
    let past = page.take_past(&collection, hub.store().as_ref(), snapshot.revision).await.unwrap();
    let present = page.take(&snapshot);
    assert_eq!((present.items.len(), past.items.len()), (LIMIT, LIMIT));
    assert_eq!((present.total, past.total), (Some(EACH), Some(EACH)));
}

/// Nobody learns by such a token how many objects other namespaces have.
#[tokio::test]
async fn a_token_of_another_namespace_counts_nothing_of_it() {
    let (hub, collection) = pods().await;
    let snapshot = hub.snapshot(&collection);
    let filter = filter("ns-1", "");
    let page = Page { filter: &filter, after: Some("ns-0/".into()), limit: LIMIT, counts: true };
    let past = page.take_past(&collection, hub.store().as_ref(), snapshot.revision).await.unwrap();
    for taken in [page.take(&snapshot), past] {
        assert_eq!((taken.total, taken.items.len(), taken.looked_at), (Some(EACH), LIMIT, LIMIT + 1));
    }
}
