//! The token that a browser must present.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use super::error::ServeError;

/// Random bytes of a token.
const TOKEN_BYTES: usize = 16;

/// Makes a random token.
pub(super) fn random() -> Result<String, ServeError> {
    let mut random = [0; TOKEN_BYTES];
    getrandom::fill(&mut random).map_err(|_| ServeError::Random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Returns the token in a file, or writes `token` to it where it is empty or does not exist yet.
pub(super) fn kept(path: &Path, token: &str) -> io::Result<String> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    // Two programs that start at once must agree on one token.
    file.lock()?;
    let mut text = String::new();
    let most = 2 * TOKEN_BYTES as u64 + 1;
    (&mut file).take(most).read_to_string(&mut text)?;
    if text.is_empty() {
        write(&mut file, token)?;
        return Ok(token.to_owned());
    }
    if text.len() != 2 * TOKEN_BYTES || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it holds no token",
        ));
    }
    Ok(text)
}

fn write(file: &mut File, token: &str) -> io::Result<()> {
    file.write_all(token.as_bytes())?;
    file.sync_data()
}
