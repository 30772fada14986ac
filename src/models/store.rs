//! The folder of models on this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::ModelFile;

/// Replaces the folder of the platform's convention.
const OVERRIDE: &str = "STEADYSCRIBE_CACHE";

/// A folder of models. A file in it with a model's name is complete and was checked.
///
/// # Examples
///
/// ```
/// use steadyscribe::models::Store;
///
/// let store = Store::new("models");
/// let model = "base.en".parse()?;
/// assert!(store.path(&model).ends_with("ggml-base.en.bin"));
/// assert_eq!(store.cached(&model), None);
/// # Ok::<(), steadyscribe::models::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    folder: PathBuf,
}

/// The environment names no folder for models: set `STEADYSCRIBE_CACHE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no folder for models is known, because {missing} is not set; set STEADYSCRIBE_CACHE")]
#[non_exhaustive]
pub struct NoFolder {
    /// The variable of the platform's convention.
    pub missing: &'static str,
}

impl Store {
    /// Keeps models in `folder`, which is created for the first one.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Keeps models in `steadyscribe/models` of the platform's folder for caches: `XDG_CACHE_HOME`
    /// or `~/.cache` on Linux, `~/Library/Caches` on macOS, `LOCALAPPDATA` on Windows. If
    /// `STEADYSCRIBE_CACHE` is set, it is the folder itself.
    ///
    /// # Errors
    ///
    /// [`NoFolder`] when none of these variables is set.
    pub fn of_user() -> Result<Self, NoFolder> {
        folder(std::env::consts::OS, &|name| std::env::var_os(name)).map(Self::new)
    }

    /// Returns the folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of a model's file, which need not exist.
    #[must_use]
    pub fn path(&self, model: &ModelFile) -> PathBuf {
        self.folder.join(model.place())
    }

    /// Returns the path of a model's file if it exists.
    #[must_use]
    pub fn cached(&self, model: &ModelFile) -> Option<PathBuf> {
        Some(self.path(model)).filter(|path| path.is_file())
    }
}

fn folder(system: &str, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<PathBuf, NoFolder> {
    let set = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(folder) = set(OVERRIDE) {
        return Ok(folder);
    }
    let home = |caches: &str| {
        let home = set("HOME").ok_or(NoFolder { missing: "HOME" })?;
        Ok(home.join(caches))
    };
    let caches = match system {
        "windows" => set("LOCALAPPDATA").ok_or(NoFolder {
            missing: "LOCALAPPDATA",
        }),
        "macos" => home("Library/Caches"),
        // The convention requires programs to ignore a relative path.
        _ => match set("XDG_CACHE_HOME").filter(|path| path.is_absolute()) {
            Some(caches) => Ok(caches),
            None => home(".cache"),
        },
    }?;
    Ok(caches.join("steadyscribe").join("models"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_that_of_the_platform() {
        let check = |system: &str, set: &[(&str, &str)], expected: Result<&str, &'static str>| {
            let variable = |name: &str| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let expected = expected
                .map(PathBuf::from)
                .map_err(|missing| NoFolder { missing });
            assert_eq!(folder(system, &variable), expected, "{system} {set:?}");
        };
        let home = ("HOME", "/home/ada");
        check("linux", &[home], Ok("/home/ada/.cache/steadyscribe/models"));
        check(
            "linux",
            &[home, ("XDG_CACHE_HOME", "/var/cache")],
            Ok("/var/cache/steadyscribe/models"),
        );
        for ignored in ["", "relative"] {
            check(
                "freebsd",
                &[home, ("XDG_CACHE_HOME", ignored)],
                Ok("/home/ada/.cache/steadyscribe/models"),
            );
        }
        check(
            "macos",
            &[home, ("XDG_CACHE_HOME", "/var/cache")],
            Ok("/home/ada/Library/Caches/steadyscribe/models"),
        );
        check(
            "windows",
            &[("LOCALAPPDATA", "C:/Users/ada")],
            Ok("C:/Users/ada/steadyscribe/models"),
        );
        for system in ["linux", "macos", "windows"] {
            check(
                system,
                &[home, ("STEADYSCRIBE_CACHE", "/srv/models")],
                Ok("/srv/models"),
            );
        }
        check("linux", &[], Err("HOME"));
        check("windows", &[home], Err("LOCALAPPDATA"));
    }
}
