//! The pages for operators: metrics, health, and the herd as this server sees it.

use super::Outcome;
use super::response::{JSON, OK, Response, UNAVAILABLE};
use crate::conversation::Context;
use crate::conversation::operating::{herd_page, metrics_page, readiness};
use crate::metrics::Format;

/// `GET /metrics`.
pub(super) fn metrics(context: &Context<'_>, format: Format) -> Outcome {
    let page = metrics_page(context.shared, context.clocks(), format);
    Outcome::Response(Response::whole(OK, format.content_type(), page))
}

/// `GET /v1/herd`.
pub(super) fn herd(context: &Context<'_>) -> Outcome {
    Outcome::Response(Response::whole(OK, JSON, herd_page(context.shared, context.clocks())))
}

/// `GET /livez`: an answer shows that the loop turns.
pub(super) fn alive() -> Outcome {
    Outcome::Response(Response::whole(OK, TEXT, "alive\n".to_owned()))
}

/// `GET /readyz`.
pub(super) fn ready(context: &Context<'_>) -> Outcome {
    let readiness = readiness(context.shared, context.now);
    let status = if readiness.is_ready { OK } else { UNAVAILABLE };
    Outcome::Response(Response::whole(status, TEXT, readiness.body))
}

const TEXT: &str = "text/plain; charset=utf-8";
