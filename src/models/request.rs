//! Requests a file or its rest from a server, and follows redirects.

use std::io::Read;
use std::time::Duration;

use ureq::http::{HeaderMap, Uri, header};
use ureq::{Agent, Body};

use super::error::FetchError;
use super::hub::Hub;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Most redirects in a row. Hugging Face sends one or two.
const REDIRECTS_MAX: usize = 5;

/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// A request for a file, or for its rest.
pub(super) struct Asked<'a> {
    pub(super) url: &'a str,
    /// The first byte to send.
    pub(super) from: u64,
    /// The version of the bytes before it.
    pub(super) version: Option<&'a str>,
}

/// The answer of a server.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The position of its first byte in the file.
    pub(super) from: u64,
    /// Size of the file, if stated.
    pub(super) bytes: Option<u64>,
    /// The server's name for this version of the file, if a later request can refer to it.
    pub(super) version: Option<String>,
    /// SHA-256 of the file, if stated.
    pub(super) sha256: Option<String>,
    pub(super) body: Box<dyn Read>,
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// The connection could not be made, or broke.
    Broken(ureq::Error),
    Refused(FetchError),
}

/// Sends requests to one server.
pub(super) struct Client<'a> {
    hub: &'a Hub,
    agent: Agent,
    origin: Option<(String, String)>,
}

impl<'a> Client<'a> {
    /// Makes a client of the hub's server.
    ///
    /// # Errors
    ///
    /// [`FetchError::Endpoint`] when the hub's endpoint is not an address.
    pub(super) fn new(hub: &'a Hub) -> Result<Self, FetchError> {
        let wrong = || FetchError::Endpoint {
            endpoint: hub.endpoint.clone(),
        };
        let endpoint: Uri = hub.endpoint.parse().map_err(|_| wrong())?;
        let (Some("http" | "https"), Some(host)) = (endpoint.scheme_str(), endpoint.host()) else {
            return Err(wrong());
        };
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // Redirects are followed here: only the first host states size and digest, and only it
            // may get the token.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("steadyscribe/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_MAX))
            // A download may take hours, but a silent connection is dead.
            .timeout_per_read(Some(hub.stall))
            .timeout_per_write(Some(hub.stall));
        if is_this_machine(host) {
            // The loopback address of a proxy is another machine.
            config = config.proxy(None);
        }
        Ok(Self {
            hub,
            agent: config.build().new_agent(),
            origin: origin(&endpoint),
        })
    }

    pub(super) fn get(&self, asked: &Asked<'_>) -> Result<Answer, Unanswered> {
        let mut url = asked.url.to_owned();
        let (mut linked_bytes, mut sha256) = (None, None);
        for _ in 0..=REDIRECTS_MAX {
            let refused = |reason| {
                Unanswered::Refused(FetchError::Redirect {
                    url: url.clone(),
                    reason,
                })
            };
            let at: Uri = url.parse().map_err(|_| refused("it is not an address"))?;
            let is_hub = origin(&at) == self.origin;
            let response = self.ask(&at, is_hub, asked).map_err(Unanswered::Broken)?;
            let headers = response.headers();
            if is_hub {
                linked_bytes = linked_bytes.or_else(|| number(headers, "x-linked-size"));
                sha256 = sha256.or_else(|| linked_sha256(headers));
            }
            let status = response.status().as_u16();
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return Ok(Answer {
                    bytes: linked_bytes.or_else(|| whole_bytes(status, headers)),
                    sha256,
                    ..answer(response)
                });
            }
            let target = text(headers, header::LOCATION.as_str()).unwrap_or_default();
            url = redirected(&at, target).map_err(refused)?;
        }
        Err(Unanswered::Refused(FetchError::Redirect {
            url: asked.url.to_owned(),
            reason: "there are too many",
        }))
    }

    fn ask(
        &self,
        at: &Uri,
        is_hub: bool,
        asked: &Asked<'_>,
    ) -> Result<ureq::http::Response<Body>, ureq::Error> {
        let mut request = self.agent.get(at);
        if let (true, Some(token)) = (is_hub, &self.hub.token) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if asked.from > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", asked.from));
            if let Some(version) = asked.version {
                request = request.header(header::IF_RANGE, version);
            }
        }
        request.call()
    }
}

/// Takes all of an answer except what only the first host states.
fn answer(response: ureq::http::Response<Body>) -> Answer {
    let headers = response.headers();
    // A weak version may differ in bytes.
    let version = text(headers, header::ETAG.as_str()).filter(|version| !version.starts_with("W/"));
    Answer {
        status: response.status().as_u16(),
        from: range(headers).map_or(0, |(from, _)| from),
        bytes: None,
        version: version.map(str::to_owned),
        sha256: None,
        body: Box::new(response.into_body().into_reader()),
    }
}

/// Returns the size of the whole file, which the answer may state along with a part of it.
fn whole_bytes(status: u16, headers: &HeaderMap) -> Option<u64> {
    match status {
        200 => number(headers, header::CONTENT_LENGTH.as_str()),
        206 => range(headers)?.1,
        _ => None,
    }
}

/// Returns first byte and size of the file from a header such as `bytes 100-199/1000`.
fn range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let range = text(headers, header::CONTENT_RANGE.as_str())?.strip_prefix("bytes ")?;
    let (part, whole) = range.split_once('/')?;
    let (from, _) = part.split_once('-')?;
    Some((from.trim().parse().ok()?, whole.trim().parse().ok()))
}

fn linked_sha256(headers: &HeaderMap) -> Option<String> {
    let tag = text(headers, "x-linked-etag")?;
    let digest = tag.trim_start_matches("W/").trim_matches('"');
    let is_sha256 = digest.len() == SHA256_DIGITS && digest.chars().all(|c| c.is_ascii_hexdigit());
    is_sha256.then(|| digest.to_ascii_lowercase())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

fn origin(uri: &Uri) -> Option<(String, String)> {
    let host = uri.authority()?.as_str().to_ascii_lowercase();
    Some((uri.scheme_str()?.to_owned(), host))
}

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<std::net::IpAddr> = host.parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

/// Returns the target of a redirect from an address, or why it is not followed.
///
/// Source: RFC 3986, 5.2, except dots in the path, which these servers do not send.
fn redirected(from: &Uri, to: &str) -> Result<String, &'static str> {
    const NOWHERE: &str = "it leads nowhere";
    let scheme = from.scheme_str().ok_or(NOWHERE)?;
    let host = from.authority().ok_or(NOWHERE)?;
    if to.is_empty() {
        return Err(NOWHERE);
    }
    if to.starts_with("https://") {
        return Ok(to.to_owned());
    }
    if to.starts_with("http://") {
        return match scheme {
            "https" => Err("it leads to a connection that is not encrypted"),
            _ => Ok(to.to_owned()),
        };
    }
    if let Some(rest) = to.strip_prefix("//") {
        return Ok(format!("{scheme}://{rest}"));
    }
    if to.starts_with('/') {
        return Ok(format!("{scheme}://{host}{to}"));
    }
    let (folder, _) = from.path().rsplit_once('/').ok_or(NOWHERE)?;
    Ok(format!("{scheme}://{host}{folder}/{to}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_resolved() {
        let check = |from: &str, to, expected: Result<&str, &'static str>| {
            let from: Uri = from.parse().unwrap();
            assert_eq!(redirected(&from, to), expected.map(str::to_owned), "{to}");
        };
        let from = "https://a.example:8443/x/y?z";
        check(
            from,
            "https://b.example/c?d=e",
            Ok("https://b.example/c?d=e"),
        );
        check(from, "//b.example/c", Ok("https://b.example/c"));
        check(from, "/c?d", Ok("https://a.example:8443/c?d"));
        check(from, "c", Ok("https://a.example:8443/x/c"));
        check(from, "", Err("it leads nowhere"));
        let open = "http://b.example/c";
        check(
            from,
            open,
            Err("it leads to a connection that is not encrypted"),
        );
        check("http://a.example/", open, Ok(open));
    }

    #[test]
    fn ranges_are_read() {
        let check = |value: &str, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, value.parse().unwrap());
            assert_eq!(range(&headers), expected, "{value}");
        };
        check("bytes 100-199/1000", Some((100, Some(1_000))));
        check("bytes 100-199/*", Some((100, None)));
        check("bytes */1000", None);
        check("pages 1-2/3", None);
        check("bytes x-199/1000", None);
    }

    #[test]
    fn only_a_sha256_is_accepted_as_one() {
        let check = |value: &str, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert("x-linked-etag", value.parse().unwrap());
            assert_eq!(linked_sha256(&headers).as_deref(), expected, "{value}");
        };
        let digest = "ab".repeat(32);
        check(&format!("\"{digest}\""), Some(&digest));
        check(&digest.to_uppercase(), Some(&digest));
        check(&format!("\"{}\"", "ab".repeat(20)), None);
        check(&format!("\"{}\"", "xy".repeat(32)), None);
    }

    #[test]
    fn loopback_addresses_are_this_machine() {
        for (host, expected) in [
            ("127.0.0.1", true),
            ("localhost", true),
            ("[::1]", true),
            ("huggingface.co", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(is_this_machine(host), expected, "{host}");
        }
    }
}
