//! The app that is measured.

use std::error::Error;
use std::path::Path;

use clap::Args;
use steadyscribe_monitor::Component;
use steadyscribe_monitor::alert::Timing;
use steadyscribe_monitor::history;
use steadyscribe_monitor::monitor::{Monitor, Options};
use steadyscribe_monitor::reader::{ProcessId, System};
use steadyscribe_monitor::tracker::Tracker;

use super::values::{bytes, component, limit};

/// Note on every report of a history.
const NOT_RECORDED: &str = "processes and reclaimable memory are not recorded";

/// The app that is measured.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// A process of a component, with its children: ollama, audio, frontend, backend or monitor
    #[arg(long, value_name = "NAME=PID", value_parser = component)]
    pub(super) component: Vec<(Component, u32)>,
    /// What the app may use in all, such as 4G or 800M
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    budget: Option<u64>,
    /// What a component may use
    #[arg(long, value_name = "NAME=BYTES", value_parser = limit)]
    limit: Vec<(Component, u64)>,
}

impl Target {
    /// Makes a monitor that is itself the component Monitor.
    pub(super) fn monitor(&self, options: Options) -> Result<Monitor, Box<dyn Error>> {
        let mut options = options;
        options.budget_bytes = self.budget;
        let system = System::host();
        // The command is not the app: no process is the app's first.
        options.app = Some(ProcessId::new(0, 0));
        let monitor = Monitor::new(options)?;
        monitor.hand_over(system.identify(std::process::id())?, Component::Monitor)?;
        for (component, pid) in &self.component {
            monitor.hand_over(system.identify(*pid)?, *component)?;
        }
        for (component, bytes) in &self.limit {
            monitor.set_limit_bytes(*component, Some(*bytes));
        }
        Ok(monitor)
    }

    /// Replays the samples of a history, one after another.
    pub(super) fn replay(&self, path: &Path) -> Result<Tracker, Box<dyn Error>> {
        let mut tracker = Tracker::new(Timing::default(), 1);
        tracker.set_budget_bytes(self.budget);
        for (component, bytes) in &self.limit {
            tracker.set_limit_bytes(*component, Some(*bytes));
        }
        let mut records = 0_u64;
        for (steady_ms, record) in history::steadily(history::read(path)?) {
            let mut sample = record.to_sample(steady_ms);
            sample.reasons.push(NOT_RECORDED.to_owned());
            // The notices of the past are not sent again.
            drop(tracker.observe(sample));
            records += 1;
        }
        if records == 0 {
            let path = path.display();
            return Err(format!("{path} holds no sample yet; `record` writes one in 10 s").into());
        }
        Ok(tracker)
    }
}
