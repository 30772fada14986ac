//! `GET /api/v1/stream`: server-sent events, a state for each sample and an event for each alert.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Interval, MissedTickBehavior};

use super::context::Context;
use super::live::Subscription;
use super::state;

/// Time between two looks for a new sample.
const POLL: Duration = Duration::from_millis(200);

/// Silence after which a comment is sent, so that a dead connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Client {
    context: Context,
    subscription: Subscription,
    clock: Interval,
    /// The sample that was sent last.
    sent: Option<u64>,
}

/// Streams to one page. A page that comes back receives the whole state first, so it misses
/// nothing.
pub(super) async fn live(State(context): State<Context>) -> Response {
    let Some(subscription) = context.stream.subscribe() else {
        let refused = "too many pages are open; close one and reload this page";
        return (StatusCode::SERVICE_UNAVAILABLE, refused).into_response();
    };
    let mut clock = tokio::time::interval(POLL);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let client = Client {
        context,
        subscription,
        clock,
        sent: None,
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
    /// `None`: the server shuts down.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let notice = {
                let Subscription {
                    notices, closed, ..
                } = &mut self.subscription;
                tokio::select! {
                    _ = closed.wait_for(|closed| *closed) => return None,
                    _ = self.clock.tick() => None,
                    notice = notices.recv() => Some(notice),
                }
            };
            let ticks = self.context.monitor.ticks();
            match notice {
                Some(Ok(notice)) => {
                    let id = format!("alert-{}", notice.id);
                    return Event::default()
                        .event("alert")
                        .id(id)
                        .json_data(&notice)
                        .ok();
                }
                Some(Err(RecvError::Closed)) => return None,
                Some(Err(RecvError::Lagged(_))) => return Some(self.state(ticks)),
                None if self.sent != Some(ticks) => return Some(self.state(ticks)),
                None => {}
            }
        }
    }

    fn state(&mut self, ticks: u64) -> Event {
        self.sent = Some(ticks);
        let event = Event::default().event("state").id(ticks.to_string());
        // Every value of the state has a JSON form.
        event
            .json_data(state::state(&self.context))
            .unwrap_or_default()
    }
}
