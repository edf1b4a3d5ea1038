//! What a run leaves: its files, and what it says on stdout.

use std::{
    fmt,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{csv, keep::Keep, report, result::Results, table};
use crate::{args::BenchArgs, exit::Failure, output::Output};

/// What `--json` without a file means.
const STDOUT: &str = "-";

/// Where the result goes.
pub(super) struct Leave {
    json: Option<Keep>,
    csv: Option<Keep>,
    page: Option<Keep>,
    stdout: Stdout,
    out: Output,
}

/// What stdout gets.
#[derive(Debug, Clone, Copy)]
enum Stdout {
    Json,
    Table,
    Nothing,
}

impl Leave {
    /// Finds out whether the files can be written, before anything is spent on what could not be kept.
    pub(super) fn at(args: &BenchArgs, out: Output) -> Result<Self, Failure> {
        let json = args.json.as_deref();
        let stdout = match json {
            Some(path) if path.as_os_str() == STDOUT => Stdout::Json,
            _ if args.quiet => Stdout::Nothing,
            _ => Stdout::Table,
        };
        Ok(Self {
            json: json.filter(|path| path.as_os_str() != STDOUT).map(Keep::at).transpose()?,
            csv: args.csv.as_deref().map(Keep::at).transpose()?,
            page: args.report.as_deref().map(Keep::at).transpose()?,
            stdout,
            out,
        })
    }

    /// Files that are there until they take their places.
    pub(super) fn drafts(&self) -> Vec<PathBuf> {
        [&self.json, &self.csv, &self.page].into_iter().flatten().filter_map(Keep::draft).map(Path::to_owned).collect()
    }

    /// Writes and shows all of it.
    pub(super) fn all(mut self, results: &Results) -> Result<(), Failure> {
        let cannot = |error: &dyn fmt::Display| Failure::usage(format!("the result cannot be written: {error}"));
        if let Some(file) = self.json {
            file.write(|to| write_json(to, results)).map_err(|error| cannot(&error))?;
        }
        if let Some(file) = self.csv {
            file.write(|to| csv::write(to, results)).map_err(|error| cannot(&error))?;
        }
        if let Some(file) = self.page {
            file.write(|to| to.write_all(report::render(results).as_bytes())).map_err(|error| cannot(&error))?;
        }
        let shown = match self.stdout {
            Stdout::Json => write_json(io::stdout().lock(), results),
            Stdout::Table => self.out.lines(&table::draw(results)),
            Stdout::Nothing => Ok(()),
        };
        match shown {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot(&error)),
            _ => Ok(()),
        }
    }
}

fn write_json(to: impl io::Write, results: &Results) -> io::Result<()> {
    let mut to = io::BufWriter::new(to);
    serde_json::to_writer(&mut to, results)?;
    writeln!(to)?;
    to.flush()
}
