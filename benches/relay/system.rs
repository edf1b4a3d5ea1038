//! What the operating system is asked for: what processes cost, files, and precise sleep. Linux alone gives all of it.

use std::{fs, io, path::Path};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::Result;

/// Lets this process, and those that it starts, have as many files as the system allows.
pub(crate) fn raise_file_limit() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// Lets this thread wake at the moment that it asks for; by default the kernel may be 50 µs late.
pub(crate) fn sleep_precisely() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_timerslack(1);
}

/// The CPU time of a process and of all that it has started, ns: of all threads, those that have ended too.
///
/// It is exact to the tick of the kernel's scheduler, some milliseconds, while threads run.
pub(crate) fn cpu(pid: u32) -> Result<u64> {
    family(pid).into_iter().map(one).sum()
}

/// The CPU time of this process alone, ns.
pub(crate) fn own() -> Result<u64> {
    one(std::process::id())
}

#[cfg(target_os = "linux")]
fn one(pid: u32) -> Result<u64> {
    let gone = |error| format!("process {pid} cannot be measured, did it end? ({error})");
    let clock = nix::time::clock_getcpuclockid(nix::unistd::Pid::from_raw(pid.try_into()?)).map_err(gone)?;
    Ok(crate::clock::nanos(clock.now().map_err(gone)?.into()))
}

#[cfg(not(target_os = "linux"))]
fn one(_pid: u32) -> Result<u64> {
    Err("the CPU time of other processes is read as Linux gives it".into())
}

/// The memory of a process and of all that it has started, bytes: its proportional set, in which a page that several share counts
/// once. The kernel's buffers of sockets are not in it.
pub(crate) fn memory(pid: u32) -> Result<u64> {
    family(pid).into_iter().map(proportional).sum()
}

fn proportional(pid: u32) -> Result<u64> {
    let file = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("smaps_rollup has no Pss")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim_end().parse()?;
    Ok(kib << 10)
}

/// The process and its descendants, where the kernel lists them.
fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(parent) = family.get(at) {
        let threads = fs::read_dir(Path::new("/proc").join(parent.to_string()).join("task"));
        let lists = threads.into_iter().flatten().flatten().map(|thread| fs::read_to_string(thread.path().join("children")));
        let children: Vec<u32> = lists.flat_map(|list: io::Result<String>| list).flat_map(|list| numbers(&list)).collect();
        family.extend(children);
        at += 1;
    }
    family
}

fn numbers(list: &str) -> Vec<u32> {
    list.split_whitespace().flat_map(str::parse).collect()
}
