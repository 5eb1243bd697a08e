//! The resources, and which request may be carried out on which.

use std::borrow::Cow;
use std::rc::Rc;

use super::access::{Admitted, authorize};
use super::phones::{self, App};
use super::query::{Query, decoded};
use super::representation::Format;
use super::response::Response;
use super::{Outcome, Web, changes, client, list, operators, page, places, searches};
use crate::access::Grant;
use crate::conversation::{Context, Server};
use crate::http::server::RequestHead;
use crate::map::Asset;
use crate::metrics;
use crate::text::fields::is_field;

/// A resource, by its path.
#[derive(Debug)]
enum Resource<'a> {
    /// `/v1/clients/ID`.
    Client(Cow<'a, [u8]>),
    /// `/v1/clients/ID/places`.
    Places(Cow<'a, [u8]>),
    /// `/v1/clients`.
    Clients,
    /// `/v1/near`.
    Near,
    /// `/v1/changes`.
    Changes,
    /// `/` without a query, and what belongs to it: a file of the live map.
    File(&'static Asset),
    /// A path of an app of phones.
    Phone(App),
    /// `/v1/herd`.
    Herd,
    /// `/metrics`.
    Metrics,
    /// `/livez`.
    Alive,
    /// `/readyz` and `/healthz`.
    Ready,
}

impl<'a> Resource<'a> {
    /// The resource that a request is for, at a path without the token; `None`: there is none.
    ///
    /// # Errors
    ///
    /// When the path of a client has no ID of a client.
    fn of(path: &'a str, head: &RequestHead<'_>) -> Result<Option<Resource<'a>>, Response> {
        if let Some(app) = App::of(path, head.method, head.path_and_query().1) {
            return Ok(Some(Resource::Phone(app)));
        }
        if let Some(asset) = page::file(path, head) {
            return Ok(Some(Resource::File(asset)));
        }
        Ok(Some(match path {
            "/v1/clients" => Resource::Clients,
            "/v1/near" => Resource::Near,
            "/v1/changes" => Resource::Changes,
            "/v1/herd" => Resource::Herd,
            "/metrics" => Resource::Metrics,
            "/livez" => Resource::Alive,
            "/readyz" | "/healthz" => Resource::Ready,
            path => {
                let Some(rest) = path.strip_prefix("/v1/clients/") else { return Ok(None) };
                match rest.split_once('/') {
                    _ if rest.is_empty() || rest.starts_with('/') => return Ok(None),
                    None => Resource::Client(id(rest)?),
                    Some((segment, "places")) => Resource::Places(id(segment)?),
                    Some(_) => return Ok(None),
                }
            }
        }))
    }

    /// The methods that it has, as the field Allow lists them.
    fn methods(&self) -> &'static str {
        match self {
            Resource::Client(_) => "GET, HEAD, PUT, DELETE",
            Resource::Phone(app) => app.methods(),
            _ => "GET, HEAD",
        }
    }

    /// Whether a grant permits this method.
    fn is_granted(&self, method: &str, grant: &Grant) -> bool {
        match self {
            Resource::Client(id) => match method {
                "PUT" => grant.may_report(id),
                "DELETE" => grant.may_forget(id),
                _ => grant.may_read(id),
            },
            Resource::Places(id) => grant.may_ask_places() && grant.may_read(id),
            Resource::Clients | Resource::Near | Resource::Changes => grant.may_read_some(),
            // Which client it is, its message says.
            Resource::Phone(_) => true,
            Resource::Herd | Resource::Metrics => grant.may_operate(),
            // They need no token, and tell nothing about clients.
            Resource::Alive | Resource::Ready | Resource::File(_) => true,
        }
    }
}

/// The ID of a client in a path.
fn id(segment: &str) -> Result<Cow<'_, [u8]>, Response> {
    let id = decoded("the ID of the client", segment)?;
    if is_field(&id) {
        return Ok(id);
    }
    Err(Response::bad("the ID of the client: expected no white space, which no ID of a client has"))
}

/// A request that may be carried out.
pub(super) struct Request<'a> {
    resource: Resource<'a>,
    method: &'a str,
    /// The path without the token.
    path: &'a str,
    pub(super) query: Query<'a>,
    pub(super) format: Format,
    /// The format of metrics.
    exposition: metrics::Format,
    /// The field Last-Event-ID.
    pub(super) last_event_id: Option<&'a [u8]>,
    accepts_gzip: bool,
    pub(super) grant: Rc<Grant>,
}

/// Decides whether a request may be carried out. Nothing is changed, and its body is not needed. The error is the
/// response to one that may not.
pub(super) fn admit<'a>(server: &Server, head: &RequestHead<'a>) -> Result<Request<'a>, Response> {
    let Admitted { grant, path } =
        authorize(server, head).map_err(|refusal| page::instead_of(refusal, head))?;
    let query = Query(head.path_and_query().1);
    let Some(resource) = Resource::of(path, head)? else {
        return Err(Response::not_found("there is nothing at this path"));
    };
    let allowed = resource.methods();
    if !allowed.split(", ").any(|method| method == head.method) {
        let error =
            Response::error((405, "Method Not Allowed"), &format!("the method: expected one of {allowed}"));
        return Err(Response { field: Some(("Allow", allowed)), ..error });
    }
    if head.expects_unknown() {
        let text = "Expect: expected 100-continue, the only expectation that is met here";
        return Err(Response::error((417, "Expectation Failed"), text));
    }
    if !resource.is_granted(head.method, &grant) {
        return Err(Response::forbidden(
            "the token does not permit this; herd token --list shows what it may",
        ));
    }
    let format = match resource {
        Resource::Phone(_) => {
            check_coding(head)?;
            Format::Json
        }
        _ => format(query, head)?,
    };
    let exposition = match resource {
        Resource::Metrics => metrics::Format::accepted(head.fields.members("Accept")),
        _ => metrics::Format::Prometheus,
    };
    let last_event_id = head.fields.get("Last-Event-ID");
    let (accepts_gzip, method) = (page::accepts_gzip(head), head.method);
    Ok(Request { resource, method, path, query, format, exposition, last_event_id, accepts_gzip, grant })
}

/// Refuses a body that would have to be decoded.
fn check_coding(head: &RequestHead<'_>) -> Result<(), Response> {
    let mut codings = head.fields.members("Content-Encoding");
    if codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    let text = "Content-Encoding: expected identity, the only coding that is read here";
    Err(Response::error((415, "Unsupported Media Type"), text))
}

/// The format that is asked for: by the parameter `format`, or else by the field Accept.
fn format(query: Query<'_>, head: &RequestHead<'_>) -> Result<Format, Response> {
    match query.raw("format")? {
        Some("geojson") => return Ok(Format::GeoJson),
        Some("json") => return Ok(Format::Json),
        Some(other) => return Err(super::query::wrong("format", "json or geojson", other.as_bytes())),
        None => {}
    }
    let is_geojson = |range: &[u8]| {
        let media_type = range.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        media_type.eq_ignore_ascii_case(Format::GeoJson.content_type().as_bytes())
    };
    Ok(if head.fields.members("Accept").any(is_geojson) { Format::GeoJson } else { Format::Json })
}

impl Request<'_> {
    /// Carries out the request.
    pub(super) fn carry_out(
        self,
        web: &mut Web,
        context: &mut Context<'_>,
        head: &RequestHead<'_>,
        body: &[u8],
    ) -> Outcome {
        let result = match (&self.resource, self.method) {
            (Resource::Client(id), "PUT") => client::put(context, id, body),
            (Resource::Client(id), "DELETE") => client::delete(context, id),
            (Resource::Client(id), _) => client::get(context, id, self.format),
            (Resource::Places(id), _) => places::ask(web, context, id, &self),
            (Resource::Clients, _) => list::list(context, &self),
            (Resource::Near, _) => searches::near(web, context, &self),
            (Resource::Changes, _) => changes::stream(context, &self),
            (Resource::File(asset), _) => Ok(Outcome::Response(page::get(asset, self.accepts_gzip))),
            (Resource::Phone(app), _) => phones::report(context, *app, head, self.path, &self.grant, body),
            (Resource::Herd, _) => Ok(operators::herd(context)),
            (Resource::Metrics, _) => Ok(operators::metrics(context, self.exposition)),
            (Resource::Alive, _) => Ok(operators::alive()),
            (Resource::Ready, _) => Ok(operators::ready(context)),
        };
        result.unwrap_or_else(Outcome::Response)
    }
}
