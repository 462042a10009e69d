use std::io::Read;

use object::{FieldValues, TypeMeta};

use super::super::pieces::{Gzip, PIECE_BYTES};
use super::*;
use crate::negotiate::MetaVersion;
use crate::options::IncludeObject;

/// Pods, each with a number of bytes of annotations.
fn listing(count: usize, bytes: usize) -> Listing {
    let type_meta = TypeMeta::new("v1", "Pod");
    let item = |number: usize| {
        let annotations = value!({"a": "x".repeat(bytes), "b": "l\u{ed}ne\nline: - x"});
        let pod = value!({
            "metadata": {"name": format!("p-{number}"), "annotations": annotations},
            "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80i64}]}]}
        });
        Versioned::from_value(Arc::clone(&type_meta), &pod, FieldValues::default()).unwrap()
    };
    let items = (0..count).map(item).collect();
    Listing { items, revision: 7, continue_token: Some("more".into()), remaining: Some(3) }
}

fn pods() -> Arc<Endpoint> {
    Arc::new(Endpoint {
        def: schema::resource("", "v1", "pods").unwrap().into(),
        strategy: kinds::strategy("", "pods").into(),
        type_meta: TypeMeta::new("v1", "Pod"),
        collection: None,
        conversion: None,
        terminating: false,
    })
}

fn list(format: Format, count: usize, bytes: usize) -> ListPieces {
    let clock = clock::Clock::system();
    let writer =
        Writer { format, include: IncludeObject::Object, gzip: false, clock, shared: Arc::default() };
    writer.list(&pods(), listing(count, bytes)).unwrap()
}

fn whole(format: Format, count: usize, bytes: usize) -> Vec<u8> {
    list(format, count, bytes).collect::<Vec<Bytes>>().concat()
}

#[test]
fn lists_of_all_lengths_are_whole() {
    for (count, bytes) in [(0, 0), (1, 0), (2, 10), (100, 5000), (3, PIECE_BYTES), (1, 3 * PIECE_BYTES)] {
        let pieces: Vec<Bytes> = list(Format::default(), count, bytes).collect();
        let value = json::parse(&pieces.concat()).unwrap();
        assert_eq!((value.str_at("kind"), value.str_at("metadata.resourceVersion")), ("PodList", "7"));
        let names: Vec<&str> = value.get("items").items().map(|item| item.str_at("metadata.name")).collect();
        let expected: Vec<String> = (0..count).map(|number| format!("p-{number}")).collect();
        assert_eq!(names, expected);
        assert!(pieces.iter().all(|piece| !piece.is_empty()));
        let long = bytes.max(PIECE_BYTES) + 400;
        assert!(pieces.iter().all(|piece| piece.len() <= long), "{count} objects of {bytes} bytes");
    }
}

/// What is made object by object is what would be made at once.
#[test]
fn the_forms_of_a_list_say_the_same() {
    let views = [
        (View::Object, "PodList", "items"),
        (View::Table(MetaVersion::V1), "Table", "rows"),
        (View::MetadataList(MetaVersion::V1beta1), "PartialObjectMetadataList", "items"),
    ];
    for (count, (view, kind, member)) in [0, 1, 3, 200].into_iter().flat_map(|n| views.map(|view| (n, view)))
    {
        let form = |encoding, pretty| whole(Format { encoding, view, pretty }, count, 2000);
        let json = form(Encoding::Json, false);
        let value = json::parse(&json).unwrap();
        assert_eq!((value.str_at("kind"), value.get(member).items().count()), (kind, count));
        assert_eq!(value.at("metadata.remainingItemCount").as_i64(), Some(3));
        assert_eq!(json, json::to_vec(&value), "{kind} of {count}");
        let pretty = [super::super::indented(&value), vec![b'\n']].concat();
        assert_eq!(form(Encoding::Json, true), pretty, "{kind} of {count}");
        let yaml = form(Encoding::Yaml, false);
        assert_eq!(String::from_utf8(yaml).unwrap(), yaml::to_string(&value), "{kind} of {count}");
    }
}

/// Also the messages that are encoded twice, because there are too many to keep them.
#[test]
fn lists_as_protobuf_begin_with_their_lengths() {
    let find = |api_version: &str, kind: &str| {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        schema::type_by_gvk(group, version, kind)
    };
    let views = [View::Object, View::MetadataList(MetaVersion::V1), View::MetadataList(MetaVersion::V1beta1)];
    for (count, bytes) in [(0, 0), (3, 10), (40, MESSAGES_BYTES_MAX / 10)] {
        for view in views {
            let (encoding, pretty) = (Encoding::Protobuf, false);
            let message = whole(Format { encoding, view, pretty }, count, bytes);
            let decoded = object::protobuf::decode(&message, &find).unwrap().value;
            let json = whole(Format { encoding: Encoding::Json, view, pretty }, count, bytes);
            let json = json::parse(&json).unwrap();
            for member in ["kind", "apiVersion", "metadata"] {
                assert_eq!(decoded.get(member), json.get(member), "{view:?}");
            }
            let metadata = |list: &Value| -> Vec<Value> {
                list.get("items").items().map(|item| item.at("metadata.annotations").clone()).collect()
            };
            assert_eq!(metadata(&decoded), metadata(&json), "{view:?} of {count}");
        }
    }
}

#[test]
fn compressed_pieces_are_one_stream() {
    let plain = whole(Format::default(), 50, 4000);
    let compressed = Gzip::new(list(Format::default(), 50, 4000)).collect::<Vec<_>>().concat();
    assert!(compressed.len() < plain.len() / 2);
    let mut back = Vec::new();
    flate2::read::GzDecoder::new(compressed.as_slice()).read_to_end(&mut back).unwrap();
    assert_eq!(back, plain);
}
