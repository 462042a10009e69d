//! Metrics of requests to API servers, under upstream's names (`component-base/metrics/prometheus/restclient`).

use std::fmt::{self, Write};
use std::sync::Arc;

use http::Method;
use metrics::{Counter, EncodeLabelSet, Family, Register, Registry};
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// The requests of a process's clients: `rest_client_requests_total`, by the code of the answer, the method and the
/// server. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct RequestMetrics {
    requests: Family<Requested, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Requested {
    code: Code,
    method: &'static str,
    host: Arc<str>,
}

/// The code of an answer, or that none came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Code {
    Http(u16),
    Error,
}

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Code::Http(code) => EncodeLabelValue::encode(code, encoder),
            Code::Error => encoder.write_str("<error>"),
        }
    }
}

impl RequestMetrics {
    /// Metrics that are registered there.
    pub fn register(registry: &mut Registry) -> RequestMetrics {
        let help = "Requests to API servers by the code of the answer, the method and the server";
        RequestMetrics { requests: registry.add("rest_client_requests", help) }
    }

    /// A request to a server (`host:port`) was answered with this code; `None` if no answer came.
    pub fn requested(&self, method: &Method, host: &Arc<str>, code: Option<u16>) {
        let labels = Requested {
            code: code.map_or(Code::Error, Code::Http),
            method: name_of(method),
            host: Arc::clone(host),
        };
        self.requests.get_or_create(&labels).inc();
    }
}

/// The methods that clients use.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use metrics::Exposition;

    use super::*;

    #[test]
    fn requests_are_told_apart_by_code_method_and_host() {
        let exposition = Exposition::default();
        let metrics = exposition.with(RequestMetrics::register);
        let host = Arc::from("10.0.0.1:6443");
        metrics.requested(&Method::GET, &host, Some(200));
        metrics.requested(&Method::GET, &host, Some(200));
        metrics.requested(&Method::POST, &host, None);
        let text = exposition.text();
        for sample in [
            "rest_client_requests_total{code=\"200\",method=\"GET\",host=\"10.0.0.1:6443\"} 2",
            "rest_client_requests_total{code=\"<error>\",method=\"POST\",host=\"10.0.0.1:6443\"} 1",
        ] {
            assert!(text.contains(&format!("\n{sample}\n")), "no {sample} in\n{text}");
        }
    }
}
