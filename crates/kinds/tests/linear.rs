//! Work on an object grows linearly with its size: every struct of every built-in kind is created with many items in
//! all of its lists and maps, decoded, defaulted, validated, changed and patched, and then again with four times as
//! many.
//!
//! The test measures the thread's processor time, so that other load does not matter.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clock::Clock;
use object::{Value, patch};
use schema::{Field, FieldType, ResourceDef, Shape, TypeDef};

/// Items of each list and map at first.
const ITEMS: usize = 700;
/// The factor by which the number grows.
const FACTOR: usize = 4;
/// Work too small to measure.
const UNSEEN: Duration = Duration::from_millis(150);
/// How much more work the larger object may cost: linear work costs 4 times as much, quadratic work 16 times.
const GROWTH_MAX: f64 = 7.0;
/// How large an answer may be, whatever is wrong with an object.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// How the items look.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Items {
    Empty,
    Same,
    Different,
}

/// A struct of a resource, and the fields that lead to it.
struct Case {
    def: &'static ResourceDef,
    way: Vec<&'static Field>,
    end: &'static TypeDef,
}

/// How long this thread has had a processor.
fn used() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn scalar(ty: &FieldType, text: &str) -> Value {
    match ty {
        FieldType::Bool => Value::from(true),
        FieldType::Int32 | FieldType::Int64 => Value::from(7i64),
        FieldType::Double => Value::from(1.5),
        FieldType::String => Value::from(text),
        FieldType::Quantity => Value::from("1"),
        FieldType::IntOrString => Value::from(80i64),
        _ => Value::Null,
    }
}

/// The `index`th item of a list or map.
fn item(ty: &FieldType, items: Items, index: usize) -> Value {
    let text = if items == Items::Different { format!("x{index}") } else { "x".to_owned() };
    let FieldType::Message(ty) = ty else { return scalar(ty, &text) };
    match items {
        Items::Empty => Value::map(),
        _ => with_scalars(ty, &text),
    }
}

/// An object of this type that has all scalar members.
fn with_scalars(ty: &TypeDef, text: &str) -> Value {
    let mut object = Value::map();
    ty.for_each_json_field(&mut |field| {
        let value = scalar(&field.ty, text);
        if field.shape == Shape::Single && !value.is_null() {
            object.set(field.name.to_string(), value);
        }
    });
    object
}

/// Fills all lists and maps of an object of this type; whether there are any.
fn fill(ty: &TypeDef, object: &mut Value, items: Items, count: usize) -> bool {
    let mut any = false;
    ty.for_each_json_field(&mut |field| {
        let filled = match field.shape {
            Shape::Single => return,
            Shape::List => Value::from((0..count).map(|i| item(&field.ty, items, i)).collect::<Vec<_>>()),
            Shape::Map => {
                Value::Map((0..count).map(|i| (format!("x{i}"), item(&field.ty, items, i))).collect())
            }
        };
        any = true;
        object.set(field.name.to_string(), filled);
    });
    any
}

impl Case {
    /// All structs of a type that were not seen before.
    fn find(
        def: &'static ResourceDef,
        ty: &'static TypeDef,
        way: &mut Vec<&'static Field>,
        seen: &mut HashSet<&'static str>,
        found: &mut Vec<Case>,
    ) {
        if !seen.insert(&ty.name) {
            return;
        }
        found.push(Case { def, way: way.clone(), end: ty });
        ty.for_each_json_field(&mut |field| {
            if let FieldType::Message(schema::TypeRef::Static(inner)) = &field.ty {
                way.push(field);
                Case::find(def, inner, way, seen, found);
                way.pop();
            }
        });
    }

    /// The object in which the struct at the end of the way is filled.
    fn object(&self, items: Items, count: usize) -> Option<Value> {
        let mut inner = with_scalars(self.end, "x");
        if !fill(self.end, &mut inner, items, count) {
            return None;
        }
        for (place, field) in self.way.iter().enumerate().rev() {
            let mut outer = match place {
                0 => with_scalars(&self.def.ty, "x"),
                _ => with_scalars(self.way[place - 1].message()?, "x"),
            };
            let value = match field.shape {
                Shape::Single => inner,
                Shape::List => Value::from(vec![inner]),
                Shape::Map => Value::Map([("x".to_owned(), inner)].into_iter().collect()),
            };
            outer.set(field.name.to_string(), value);
            inner = outer;
        }
        Some(inner)
    }

    /// Does with an object what requests do.
    fn work(&self, object: Value, clock: &Clock) -> Duration {
        let before = used();
        let def = self.def;
        let strategy = kinds::strategy(&def.group, &def.plural);
        let text = object::json::to_vec(&object);
        let mut object = object::decode::decode_json(&text, &def.ty).map_or(object, |decoded| decoded.value);
        let old = object.clone();
        strategy.default(&mut object);
        strategy.prepare_create(&mut object.clone());
        strategy.prepare_update(&mut object.clone(), &old);
        strategy.prepare_status_update(&mut object.clone(), &old);
        let path = object::field::Path::root("metadata");
        let rule = strategy.name_rule();
        let mut errors = kinds::validation::validate_metadata(object.get("metadata"), true, rule, &path);
        errors.append(strategy.validate(&object));
        errors.append(strategy.validate_update(&object, &old));
        errors.append(strategy.validate_status_update(&object, &old));
        let status = object::Status::invalid(&def.group, &def.kind, "x", &errors);
        let answer = object::json::to_vec(&status.to_value());
        assert!(answer.len() < ANSWER_BYTES_MAX, "{} {}", self, answer.len());
        strategy.warnings(&object, Some(&old));
        strategy.row(&object, clock);
        let mut changed = object.clone();
        reverse(&mut changed);
        errors.append(strategy.validate_update(&changed, &object));
        let _ = patch::merge_patch(object.clone(), changed.clone());
        let _ = patch::strategic_merge(object.clone(), changed, &def.ty);
        used() - before
    }

    /// The error, if any.
    fn check(&self, items: Items, clock: &Clock) -> Option<String> {
        let large = self.work(self.object(items, ITEMS * FACTOR)?, clock);
        if large < UNSEEN {
            return None;
        }
        let small = self.work(self.object(items, ITEMS)?, clock);
        let growth = large.as_secs_f64() / small.as_secs_f64();
        (growth > GROWTH_MAX).then(|| format!("{self} ({items:?}): {small:?} became {large:?}"))
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.way.iter().map(|field| &*field.name).collect();
        write!(f, "{} {}", self.def.kind, names.join("."))
    }
}

/// Turns the order of all lists and maps.
fn reverse(value: &mut Value) {
    match value {
        Value::List(items) => {
            items.reverse();
            items.iter_mut().for_each(reverse);
        }
        Value::Map(map) => {
            let mut entries: Vec<_> = std::mem::take(map).into_iter().collect();
            entries.reverse();
            entries.iter_mut().for_each(|(_, value)| reverse(value));
            *map = entries.into_iter().collect();
        }
        _ => {}
    }
}

#[test]
fn work_grows_with_the_size_of_an_object() {
    let (mut seen, mut cases) = (HashSet::new(), Vec::new());
    for def in schema::resources() {
        if let schema::TypeRef::Static(ty) = &def.ty {
            Case::find(def, ty, &mut Vec::new(), &mut seen, &mut cases);
        }
    }
    assert!(cases.len() > 300, "{}", cases.len());
    let (next, bad) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let run = || {
        let clock = Clock::system();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let wrong = [Items::Empty, Items::Same, Items::Different].map(|items| case.check(items, &clock));
            bad.lock().unwrap().extend(wrong.into_iter().flatten());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(run);
        }
    });
    let bad = bad.into_inner().unwrap();
    assert!(bad.is_empty(), "work grows faster than the object:\n{}", bad.join("\n"));
}
