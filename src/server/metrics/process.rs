//! What the system knows of this process, by the names that every exporter uses. (Linux alone.)

use procfs::{
    ProcError, WithCurrentSystemInfo,
    process::{LimitValue, Process},
    ticks_per_second,
};

use super::family::{Family, Unit, one, seconds};

/// What can be read; where `/proc` is not there, nothing.
pub(super) fn families() -> Vec<Family> {
    read().unwrap_or_default()
}

fn read() -> Result<Vec<Family>, ProcError> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let ticks = u32::try_from(ticks_per_second()).map_or(100.0, f64::from);
    let max = match process.limits()?.max_open_files.soft_limit {
        LimitValue::Value(max) => max,
        LimitValue::Unlimited => u64::MAX,
    };
    let (cpu, open) = (seconds(stat.utime + stat.stime, ticks), process.fd_count()? as u64);
    let began = seconds(procfs::boot_time_secs()?, 1.0) + seconds(stat.starttime, ticks);
    Ok(vec![
        Family::counter("process_cpu", "process.cpu.time", Unit::Seconds, "Time of processors used.", one(cpu)),
        Family::gauge(
            "process_resident_memory",
            "process.memory.usage",
            Unit::Bytes,
            "Memory in use, resident.",
            one(stat.rss_bytes().get()),
        ),
        Family::gauge(
            "process_virtual_memory",
            "process.memory.virtual",
            Unit::Bytes,
            "Addresses in use, most of them without memory behind.",
            one(stat.vsize),
        ),
        Family::gauge(
            "process_open_fds",
            "process.unix.file_descriptor.count",
            Unit::None,
            "Open file descriptors.",
            one(open),
        ),
        Family::gauge(
            "process_max_fds",
            "process.unix.file_descriptor.limit",
            Unit::None,
            "File descriptors that may be open.",
            one(max),
        ),
        Family::gauge(
            "process_start_time",
            "process.start_time",
            Unit::Seconds,
            "When the process started, since 1970.",
            one(began),
        ),
    ])
}
