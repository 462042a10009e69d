"""What schemathesis must know about this API, and what every answer must be."""

import json

import schemathesis

# How long a watch may take, in seconds.
WATCH_SECONDS = 1


@schemathesis.hook
def before_call(context, case, kwargs):
    """Ends watches, which otherwise last for the better part of an hour, and logs that are followed."""
    query = dict(case.query or {})
    query.pop("follow", None)
    if "watch" in query or "/watch/" in case.path:
        query["timeoutSeconds"] = WATCH_SECONDS
    case.query = query


@schemathesis.check
def answers_are_those_of_the_api(ctx, response, case):
    """Bodies have a type, and failures are objects of the kind Status."""
    kind = response.headers.get("content-type", [""])[0]
    assert kind or not response.content, "a body has no content type"
    if response.status_code < 400 or case.method == "HEAD":
        return
    assert kind.startswith("application/json"), f"a failure of the type {kind}: {response.content[:300]!r}"
    status = json.loads(response.content)
    assert status["kind"] == "Status" and status["status"] == "Failure", f"not a failure: {status}"
    assert status["code"] == response.status_code, f"{status['code']} in the body of {response.status_code}"
    assert status["message"], f"no message: {status}"
