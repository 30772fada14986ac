//! The alerts that open pages receive.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};

use crate::alert::channel::{Channel, ChannelError};
use crate::alert::{Event, Key, Notice};

/// Most pages that are open at the same time.
pub const CLIENTS_MAX: usize = 8;

/// Alerts that a slow page may lag behind; after that it receives the list of open ones.
const NOTICES_MAX: usize = 32;

/// The live alerts of one dashboard. Clones share it.
#[derive(Clone, Debug)]
pub struct Stream {
    notices: broadcast::Sender<Notice>,
    closed: Arc<watch::Sender<bool>>,
    clients: Arc<Semaphore>,
    recovered: Recovered,
}

/// Critical notices that were not acknowledged before the start, one for each alert, until the user
/// has seen them.
type Recovered = Arc<Mutex<Vec<Notice>>>;

fn lock(recovered: &Recovered) -> MutexGuard<'_, Vec<Notice>> {
    // Every change leaves the list whole.
    recovered.lock().unwrap_or_else(|e| e.into_inner())
}

impl Stream {
    /// Makes a stream without clients.
    #[must_use]
    pub fn new() -> Self {
        Self {
            notices: broadcast::channel(NOTICES_MAX).0,
            closed: Arc::new(watch::channel(false).0),
            clients: Arc::new(Semaphore::new(CLIENTS_MAX)),
            recovered: Recovered::default(),
        }
    }

    /// Returns the channel through which the open pages receive alerts. It acknowledges while a
    /// page is open.
    #[must_use]
    pub fn channel(&self) -> StreamChannel {
        StreamChannel {
            notices: self.notices.clone(),
            recovered: Arc::clone(&self.recovered),
        }
    }

    /// Returns the notices of before the start that the user has not seen yet.
    pub(super) fn recovered(&self) -> Vec<Notice> {
        lock(&self.recovered).clone()
    }

    /// Removes a notice that the user has seen from that list.
    pub(super) fn seen(&self, key: Key) -> Option<Notice> {
        let mut recovered = lock(&self.recovered);
        let at = recovered.iter().position(|notice| notice.key == key)?;
        Some(recovered.remove(at))
    }

    /// Ends every open page's stream and refuses new ones.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Takes the place of a page. `None`: as many pages are open as may be.
    pub(super) fn subscribe(&self) -> Option<Subscription> {
        let permit = Arc::clone(&self.clients).try_acquire_owned().ok()?;
        Some(Subscription {
            notices: self.notices.subscribe(),
            closed: self.closed.subscribe(),
            _permit: permit,
        })
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

/// The place of one page.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) notices: broadcast::Receiver<Notice>,
    pub(super) closed: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
}

/// Sends alerts to the open pages.
#[derive(Clone, Debug)]
pub struct StreamChannel {
    notices: broadcast::Sender<Notice>,
    recovered: Recovered,
}

impl Channel for StreamChannel {
    fn name(&self) -> &'static str {
        "dashboard"
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn wants_quiet(&self) -> bool {
        true
    }

    fn deliver(&mut self, notice: &Notice) -> Result<(), ChannelError> {
        if notice.event == Event::Recovered {
            let mut recovered = lock(&self.recovered);
            recovered.retain(|kept| kept.key != notice.key);
            recovered.push(notice.clone());
        }
        self.notices
            .send(notice.clone())
            .map(drop)
            .map_err(|_| ChannelError::NoReceiver)
    }
}
