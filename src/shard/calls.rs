//! Pages, assets and the JSON interface: what is not media.

use std::hash::Hasher;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::service::Service;
use super::streams::Shared;
use crate::api::{self, Call, PublishGrant, PublishRequest, Route, StreamSummary};
use crate::auth::Claims;
use crate::http::{self, Body, Cache, ETag, Extra, Method, Request, Response, Status, content_type};
use crate::limits::{ASSET_MAX_AGE_S, CALL_ANSWERS_BYTES_MAX};
use crate::media::StreamName;
use crate::origin::home::StreamState;
use crate::origin::view::not_found;
use crate::pages::{self, HLS_JS_PATH, Publishing};

/// What a request leads to.
pub enum Routed {
    /// This.
    Respond(Response),
    /// A call, once its body is here.
    Call(CallHere),
}

/// A call of the interface.
pub struct CallHere {
    /// Which.
    pub call: Call,
    /// It came with the admin key.
    is_admin: bool,
    /// Bytes of its body.
    pub body_bytes: usize,
    /// Its sender waits for leave to send the body.
    pub expects_continue: bool,
}

/// A file that is served from memory. It is hashed once: half a megabyte for each HEAD of forty bytes would be
/// a way to keep a shard from its sockets.
#[derive(Debug, Clone)]
pub struct ServedFile {
    bytes: Bytes,
    etag: ETag,
}

impl ServedFile {
    /// Of its content.
    pub fn new(bytes: Bytes) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(&bytes);
        Self { bytes, etag: ETag(hasher.finish()) }
    }
}

/// An answer that was written for one peer: it counts until it is sent.
struct Answer {
    text: Bytes,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Answer {
    fn counted(service: &Service, text: Bytes) -> Bytes {
        let waiting_bytes = Arc::clone(&service.setup.answer_bytes);
        waiting_bytes.fetch_add(text.len(), Ordering::Relaxed);
        Bytes::from_owner(Self { text, waiting_bytes })
    }
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.waiting_bytes.fetch_sub(self.text.len(), Ordering::Relaxed);
    }
}

/// Finds the page, asset or call.
pub fn route(service: &Service, request: &Request<'_>) -> Routed {
    let path = match http::decode_path(request.path) {
        Ok(path) => path,
        Err(error) if api::owns(request.path) => {
            return Routed::Respond(api::failure(Status::BadRequest, &error.to_string()));
        }
        Err(error) => return Routed::Respond(Response::error(Status::BadRequest, format!("{error}\n"))),
    };
    match Route::find(request.method, &path) {
        Route::Call(call) => {
            return Routed::Call(CallHere {
                call,
                is_admin: service.setup.admin_key.matches(request.bearer),
                // Bounded by HTTP_BODY_BYTES_MAX.
                body_bytes: request.content_length as usize,
                expects_continue: request.expects_continue,
            });
        }
        Route::WrongMethod { allowed } => return Routed::Respond(api::wrong_method(allowed)),
        Route::BadName => {
            let text = "no stream can have this name: KEY or APP/KEY of A-Z a-z 0-9 . _ - is allowed";
            return Routed::Respond(api::failure(Status::NotFound, text));
        }
        Route::None if api::owns(&path) => {
            return Routed::Respond(api::failure(Status::NotFound, "no such call"));
        }
        Route::None => {}
    }
    Routed::Respond(if request.method == Method::Post {
        Response::method_not_allowed("GET, HEAD, OPTIONS")
    } else {
        page(service, &path).unwrap_or_else(not_found)
    })
}

fn page(service: &Service, path: &str) -> Option<Response> {
    if path == "/" {
        let config = service.config();
        let publishing = Publishing { rtmp_port: service.setup.rtmp_port, open: config.auth.open };
        return Some(html(service, pages::index_html(publishing)));
    }
    if let Some(name) = path.strip_prefix("/watch/") {
        let name = api::stream_name(name.trim_end_matches('/'))?;
        return Some(html(service, pages::watch_html(&name, &service.setup.player)));
    }
    if path == HLS_JS_PATH {
        let file = service.setup.player_file.as_ref()?;
        return Some(asset(content_type::JAVASCRIPT, file.clone()));
    }
    let found = pages::asset(path)?;
    Some(asset(found.content_type, ServedFile::new(found.bytes.into())))
}

fn html(service: &Service, text: String) -> Response {
    Response {
        extra: Extra::ContentSecurityPolicy(service.setup.page_policy),
        ..Response::ok(content_type::HTML, Cache::NoCache, Body::One(text.into()))
    }
}

fn asset(content_type: &'static str, file: ServedFile) -> Response {
    let cache = Cache::Immutable(ASSET_MAX_AGE_S);
    Response { etag: Some(file.etag), ..Response::ok(content_type, cache, Body::One(file.bytes)) }
}

/// Performs a call.
pub fn perform(service: &Rc<Service>, here: CallHere, body: &[u8]) -> Response {
    match here.call {
        Call::Ping => api::pong(),
        Call::Health => api::health(),
        Call::Ready => api::ready(!service.is_draining()),
        // Whoever has the key is not kept from looking by those who do not read.
        Call::Metrics | Call::Streams
            if !here.is_admin
                && service.setup.answer_bytes.load(Ordering::Relaxed) > CALL_ANSWERS_BYTES_MAX =>
        {
            api::failure(Status::Unavailable, "too many answers wait to be read")
        }
        Call::Metrics => {
            let text = Answer::counted(service, service.setup.registry.render().into());
            Response::ok(content_type::OPENMETRICS, Cache::NoStore, Body::One(text))
        }
        Call::Streams => {
            let known = service.streams.all_known();
            let list: Vec<_> = known.iter().map(|shared| summary(shared, here.is_admin)).collect();
            let mut response = api::streams(&list);
            if let Body::One(text) = &mut response.body {
                *text = Answer::counted(service, std::mem::take(text));
            }
            response
        }
        Call::Stream(name) => match service.streams.known(name.as_str()) {
            Some(shared) => api::stream(&summary(&shared, here.is_admin)),
            None => api::failure(Status::NotFound, "no such stream"),
        },
        Call::Stop(_) | Call::Publish if !here.is_admin => {
            let failure = api::failure(Status::Unauthorized, "Authorization: Bearer ADMIN_KEY is required");
            Response { extra: Extra::Challenge, ..failure }
        }
        Call::Stop(name) if service.stop(&name) => api::stopped(&name),
        Call::Stop(_) => api::failure(Status::NotFound, "no such stream, or it has ended already"),
        Call::Publish => publish(service, body).unwrap_or_else(|failure| failure),
    }
}

fn publish(service: &Service, body: &[u8]) -> Result<Response, Response> {
    let (name, expires_in) = PublishRequest::parse(body)?;
    let auth = &service.config().auth;
    let expires_in_s = expires_in.unwrap_or(auth.token_expiry_default_s);
    if !(1..=auth.token_expiry_max_s).contains(&expires_in_s) {
        let text =
            format!("expiresIn is {expires_in_s}; 1 to {} seconds are allowed", auth.token_expiry_max_s);
        return Err(api::failure(Status::BadRequest, &text));
    }
    let now_s = service.shard.unix_us() / 1_000_000;
    let claims = Claims {
        stream: name.as_str().to_owned(),
        issued_unix_s: now_s,
        expires_unix_s: now_s + expires_in_s,
    };
    let token = service.setup.tokens.mint(&claims);
    let publish_url = publish_url(&service.setup.public_url, &name, &token);
    Ok(api::granted(&PublishGrant {
        publish_url,
        stream_key: api::stream_key(&name).to_owned(),
        token,
        expires_at: api::rfc3339(claims.expires_unix_s),
    }))
}

/// What an encoder publishes to.
pub fn publish_url(public_url: &str, name: &StreamName, token: &str) -> String {
    format!("{public_url}/{name}?token={token}", name = name.as_str())
}

fn summary(shared: &Arc<Shared>, is_admin: bool) -> StreamSummary {
    let status = shared.status();
    StreamSummary {
        stream_key: api::stream_key(&shared.name).to_owned(),
        name: shared.name.as_str().to_owned(),
        state: status.state.as_str(),
        active: matches!(status.state, StreamState::Live | StreamState::Starting),
        details: is_admin.then_some(status.details),
    }
}
