//! Tests of the monitor through its public interface.

mod readers;

use std::path::PathBuf;

use steadyscribe_monitor::reader::System;

/// A machine whose `/proc` and cgroup files were captured.
fn captured(name: &str) -> System {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/proc")
        .join(name);
    System::at(&root, root.join("cgroup"))
}
