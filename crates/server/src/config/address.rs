//! Addresses as operators write them.

use std::fmt;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A port, a host, or both. The rest comes from elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartialAddress {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
}

impl PartialAddress {
    /// Reads `7400`, `node1`, `node1:7400` and `[::1]:7400`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Self {
                host: None,
                port: Some(parse_port(text)?),
            });
        }
        if text.parse::<std::net::Ipv6Addr>().is_ok() {
            return Some(Self {
                host: Some(text.to_owned()),
                port: None,
            });
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (
                    host,
                    if rest.is_empty() {
                        None
                    } else {
                        Some(rest.strip_prefix(':')?)
                    },
                )
            }
            None => match text.split_once(':') {
                Some((host, port)) => (is_host_name(host).then_some(host)?, Some(port)),
                None => (is_host_name(text).then_some(text)?, None),
            },
        };
        let port = match port {
            Some(port) => Some(parse_port(port)?),
            None => None,
        };
        Some(Self {
            host: Some(host.to_owned()),
            port,
        })
    }

    pub(crate) fn or(self, host: &str, port: u16) -> HostPort {
        HostPort {
            host: self.host.unwrap_or_else(|| host.to_owned()),
            port: self.port.unwrap_or(port),
        }
    }
}

impl HostPort {
    pub(crate) fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// Listening there means listening on every interface; nobody can connect to it by this name.
    pub(crate) fn is_unspecified(&self) -> bool {
        let ip = self.host.parse::<std::net::IpAddr>();
        ip.is_ok_and(|ip| ip.is_unspecified())
    }

    pub(crate) fn is_loopback(&self) -> bool {
        let ip = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

fn is_host_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(Option<String>, Option<u16>)> {
        PartialAddress::parse(text).map(|address| (address.host, address.port))
    }

    #[test]
    fn every_part_may_be_left_out() {
        let host = |name: &str| Some(name.to_owned());
        assert_eq!(parsed("7400"), Some((None, Some(7400))));
        assert_eq!(
            parsed("node-1.example"),
            Some((host("node-1.example"), None))
        );
        assert_eq!(parsed("127.0.0.1:80"), Some((host("127.0.0.1"), Some(80))));
        assert_eq!(parsed("[::1]:80"), Some((host("::1"), Some(80))));
        assert_eq!(parsed("::1"), Some((host("::1"), None)));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":",
            ":80",
            "a b",
            "http://a:80",
            "a:b",
            "a:70000",
            "0",
            "a:0",
            "[x]:1",
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_ipv6_address_is_written_in_brackets() {
        assert_eq!(HostPort::new("::1", 80).to_string(), "[::1]:80");
        assert!(HostPort::new("::", 80).is_unspecified());
        assert!(HostPort::new("0.0.0.0", 80).is_unspecified());
        assert!(!HostPort::new("node1", 80).is_unspecified());
    }
}
