//! Notifications of the desktop.

use notify_rust::{Notification, Timeout};

use super::contract::{Channel, ChannelError};
use crate::alert::key::{Key, Severity};
use crate::alert::notice::{Event, Notice};

/// Shows loud notices as notifications of the desktop, one for each alert: a newer notice takes the
/// place of the older where the desktop can do that. "Do not disturb" may swallow them without an
/// error.
///
/// # Memory
///
/// One entry per alert, of which there are at most 7 kinds x 7 subjects.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Desktop {
    /// The number under which the desktop shows an alert. Desktops of other systems return none.
    #[cfg(all(unix, not(target_os = "macos")))]
    shown: Vec<(Key, u32)>,
}

impl Channel for Desktop {
    fn name(&self) -> &'static str {
        "desktop"
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn wants_quiet(&self) -> bool {
        false
    }

    fn deliver(&mut self, notice: &Notice) -> Result<(), ChannelError> {
        let mut notification = Notification::new();
        notification
            .appname("steadyscribe-monitor")
            .summary(&plain(&notice.headline()))
            .body(&plain(&body(notice)));
        let urgent = notice.severity == Severity::Critical && notice.event != Event::Resolved;
        if urgent {
            notification.timeout(Timeout::Never);
        }
        #[cfg(any(windows, all(unix, not(target_os = "macos"))))]
        notification.urgency(if urgent {
            notify_rust::Urgency::Critical
        } else {
            notify_rust::Urgency::Normal
        });
        self.show(notice.key, &mut notification)
    }
}

impl Desktop {
    #[cfg(all(unix, not(target_os = "macos")))]
    fn show(&mut self, key: Key, notification: &mut Notification) -> Result<(), ChannelError> {
        let at = self.shown.iter().position(|(shown, _)| *shown == key);
        if let Some(at) = at {
            notification.id(self.shown[at].1);
        }
        let id = notification.show().map_err(ChannelError::Desktop)?.id();
        match at {
            Some(at) => self.shown[at].1 = id,
            None => self.shown.push((key, id)),
        }
        Ok(())
    }

    #[cfg(not(all(unix, not(target_os = "macos"))))]
    fn show(&mut self, _: Key, notification: &mut Notification) -> Result<(), ChannelError> {
        notification.show().map(drop).map_err(ChannelError::Desktop)
    }
}

/// The actions that were taken, and the advice.
fn body(notice: &Notice) -> String {
    let facts = &notice.facts;
    match (notice.event, facts.done.as_str()) {
        (Event::Resolved, _) => String::new(),
        (_, "") => facts.advice.clone(),
        (_, done) => format!("Done: {done}. {}", facts.advice),
    }
}

/// Desktops read a few tags in it. Source: Desktop Notifications Specification, "Markup".
fn plain(text: &str) -> String {
    text.replace('<', "‹").replace('>', "›").replace('&', "+")
}
