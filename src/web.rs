//! For [axum](https://docs.rs/axum): sessions from requests, answers from errors, and SQLite's work off the async threads
//! (feature `axum`).
//!
//! ```
//! use axum::{Router, extract::FromRef, routing::get};
//! use tenantry::web::{Bearer, Problem, blocking};
//! use tenantry::{Entity, Store, TokenVerifier};
//!
//! #[derive(Entity)]
//! struct Task { title: String }
//!
//! #[derive(Clone)]
//! struct App { store: Store, verifier: TokenVerifier }
//!
//! impl FromRef<App> for Store {
//!     fn from_ref(app: &App) -> Self { app.store.clone() }
//! }
//! impl FromRef<App> for TokenVerifier {
//!     fn from_ref(app: &App) -> Self { app.verifier.clone() }
//! }
//!
//! /// Refused before it begins: requests without a good token, and ones whose path names another user than the token.
//! async fn count(Bearer(session): Bearer) -> Result<String, Problem> {
//!     blocking(move || Ok(session.count::<Task>()?.to_string())).await
//! }
//!
//! let routes: Router<App> = Router::new().route("/users/{user}/tasks/count", get(count));
//! ```
//!
//! `examples/server.rs` is a whole application.

use std::fmt;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRef, FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::{Error, Result};
use crate::identity::OrganizationId;
use crate::session::{OrganizationSession, TenantSession};
use crate::store::Store;
use crate::token::TokenVerifier;

/// The names of the path's parameters that are looked at.
const USER: &str = "user";
const ORGANIZATION: &str = "organization";

/// Characters of a path that the log keeps.
const TOLD_MAX: usize = 200;

/// The session of the request's bearer token (RFC 6750), of its user alone.
///
/// The state has to give a [`Store`] and a [`TokenVerifier`] by [`FromRef`]. A request is refused
///
/// - with 401 and a challenge if it has no bearer token, or one that is not good; why not is only in `tracing` and,
///   for a token whose signature fits, in its user's log;
/// - with 403 if the token's user has no account here or is disabled, or if the path has a parameter `{user}` that
///   is somebody else's id. That is noted in the log of the token's user.
///
/// The body is a [`Problem`]. What the handler does with the session has to be done in [`blocking`].
#[derive(Debug, Clone)]
pub struct Bearer(pub TenantSession);

impl<S> FromRequestParts<S> for Bearer
where
    S: Send + Sync,
    Store: FromRef<S>,
    TokenVerifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::of(parts, state).await?;
        caller.enter(Ok).await.map(Bearer)
    }
}

/// The session of the request's bearer token within the organization that the path's parameter `{organization}` names.
///
/// A request is refused as by [`Bearer`], and with 403 if the user is no member of the organization, whether or not that
/// exists, or if the token is for another one.
#[derive(Debug, Clone)]
pub struct BearerIn(pub OrganizationSession);

impl<S> FromRequestParts<S> for BearerIn
where
    S: Send + Sync,
    Store: FromRef<S>,
    TokenVerifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::of(parts, state).await?;
        let [named] = &caller.named(ORGANIZATION)[..] else {
            tracing::error!("a route that uses `BearerIn` has not one parameter {{organization}}");
            return Err(Problem::internal());
        };
        // What is no id is no organization's.
        let organization = OrganizationId::new(named).map_err(|_| Problem::forbidden())?;
        caller.enter(move |session| session.in_organization(&organization)).await.map(BearerIn)
    }
}

/// Who asks, and in whose name the path says that they do.
struct Caller {
    store: Store,
    verifier: TokenVerifier,
    token: String,
    path: RawPathParams,
}

impl Caller {
    async fn of<S>(parts: &mut Parts, state: &S) -> Result<Self, Problem>
    where
        S: Send + Sync,
        Store: FromRef<S>,
        TokenVerifier: FromRef<S>,
    {
        let token = bearer_token(&parts.headers)?.to_owned();
        let path =
            RawPathParams::from_request_parts(parts, state).await.map_err(|rejection| match rejection {
                // Without a router nobody can tell whom a path names, so nobody is let in.
                RawPathParamsRejection::MissingPathParams(_) => {
                    tracing::error!("a token's session is asked for outside of the routes");
                    Problem::internal()
                }
                _ => Problem::new(StatusCode::BAD_REQUEST, "the path is not UTF-8"),
            })?;
        Ok(Self { store: Store::from_ref(state), verifier: TokenVerifier::from_ref(state), token, path })
    }

    /// What the path says for a parameter; nested routes can say it more than once.
    fn named(&self, parameter: &str) -> Vec<String> {
        self.path.iter().filter(|(name, _)| *name == parameter).map(|(_, value)| value.to_owned()).collect()
    }

    /// Verifies the token, which may ask the file, and goes on to the session that is wanted.
    async fn enter<R: Send + 'static>(
        self,
        go_on: impl FnOnce(TenantSession) -> Result<R> + Send + 'static,
    ) -> Result<R, Problem> {
        let named = self.named(USER);
        blocking(move || {
            let session = match self.store.session_from_token(&self.verifier, &self.token) {
                Err(Error::UnknownUser { .. }) => return Err(Error::aborted(Problem::forbidden())),
                session => session?,
            };
            match named.into_iter().find(|named| named != session.user().as_str()) {
                Some(other) => {
                    let error = Error::AccessDenied { reason: "the path names another user".to_owned() };
                    Err(session.core().refused((USER, other.chars().take(TOLD_MAX).collect()), error))
                }
                None => go_on(session),
            }
        })
        .await
    }
}

/// RFC 6750, section 2.1. Tokens in a form or in the query are not looked at: they end in logs.
fn bearer_token(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return Err(if headers.contains_key(header::AUTHORIZATION) {
            Problem::new(StatusCode::BAD_REQUEST, "there is more than one `Authorization`")
        } else {
            Problem::unauthenticated()
        });
    };
    // A header that is no text is no token.
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
    if scheme.eq_ignore_ascii_case("Bearer") {
        Ok(token.trim_matches(' '))
    } else {
        Err(Problem::unauthenticated())
    }
}

/// Does SQLite's work, which waits for the disk and for others, on a thread that may wait; its error as a [`Problem`].
///
/// It is done to its end also when the request is given up. For an answer of the application's own, return
/// `Error::aborted(problem)`.
///
/// # Errors
///
/// What the work returns, as a [`Problem`]; 500 if it panics.
///
/// ```
/// # use tenantry::web::{Problem, blocking};
/// # use tenantry::{Entity, Id, TenantSession};
/// # #[derive(Entity)] struct Task { title: String }
/// async fn title(session: TenantSession, id: Id<Task>) -> Result<String, Problem> {
///     blocking(move || Ok(session.get(id)?.value.title)).await
/// }
/// ```
pub async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R> + Send + 'static,
) -> Result<R, Problem> {
    let span = tracing::Span::current();
    match tokio::task::spawn_blocking(move || span.in_scope(work)).await {
        Ok(result) => result.map_err(Problem::from),
        Err(error) => {
            // Without the text of the panic, which could hold anything.
            tracing::error!(panicked = error.is_panic(), "the work of a request did not come to its end");
            Err(Problem::internal())
        }
    }
}

/// What a client is told that went wrong: problem details (RFC 9457), as `application/problem+json`.
///
/// An [`Error`] becomes one that tells what the client can do, and nothing of the store's inside: what only the operator can
/// mend is 500 or 503, and its cause goes to `tracing`. Besides `title`, `status` and `detail` there is a member `code`, which
/// tells problems of the same status apart.
///
/// | error | status | `code` |
/// |---|---|---|
/// | `Token`, `Expired` | 401, with the challenge of RFC 6750 | `invalid_token` |
/// | `AccessDenied`, `Disabled`, `NotMember` | 403 | `forbidden` |
/// | `QuotaExceeded` | 403 | `quota_exceeded` |
/// | `NotFound`, `NotInvited`, `UnknownUser`, `UnknownOrganization` | 404 | `not_found` |
/// | `Conflict` | 409 | `conflict` |
/// | `Unique`, `Exists` | 409 | `exists` |
/// | `Reference` | 409 | `reference` |
/// | `NotUnique` | 409 | `not_unique` |
/// | `LimitExceeded` | 413 for the size of a record or value, else 422 | `limit_exceeded` |
/// | `InvalidInput`, `Constraint` | 422 | `invalid` |
/// | `Sql` | 422 | `sql` |
/// | `Busy`, `Locked` | 503, with `Retry-After` | `busy` |
/// | `Cancelled`, `ReadOnly`, `Full`, `Closed` | 503 | `unavailable` |
/// | `Aborted` by a `Problem` | that problem's | |
/// | any other | 500 | `internal` |
///
/// ```
/// use axum::http::StatusCode;
/// use tenantry::{Error, web::Problem};
///
/// let problem = Problem::from(Error::NotFound { entity: "task".into() });
/// assert_eq!(problem.status(), StatusCode::NOT_FOUND);
/// assert_eq!(problem.to_string(), "no task has this id");
/// ```
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: Option<&'static str>,
    detail: String,
    challenge: Option<&'static str>,
    retry: bool,
}

/// After how many seconds a request to a store that is busy may be repeated.
const RETRY_AFTER: &str = "1";

impl Problem {
    /// A problem of the application's own.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, code: None, detail: detail.into(), challenge: None, retry: false }
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    fn coded(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { code: Some(code), ..Self::new(status, detail) }
    }

    /// No token: how to come with one, and nothing else (RFC 6750, section 3.1).
    fn unauthenticated() -> Self {
        let problem = Self::coded(StatusCode::UNAUTHORIZED, "unauthenticated", "a bearer token is needed");
        Self { challenge: Some(r#"Bearer realm="tenantry""#), ..problem }
    }

    /// The same for every token that is not good.
    fn invalid_token() -> Self {
        let problem = Self::coded(StatusCode::UNAUTHORIZED, "invalid_token", "the token was refused");
        Self { challenge: Some(r#"Bearer realm="tenantry", error="invalid_token""#), ..problem }
    }

    fn forbidden() -> Self {
        Self::coded(StatusCode::FORBIDDEN, "forbidden", "this is not allowed")
    }

    fn internal() -> Self {
        Self::coded(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something went wrong here")
    }

    fn unavailable(code: &'static str) -> Self {
        Self::coded(StatusCode::SERVICE_UNAVAILABLE, code, "this can not be done at the moment")
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let told = |status, code| Problem::coded(status, code, error.to_string());
        let problem = match &error {
            Error::Token { .. } | Error::Expired => Problem::invalid_token(),
            Error::AccessDenied { .. } | Error::Disabled { .. } | Error::NotMember { .. } => {
                Problem::forbidden()
            }
            Error::QuotaExceeded { .. } => told(StatusCode::FORBIDDEN, "quota_exceeded"),
            Error::NotFound { .. } | Error::NotInvited { .. } => told(StatusCode::NOT_FOUND, "not_found"),
            // Their texts tell a programmer what to call.
            Error::UnknownUser { .. } | Error::UnknownOrganization { .. } => {
                Problem::coded(StatusCode::NOT_FOUND, "not_found", "there is no such user or organization")
            }
            Error::NotUnique { entity } => {
                Problem::coded(StatusCode::CONFLICT, "not_unique", format!("more than one {entity} matches"))
            }
            Error::Conflict { .. } => told(StatusCode::CONFLICT, "conflict"),
            Error::Unique { .. } | Error::Exists { .. } => told(StatusCode::CONFLICT, "exists"),
            Error::Reference { .. } => told(StatusCode::CONFLICT, "reference"),
            Error::LimitExceeded { limit, .. } => {
                let status = match *limit {
                    "record size" | "value size" => StatusCode::PAYLOAD_TOO_LARGE,
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                };
                Problem::coded(status, "limit_exceeded", format!("more than is allowed: {limit}"))
            }
            // What the application gave, and not the client.
            Error::InvalidInput { field, .. }
                if ["path", "verifier", "key", "encryption key"].contains(&field.as_str()) =>
            {
                Problem::internal()
            }
            Error::InvalidInput { .. } | Error::Constraint { .. } => {
                told(StatusCode::UNPROCESSABLE_ENTITY, "invalid")
            }
            Error::Sql { .. } => told(StatusCode::UNPROCESSABLE_ENTITY, "sql"),
            Error::Busy { .. } | Error::Locked { .. } => {
                Problem { retry: true, ..Problem::unavailable("busy") }
            }
            Error::Cancelled | Error::ReadOnly { .. } | Error::Full | Error::Closed => {
                Problem::unavailable("unavailable")
            }
            Error::Aborted { source } => match source.downcast_ref::<Problem>() {
                Some(problem) => problem.clone(),
                None => Problem::internal(),
            },
            _ => Problem::internal(),
        };
        if problem.status.is_server_error() && !problem.retry {
            tracing::error!(%error, "a request failed");
        }
        problem
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// So that [`Error::aborted`] takes one.
impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            // RFC 9457, section 4.2.1: there is no page about it, and the title is the status's own.
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(code) = self.code {
            body["code"] = code.into();
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if self.retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenProblem;
    use crate::quota::QuotaKind;

    /// Stands in every text that is for programmers and operators.
    const INSIDE: &str = "/inside/the.db";

    fn errors() -> Vec<(Error, u16, &'static str)> {
        let (inside, task) = (|| INSIDE.to_owned(), || "task".to_owned());
        let columns = vec!["title".to_owned()];
        let token = Error::Token { reason: TokenProblem::Missing { claim: inside() } };
        let large = Error::LimitExceeded { limit: "record size", problem: inside() };
        let quota = Error::QuotaExceeded { entity: task(), what: QuotaKind::Rows, max: 1, total: 2 };
        let io = Error::Io { what: inside(), source: inside().into() };
        let corrupt = Error::Corrupt { what: inside(), source: Some(inside().into()) };
        let member = Error::NotMember { user: inside(), organization: inside() };
        let reference =
            Error::Reference { entity: task(), column: "project".to_owned(), problem: "is not there" };
        vec![
            (token, 401, "invalid_token"),
            (Error::Expired, 401, "invalid_token"),
            (Error::AccessDenied { reason: inside() }, 403, "forbidden"),
            (Error::Disabled { id: inside() }, 403, "forbidden"),
            (member, 403, "forbidden"),
            (quota, 403, "quota_exceeded"),
            (Error::NotFound { entity: task() }, 404, "not_found"),
            (Error::NotInvited { user: "ada".to_owned(), organization: "acme".to_owned() }, 404, "not_found"),
            (Error::UnknownUser { user: inside() }, 404, "not_found"),
            (Error::UnknownOrganization { organization: inside() }, 404, "not_found"),
            (Error::NotUnique { entity: task() }, 409, "not_unique"),
            (Error::Conflict { entity: task(), expected: 1, actual: 2 }, 409, "conflict"),
            (Error::Unique { entity: task(), columns }, 409, "exists"),
            (Error::Exists { id: "ada".to_owned() }, 409, "exists"),
            (reference, 409, "reference"),
            (large, 413, "limit_exceeded"),
            (Error::LimitExceeded { limit: "sum", problem: inside() }, 422, "limit_exceeded"),
            (Error::invalid("title", "it is too long"), 422, "invalid"),
            (Error::Constraint { entity: task() }, 422, "invalid"),
            (Error::Sql { problem: "no such table: taks".to_owned() }, 422, "sql"),
            (Error::Busy { reason: INSIDE }, 503, "busy"),
            (Error::Locked { path: INSIDE.into(), holder: INSIDE }, 503, "busy"),
            (Error::Cancelled, 503, "unavailable"),
            (Error::ReadOnly { reason: inside() }, 503, "unavailable"),
            (Error::Full, 503, "unavailable"),
            (Error::Closed, 503, "unavailable"),
            (io, 500, "internal"),
            (corrupt, 500, "internal"),
            (Error::schema(INSIDE), 500, "internal"),
            (Error::aborted(INSIDE), 500, "internal"),
        ]
    }

    #[test]
    fn errors_become_problems_that_tell_nothing_of_the_inside() {
        for (error, status, code) in errors() {
            let text = format!("{error:?}");
            let problem = Problem::from(error);
            assert_eq!((problem.status().as_u16(), problem.code), (status, Some(code)), "{text}");
            assert!(!problem.to_string().contains(INSIDE), "{text}: {problem}");
            let response = problem.into_response();
            let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header(header::CONTENT_TYPE), Some("application/problem+json"));
            assert_eq!(header(header::WWW_AUTHENTICATE).is_some(), status == 401, "{text}");
            assert_eq!(header(header::RETRY_AFTER).is_some(), code == "busy", "{text}");
        }
    }

    #[test]
    fn a_problem_of_the_applications_own_gets_through() {
        let own = Problem::new(StatusCode::IM_A_TEAPOT, "short and stout");
        let problem = Problem::from(Error::aborted(own));
        assert_eq!(
            (problem.status(), problem.to_string().as_str()),
            (StatusCode::IM_A_TEAPOT, "short and stout")
        );
    }

    #[test]
    fn work_that_panics_is_an_internal_problem() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome = runtime.block_on(blocking(|| -> Result<()> { panic!("{INSIDE}") }));
        let problem = outcome.unwrap_err();
        assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!problem.to_string().contains(INSIDE));
    }

    #[derive(Clone)]
    struct App(Store, TokenVerifier);

    impl FromRef<App> for Store {
        fn from_ref(app: &App) -> Self {
            app.0.clone()
        }
    }
    impl FromRef<App> for TokenVerifier {
        fn from_ref(app: &App) -> Self {
            app.1.clone()
        }
    }

    /// A layer outside of the router, say, would let every path through.
    #[test]
    fn where_no_path_is_known_nobody_is_let_in() {
        let app = App(Store::temporary().unwrap(), TokenVerifier::hs256([7; 32]).unwrap());
        let request = axum::http::Request::builder().uri("/users/ada/tasks");
        let (mut parts, ()) = request.header("authorization", "Bearer x").body(()).unwrap().into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let refused = runtime.block_on(Bearer::from_request_parts(&mut parts, &app)).unwrap_err();
        assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn one_header_has_one_token() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            bearer_token(&headers).map(str::to_owned).map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(of(&["Bearer a.b.c"]), Ok("a.b.c".to_owned()));
        assert_eq!(of(&["bearer   a.b.c "]), Ok("a.b.c".to_owned()));
        for none in [&[][..], &["Basic YTpi"], &["Bearer"], &["a.b.c"], &["Bearera.b.c"], &["Bearer\u{e9} a"]]
        {
            assert_eq!(of(none), Err(401), "{none:?}");
        }
        assert_eq!(of(&["Bearer a.b.c", "Bearer a.b.c"]), Err(400));
    }
}
