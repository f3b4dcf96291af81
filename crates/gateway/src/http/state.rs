//! What handlers share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::body::Bodies;
use super::port::HttpConfig;
use crate::door::Doors;

#[derive(Clone)]
pub(crate) struct HttpState {
    pub(crate) config: Arc<HttpConfig>,
    pub(crate) doors: Doors,
    pub(crate) bodies: Bodies,
    /// One for each live tail.
    pub(crate) tails: Arc<Semaphore>,
}

impl HttpState {
    pub(crate) fn new(config: &HttpConfig, doors: Doors) -> Self {
        Self {
            config: Arc::new(*config),
            doors,
            bodies: Bodies::new(config.body_limit, config.bodies_bytes_max),
            tails: Arc::new(Semaphore::new(config.tails_max)),
        }
    }
}
