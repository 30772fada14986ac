//! Readers on captured text of several kernels, and on this machine.

use std::path::Path;

use steadyscribe_monitor::reader::{ProcessId, ReadError, System};

use crate::captured;

#[test]
fn laptop_machine_is_read() {
    let machine = captured("laptop").machine().unwrap();
    assert_eq!(machine.total_bytes, 8_017_396 << 10);
    assert_eq!(machine.available_bytes, 2_310_456 << 10);
    assert_eq!(
        (machine.swap_total_bytes, machine.swap_free_bytes),
        (2_097_148 << 10, 1_703_936 << 10)
    );
    assert!(!machine.estimated);
}

#[test]
fn available_is_estimated_where_the_kernel_does_not_say() {
    let machine = captured("kernel-3.10").machine().unwrap();
    assert_eq!(machine.available_bytes, (204_800 + 10_240 + 409_600) << 10);
    assert!(machine.estimated);
}

#[test]
fn machine_without_swap_is_read() {
    let machine = captured("container-v2").machine().unwrap();
    assert_eq!((machine.swap_total_bytes, machine.swap_free_bytes), (0, 0));
    assert!(!machine.estimated && machine.available_bytes <= machine.total_bytes);
}

#[test]
fn pressure_is_read_where_it_is() {
    let psi = captured("laptop").psi().unwrap();
    assert_eq!(psi.some.avg10_percent, 12.35);
    assert_eq!(psi.full.unwrap().avg10_percent, 6.5);
    assert_eq!(psi.some.total_us, 58_761_459);
    let error = captured("container-v2").psi().unwrap_err();
    assert!(error.to_string().ends_with("pressure/memory"), "{error}");
}

#[test]
fn tightest_cgroup_limit_is_found_above() {
    let group = captured("laptop").cgroup().unwrap().unwrap();
    assert_eq!(group.version, 2);
    assert_eq!(group.usage_bytes, 3 << 30);
    assert_eq!(
        group.limit_bytes,
        Some(6 << 30),
        "the group itself has none, the slice has"
    );
    assert_eq!(
        group.headroom_bytes,
        Some((6 << 30) - (5 << 30) + (1 << 29))
    );
    assert_eq!(group.anon_bytes, Some(3_000_000_000));
    assert_eq!(
        (group.events_high, group.events_max, group.events_oom),
        (Some(3), Some(1), Some(0))
    );
    assert_eq!(group.psi.unwrap().some.avg10_percent, 1.0);
}

#[test]
fn container_limits_are_found() {
    let v2 = captured("container-v2").cgroup().unwrap().unwrap();
    assert_eq!(v2.limit_bytes, Some(2 << 30));
    assert_eq!(v2.headroom_bytes, Some((2 << 30) - 1_900_000_000));
    assert_eq!((v2.anon_bytes, v2.events_high), (None, None));
    let v1 = captured("container-v1").cgroup().unwrap().unwrap();
    assert_eq!(v1.limit_bytes, Some(512 << 20));
    assert_eq!(v1.headroom_bytes, Some((512 << 20) - 250_000_000));
    assert_eq!(
        (v1.anon_bytes, v1.events_max),
        (Some(185_000_000), Some(17))
    );
    let unlimited = captured("kernel-3.10").cgroup().unwrap().unwrap();
    assert_eq!(
        (unlimited.limit_bytes, unlimited.headroom_bytes),
        (None, None)
    );
    assert_eq!(captured("swapped").cgroup().unwrap(), None);
}

#[test]
fn table_survives_odd_names() {
    let mut entries = Vec::new();
    captured("laptop").processes(&mut entries).unwrap();
    let seen: Vec<_> = entries
        .iter()
        .map(|e| (e.id.pid, e.parent_pid, e.name()))
        .collect();
    let expected = [
        (1, 0, "systemd"),
        (4100, 1, "ollama"),
        (4242, 4100, "llama-server"),
        (5000, 1, "app (beta) x"),
        (5001, 5000, "WebKitWebProces"),
    ];
    assert_eq!(seen, expected);
    assert!(entries[4].is_named("WebKitWebProcess"));
    assert_eq!(entries[2].id.start_time, 12_000);
}

#[test]
fn refreshed_table_drops_the_gone_and_finds_the_new() {
    let mut entries = Vec::new();
    captured("laptop").processes(&mut entries).unwrap();
    let whole = entries.clone();
    let gone = steadyscribe_monitor::reader::Entry::new(ProcessId::new(9_999, 1), 1, "gone");
    entries.push(gone);
    entries.remove(1);
    captured("laptop").refresh_processes(&mut entries).unwrap();
    assert_eq!(entries, whole);
}

#[test]
fn reused_number_is_another_process() {
    let system = captured("laptop");
    assert!(system.memory_of(ProcessId::new(4242, 12_000)).is_ok());
    let error = system.memory_of(ProcessId::new(4242, 11_999)).unwrap_err();
    assert!(matches!(error, ReadError::Gone { pid: 4242 }), "{error}");
}

#[test]
fn process_that_vanishes_during_the_read_is_gone() {
    // The folder stands, its status does not: the process ended between the table and the read.
    let error = captured("laptop")
        .memory_of(ProcessId::new(5000, 15_000))
        .unwrap_err();
    assert!(matches!(error, ReadError::Gone { pid: 5000 }), "{error}");
}

#[test]
fn proportional_share_is_read() {
    let share = captured("laptop").proportional(4242).unwrap();
    assert_eq!(share.pss_bytes, 60_000 << 10);
    assert_eq!(share.pss_anon_bytes, Some(49_152 << 10));
    assert_eq!(share.swap_pss_bytes, Some(9_765_432 << 10));
}

#[test]
fn unreadable_root_names_it() {
    let error = System::at("/nowhere/proc", "/nowhere/cgroup")
        .machine()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot read {}",
            Path::new("/nowhere/proc/meminfo").display()
        )
    );
}

#[cfg(target_os = "linux")]
mod on_this_machine {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn listener_of_a_port_is_found() {
        let system = System::host();
        let mut entries = Vec::new();
        system.processes(&mut entries).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let own = system.identify(std::process::id()).unwrap();
        assert_eq!(system.listener(port, &entries).unwrap(), Some(own));
        drop(socket);
        assert_eq!(system.listener(port, &entries).unwrap(), None);
    }

    #[test]
    fn proportional_share_is_below_resident() {
        let system = System::host();
        let share = system.proportional(std::process::id()).unwrap();
        let memory = steadyscribe_monitor::reader::own().unwrap();
        assert!(share.pss_bytes > 0 && share.pss_bytes <= memory.resident_bytes + (8 << 20));
        assert!(system.machine().unwrap().available_bytes > 0);
    }
}
