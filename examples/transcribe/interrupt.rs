//! Ctrl-C: the first ends the transcription and keeps what is ready, the second ends the program.

use steadyscribe::Cancel;

use crate::exit::Exit;

/// Has Ctrl-C and a request to terminate raise `cancel`.
pub(crate) fn install(cancel: Cancel) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        if cancel.is_cancelled() {
            std::process::exit(Exit::Cancelled as i32);
        }
        cancel.cancel();
        eprintln!("\ncancelled: ending this window; once more to stop at once");
    })
}
