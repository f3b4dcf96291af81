//! The names in a certificate, and what they mean here.

use std::io;
use std::sync::{Arc, OnceLock};

use flotilla_types::{NodeId, ShownCertificate, Timestamp};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// Who a certificate is for. Only meaningful of one that was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateNames {
    /// The subject's common name (RFC 5280, section 4.1.2.6), if it has exactly one.
    common_name: Option<String>,
    /// The DNS names among the subject's alternative names (RFC 5280, section 4.2.1.6), in lower case.
    dns_names: Vec<String>,
    expires_at: Timestamp,
}

/// The domain below which the nodes of a cluster have their names in certificates: node 3 is
/// `node-3.DOMAIN`, and each is `DOMAIN` too. Nobody looks these names up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDomain(String);

/// The certificate that the other end of a connection shows, once it has shown it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RemoteCertificate(Arc<OnceLock<CertificateNames>>);

impl CertificateNames {
    /// `None` if it cannot be read.
    pub(crate) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        let mut common_names = certificate.subject().iter_common_name();
        let common_name = match (common_names.next(), common_names.next()) {
            (Some(name), None) => name.as_str().ok(),
            _ => None,
        };
        let alternative = certificate.subject_alternative_name().ok()?;
        let names = alternative
            .iter()
            .flat_map(|names| &names.value.general_names);
        let dns_names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        Some(Self {
            common_name: common_name.map(str::to_owned),
            dns_names: dns_names.collect(),
            expires_at: Timestamp::from_millis(
                certificate
                    .validity()
                    .not_after
                    .timestamp()
                    .saturating_mul(1_000),
            ),
        })
    }

    /// Whom the certificate makes its bearer: its common name, or else the first of its DNS names.
    pub fn principal(&self) -> Option<&str> {
        let common_name = self.common_name.as_deref();
        let common_name = common_name.filter(|name| !name.is_empty());
        common_name.or_else(|| self.dns_names.first().map(String::as_str))
    }

    /// When it ends. TLS looks at that when a connection begins.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

impl NodeDomain {
    pub const DEFAULT: &'static str = "flotilla.internal";

    /// `None` if no certificate can have such a name.
    pub fn new(domain: &str) -> Option<Self> {
        let is_label = |label: &str| {
            let is_plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            (1..=63).contains(&label.len())
                && label.bytes().all(is_plain)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let fits = domain.len() <= 200 && domain.split('.').all(is_label);
        fits.then(|| Self(domain.to_owned()))
    }

    /// The name of whichever node.
    pub fn any_node(&self) -> &str {
        &self.0
    }

    pub fn name_of(&self, node: NodeId) -> String {
        format!("node-{node}.{}", self.0)
    }

    /// The node that the certificate is for. One for several nodes is for none.
    pub fn node_in(&self, names: &CertificateNames) -> Option<NodeId> {
        let mut nodes = names.dns_names.iter().filter_map(|name| {
            let (first, domain) = name.split_once('.')?;
            let number = first.strip_prefix("node-")?;
            let is_plain =
                number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
            let number = number
                .parse()
                .ok()
                .filter(|_| is_plain && domain == self.0)?;
            Some(NodeId::new(number))
        });
        match (nodes.next(), nodes.next()) {
            (Some(node), None) => Some(node),
            _ => None,
        }
    }
}

impl RemoteCertificate {
    /// Takes note of what a handshake has proven.
    pub(crate) fn prove_by(&self, stream: &TlsStream<TcpStream>) -> io::Result<()> {
        let shown = stream.get_ref().1.peer_certificates();
        let Some(certificate) = shown.and_then(|chain| chain.first()) else {
            return Ok(());
        };
        let names = CertificateNames::read(certificate).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "its certificate cannot be read")
        })?;
        // A connection has one handshake.
        let _ = self.0.set(names);
        Ok(())
    }

    /// The names in the certificate. `None` before the handshake, and if none was shown.
    pub fn names(&self) -> Option<&CertificateNames> {
        self.0.get()
    }

    /// The certificate as a proof of who somebody is, if one was shown.
    pub fn shown(&self) -> Option<ShownCertificate<'_>> {
        let names = self.names()?;
        Some(ShownCertificate {
            name: names.principal(),
            expires_at: names.expires_at(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> CertificateNames {
        CertificateNames {
            common_name: None,
            dns_names: names.iter().map(|name| (*name).to_owned()).collect(),
            expires_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn a_certificate_is_for_one_node_or_for_none() {
        let domain = NodeDomain::new("cluster.example").unwrap();
        let node = |names: &[&str]| domain.node_in(&named(names)).map(NodeId::get);
        assert_eq!(
            node(&["cluster.example", "node-12.cluster.example", "localhost"]),
            Some(12)
        );
        for names in [
            &[][..],
            &["cluster.example"],
            &["node-12.flotilla.internal"],
            &["node-12.cluster.example.org"],
            &["node-12.x.cluster.example"],
            &["node-.cluster.example"],
            &["node-012.cluster.example"],
            &["node-+1.cluster.example"],
            &["node-99999999999999999999.cluster.example"],
            &["node-1.cluster.example", "node-2.cluster.example"],
        ] {
            assert_eq!(node(names), None, "{names:?}");
        }
        assert_eq!(node(&[&domain.name_of(NodeId::new(7))]), Some(7));
    }

    #[test]
    fn a_domain_fits_into_a_certificate() {
        for good in ["a", "flotilla.internal", "x-1.y"] {
            assert!(NodeDomain::new(good).is_some(), "{good}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            "A",
            "-a",
            "a-",
            "a b",
            "*.a",
            &"a.".repeat(101),
        ] {
            assert!(NodeDomain::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_common_name_says_who_it_is_and_else_the_first_dns_name() {
        let mut names = named(&["billing.internal", "other"]);
        assert_eq!(names.principal(), Some("billing.internal"));
        names.common_name = Some("billing".to_owned());
        assert_eq!(names.principal(), Some("billing"));
        assert_eq!(named(&[]).principal(), None);
    }
}
