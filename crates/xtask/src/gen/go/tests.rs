use super::*;

const SOURCE: &str = r#"package v1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GroupName is the group.
const GroupName = "example.io"

const (
	// A value.
	Fast Speed = "Fast"
)

// +genclient
// +structType=atomic

// Widget is a type.
type Widget struct {
	metav1.TypeMeta `json:",inline"`
	// The parts.
	// +listType=map
	// +listMapKey=name
	Parts []Part `json:"parts,omitempty" patchStrategy:"merge" patchMergeKey:"name" protobuf:"bytes,2,rep,name=parts"`

	Limits map[Name]resource.Quantity `json:"limits" protobuf:"bytes,3,rep,name=limits"` // trailing
	hidden *Part
}

type Speed string
type Alias = metav1.Time
"#;

fn read(source: &str) -> Package {
    let mut package =
        Package { path: "k8s.io/api/example/v1".into(), types: BTreeMap::new(), constants: BTreeMap::new() };
    Reader::new(source, &mut package).read().unwrap();
    package
}

fn name(package: &str, name: &str) -> GoType {
    GoType::Name { package: package.into(), name: name.into() }
}

#[test]
fn declarations_tags_and_markers() {
    let package = read(SOURCE);
    assert_eq!(package.group(), "example.io");
    assert_eq!(package.constants["Fast"], "Fast");
    let widget = &package.types["Widget"];
    assert_eq!(widget.markers, ["genclient", "structType=atomic"]);
    let Body::Struct(members) = &widget.body else { panic!("a struct") };
    assert_eq!(members.len(), 3, "members without tags are no part of the API");
    assert!(members[0].embedded);
    assert_eq!(members[0].name, "TypeMeta");
    assert_eq!(members[1].ty, GoType::Slice(Box::new(name("k8s.io/api/example/v1", "Part"))));
    assert_eq!(members[1].markers, ["listType=map", "listMapKey=name"]);
    assert_eq!(members[1].tags["patchMergeKey"], "name");
    assert_eq!(
        members[2].ty,
        GoType::Map(Box::new(name("k8s.io/apimachinery/pkg/api/resource", "Quantity")))
    );
}

#[test]
fn named_types() {
    let package = read(SOURCE);
    let Body::Named(speed) = &package.types["Speed"].body else { panic!("a named type") };
    assert_eq!(*speed, name("", "string"));
    let Body::Named(alias) = &package.types["Alias"].body else { panic!("an alias") };
    assert_eq!(*alias, name("k8s.io/apimachinery/pkg/apis/meta/v1", "Time"));
}

#[test]
fn unknown_imports_are_refused() {
    let mut package = read("package v1\n");
    let error = Reader::new("type X struct {\n\tA other.B `json:\"a\"`\n}\n", &mut package).read();
    assert!(error.is_err());
}
