//! What is trusted of one issuer, and how its keys are fetched.

use std::time::Duration;

use reqwest::Url;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::algorithm::Algorithm;
use crate::shown::Shown;

/// Longest issuer, audience, claim name or address, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;
const LEEWAY_MAX: Duration = Duration::from_secs(60);
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// One issuer of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// The claim `iss` of its tokens, to the last character: a slash at the end counts. Without
    /// `jwks_url` it is also where the address of the keys is found.
    pub issuer: String,
    /// Where the keys are. Default: what `<issuer>/.well-known/openid-configuration` says, which has
    /// to name the same issuer (RFC 8414, section 3.3).
    pub jwks_url: Option<String>,
    /// What a token has to be for: one of these has to be in its claim `aud`. Not empty.
    pub audiences: Vec<String>,
    /// How tokens may be signed. Default: all that are known. Not empty.
    pub algorithms: Vec<Algorithm>,
    /// The claim with the name of whoever calls. Default: `client_id`, else `azp`, else `sub`.
    pub principal_claim: Option<String>,
    /// Accepted values of the header `typ`, in any case and with or without `application/` before
    /// them. Default: `JWT` and `at+jwt` (RFC 9068).
    pub token_types: Vec<String>,
    /// Whether tokens without the header `typ` are accepted. Default: they are.
    pub untyped_allowed: bool,
    /// How far clocks may be apart: a token is accepted that long after it expired and before it is
    /// valid. Default and most: 60 seconds.
    pub leeway: Duration,
    /// How often keys are fetched. Default: 5 minutes; 1 second to 24 hours.
    pub refresh_interval: Duration,
    /// A token with an unknown key makes keys be fetched out of turn, at most once in this time.
    /// Default: 30 seconds; 1 second to 24 hours. It is also how long a new key may stay unknown
    /// after somebody sent a token with a made-up one.
    pub refetch_interval: Duration,
    /// How long keys count after they were fetched, if they cannot be fetched again. Then every
    /// token of the issuer is refused. Default: 1 hour; from `refresh_interval` to 24 hours.
    pub stale_max: Duration,
    /// Certificates in PEM that are trusted beside those of the system. Default: none.
    pub extra_roots_pem: Vec<u8>,
    /// Whether keys may be fetched from any host without TLS, where whoever is in between can put in
    /// keys of their own. From this machine they always may. Default: no.
    pub insecure_http: bool,
}

/// What is wrong with one field of an [`IssuerConfig`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct IssuerConfigError {
    pub field: &'static str,
    pub problem: String,
}

impl IssuerConfig {
    pub fn new(issuer: &str, audiences: &[&str]) -> Self {
        Self {
            issuer: issuer.to_owned(),
            jwks_url: None,
            audiences: audiences.iter().map(|&audience| audience.into()).collect(),
            algorithms: Algorithm::ALL.to_vec(),
            principal_claim: None,
            token_types: vec!["JWT".to_owned(), "at+jwt".to_owned()],
            untyped_allowed: true,
            leeway: LEEWAY_MAX,
            refresh_interval: Duration::from_secs(5 * 60),
            refetch_interval: Duration::from_secs(30),
            stale_max: Duration::from_secs(60 * 60),
            extra_roots_pem: Vec::new(),
            insecure_http: false,
        }
    }

    /// # Errors
    ///
    /// Everything that is wrong, field by field.
    pub fn validate(&self) -> Result<(), Vec<IssuerConfigError>> {
        let mut errors = Vec::new();
        let mut check = |field, problem: Option<String>| {
            errors.extend(problem.map(|problem| IssuerConfigError { field, problem }));
        };
        check("issuer", self.problem_of_issuer());
        check("jwks_url", self.problem_of_jwks_url());
        check("audiences", problem_of_texts(&self.audiences));
        let no_algorithm = self.algorithms.is_empty();
        check("algorithms", no_algorithm.then(|| "is empty".to_owned()));
        let claim = self.principal_claim.as_deref();
        check("principal_claim", claim.and_then(problem_of_text));
        if !(self.untyped_allowed && self.token_types.is_empty()) {
            check("token_types", problem_of_texts(&self.token_types));
        }
        let no_time = Duration::ZERO;
        check("leeway", problem_of_time(self.leeway, no_time, LEEWAY_MAX));
        let intervals = [
            ("refresh_interval", self.refresh_interval, INTERVAL_MIN),
            ("refetch_interval", self.refetch_interval, INTERVAL_MIN),
            ("stale_max", self.stale_max, self.refresh_interval),
        ];
        for (field, time, min) in intervals {
            check(field, problem_of_time(time, min, INTERVAL_MAX));
        }
        let roots = self.extra_roots().err();
        check("extra_roots_pem", roots.map(str::to_owned));
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// Where the document is that says where the keys are (OpenID Connect Discovery 1.0, section 4).
    pub(crate) fn discovery_url(&self) -> String {
        let issuer = self.issuer.strip_suffix('/').unwrap_or(&self.issuer);
        format!("{issuer}/.well-known/openid-configuration")
    }

    /// Whether keys may be fetched from an address that somebody configured.
    pub(crate) fn may_fetch(&self, url: &Url) -> bool {
        let is_allowed = match url.scheme() {
            "https" => true,
            "http" => self.insecure_http || is_this_machine(url),
            _ => false,
        };
        is_allowed && url.username().is_empty() && url.password().is_none()
    }

    /// Whether keys may be fetched from an address that the issuer told. It cannot lead from TLS
    /// back to a network without, not even to this machine.
    pub(crate) fn may_follow(&self, url: &Url) -> bool {
        let is_insecure = url.scheme() == "http" && !self.insecure_http;
        self.may_fetch(url) && !(is_insecure && self.issuer.starts_with("https:"))
    }

    pub(crate) fn extra_roots(&self) -> Result<Vec<CertificateDer<'static>>, &'static str> {
        if self.extra_roots_pem.is_empty() {
            return Ok(Vec::new());
        }
        let parsed: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&self.extra_roots_pem).collect();
        match parsed {
            Ok(roots) if !roots.is_empty() => Ok(roots),
            _ => Err("is not a list of certificates in PEM"),
        }
    }

    pub(crate) fn accepts_type(&self, seen: Option<&str>) -> bool {
        let Some(seen) = seen else {
            return self.untyped_allowed;
        };
        let accepted = self.token_types.iter();
        let mut accepted = accepted.map(|accepted| short_type(accepted));
        accepted.any(|accepted| accepted.eq_ignore_ascii_case(short_type(seen)))
    }

    pub(crate) fn algorithm_names(&self) -> String {
        let names: Vec<_> = self.algorithms.iter().map(|known| known.name()).collect();
        names.join(", ")
    }

    pub(crate) fn leeway_millis(&self) -> u64 {
        self.leeway.as_millis() as u64
    }

    fn problem_of_issuer(&self) -> Option<String> {
        let problem = problem_of_text(&self.issuer);
        if problem.is_some() || self.jwks_url.is_some() {
            return problem;
        }
        let Ok(url) = Url::parse(&self.issuer) else {
            return Some("is not a URL, and there is no jwks_url".to_owned());
        };
        // RFC 8414, section 2.
        if url.query().is_some() || url.fragment().is_some() {
            return Some("has a query or a fragment".to_owned());
        }
        self.problem_of_address(&url)
    }

    fn problem_of_jwks_url(&self) -> Option<String> {
        let address = self.jwks_url.as_deref()?;
        problem_of_text(address).or_else(|| match Url::parse(address) {
            Ok(url) => self.problem_of_address(&url),
            Err(_) => Some("is not a URL".to_owned()),
        })
    }

    fn problem_of_address(&self, url: &Url) -> Option<String> {
        let problem = "has to begin with https:// and to be without a user: \
                       http:// is for this machine, unless insecure_http is set";
        (!self.may_fetch(url)).then(|| problem.to_owned())
    }
}

/// `application/` may be left out where no other slash follows (RFC 7515, section 4.1.9).
fn short_type(name: &str) -> &str {
    const PREFIX: &str = "application/";
    match name.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
        _ => name,
    }
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn problem_of_text(text: &str) -> Option<String> {
    let is_sound = (1..=TEXT_BYTES_MAX).contains(&text.len())
        && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    (!is_sound).then(|| {
        let shown = Shown::new(text);
        format!("has to be 1 to {TEXT_BYTES_MAX} bytes without spaces, and one is {shown}")
    })
}

fn problem_of_texts(texts: &[String]) -> Option<String> {
    if texts.is_empty() {
        return Some("is empty".to_owned());
    }
    texts.iter().find_map(|text| problem_of_text(text))
}

fn problem_of_time(time: Duration, min: Duration, max: Duration) -> Option<String> {
    (!(min..=max).contains(&time))
        .then(|| format!("is {time:?}, and has to be from {min:?} to {max:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> IssuerConfig {
        IssuerConfig::new("https://logto.example/oidc", &["kbroker-inbox"])
    }

    fn fields(config: &IssuerConfig) -> Vec<&'static str> {
        let errors = config.validate().err().unwrap_or_default();
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(config().validate(), Ok(()));
    }

    #[test]
    fn every_wrong_field_is_told() {
        let wrong = IssuerConfig {
            issuer: String::new(),
            jwks_url: Some("ftp://a".to_owned()),
            audiences: Vec::new(),
            algorithms: Vec::new(),
            principal_claim: Some(String::new()),
            token_types: vec!["at jwt".to_owned()],
            leeway: Duration::from_secs(61),
            refresh_interval: Duration::from_millis(1),
            refetch_interval: Duration::ZERO,
            stale_max: Duration::ZERO,
            extra_roots_pem: b"not PEM".to_vec(),
            ..config()
        };
        let found = fields(&wrong);
        let expected = [
            "issuer",
            "jwks_url",
            "audiences",
            "algorithms",
            "principal_claim",
            "token_types",
            "leeway",
            "refresh_interval",
            "refetch_interval",
            "stale_max",
            "extra_roots_pem",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn keys_come_with_tls_or_from_this_machine() {
        let with = |issuer: &str, insecure_http| IssuerConfig {
            insecure_http,
            ..IssuerConfig::new(issuer, &["a"])
        };
        for issuer in [
            "https://a.example",
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://localhost",
        ] {
            assert_eq!(with(issuer, false).validate(), Ok(()), "{issuer}");
        }
        for issuer in [
            "http://a.example",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "http://10.0.0.1",
            "http://u:p@localhost",
            "https://u@a.example",
            "file:///etc/passwd",
            "a.example",
            "https://a.example?x",
            "https://a.example#x",
        ] {
            assert_eq!(fields(&with(issuer, false)), ["issuer"], "{issuer}");
        }
        assert_eq!(with("http://a.example", true).validate(), Ok(()));
    }

    #[test]
    fn an_issuer_with_tls_cannot_lead_back_to_a_network_without() {
        let inside = Url::parse("http://127.0.0.1/keys").unwrap();
        assert!(!config().may_follow(&inside));
        assert!(IssuerConfig::new("http://127.0.0.1", &["a"]).may_follow(&inside));
        let elsewhere = Url::parse("https://keys.example/keys").unwrap();
        assert!(config().may_follow(&elsewhere));
    }

    #[test]
    fn types_are_the_same_in_any_case_and_with_their_prefix() {
        for accepted in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"] {
            assert!(config().accepts_type(Some(accepted)), "{accepted}");
        }
        for refused in ["", "JWS", "application/", "application/jwt/jwt", "dpop+jwt"] {
            assert!(!config().accepts_type(Some(refused)), "{refused}");
        }
        assert!(config().accepts_type(None));
        let typed = IssuerConfig {
            untyped_allowed: false,
            ..config()
        };
        assert!(!typed.accepts_type(None));
    }
}
