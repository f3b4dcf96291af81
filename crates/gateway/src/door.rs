//! What callers of the gateway do goes through a door: the public client, on behalf of whoever calls.

use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flotilla_client::{Client, ClientError, Principal, Shown};
use futures::future::BoxFuture;
use lru::LruCache;
use parking_lot::Mutex;

use crate::publisher::Publisher;

/// Callers whose door stays open. The one that was used least lately makes room: what it sent goes on.
const DOORS_MAX: NonZeroUsize = NonZeroUsize::new(1_024).expect("invariant: it is not zero");

/// Tells who it is that shows something.
pub trait Doorkeeper: Send + Sync + 'static {
    /// Who shows this, or nothing. The error says which check failed, and why.
    fn identify<'a>(&'a self, shown: Shown<'a>) -> BoxFuture<'a, Result<Principal, ClientError>>;
}

/// All doors of a node. Cheap to clone; they are closed until the node is there.
#[derive(Clone)]
pub struct Doors {
    shared: Arc<Shared>,
}

struct Shared {
    doorkeeper: Arc<dyn Doorkeeper>,
    /// How long a record is tried.
    publish_limit: Duration,
    client: OnceLock<Client>,
    open: Mutex<LruCache<Principal, Arc<Door>>>,
}

/// What one caller can do.
pub(crate) struct Door {
    pub(crate) client: Client,
    pub(crate) publisher: Publisher,
}

/// Why a caller is not let in.
pub(crate) enum Refusal {
    /// The node does not serve yet.
    Starting,
    Refused(ClientError),
}

impl Doors {
    /// Doors that are closed. A record is tried for `publish_limit`.
    pub fn new(doorkeeper: Arc<dyn Doorkeeper>, publish_limit: Duration) -> Self {
        let shared = Shared {
            doorkeeper,
            publish_limit,
            client: OnceLock::new(),
            open: Mutex::new(LruCache::new(DOORS_MAX)),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Opens them. The client is that of the node in this process, so that it believes for whom it acts.
    pub fn open(&self, client: Client) {
        // Whoever opened first has opened the same.
        let _ = self.shared.client.set(client);
    }

    /// Lets somebody in.
    pub(crate) async fn enter(&self, shown: Shown<'_>) -> Result<Arc<Door>, Refusal> {
        let client = self.shared.client.get().ok_or(Refusal::Starting)?;
        let principal = self.shared.doorkeeper.identify(shown).await;
        let principal = principal.map_err(Refusal::Refused)?;
        let mut open = self.shared.open.lock();
        if let Some(door) = open.get(&principal) {
            return Ok(Arc::clone(door));
        }
        let client = client.on_behalf_of(principal.clone());
        let publisher = Publisher::new(client.clone(), self.shared.publish_limit);
        let door = Arc::new(Door {
            publisher: publisher.map_err(Refusal::Refused)?,
            client,
        });
        open.put(principal, Arc::clone(&door));
        Ok(door)
    }
}
