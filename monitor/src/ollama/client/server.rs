//! Where the server listens, and which version answers.
//!
//! `OLLAMA_HOST` is parsed as the server itself parses it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Port of an address without a port.
const PORT_DEFAULT: u16 = 11434;

/// The address of a server: a host, a port, and possibly a path in front of `/api`.
///
/// Parsing accepts every value that the server accepts. An invalid port becomes the default
/// port. A wildcard address becomes the loopback address of its family, because a client cannot
/// connect to a wildcard address.
///
/// Source: Ollama 0.33, envconfig/config.go.
///
/// # Examples
///
/// ```
/// use steadyscribe_monitor::ollama::Host;
///
/// assert_eq!("0.0.0.0".parse::<Host>()?.to_string(), "http://127.0.0.1:11434");
/// assert_eq!("[::]:9000".parse::<Host>()?.to_string(), "http://[::1]:9000");
/// # Ok::<(), steadyscribe_monitor::ollama::HostError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    name: String,
    port: u16,
    path: String,
}

/// Why an address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The address requires TLS, which this client does not support: use the loopback address of
    /// the server, or of a tunnel to it.
    #[error(
        "{address} needs TLS, which is not supported; use a plain http address, such as \
         127.0.0.1:11434"
    )]
    Tls {
        /// The rejected address.
        address: String,
    },
    /// The address has a scheme other than `http`: use `http`.
    #[error("unknown scheme `{scheme}`; expected http")]
    Scheme {
        /// The rejected scheme.
        scheme: String,
    },
}

impl Host {
    /// Reads `OLLAMA_HOST`. Without it, returns the server's own default, `127.0.0.1:11434`.
    ///
    /// # Errors
    ///
    /// [`HostError`] if the variable holds an address that this client cannot use.
    pub fn from_env() -> Result<Self, HostError> {
        std::env::var("OLLAMA_HOST").unwrap_or_default().parse()
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns whether the server runs on this machine, so that its processes are visible.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.name == "localhost"
            || self
                .name
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "http://[{}]:{}{}", self.name, self.port, self.path)
        } else {
            write!(f, "http://{}:{}{}", self.name, self.port, self.path)
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let text = text.trim().trim_matches(['"', '\'']).trim();
        let (rest, port_default) = match text.split_once("://") {
            // The server expands this abbreviation to an https address.
            None if text == "ollama.com" => {
                return Err(HostError::Tls {
                    address: text.to_owned(),
                });
            }
            None => (text, PORT_DEFAULT),
            Some(("http", rest)) => (rest, 80),
            Some(("https", _)) => {
                return Err(HostError::Tls {
                    address: text.to_owned(),
                });
            }
            Some((scheme, _)) => {
                return Err(HostError::Scheme {
                    scheme: scheme.to_owned(),
                });
            }
        };
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, path.trim_end_matches('/')),
            None => (rest, ""),
        };
        let (name, port) = match split_port(authority) {
            Some((name, port)) => (name, port.parse().unwrap_or(port_default)),
            None => (authority.trim_matches(['[', ']']), port_default),
        };
        Ok(Self {
            name: connectable(name),
            port,
            path: if path.is_empty() {
                String::new()
            } else {
                format!("/{path}")
            },
        })
    }
}

/// Splits `host:port` and `[v6]:port`. Returns `None` without a port, as in a bare IPv6 address.
fn split_port(authority: &str) -> Option<(&str, &str)> {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once("]:");
    }
    let (name, port) = authority.split_once(':')?;
    (!port.contains(':')).then_some((name, port))
}

/// Replaces a wildcard address by the loopback address of its family.
fn connectable(name: &str) -> String {
    if name.is_empty() {
        return Ipv4Addr::LOCALHOST.to_string();
    }
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
        _ => name.to_owned(),
    }
}

/// A server's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    text: String,
    number: Option<(u32, u32)>,
}

impl Version {
    /// Parses a version such as `0.24.0` or `0.33.0-rc2`. A development build reports `0.0.0` and
    /// counts as the newest version, as does text that is not a version.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = text.trim_start_matches('v').split(['.', '-']);
        let mut number = || parts.next()?.parse().ok();
        let number = number().zip(number());
        Self {
            text: text.to_owned(),
            number: number.filter(|n| *n != (0, 0)),
        }
    }

    /// Whether every model runs in a `llama-server` process (0.30 and later). Such a server checks
    /// no memory on a CPU, raises the batch on its own, keeps a hidden prompt cache, and does not
    /// list a model that is loading.
    #[must_use]
    pub(in crate::ollama) fn runs_llama_server(&self) -> bool {
        self.at_least(30)
    }

    /// Requests that share one model by default, each with its own KV cache: four up to 0.9.
    #[must_use]
    pub(in crate::ollama) fn parallel_default(&self) -> u32 {
        if self.at_least(10) { 1 } else { 4 }
    }

    fn at_least(&self, minor: u32) -> bool {
        self.number.is_none_or(|number| number >= (0, minor))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_host(given: &str, expected: &str) {
        assert_eq!(
            given.parse::<Host>().unwrap().to_string(),
            expected,
            "{given:?}"
        );
    }

    #[test]
    fn host_and_port_are_completed_as_the_server_completes_them() {
        check_host("", "http://127.0.0.1:11434");
        check_host("1.2.3.4", "http://1.2.3.4:11434");
        check_host(":1234", "http://127.0.0.1:1234");
        check_host("1.2.3.4:1234", "http://1.2.3.4:1234");
        check_host("example.com", "http://example.com:11434");
        check_host("example.com:1234", "http://example.com:1234");
        check_host(":66000", "http://127.0.0.1:11434");
        check_host(":-1", "http://127.0.0.1:11434");
        check_host("1.2.3.4:many", "http://1.2.3.4:11434");
        check_host(" 1.2.3.4 ", "http://1.2.3.4:11434");
        check_host("\"1.2.3.4\"", "http://1.2.3.4:11434");
        check_host(" ' 1.2.3.4 ' ", "http://1.2.3.4:11434");
    }

    #[test]
    fn scheme_sets_the_default_port_and_keeps_the_path() {
        check_host("http://1.2.3.4", "http://1.2.3.4:80");
        check_host("http://1.2.3.4:4321", "http://1.2.3.4:4321");
        check_host("http://example.com/ollama/", "http://example.com:80/ollama");
        check_host("example.com:9/ollama", "http://example.com:9/ollama");
    }

    #[test]
    fn ipv6_works_with_and_without_brackets() {
        check_host("[::1]", "http://[::1]:11434");
        check_host("::1", "http://[::1]:11434");
        check_host("[::1]:1337", "http://[::1]:1337");
    }

    #[test]
    fn every_interface_becomes_loopback() {
        check_host("0.0.0.0", "http://127.0.0.1:11434");
        check_host("0.0.0.0:8080", "http://127.0.0.1:8080");
        check_host("[::]", "http://[::1]:11434");
        check_host("::", "http://[::1]:11434");
    }

    #[test]
    fn tls_is_rejected_with_a_remedy() {
        let error = "https://example.com".parse::<Host>().unwrap_err();
        assert!(matches!(error, HostError::Tls { .. }));
        assert!(matches!(
            "ollama.com".parse::<Host>(),
            Err(HostError::Tls { .. })
        ));
        assert!(matches!(
            "ftp://x".parse::<Host>(),
            Err(HostError::Scheme { .. })
        ));
    }

    #[test]
    fn only_a_loopback_server_is_local() {
        for (given, local) in [
            ("", true),
            ("localhost:1", true),
            ("::", true),
            ("10.0.0.2", false),
        ] {
            assert_eq!(given.parse::<Host>().unwrap().is_local(), local, "{given}");
        }
    }

    #[test]
    fn traits_follow_the_minor_version() {
        let check = |text: &str, expected: (bool, u32)| {
            let version = Version::parse(text);
            let gates = (version.runs_llama_server(), version.parallel_default());
            assert_eq!(gates, expected, "{text}");
        };
        check("0.9.6", (false, 4));
        check("0.24.0", (false, 1));
        check("0.30.0", (true, 1));
        check("0.33.0-rc2", (true, 1));
        check("1.0.0", (true, 1));
        check("0.0.0", (true, 1));
        check("nightly", (true, 1));
    }
}
