//! Compares Tenantry with hand-written rusqlite and with other ways to store the same rows.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml` prints the tables and writes
//! `docs/benchmarks.md` and its plots; `-- --quick` is a smoke run, `-- --help` shows the options.
//!
//! `measure` says how the sides are compared, the crate `work` what each of them does, and `sides`
//! how. The sides over sqlx run in a program of their own, in `async`.

mod instructions;
mod machine;
mod measure;
mod options;
mod plot;
mod report;
mod sides;
mod sql;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;

use options::{Command, Options, Other, Scale, Settings, Sql};

/// The project's documents.
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
const COMMAND: &str = "cargo run --release --manifest-path benches/Cargo.toml";

fn main() -> Result<()> {
    let command = Command::parse();
    match command.other {
        None => compare(&command.options),
        Some(Other::Scale(options)) => scale(&options),
        Some(Other::Sql(options)) => sql(&options),
        Some(Other::Instructions { record }) => instructions::compare(record),
        Some(Other::Count { side, operation, inserts }) => instructions::count(&side, &operation, inserts),
    }
}

fn compare(options: &Options) -> Result<()> {
    let settings = options.settings()?;
    let data = data_folder(options.dir.as_deref());
    let mut sections = Vec::new();
    for (number, durability) in settings.durabilities.iter().enumerate() {
        for variants in [false, true] {
            if let Some(section) = measure::section(&settings, *durability, variants, number == 0, &data)? {
                println!("{}", report::section(&section));
                sections.push(section);
            }
        }
    }
    if options.quick {
        println!("{}", sql::compare(settings.rounds, 1_000, &data)?);
    }
    let targets = targets::text(&sections);
    println!("{targets}");
    let out = match &options.out {
        Some(out) => out.clone(),
        None if options.quick => return Ok(()),
        None => PathBuf::from(DOCS),
    };
    let plots = out.join("benchmarks");
    fs::create_dir_all(&plots)?;
    let mut text = format!(
        "# Benchmarks\n\nWritten by `{COMMAND}`; measured on {}. [With more tenants and rows](benchmarks-scale.md).\n\n{targets}\n## How to read this\n\n{}\n{}\n{}",
        today(),
        report::method(),
        report::sides(&settings.sides),
        about(
            &data,
            &sections.iter().flat_map(|section| section.versions.clone()).collect::<Vec<_>>(),
            &described(&settings)
        )?,
    );
    for section in &sections {
        text.push_str(&format!("\n{}", report::section(section)));
        for (file, title) in plot::section(section, &plots)? {
            text.push_str(&format!("\n![{title}](benchmarks/{file})\n"));
        }
    }
    write(&out.join("benchmarks.md"), &text)
}

fn sql(options: &Sql) -> Result<()> {
    let data = data_folder(options.dir.as_deref());
    let table = sql::compare(options.rounds, options.rows, &data)?;
    println!("{table}");
    let out = options.out.clone().unwrap_or_else(|| PathBuf::from(DOCS));
    fs::create_dir_all(&out)?;
    let described = format!("{} rounds; {} rows at most", options.rounds, report::whole(options.rows));
    let text = format!(
        "# Benchmarks of tenants' own SQL\n\nWritten by `{COMMAND} -- sql`; measured on {}.\n\n{}\n{table}\n{}",
        today(),
        report::sql_method(),
        about(&data, &[], &described)?
    );
    write(&out.join("benchmarks-sql.md"), &text)
}

fn scale(options: &Scale) -> Result<()> {
    let sides = options.sides()?;
    let data = data_folder(options.dir.as_deref());
    let rows = options.rows;
    let mut sizes = Vec::new();
    let by_tenants = [1, 1_000, 100_000].map(|tenants| (tenants, rows / tenants));
    let by_rows = [rows / 1_000, rows / 100, rows / 10].map(|rows| (1, rows));
    for (tenants, rows) in by_tenants.into_iter().chain(by_rows).filter(|(_, rows)| *rows > 0) {
        sizes.push(measure::size(&sides, tenants, rows, (options.rounds, options.inserts), &data)?);
    }
    let tables = report::sizes(&sides, &sizes);
    println!("{tables}");
    let out = options.out.clone().unwrap_or_else(|| PathBuf::from(DOCS));
    let plots = out.join("benchmarks");
    fs::create_dir_all(&plots)?;
    let described = format!(
        "{} rows at most, loaded {} of each tenant in turn; {} rounds of {} inserts",
        report::whole(rows),
        measure::FEW,
        options.rounds,
        options.inserts
    );
    let mut text = format!(
        "# Benchmarks with more tenants and rows\n\nWritten by `{COMMAND} -- scale`; measured on {}. The sides and the method are those of \
         [the other benchmarks](benchmarks.md): one thread, every commit synced to disk, and ratios are time by the \
         time of `{}` in the same round, median (smallest to largest). A tenant of fewer rows than 50 has a shorter list.\n\n{}\n{}{tables}",
        today(),
        sides::BASELINE,
        report::sides(&sides),
        about(&data, &[], &described)?,
    );
    for (file, title) in plot::sizes(&sides, &sizes, &plots)? {
        text.push_str(&format!("\n![{title}](benchmarks/{file})\n"));
    }
    write(&out.join("benchmarks-scale.md"), &text)
}

/// Machine, versions and sizes.
fn about(data: &Path, versions: &[(String, String)], described: &str) -> Result<String> {
    Ok(format!(
        "Sizes: {described}.\n\nMachine:\n\n{}\nVersions:\n\n{}",
        report::facts(&machine::machine(data)?),
        report::facts(&machine::versions(versions))
    ))
}

fn described(settings: &Settings) -> String {
    let threads: Vec<String> = settings.threads.iter().map(ToString::to_string).collect();
    format!(
        "{} tenants with {} rows each, {} rounds of {} inserts ({} times as many where commits do not wait for the disk) and {} ms of threads ({}){}",
        settings.tenants,
        settings.rows,
        settings.rounds,
        settings.inserts,
        measure::MORE,
        settings.window.as_millis(),
        threads.join(", "),
        settings.only.as_ref().map_or(String::new(), |only| format!(", only {only:?}"))
    )
}

fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::UTC).date()
}

fn data_folder(chosen: Option<&Path>) -> PathBuf {
    chosen.map_or_else(std::env::temp_dir, Path::to_owned)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}
