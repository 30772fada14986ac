//! Notifications of the desktop, where there is none.

use std::process::Command;
use std::time::{Duration, Instant};

use steadyscribe_monitor::alert::channel::{Callback, Channel, ChannelError, Desktop};
use steadyscribe_monitor::alert::{Delivery, Key, Kind, Notice};

use crate::alerts::notice;

/// Set in the process that looks for a desktop.
const ALONE: &str = "STEADYSCRIBE_NO_DESKTOP";

/// Makes a channel the last resort.
struct Last<C>(C);

impl<C: Channel> Channel for Last<C> {
    fn name(&self) -> &'static str {
        "last"
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn is_last_resort(&self) -> bool {
        true
    }

    fn wants_quiet(&self) -> bool {
        false
    }

    fn deliver(&mut self, notice: &Notice) -> Result<(), ChannelError> {
        self.0.deliver(notice)
    }
}

#[test]
fn escalation_goes_on_without_a_desktop() {
    let name = "desktop::escalation_goes_on_without_a_desktop";
    if std::env::var_os(ALONE).is_none() {
        // A process of its own: the address of the desktop is read from the environment, which all
        // tests share.
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "1")
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/bus")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let critical = notice(1, Key::new(Kind::Pressure, None));
    let error = Desktop::default().deliver(&critical).unwrap_err();
    assert!(matches!(error, ChannelError::Desktop(_)), "{error}");

    let (send, received) = std::sync::mpsc::sync_channel(1);
    let last = Last(Callback::new(move |n: &Notice| send.try_send(n.id).is_ok()));
    let channels: Vec<Box<dyn Channel>> = vec![Box::new(Desktop::default()), Box::new(last)];
    let delivery = Delivery::start(channels, None).unwrap();
    let begun = Instant::now();
    delivery.submit(critical);
    assert_eq!(received.recv_timeout(Duration::from_secs(60)), Ok(1));
    assert!(
        begun.elapsed() > Duration::from_secs(4),
        "only after the desktop has failed"
    );
}
