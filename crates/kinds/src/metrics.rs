//! NodeMetrics and PodMetrics, which are computed on each request. Their tables are those of upstream's metrics-server
//! (`pkg/api/table.go`).

use object::{Quantity, Value};

use crate::simple::Simple;
use crate::table::{Column, NAME, Table, cells, name};

/// The columns of both.
const COLUMNS: &[Column] = &[
    NAME,
    Column { format: "quantity", ..Column::text("cpu", "How many processors are used.") },
    Column { format: "quantity", ..Column::text("memory", "How many bytes of memory are used.") },
    Column {
        format: "duration",
        ..Column::text("Window", "The time over which the processors were measured.")
    },
];

/// NodeMetrics
pub(crate) static NODE_METRICS: Simple = Simple {
    table: Table {
        columns: COLUMNS,
        row: |object, _| {
            let [cpu, memory] = ["usage.cpu", "usage.memory"].map(|path| object.str_at(path));
            cells![name(object), cpu, memory, object.str_at("window")]
        },
    },
    ..Simple::PLAIN
};

/// PodMetrics
pub(crate) static POD_METRICS: Simple = Simple {
    table: Table {
        columns: COLUMNS,
        row: |object, _| {
            cells![name(object), sum(object, "cpu"), sum(object, "memory"), object.str_at("window")]
        },
    },
    ..Simple::PLAIN
};

/// What all containers of a pod use of a resource.
fn sum(pod: &Value, resource: &str) -> String {
    let mut sum = Quantity::ZERO;
    for container in pod.get("containers").items() {
        if let Ok(quantity) = Quantity::parse(container.get("usage").str_at(resource)) {
            sum += &quantity;
        }
    }
    sum.to_string()
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::check_row;

    #[test]
    fn usage_is_shown_by_node_and_summed_by_pod() {
        let node = value!({
            "metadata": {"name": "n"}, "window": "15.2s", "usage": {"cpu": "250m", "memory": "10Ki"}
        });
        check_row(&NODE_METRICS, &node, "n | 250m | 10Ki | 15.2s");
        let pod = value!({
            "metadata": {"name": "p"}, "window": "15s",
            "containers": [
                {"name": "a", "usage": {"cpu": "1500n", "memory": "1Ki"}},
                {"name": "b", "usage": {"cpu": "1", "memory": "1023Ki"}}
            ]
        });
        check_row(&POD_METRICS, &pod, "p | 1000001500n | 1Mi | 15s");
        check_row(&POD_METRICS, &value!({"metadata": {"name": "p"}, "window": "0s"}), "p | 0 | 0 | 0s");
    }
}
