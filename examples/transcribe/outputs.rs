//! Decides where each transcript goes, and opens inputs and outputs.

use std::collections::HashMap;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use steadyscribe::InputError;
use steadyscribe::sink::{Format, Output, Sink, Tee};
use steadyscribe::source::{FileSource, PipeSource, RawFormat, RawSource, Source};

/// Stands for standard input and standard output on the command line.
const DASH: &str = "-";

/// The name of standard input in messages, and of its transcripts in a folder.
const STDIN_STEM: &str = "stdin";

/// One input and its transcripts.
#[derive(Debug, PartialEq)]
pub(crate) struct Job {
    pub(crate) input: PathBuf,
    pub(crate) transcripts: Vec<(Format, Place)>,
}

/// The destination of a transcript.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    StandardOutput,
    File(PathBuf),
}

/// Why inputs and outputs do not fit together.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum OutputsError {
    #[error("standard output takes one format; give --output DIR for several")]
    SeveralFormats,
    #[error("standard output takes one {0} transcript; give --output DIR for several files")]
    SeveralFiles(Format),
    #[error("{} is not a directory; several files need --output DIR", .0.display())]
    NoDirectory(PathBuf),
    #[error(
        "{} and {} would both be written to {}; transcribe them into separate directories",
        .0.display(), .1.display(), .2.display()
    )]
    SameTarget(PathBuf, PathBuf, PathBuf),
    #[error("{} is an input and would be replaced; give another --output", .0.display())]
    IsInput(PathBuf),
    #[error("- is given twice, but standard input can be read only once; give it once")]
    StdinTwice,
}

/// Decides where the transcripts of `inputs` go. Without formats it is the one of the output's
/// extension, else text.
pub(crate) fn jobs(
    inputs: &[PathBuf],
    formats: &[Format],
    output: Option<&Path>,
) -> Result<Vec<Job>, OutputsError> {
    if inputs.iter().filter(|input| is_dash(input)).count() > 1 {
        return Err(OutputsError::StdinTwice);
    }
    let output = output.filter(|path| !is_dash(path));
    let formats = chosen(formats, output);
    let jobs = match output {
        None => to_standard_output(inputs, &formats)?,
        Some(folder) if is_folder(folder) => to_folder(inputs, &formats, folder),
        Some(file) if inputs.len() == 1 => to_file(&inputs[0], &formats, file),
        Some(file) => return Err(OutputsError::NoDirectory(file.into())),
    };
    check_targets(&jobs)?;
    Ok(jobs)
}

fn is_dash(path: &Path) -> bool {
    path == Path::new(DASH)
}

/// Returns the formats without duplicates.
fn chosen(formats: &[Format], output: Option<&Path>) -> Vec<Format> {
    let mut once = Vec::new();
    for &format in formats {
        if !once.contains(&format) {
            once.push(format);
        }
    }
    if once.is_empty() {
        once.push(output.and_then(format_of).unwrap_or(Format::Text));
    }
    once
}

fn format_of(path: &Path) -> Option<Format> {
    path.extension()?.to_str()?.parse().ok()
}

/// Returns whether the path is a directory, or ends like one.
fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.to_string_lossy().ends_with(std::path::is_separator)
}

fn to_standard_output(inputs: &[PathBuf], formats: &[Format]) -> Result<Vec<Job>, OutputsError> {
    let &[format] = formats else {
        return Err(OutputsError::SeveralFormats);
    };
    let follows_itself = matches!(format, Format::Text | Format::Json | Format::JsonLines);
    if inputs.len() > 1 && !follows_itself {
        return Err(OutputsError::SeveralFiles(format));
    }
    let job = |input: &PathBuf| Job {
        input: input.clone(),
        transcripts: vec![(format, Place::StandardOutput)],
    };
    Ok(inputs.iter().map(job).collect())
}

fn to_folder(inputs: &[PathBuf], formats: &[Format], folder: &Path) -> Vec<Job> {
    let job = |input: &PathBuf| {
        let stem = if is_dash(input) {
            STDIN_STEM.as_ref()
        } else {
            input.file_stem().unwrap_or(input.as_os_str())
        };
        let stem = folder.join(stem);
        let transcript = |&format: &Format| (format, Place::File(with_extension(&stem, format)));
        Job {
            input: input.clone(),
            transcripts: formats.iter().map(transcript).collect(),
        }
    };
    inputs.iter().map(job).collect()
}

/// A single format uses the file's name as it is. With several, each replaces the extension of a
/// format or is appended.
fn to_file(input: &Path, formats: &[Format], file: &Path) -> Vec<Job> {
    let transcripts = if let &[format] = formats {
        vec![(format, Place::File(file.into()))]
    } else {
        let stem = if format_of(file).is_some() {
            file.with_extension("")
        } else {
            file.into()
        };
        let transcript = |&format: &Format| (format, Place::File(with_extension(&stem, format)));
        formats.iter().map(transcript).collect()
    };
    vec![Job {
        input: input.into(),
        transcripts,
    }]
}

/// Appends the extension. `Path::with_extension` would turn `talk.2024` into `talk.txt`.
fn with_extension(stem: &Path, format: Format) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(".");
    name.push(format.extension());
    name.into()
}

/// Refuses targets that would replace each other or an input.
fn check_targets(jobs: &[Job]) -> Result<(), OutputsError> {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let files = jobs.iter().filter(|job| !is_dash(&job.input));
    let inputs: Vec<PathBuf> = files.map(|job| real(&job.input)).collect();
    let mut taken: HashMap<PathBuf, &Path> = HashMap::new();
    for job in jobs {
        for (_, place) in &job.transcripts {
            let Place::File(target) = place else { continue };
            if inputs.contains(&real(target)) {
                return Err(OutputsError::IsInput(target.clone()));
            }
            if let Some(other) = taken.insert(real(target), &job.input) {
                let (other, input) = (other.to_owned(), job.input.clone());
                return Err(OutputsError::SameTarget(other, input, target.clone()));
            }
        }
    }
    Ok(())
}

impl Job {
    /// Returns whether the input is standard input, which can be read only once.
    pub(crate) fn is_stdin(&self) -> bool {
        is_dash(&self.input)
    }

    /// Returns the input's name in messages and transcripts.
    pub(crate) fn name(&self) -> String {
        if is_dash(&self.input) {
            format!("<{STDIN_STEM}>")
        } else {
            self.input.display().to_string()
        }
    }

    /// Opens the input: samples without a header if `raw` gives their format.
    pub(crate) fn source(&self, raw: Option<RawFormat>) -> Result<Box<dyn Source>, InputError> {
        let source: Box<dyn Source> = if is_dash(&self.input) {
            Box::new(PipeSource::stdin()?)
        } else {
            Box::new(FileSource::open(&self.input)?)
        };
        Ok(match raw {
            Some(format) => Box::new(RawSource::new(source, format)),
            None => source,
        })
    }

    /// Opens the transcripts, and creates their folders.
    pub(crate) fn sink(&self) -> io::Result<Tee> {
        let file = self.name();
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        for (format, place) in &self.transcripts {
            match place {
                Place::StandardOutput => {
                    sinks.push(format.sink(BufWriter::new(io::stdout()), &file));
                }
                Place::File(target) => {
                    if let Some(folder) = target.parent() {
                        std::fs::create_dir_all(folder).map_err(|error| {
                            let message = format!("cannot create {}: {error}", folder.display());
                            io::Error::new(error.kind(), message)
                        })?;
                    }
                    sinks.push(Box::new(Output::create(target, *format, &file)?));
                }
            }
        }
        Ok(Tee::new(sinks))
    }

    /// Returns whether a transcript goes to standard output.
    pub(crate) fn is_shown(&self) -> bool {
        self.transcripts
            .iter()
            .any(|(_, place)| *place == Place::StandardOutput)
    }

    /// Returns the files that hold the text of an unfinished transcription.
    pub(crate) fn kept(&self) -> impl Iterator<Item = PathBuf> {
        self.transcripts
            .iter()
            .filter_map(|(_, place)| match place {
                Place::StandardOutput => None,
                Place::File(target) => Some(Output::part_path(target)),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    /// Checks the targets of all inputs, written in one line; `-` is standard output.
    fn check(inputs: &[&str], formats: &[Format], output: Option<&str>, expected: &str) {
        let jobs = jobs(&paths(inputs), formats, output.map(Path::new)).unwrap();
        let shown: Vec<String> = jobs
            .iter()
            .flat_map(|job| &job.transcripts)
            .map(|(format, place)| match place {
                Place::StandardOutput => format!("{format}:-"),
                Place::File(path) => format!("{format}:{}", path.display()),
            })
            .collect();
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn text_goes_to_standard_output_by_default() {
        check(&["a.wav", "b.wav"], &[], None, "txt:- txt:-");
        check(&["a.wav"], &[Format::Vtt], Some("-"), "vtt:-");
    }

    #[test]
    fn a_file_takes_its_format_from_its_name() {
        check(&["a.wav"], &[], Some("talk.srt"), "srt:talk.srt");
        check(&["a.wav"], &[], Some("talk.md"), "txt:talk.md");
        check(
            &["a.wav"],
            &[Format::Json],
            Some("talk.srt"),
            "json:talk.srt",
        );
    }

    #[test]
    fn several_formats_share_a_stem() {
        let formats = [Format::Srt, Format::Json, Format::Srt];
        check(
            &["a.wav"],
            &formats,
            Some("talk.srt"),
            "srt:talk.srt json:talk.json",
        );
        check(
            &["a.wav"],
            &formats,
            Some("talk.2024"),
            "srt:talk.2024.srt json:talk.2024.json",
        );
    }

    #[test]
    fn a_folder_takes_each_input_by_its_stem() {
        let inputs = ["x/a.1.wav", "b.mp3"];
        check(
            &inputs,
            &[Format::Srt],
            Some("no-such-folder/"),
            "srt:no-such-folder/a.1.srt srt:no-such-folder/b.srt",
        );
    }

    #[test]
    fn standard_input_has_a_name() {
        let folder = ["-", "b.mp3"];
        check(&folder, &[], Some("o/"), "txt:o/stdin.txt txt:o/b.txt");
        check(&["-"], &[Format::Srt], Some("-"), "srt:-");
        check(&["-"], &[], Some("talk.vtt"), "vtt:talk.vtt");
        let job = &jobs(&paths(&["-"]), &[], None).unwrap()[0];
        assert_eq!(job.name(), "<stdin>");
    }

    #[test]
    fn outputs_that_would_be_lost_or_mixed_are_refused() {
        let refused = |inputs: &[&str], formats: &[Format], output: Option<&str>| {
            jobs(&paths(inputs), formats, output.map(Path::new)).unwrap_err()
        };
        let two = [Format::Srt, Format::Vtt];
        assert_eq!(
            refused(&["a.wav"], &two, None),
            OutputsError::SeveralFormats
        );
        let several = OutputsError::SeveralFiles(Format::Srt);
        assert_eq!(refused(&["a.wav", "b.wav"], &two[..1], None), several);
        let no_folder = OutputsError::NoDirectory("c.txt".into());
        assert_eq!(refused(&["a.wav", "b.wav"], &[], Some("c.txt")), no_folder);
        assert_eq!(
            refused(&["a.wav"], &[], Some("a.wav")),
            OutputsError::IsInput("a.wav".into())
        );
        assert_eq!(refused(&["-", "-"], &[], None), OutputsError::StdinTwice);
        let same = OutputsError::SameTarget("x/a.wav".into(), "y/a.mp3".into(), "o/a.txt".into());
        assert_eq!(refused(&["x/a.wav", "y/a.mp3"], &[], Some("o/")), same);
    }
}
