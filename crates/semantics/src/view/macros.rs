//! [`views!`].

/// Implements [`View`](crate::View) for structs by listing their fields: the name in JSON, then the member.
///
/// ```
/// struct Port { name: String, port: i32 }
/// semantics::views! { Port { "name" => name, "port" => port } }
///
/// use semantics::View;
/// let port = Port { name: "http".into(), port: 80 };
/// assert_eq!((port.field("name").text(), port.field("port").as_integer()), ("http", Some(80)));
/// ```
#[macro_export]
macro_rules! views {
    ($($of:ty { $($name:literal => $member:ident),* $(,)? })*) => {$(
        impl $crate::View for $of {
            fn as_field(&self) -> $crate::Field<'_> {
                $crate::Field::Object(self)
            }

            fn field(&self, name: &str) -> $crate::Field<'_> {
                match name {
                    $($name => $crate::View::as_field(&self.$member),)*
                    _ => $crate::Field::Absent,
                }
            }

            fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a str, $crate::Field<'a>)) {
                $(visit($name, $crate::View::as_field(&self.$member));)*
            }
        }
    )*};
}
