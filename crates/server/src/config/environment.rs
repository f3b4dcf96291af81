//! Settings from environment variables: `FLOTILLA_` and the key, in capitals.

use flotilla_cli::GlobalOptions;

use super::error::ConfigError;
use super::settings;
use super::written::{Origin, Value, Written, nearest};

const PREFIX: &str = "FLOTILLA_";
/// Names the file with settings.
const CONFIG: &str = "FLOTILLA_CONFIG";

/// Look like settings of a node.
const OF_CLIENT_CERTIFICATES: [&str; 2] = ["FLOTILLA_CERTIFICATE_FILE", "FLOTILLA_KEY_FILE"];

pub(crate) fn read(
    variables: &[(String, String)],
    written: &mut Written,
) -> Result<(), ConfigError> {
    let of_clients = GlobalOptions::variables();
    for (name, value) in variables {
        if OF_CLIENT_CERTIFICATES.contains(&name.as_str()) {
            written.warn(format!(
                "{name} is for client commands; FLOTILLA_TLS_{} is the node's",
                name.trim_start_matches(PREFIX)
            ));
        }
        if !name.starts_with(PREFIX) || name == CONFIG || of_clients.contains(name) {
            continue;
        }
        let origin = Origin::Variable(name.clone());
        let setting = settings::ALL
            .iter()
            .find(|setting| setting.variable() == *name);
        match setting {
            Some(setting) => written.set(setting.key(), Value::Text(value.clone()), origin)?,
            None if is_service_link(name) => {}
            None => {
                let names: Vec<_> = settings::ALL
                    .iter()
                    .map(|setting| setting.variable())
                    .collect();
                let nearest = nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
                return Err(ConfigError::UnknownKey {
                    key: name.clone(),
                    origin,
                    nearest,
                });
            }
        }
    }
    Ok(())
}

/// Kubernetes puts the addresses of every service into each container. If the service is called
/// `flotilla`, these look like settings.
fn is_service_link(name: &str) -> bool {
    let rest = name.trim_start_matches(PREFIX);
    let marks = ["SERVICE_HOST", "SERVICE_PORT", "_TCP", "_UDP"];
    marks.iter().any(|mark| rest.contains(mark)) || rest.ends_with("PORT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(names: &[&str]) -> Vec<(String, String)> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), "1".to_owned()))
            .collect()
    }

    #[test]
    fn a_misspelt_variable_is_refused_with_the_nearest_name() {
        let refused = read(&variables(&["FLOTILLA_NOD_ID"]), &mut Written::default());
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("FLOTILLA_NOD_ID"), "{message}");
        assert!(
            message.contains("did you mean FLOTILLA_NODE_ID?"),
            "{message}"
        );
    }

    #[test]
    fn variables_of_others_are_left_alone() {
        let names = [
            "PATH",
            "FLOTILLA_BOOTSTRAP",
            "FLOTILLA_CONFIG",
            "FLOTILLA_TOKEN",
            "FLOTILLA_TOKEN_FILE",
            "FLOTILLA_CA_FILE",
            "FLOTILLA_PORT",
            "FLOTILLA_SERVICE_HOST",
            "FLOTILLA_PEERS_SERVICE_PORT_GRPC",
            "FLOTILLA_PORT_7400_TCP_ADDR",
        ];
        assert!(read(&variables(&names), &mut Written::default()).is_ok());
    }
}
