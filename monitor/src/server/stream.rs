//! Live events: a snapshot for each sample, and alerts.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};

use super::{Context, api};
use crate::alert::channel::{Channel, ChannelError};
use crate::alert::{Event as Told, Key, Notice};

/// Pages that are open at the same time.
pub const CLIENTS_MAX: usize = 8;

/// Alerts that a slow page may lag behind; after that it is given the list of open ones.
const NOTICES_MAX: usize = 32;

/// Silence after which a comment is sent, so that a dead connection is seen.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The live events of one server. Clones share it.
#[derive(Clone, Debug)]
pub struct Stream {
    notices: broadcast::Sender<Notice>,
    ticks: Arc<watch::Sender<u64>>,
    clients: Arc<Semaphore>,
    recovered: Recovered,
}

/// Critical notices that nobody had acknowledged before the start, one for each alert, until the user has seen them.
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
            ticks: Arc::new(watch::channel(0).0),
            clients: Arc::new(Semaphore::new(CLIENTS_MAX)),
            recovered: Recovered::default(),
        }
    }

    /// Returns the channel by which alerts reach the open pages; without one they are not acknowledged.
    #[must_use]
    pub fn channel(&self) -> StreamChannel {
        StreamChannel {
            notices: self.notices.clone(),
            recovered: Arc::clone(&self.recovered),
        }
    }

    /// Returns what nobody had acknowledged before the start and the user has not seen since.
    pub(super) fn recovered(&self) -> Vec<Notice> {
        lock(&self.recovered).clone()
    }

    /// Takes what the user has seen from that list.
    pub(super) fn seen(&self, key: Key) -> Option<Notice> {
        let mut recovered = lock(&self.recovered);
        let at = recovered.iter().position(|notice| notice.key == key)?;
        Some(recovered.remove(at))
    }

    pub(super) fn announce(&self, ticks: u64) {
        self.ticks.send_replace(ticks);
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
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
        if notice.event == Told::Recovered {
            let mut recovered = lock(&self.recovered);
            recovered.retain(|kept| kept.key != notice.key);
            recovered.push(notice.clone());
        }
        self.notices
            .send(notice.clone())
            .map(drop)
            .map_err(|_| ChannelError::NobodyListens)
    }
}

struct Client {
    context: Context,
    notices: broadcast::Receiver<Notice>,
    ticks: watch::Receiver<u64>,
    is_new: bool,
    _permit: OwnedSemaphorePermit,
}

/// `GET /api/v1/stream`. A client that comes back is given the whole state first, so it needs nothing it missed.
pub(super) async fn live(State(context): State<Context>) -> Response {
    let Ok(permit) = Arc::clone(&context.stream.clients).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open").into_response();
    };
    let client = Client {
        notices: context.stream.notices.subscribe(),
        ticks: context.stream.ticks.subscribe(),
        is_new: true,
        context,
        _permit: permit,
    };
    let events = futures_util::stream::unfold(client, |mut client| async move {
        let event = client.next().await?;
        Some((Ok::<_, Infallible>(event), client))
    });
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

impl Client {
    /// `None`: the server ends.
    async fn next(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.is_new) {
            return Some(self.state());
        }
        tokio::select! {
            changed = self.ticks.changed() => {
                changed.ok()?;
                Some(self.state())
            }
            notice = self.notices.recv() => match notice {
                Ok(notice) => {
                    let event = Event::default().event("alert").id(format!("alert-{}", notice.id));
                    event.json_data(&notice).ok()
                }
                Err(broadcast::error::RecvError::Lagged(_)) => Some(self.state()),
                Err(broadcast::error::RecvError::Closed) => None,
            },
        }
    }

    fn state(&mut self) -> Event {
        let tick = *self.ticks.borrow_and_update();
        let event = Event::default().event("state").id(tick.to_string());
        // Every value of the state has a JSON form.
        event
            .json_data(api::state(&self.context))
            .unwrap_or_default()
    }
}
