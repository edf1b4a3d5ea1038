//! What a process has, as Linux tells it.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

fn status(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Resident memory, KiB.
pub(crate) fn rss(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// The most resident memory that it ever had, KiB.
pub(crate) fn peak(pid: u32) -> u64 {
    status(pid, "VmHWM:")
}

/// Open descriptors.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Lets this process, and those that it starts from now on, have as many descriptors as the system allows. Says how many.
pub(crate) fn raise_descriptors() -> usize {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Connections to this port that the process which listens there holds.
pub(crate) fn connections(port: u16) -> usize {
    const LISTENS: &str = "0A";
    let here = format!(":{port:04X}");
    let held = |line: &&str| {
        let mut fields = line.split_whitespace();
        let (local, state) = (fields.nth(1).unwrap_or_default(), fields.nth(1).unwrap_or_default());
        // What nobody has accepted, and what has been closed, has no file.
        let file = fields.nth(5).unwrap_or_default();
        local.ends_with(&here) && state != LISTENS && file != "0"
    };
    fs::read_to_string("/proc/net/tcp").unwrap().lines().skip(1).filter(held).count()
}
