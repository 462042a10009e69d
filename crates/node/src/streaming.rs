//! The wire protocols of exec, attach and port-forward: WebSocket with its channel protocols, and SPDY/3.1, alone or
//! tunnelled inside WebSocket messages.

pub(crate) mod channels;
pub(crate) mod spdy;
pub(crate) mod tunnel;

/// The status that ends an exec on its error channel.
pub(crate) fn exit_status(exit: &Result<i32, cri::CriError>) -> object::Status {
    match exit {
        Ok(0) => object::Status::success(None),
        Ok(code) => {
            let mut status = object::Status::failure(
                object::Reason::InternalError,
                format!("command terminated with non-zero exit code: exit status {code}"),
            );
            status.reason = object::Reason::Other("NonZeroExitCode".into());
            let cause =
                object::Cause { reason: "ExitCode".into(), message: code.to_string(), ..Default::default() };
            status.details = Some(Box::new(object::Details { causes: vec![cause], ..Default::default() }));
            status
        }
        Err(error) => object::Status::internal_error(format!(
            "error executing command in container: {}",
            error.full_message()
        )),
    }
}

/// A status as JSON.
pub(crate) fn status_json(status: &object::Status) -> bytes::Bytes {
    object::json::to_bytes(&status.to_value())
}
