//! The process itself: `process_*`, read from `/proc` when it is asked for.
//!
//! The collector that comes with the client library counts whole CPU seconds only, which makes the rate of a lightly
//! loaded service a row of zeros and spikes. On other systems than Linux there are no `process_*` series.

use std::{fs, sync::Mutex};

use prometheus::{
    Counter, Gauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};

/// The kernel reports CPU time to user space in these units on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seven series. See the module.
pub(super) struct ProcessCollector {
    /// Held while the counter moves to a new reading, so that two scrapes at once do not add it twice.
    cpu_seconds: Mutex<Counter>,
    resident_memory_bytes: Gauge,
    virtual_memory_bytes: Gauge,
    threads: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    start_time_seconds: Gauge,
}

/// The fields of `/proc/self/stat` that are exported.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: f64,
    started_seconds_after_boot: f64,
    virtual_memory_bytes: f64,
}

impl ProcessCollector {
    pub(super) fn new() -> prometheus::Result<Self> {
        Ok(Self {
            cpu_seconds: Mutex::new(Counter::new(
                "process_cpu_seconds_total",
                "CPU time of this process in user and system mode (1 series).",
            )?),
            resident_memory_bytes: Gauge::new("process_resident_memory_bytes", "Memory in RAM (1 series).")?,
            virtual_memory_bytes: Gauge::new("process_virtual_memory_bytes", "Mapped memory (1 series).")?,
            threads: Gauge::new("process_threads", "Threads (1 series).")?,
            open_fds: Gauge::new("process_open_fds", "Open file descriptors (1 series).")?,
            max_fds: Gauge::new("process_max_fds", "Limit of open file descriptors (1 series).")?,
            start_time_seconds: Gauge::new(
                "process_start_time_seconds",
                "Start of this process in seconds since 1970 (1 series).",
            )?,
        })
    }

    /// Reads everything. `None` if a file is missing or has another form: then the last values stay.
    fn read(&self) -> Option<()> {
        let stat = parse_stat(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let cpu_seconds = self.cpu_seconds.lock().expect("no panic under this lock");
        cpu_seconds.inc_by((stat.cpu_seconds - cpu_seconds.get()).max(0.0));
        self.threads.set(stat.threads);
        self.virtual_memory_bytes.set(stat.virtual_memory_bytes);
        let booted_at = number_after(&fs::read_to_string("/proc/stat").ok()?, "btime ")?;
        self.start_time_seconds.set(booted_at + stat.started_seconds_after_boot);
        let resident_kib = number_after(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")?;
        self.resident_memory_bytes.set(resident_kib * 1_024.0);
        self.max_fds.set(number_after(&fs::read_to_string("/proc/self/limits").ok()?, "Max open files")?);
        self.open_fds.set(fs::read_dir("/proc/self/fd").ok()?.count() as f64);
        Some(())
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        // The counter stands behind a lock; the names of the gauges are enough to refuse a second registration.
        self.gauges().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if self.read().is_none() {
            return Vec::new();
        }
        let mut families = self.cpu_seconds.lock().expect("no panic under this lock").collect();
        families.extend(self.gauges().into_iter().flat_map(Collector::collect));
        families
    }
}

impl ProcessCollector {
    fn gauges(&self) -> [&Gauge; 6] {
        [
            &self.resident_memory_bytes,
            &self.virtual_memory_bytes,
            &self.threads,
            &self.open_fds,
            &self.max_fds,
            &self.start_time_seconds,
        ]
    }
}

/// Fields are counted from behind the command name, which may hold blanks and brackets itself.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // The first field here is number 3 (state) of proc(5).
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(Stat {
        cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
        threads: field(20)?,
        started_seconds_after_boot: field(22)? / TICKS_PER_SECOND,
        virtual_memory_bytes: field(23)?,
    })
}

fn number_after(text: &str, label: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(label))?;
    match rest.split_ascii_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_command_with_blanks_and_brackets() {
        let text = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 9 0 12345 4096 77";
        let expected = Stat {
            cpu_seconds: 1.75,
            threads: 9.0,
            started_seconds_after_boot: 123.45,
            virtual_memory_bytes: 4096.0,
        };
        assert_eq!(parse_stat(text), Some(expected));
        assert_eq!(parse_stat("42 (short) S 1 2"), None);
    }

    #[test]
    fn numbers_are_found_by_their_label() {
        assert_eq!(number_after("cpu 1\nbtime 170\n", "btime "), Some(170.0));
        assert_eq!(
            number_after("Max open files            1024   4096   files", "Max open files"),
            Some(1024.0)
        );
        assert_eq!(number_after("Max open files unlimited unlimited", "Max open files"), Some(f64::INFINITY));
        assert_eq!(number_after("nothing", "btime "), None);
    }
}
