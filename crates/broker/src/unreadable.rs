//! Requests that cannot be read. No handler sees them: the gRPC library refuses them by itself, and
//! here they get what every error has.

use flotilla_protocol::ApiError;
use flotilla_types::ErrorCode;
use tonic::codegen::http::Response;
use tonic::{Code, Status};

/// Adds the detail with the stable code to a refusal that the library made.
pub fn explain_refusal<B>(mut response: Response<B>) -> Response<B> {
    let refusal = Status::from_header_map(response.headers());
    if let Some(explained) = refusal.and_then(|status| explain(&status)) {
        // What was a header a moment ago still is one.
        let _ = explained.add_header(response.headers_mut());
    }
    response
}

/// What is wrong with a message that could not be taken from a stream. `None` if the stream broke.
pub(crate) fn explain(status: &Status) -> Option<Status> {
    // With these, and nothing more to say, the library ends a call whose message is malformed, too
    // large or compressed in an unknown way, or that is addressed to nobody.
    let cannot_be_read = matches!(
        status.code(),
        Code::Internal | Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented
    );
    (cannot_be_read && status.details().is_empty()).then(|| {
        let what = match status.message() {
            "" => "no such method",
            message => message,
        };
        let message = format!("the request cannot be read: {what}");
        ApiError::new(ErrorCode::InvalidArgument, message).into_status(status.code())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed_on(status: &Status) -> Status {
        let response = explain_refusal(status.clone().into_http::<()>());
        Status::from_header_map(response.headers()).unwrap()
    }

    #[test]
    fn what_the_library_refuses_gets_a_stable_code() {
        let refused = passed_on(&Status::out_of_range("message too large"));
        assert_eq!(refused.code(), Code::OutOfRange);
        let error = ApiError::from_status(&refused);
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        assert!(error.message.ends_with("message too large"), "{error}");
    }

    #[test]
    fn what_a_handler_said_stays_as_it_is() {
        let said = Status::from(ApiError::new(ErrorCode::UnknownTopic, "there is none"));
        let error = ApiError::from_status(&passed_on(&said));
        assert_eq!(error.code, ErrorCode::UnknownTopic);
        let bare = Status::not_found("a health check of what is not there");
        assert!(passed_on(&bare).details().is_empty());
        let answer = explain_refusal(Response::new(()));
        assert!(answer.headers().is_empty());
    }
}
