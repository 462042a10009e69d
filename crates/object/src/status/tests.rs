use super::*;
use crate::field::Path;
use crate::value;

#[test]
fn codes_reasons_and_messages() {
    use Reason as R;
    let table: Vec<(Status, u16, R, &str)> = vec![
        (Status::not_found("", "pods", "x"), 404, R::NotFound, r#"pods "x" not found"#),
        (
            Status::not_found("apps", "deployments", "x"),
            404,
            R::NotFound,
            r#"deployments.apps "x" not found"#,
        ),
        (Status::already_exists("", "pods", "x"), 409, R::AlreadyExists, r#"pods "x" already exists"#),
        (
            Status::generate_name_conflict("", "pods", "x", 1),
            409,
            R::AlreadyExists,
            r#"pods "x" already exists, the server was not able to generate a unique name for the object"#,
        ),
        (
            Status::conflict("apps", "deployments", "x", MODIFIED),
            409,
            R::Conflict,
            "Operation cannot be fulfilled on deployments.apps \"x\": the object has been modified; please \
             apply your changes to the latest version and try again",
        ),
        (Status::apply_conflict(vec![], "1 conflict"), 409, R::Conflict, "1 conflict"),
        (Status::bad_request("no"), 400, R::BadRequest, "no"),
        (Status::unauthorized(""), 401, R::Unauthorized, "not authorized"),
        (Status::unauthorized("Unauthorized"), 401, R::Unauthorized, "Unauthorized"),
        (Status::forbidden("", "", "", "no"), 403, R::Forbidden, "forbidden: no"),
        (Status::forbidden("", "pods", "", "no"), 403, R::Forbidden, "pods is forbidden: no"),
        (
            Status::forbidden("a.io", "pods", "x", "no"),
            403,
            R::Forbidden,
            r#"pods.a.io "x" is forbidden: no"#,
        ),
        (
            Status::method_not_supported("apps", "deployments", "delete"),
            405,
            R::MethodNotAllowed,
            r#"delete is not supported on resources of kind "deployments.apps""#,
        ),
        (
            Status::not_acceptable(&["application/json", "application/yaml"]),
            406,
            R::NotAcceptable,
            "only the following media types are accepted: application/json, application/yaml",
        ),
        (
            Status::unsupported_media_type(&["application/json"]),
            415,
            R::UnsupportedMediaType,
            "the body of the request was in an unknown format - accepted media types include: application/json",
        ),
        (
            Status::request_entity_too_large("limit is 3145728"),
            413,
            R::RequestEntityTooLarge,
            "Request entity too large: limit is 3145728",
        ),
        (Status::gone("old"), 410, R::Gone, "old"),
        (Status::resource_expired("old"), 410, R::Expired, "old"),
        (Status::timeout("slow", 1), 504, R::Timeout, "Timeout: slow"),
        (
            Status::resource_version_too_large(9, 5),
            504,
            R::Timeout,
            "Timeout: Too large resource version: 9, current: 5",
        ),
        (
            Status::server_timeout("", "pods", "create", 2),
            500,
            R::ServerTimeout,
            "The create operation against pods could not be completed at this time, please try again.",
        ),
        (Status::too_many_requests("wait", 7), 429, R::TooManyRequests, "wait"),
        (Status::internal_error("boom"), 500, R::InternalError, "Internal error occurred: boom"),
        (Status::service_unavailable("no"), 503, R::ServiceUnavailable, "no"),
    ];
    for (status, code, reason, message) in table {
        assert_eq!((status.code(), &status.reason, status.message.as_str()), (code, &reason, message));
        assert!(!status.success);
        assert_eq!(Status::from_value(&status.to_value()), Some(status));
    }
}

#[test]
fn reasons_round_trip_and_have_error_codes() {
    for reason in reason::KNOWN {
        assert_eq!(&Reason::from(reason.as_str()), reason);
        assert!((400..600).contains(&reason.code()), "{reason}");
    }
    assert_eq!(Reason::from("Mine").as_str(), "Mine");
}

#[test]
fn invalid_carries_each_cause() {
    let mut errors = Errors::new();
    errors.invalid(&Path::root("spec").child("replicas"), -1, "must be greater than or equal to 0");
    let status = Status::invalid("apps", "Deployment", "x", &errors);
    let one = "spec.replicas: Invalid value: -1: must be greater than or equal to 0";
    assert_eq!(status.message, format!(r#"Deployment.apps "x" is invalid: {one}"#));
    assert_eq!(
        status.to_value(),
        value!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": status.message.clone(), "reason": "Invalid", "code": 422,
            "details": {"name": "x", "group": "apps", "kind": "Deployment", "causes": [{
                "reason": "FieldValueInvalid",
                "message": "Invalid value: -1: must be greater than or equal to 0",
                "field": "spec.replicas",
            }]},
        })
    );
    errors.required(&Path::root("x"), "");
    let status = Status::invalid("", "Pod", "p", &errors);
    assert_eq!(status.message, format!(r#"Pod "p" is invalid: [{one}, x: Required value]"#));
    assert_eq!(Status::invalid("", "Pod", "p", &Errors::new()).message, r#"Pod "p" is invalid"#);
    assert!(status.has_cause("FieldValueRequired"));
}

#[test]
fn success_and_lists_that_expired() {
    let details = Details { name: "x".into(), kind: "pods".into(), uid: "u".into(), ..Details::default() };
    let status = Status::success(Some(details));
    let wire = status.to_value();
    assert_eq!((wire.str_at("status"), wire.str_at("details.uid")), ("Success", "u"));
    assert!(wire.get("reason").is_null());
    let expired = Status { continue_token: Some("t".into()), ..Status::resource_expired("old") };
    assert_eq!(expired.to_value().str_at("metadata.continue"), "t");
    assert_eq!(Status::too_many_requests("wait", 7).retry_after_seconds(), Some(7));
    assert_eq!(Status::from_value(&value!({"kind": "Pod", "apiVersion": "v1"})), None);
}

#[test]
fn answers_without_a_status() {
    let base = Response {
        code: 0,
        method: "POST",
        group: "apps",
        resource: "deployments",
        name: "x",
        body: "body",
        retry_after_seconds: 0,
        unexpected: false,
    };
    for (code, reason, message) in [
        (409, Reason::AlreadyExists, "the server reported a conflict (post deployments.apps x)"),
        (403, Reason::Forbidden, "body (post deployments.apps x)"),
        (
            418,
            Reason::Unknown,
            "the server responded with the status code 418 but did not return more \
             information (post deployments.apps x)",
        ),
        (
            502,
            Reason::InternalError,
            "an error on the server (\"body\") has prevented the request from \
             succeeding (post deployments.apps x)",
        ),
    ] {
        let status = Status::generic_server_response(&Response { code, ..base });
        assert_eq!((status.code, status.reason, status.message.as_str()), (code, reason, message));
    }
    let bare = Response { code: 404, group: "", resource: "", name: "", unexpected: true, ..base };
    let status = Status::generic_server_response(&bare);
    assert_eq!(status.message, "the server could not find the requested resource");
    assert!(status.has_cause("UnexpectedServerResponse"));
}
