//! Ctrl-C: the first ends the transcription and keeps its text, the second ends the program.

use steadyscribe::Cancel;

use crate::exit::Exit;

/// Installs a handler of Ctrl-C and of a request to terminate, which raises `cancel`.
pub(crate) fn install(cancel: Cancel) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        if cancel.is_cancelled() {
            std::process::exit(Exit::Cancelled as i32);
        }
        cancel.cancel();
        eprintln!("\ncancelled: ending this window; press Ctrl-C again to stop at once");
    })
}
