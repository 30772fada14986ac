//! `OLLAMA_HOST`, understood as the server itself understands it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Port of a server that names none.
const PORT_DEFAULT: u16 = 11434;

/// Where a server listens: `http`, a host, a port and perhaps a path in front of `/api`.
///
/// Parsing never fails for a value that the server accepts: a port that is none becomes the default one, and an address
/// that means "every interface" becomes the loopback address of its family, since nothing can be sent to it.
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

/// Why a host cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The address asks for TLS, which this client does not speak: give the loopback address of the server or of a
    /// tunnel to it.
    #[error("{address} needs TLS; give a plain http address, such as 127.0.0.1:11434")]
    Tls {
        /// The address as given.
        address: String,
    },
    /// The address has a scheme that no server has: use `http`.
    #[error("{scheme} is not a scheme of Ollama; use http")]
    Scheme {
        /// The scheme as given.
        scheme: String,
    },
}

impl Host {
    /// Reads `OLLAMA_HOST`; where it is not set, the server's own default, `127.0.0.1:11434`.
    ///
    /// # Errors
    ///
    /// [`HostError`] where the variable names a server that this client cannot speak to.
    pub fn from_env() -> Result<Self, HostError> {
        std::env::var("OLLAMA_HOST").unwrap_or_default().parse()
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns whether the server runs on this machine, so that its processes can be seen.
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
            // The server's own abbreviation of an address with TLS.
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

/// Splits `host:port` and `[v6]:port`. `None`: there is no port, as in a bare IPv6 address.
fn split_port(authority: &str) -> Option<(&str, &str)> {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once("]:");
    }
    let (name, port) = authority.split_once(':')?;
    (!port.contains(':')).then_some((name, port))
}

/// Nothing can be sent to "every interface": the loopback address of the same family is meant.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &str, expected: &str) {
        assert_eq!(
            given.parse::<Host>().unwrap().to_string(),
            expected,
            "{given:?}"
        );
    }

    #[test]
    fn host_and_port_are_completed_as_the_server_does() {
        check("", "http://127.0.0.1:11434");
        check("1.2.3.4", "http://1.2.3.4:11434");
        check(":1234", "http://127.0.0.1:1234");
        check("1.2.3.4:1234", "http://1.2.3.4:1234");
        check("example.com", "http://example.com:11434");
        check("example.com:1234", "http://example.com:1234");
        check(":66000", "http://127.0.0.1:11434");
        check(":-1", "http://127.0.0.1:11434");
        check("1.2.3.4:many", "http://1.2.3.4:11434");
        check(" 1.2.3.4 ", "http://1.2.3.4:11434");
        check("\"1.2.3.4\"", "http://1.2.3.4:11434");
        check(" ' 1.2.3.4 ' ", "http://1.2.3.4:11434");
    }

    #[test]
    fn scheme_sets_the_default_port_and_keeps_the_path() {
        check("http://1.2.3.4", "http://1.2.3.4:80");
        check("http://1.2.3.4:4321", "http://1.2.3.4:4321");
        check("http://example.com/ollama/", "http://example.com:80/ollama");
        check("example.com:9/ollama", "http://example.com:9/ollama");
    }

    #[test]
    fn ipv6_works_with_and_without_brackets() {
        check("[::1]", "http://[::1]:11434");
        check("::1", "http://[::1]:11434");
        check("[::1]:1337", "http://[::1]:1337");
    }

    #[test]
    fn every_interface_becomes_loopback() {
        check("0.0.0.0", "http://127.0.0.1:11434");
        check("0.0.0.0:8080", "http://127.0.0.1:8080");
        check("[::]", "http://[::1]:11434");
        check("::", "http://[::1]:11434");
    }

    #[test]
    fn tls_is_refused_with_a_remedy() {
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
    fn processes_are_visible_on_loopback_only() {
        for (given, local) in [
            ("", true),
            ("localhost:1", true),
            ("::", true),
            ("10.0.0.2", false),
        ] {
            assert_eq!(given.parse::<Host>().unwrap().is_local(), local, "{given}");
        }
    }
}
