//! `alerts`: the critical alerts that are not acknowledged.

use std::error::Error;
use std::path::Path;

use steadyscribe_monitor::alert::journal;
use steadyscribe_monitor::report::iso8601;

pub(super) fn run(path: &Path, acknowledge: Option<u64>) -> Result<(), Box<dyn Error>> {
    let mut open = journal::unacknowledged(path)?;
    if let Some(id) = acknowledge {
        let at = open.iter().position(|notice| notice.id == id);
        let unknown = || format!("no open alert has the number {id}; `alerts` lists them");
        open.remove(at.ok_or_else(unknown)?);
        journal::acknowledge(path, id)?;
    }
    for notice in &open {
        println!(
            "{:>6}  {}  {}",
            notice.id,
            iso8601(notice.unix_ms),
            notice.headline()
        );
        if !notice.facts.done.is_empty() {
            println!("        done: {}", notice.facts.done);
        }
        println!("        {}", notice.facts.advice);
    }
    if open.is_empty() {
        println!("no critical alert is open");
    }
    Ok(())
}
