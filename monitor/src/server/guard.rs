//! Access: this machine alone, and only with the token.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::context::Context;

/// The page loads nothing from elsewhere, and has no frame, form or plug-in.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Refuses requests that another site could have caused, and sets the headers of every answer.
pub(super) async fn same_machine(
    State(context): State<Context>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = if is_ours(request.headers(), context.port) {
        next.run(request).await
    } else {
        (
            StatusCode::FORBIDDEN,
            "refused: open the dashboard at 127.0.0.1 or localhost, with its port",
        )
            .into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Refuses requests without the token.
pub(super) async fn token(
    State(context): State<Context>,
    request: Request,
    next: Next,
) -> Response {
    if has_token(request.headers(), &context) {
        next.run(request).await
    } else {
        (
            StatusCode::UNAUTHORIZED,
            "the token is missing or wrong; open the address that the program printed",
        )
            .into_response()
    }
}

/// The cookie's name holds the port, since browsers send a cookie to every port of a host.
pub(super) fn cookie_name(port: u16) -> String {
    format!("steadyscribe-{port}")
}

fn is_ours(headers: &HeaderMap, port: u16) -> bool {
    let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}"));
    let text = |name| headers.get(name).map(HeaderValue::as_bytes);
    let host = text(header::HOST).is_some_and(|h| hosts.iter().any(|ours| ours.as_bytes() == h));
    let origin = text(header::ORIGIN).is_none_or(|origin| {
        hosts
            .iter()
            .any(|ours| origin.strip_prefix(b"http://") == Some(ours.as_bytes()))
    });
    let site = headers
        .get("sec-fetch-site")
        .is_none_or(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    host && origin && site
}

fn has_token(headers: &HeaderMap, context: &Context) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|v: &HeaderValue| v.to_str().ok())
    };
    let bearer = text(header::AUTHORIZATION).and_then(|v| v.strip_prefix("Bearer "));
    let name = cookie_name(context.port);
    let cookie = text(header::COOKIE).and_then(|all| {
        all.split(';').find_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name).then_some(value)
        })
    });
    [bearer, cookie]
        .into_iter()
        .flatten()
        .any(|given| is_equal(given, &context.token))
}

/// Compares in a time that does not depend on the place of the first difference.
fn is_equal(given: &str, token: &str) -> bool {
    let differs = given
        .bytes()
        .zip(token.bytes())
        .fold(0, |all, (a, b)| all | (a ^ b));
    given.len() == token.len() && differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &'static str)], expected: bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        assert_eq!(is_ours(&map, 4_000), expected, "{headers:?}");
    }

    #[test]
    fn only_this_machine_is_ours() {
        check(&[("host", "127.0.0.1:4000")], true);
        check(
            &[
                ("host", "localhost:4000"),
                ("origin", "http://localhost:4000"),
            ],
            true,
        );
        check(&[("host", "[::1]:4000"), ("sec-fetch-site", "none")], true);
        check(&[], false);
        check(&[("host", "127.0.0.1")], false);
        check(&[("host", "127.0.0.1:4001")], false);
        check(&[("host", "evil.example:4000")], false);
        check(&[("host", "localhost.evil.example:4000")], false);
        check(
            &[
                ("host", "127.0.0.1:4000"),
                ("origin", "http://evil.example"),
            ],
            false,
        );
        check(&[("host", "127.0.0.1:4000"), ("origin", "null")], false);
        check(
            &[
                ("host", "127.0.0.1:4000"),
                ("origin", "https://127.0.0.1:4000"),
            ],
            false,
        );
        check(
            &[("host", "127.0.0.1:4000"), ("sec-fetch-site", "cross-site")],
            false,
        );
        check(
            &[("host", "127.0.0.1:4000"), ("sec-fetch-site", "same-site")],
            false,
        );
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(is_equal("abc", "abc"));
        assert!(!is_equal("ab", "abc") && !is_equal("abcd", "abc") && !is_equal("", "abc"));
    }
}
