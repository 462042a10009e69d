//! The [`value!`](crate::value) macro.

/// Builds a [`Value`](crate::Value) from JSON-like text with expressions in it. Keys are literals; a value
/// is `null`, a list, an object, or any expression that converts into a `Value`.
///
/// ```
/// let replicas = 3;
/// let scale = object::value!({"spec": {"replicas": replicas, "tags": ["a", "b"], "none": null}});
/// assert_eq!(scale.at("spec.replicas").as_i64(), Some(3));
/// ```
#[macro_export]
macro_rules! value {
    (null) => { $crate::Value::Null };
    ([ $($tokens:tt)* ]) => {{
        let list: &mut Vec<$crate::Value> = &mut Vec::new();
        $crate::value!(@list list $($tokens)*);
        $crate::Value::List(std::mem::take(list))
    }};
    ({ $($tokens:tt)* }) => {{
        #[allow(unused_mut, reason = "an empty object is never changed")]
        let mut map = $crate::Map::new();
        $crate::value!(@map map $($tokens)*);
        $crate::Value::Map(map)
    }};

    (@list $list:ident) => {};
    (@list $list:ident null $(, $($rest:tt)*)?) => {
        $list.push($crate::Value::Null);
        $crate::value!(@list $list $($($rest)*)?);
    };
    (@list $list:ident [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $list.push($crate::value!([ $($inner)* ]));
        $crate::value!(@list $list $($($rest)*)?);
    };
    (@list $list:ident { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $list.push($crate::value!({ $($inner)* }));
        $crate::value!(@list $list $($($rest)*)?);
    };
    (@list $list:ident $value:expr $(, $($rest:tt)*)?) => {
        $list.push($crate::Value::from($value));
        $crate::value!(@list $list $($($rest)*)?);
    };

    (@map $map:ident) => {};
    (@map $map:ident $key:literal : null $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::Value::Null);
        $crate::value!(@map $map $($($rest)*)?);
    };
    (@map $map:ident $key:literal : [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::value!([ $($inner)* ]));
        $crate::value!(@map $map $($($rest)*)?);
    };
    (@map $map:ident $key:literal : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::value!({ $($inner)* }));
        $crate::value!(@map $map $($($rest)*)?);
    };
    (@map $map:ident $key:literal : $value:expr $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::Value::from($value));
        $crate::value!(@map $map $($($rest)*)?);
    };

    ($value:expr) => { $crate::Value::from($value) };
}
