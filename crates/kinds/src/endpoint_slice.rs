//! EndpointSlice

use std::borrow::Cow;

use clock::Clock;
use object::{Value, field};

use crate::strategy::{Strategy, bump_generation};
use crate::table::{AGE, Column, NAME, age, cells, first_three, name, or};
use crate::{defaults, validation, warnings};

/// The strategy of slices (`pkg/registry/discovery/endpointslice/strategy.go`): labels name the slice's Service, so
/// they count as content.
pub(crate) struct EndpointSlices;

impl Strategy for EndpointSlices {
    fn default(&self, object: &mut Value) {
        defaults::default_endpoint_slice(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        drop_topology(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        if object.get("endpoints") != old.get("endpoints") {
            drop_topology(object);
        }
        if object.at("metadata.labels") != old.at("metadata.labels") {
            bump_generation(object, old);
        }
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_endpoint_slice(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_endpoint_slice_update(object, old)
    }

    fn tracks_generation(&self) -> bool {
        true
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                Column::text("AddressType", "What kind of addresses the slice has."),
                Column::text("Ports", "The ports of the endpoints."),
                Column::text("Endpoints", "The addresses of the endpoints."),
                AGE,
            ]
        }
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        let ports = object.get("ports").items().map(|port| match port.get("port").as_i64() {
            Some(number) => Cow::Owned(number.to_string()),
            None => Cow::Borrowed(port.get("name").as_str().unwrap_or("*")),
        });
        let addresses =
            object.get("endpoints").items().flat_map(|endpoint| endpoint.get("addresses").items());
        let addresses = addresses.filter_map(Value::as_str).map(Cow::Borrowed);
        cells![
            name(object),
            object.str_at("addressType"),
            or(&first_three(ports), "<unset>"),
            or(&first_three(addresses), "<unset>"),
            age(object, clock),
        ]
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        warnings::of_endpoint_slice(object, old)
    }
}

/// The topology of the beta version is no longer written.
fn drop_topology(slice: &mut Value) {
    for endpoint in slice.get_mut("endpoints").into_iter().flat_map(Value::items_mut) {
        endpoint.remove("deprecatedTopology");
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn table() {
        check_row(
            &EndpointSlices,
            &named("e", value!({"addressType": "IPv4"})),
            "e | IPv4 | <unset> | <unset> | 3h",
        );
        let slice = value!({
            "addressType": "IPv4", "ports": [{"port": 80}, {"name": "dns"}, {}],
            "endpoints": [{"addresses": ["10.0.0.1", "10.0.0.2"]}, {"addresses": ["10.0.0.3"]}, {"addresses": ["10.0.0.4"]}]
        });
        let row = "e | IPv4 | 80,dns,* | 10.0.0.1,10.0.0.2,10.0.0.3 + 1 more... | 3h";
        check_row(&EndpointSlices, &named("e", slice), row);
    }

    #[test]
    fn labels_are_content() {
        let old = value!({"metadata": {"generation": 1, "labels": {"a": "b"}}});
        let mut new = value!({"metadata": {"generation": 1}});
        EndpointSlices.prepare_update(&mut new, &old);
        assert_eq!(new.at("metadata.generation"), &Value::from(2i64));
    }
}
