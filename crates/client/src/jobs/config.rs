//! How the owner of a job behaves.

use std::time::Duration;

use flotilla_types::{JobName, limits};

use crate::ClientError;

/// Settings of one [`JobOwnership`](crate::JobOwnership).
#[derive(Clone, Debug)]
pub struct JobConfig {
    /// The job to own. It begins to exist with its first owner.
    pub job: JobName,
    /// Which program this is, for people who look at the job. At most 249 bytes; default empty.
    pub client_name: String,
    /// How long the owner may be silent before another one gets the job. 1 s to 30 min; default 10 s.
    pub session_timeout: Duration,
}

impl JobConfig {
    /// The defaults for this job.
    pub fn new(job: JobName) -> Self {
        Self {
            job,
            client_name: String::new(),
            session_timeout: Duration::from_millis(limits::SESSION_TIMEOUT_MS_DEFAULT.into()),
        }
    }

    /// Whether an owner can behave like this.
    pub fn validate(&self) -> Result<(), ClientError> {
        let session_min = Duration::from_millis(limits::SESSION_TIMEOUT_MS_MIN.into());
        let session_max = Duration::from_millis(limits::SESSION_TIMEOUT_MS_MAX.into());
        if !(session_min..=session_max).contains(&self.session_timeout) {
            return Err(ClientError::invalid(
                "session_timeout must be 1 s to 30 min",
            ));
        }
        if self.client_name.len() > limits::NAME_BYTES_MAX {
            return Err(ClientError::invalid("client_name has at most 249 bytes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flotilla_types::ErrorCode;

    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let config = JobConfig::new(JobName::parse("export").unwrap());
        config.validate().unwrap();
        let wrong: [fn(&mut JobConfig); 3] = [
            |config| config.session_timeout = Duration::from_millis(999),
            |config| config.session_timeout = Duration::from_secs(1_801),
            |config| config.client_name = "x".repeat(250),
        ];
        for (nth, spoil) in wrong.iter().enumerate() {
            let mut config = config.clone();
            spoil(&mut config);
            let error = config.validate().unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument, "number {nth}");
        }
    }
}
