//! Where it is measured, as far as the system tells it without naming anybody.

use std::{fs, thread::available_parallelism};

use super::result::Machine;

/// This machine.
pub(super) fn machine() -> Machine {
    Machine {
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        cpu: fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| field(&text, "model name").map(str::to_owned)),
        cores: available_parallelism().map_or(1, |cores| cores.get() as u64),
        memory_mib: fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
            let kib: u64 = field(&text, "MemTotal")?.strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib / 1024)
        }),
        debug_build: cfg!(debug_assertions),
    }
}

/// The value of `name : value`.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 85\nmodel name\t: A CPU @ 2 GHz\nMemTotal:  8152340 kB\n";
        assert_eq!(field(text, "model name"), Some("A CPU @ 2 GHz"));
        assert_eq!(field(text, "MemTotal"), Some("8152340 kB"));
        assert_eq!(field(text, "cpu"), None);
    }
}
