//! Finds, lists and downloads models.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use steadyscribe::budget::{Plan, Variant};
use steadyscribe::models::{self, FetchEvent, Hub, ModelFile, Store};
use steadyscribe::{Cancel, Config, ConfigError, Error, ModelHeader, WhisperOptions};

use super::args::{FIXTURE_MODEL, Models};
use super::exit::{Exit, Failure};

/// The progress bar of a download, which is drawn only on a terminal.
const BAR: &str = "{bar:30} {percent:>3}%  {decimal_bytes} of {decimal_total_bytes}  \
                   {decimal_bytes_per_sec}  {eta} left";

/// The meaning of `--model`.
#[derive(Debug, PartialEq)]
pub(crate) enum Choice {
    Fixture,
    Path(PathBuf),
    Named(ModelFile),
}

impl Choice {
    /// Decides between a file and a name. An existing file, and anything that looks like a path, is
    /// a file.
    pub(crate) fn of(asked: Option<&str>) -> Result<Self, Failure> {
        let Some(asked) = asked else {
            return Ok(Self::Fixture);
        };
        let looks_like_a_path = asked.contains(['/', '\\']) || asked.ends_with(".bin");
        if Path::new(asked).exists() || (looks_like_a_path && !asked.starts_with("hf:")) {
            return Ok(Self::Path(asked.into()));
        }
        Ok(Self::Named(asked.parse()?))
    }

    /// Plans a published model, whose file need not be here. Refuses it if it does not fit or does
    /// not support the options.
    pub(crate) fn plan(
        &self,
        config: &Config,
        options: &WhisperOptions,
    ) -> Result<Option<(Plan, Vec<Variant>)>, Failure> {
        let Self::Named(file) = self else {
            return Ok(None);
        };
        let Some(model) = file.published() else {
            return Ok(None);
        };
        options.check_for(model)?;
        let variants = ModelHeader::variants_of(model).to_vec();
        let plan = Plan::new(config, &variants, 1).map_err(Error::from)?;
        Ok(Some((plan, variants)))
    }

    /// Returns the model's file. Downloads it unless it is here.
    pub(crate) fn file(&self, quiet: bool) -> Result<PathBuf, Failure> {
        match self {
            Self::Fixture => Ok(FIXTURE_MODEL.into()),
            Self::Path(path) => Ok(path.clone()),
            Self::Named(file) => fetch(file, quiet),
        }
    }
}

/// Runs a command of `transcribe models`.
pub(crate) fn run(command: &Models) -> Result<Exit, Failure> {
    match command {
        Models::List { json } => list(*json)?,
        Models::Fetch { name } => say(&fetch(&name.parse()?, false)?.display())?,
        Models::Path { name } => {
            let (store, file) = (store()?, name.parse()?);
            let path = store.cached(&file).ok_or_else(|| {
                let missing = format!(
                    "{file} is not in {}; download it with `transcribe models fetch {file}`",
                    store.folder().display()
                );
                Failure::new(Exit::BadModel, missing)
            })?;
            say(&path.display())?;
        }
    }
    Ok(Exit::Done)
}

fn store() -> Result<Store, Failure> {
    Store::of_user().map_err(|error| Failure::new(Exit::BadModel, error))
}

fn fetch(file: &ModelFile, quiet: bool) -> Result<PathBuf, Failure> {
    let bar = if quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::no_length()
    };
    if let Ok(style) = ProgressStyle::with_template(BAR) {
        bar.set_style(style);
    }
    let on = &mut |event: FetchEvent| match event {
        FetchEvent::Received { bytes, total_bytes } => {
            bar.set_length(total_bytes);
            bar.set_position(bytes);
        }
        _ if quiet => {}
        event => {
            if let FetchEvent::Asking { have_bytes, .. } = event {
                // Bytes of an earlier download must not count into the speed.
                bar.set_position(have_bytes);
                bar.reset_eta();
            }
            bar.suspend(|| eprintln!("{event}"));
        }
    };
    let fetched = store()?.fetch(file, &Hub::from_env(), &Cancel::new(), on);
    bar.finish_and_clear();
    Ok(fetched?)
}

/// A model in the list.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    bytes: u64,
    languages: u32,
    /// The most memory that a transcription with default settings holds.
    memory_bytes: u64,
    cached: bool,
    path: PathBuf,
}

fn list(json: bool) -> Result<(), Failure> {
    let store = store()?;
    let rows: Result<Vec<Row>, ConfigError> = models::all()
        .iter()
        .map(|model| {
            let file = ModelFile::from(model);
            let plan = Plan::new(&Config::default(), &ModelHeader::variants_of(model), 1)?;
            Ok(Row {
                name: model.name,
                bytes: model.bytes,
                languages: model.languages(),
                memory_bytes: plan.peak_bytes(),
                cached: store.cached(&file).is_some(),
                path: store.path(&file),
            })
        })
        .collect();
    let rows = rows.map_err(|error| Failure::new(Exit::Failed, error))?;
    let text = if json {
        serde_json::to_string_pretty(&rows).map_err(|error| Failure::new(Exit::Failed, error))?
    } else {
        table(&rows, store.folder())
    };
    say(&text)
}

/// Writes a line to standard output. A closed pipe is no failure.
fn say(line: &dyn fmt::Display) -> Result<(), Failure> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, error))
        }
        _ => Ok(()),
    }
}

fn table(rows: &[Row], folder: &Path) -> String {
    let megabytes = |bytes: u64| format!("{} MB", bytes.div_ceil(1_000_000));
    let mut table = format!(
        "{:<20}{:>9}{:>11}{:>11}  here",
        "name", "size", "memory", "languages"
    );
    for row in rows {
        let languages = match row.languages {
            1 => "English".to_owned(),
            several => several.to_string(),
        };
        table += &format!(
            "\n{:<20}{:>9}{:>11}{languages:>11}  {}",
            row.name,
            megabytes(row.bytes),
            megabytes(row.memory_bytes),
            if row.cached { "yes" } else { "" },
        );
        table.truncate(table.trim_end().len());
    }
    table + &format!("\n\nModels are stored in {}.", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_distinguished() {
        let check = |asked, expected: Choice| {
            assert_eq!(
                Choice::of(Some(asked)).map_err(|failure| failure.to_string()),
                Ok(expected),
                "{asked}"
            );
        };
        let named = |name: &str| Choice::Named(name.parse().unwrap());
        check("base.en", named("base.en"));
        check("hf:ada/speech/model.bin", named("hf:ada/speech/model.bin"));
        check("base.en.bin", Choice::Path("base.en.bin".into()));
        check("models/base.en", Choice::Path("models/base.en".into()));
        check("..\\base", Choice::Path("..\\base".into()));
        // A folder of this name exists.
        check("src", Choice::Path("src".into()));
        assert!(matches!(Choice::of(None), Ok(Choice::Fixture)));
        let refused = Choice::of(Some("basse.en")).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        assert!(
            refused.to_string().contains("did you mean base.en"),
            "{refused}"
        );
    }
}
